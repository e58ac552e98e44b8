"""Key-encryption keys: what wraps a workspace's data keys, and lies outside of it.

They are in a private file or an environment variable, or a service keeps them (``KeyService``). A
file or variable may hold several, the one that wraps first and those that still unwrap after it:
so that a key is exchanged while the workspace is served.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mintage.core import registry
from mintage.core.errors import ConfigError, SealBroken, said_by
from mintage.core.files import readable_failures, store_atomic
from mintage.core.messages import _
from mintage.core.ports import WrappingKey
from mintage.core.redaction import SEAL_PREFIX

_SECRET_BYTES, _NONCE_BYTES = 32, 12
_MOST_BYTES = 10_000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, repr=False)
class KeyEncryptionKey:
    """AES-256-GCM; ``text`` is the whole key, as its file holds it."""

    text: str

    @classmethod
    def generate(cls) -> KeyEncryptionKey:
        """A new one."""
        return cls(SEAL_PREFIX + secrets.token_hex(_SECRET_BYTES))

    @property
    def id(self) -> str:
        """What rows call it; it says nothing of the key."""
        return hashlib.sha256(b"mintage kek\0" + self._secret()).hexdigest()[:16]

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """A data key, to be unwrapped with the same context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._secret()).encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """What ``wrap`` wrapped.

        Raises:
            SealBroken: it is not that.
        """
        nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return AESGCM(self._secret()).decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                _("A data key was changed, or belongs to another owner."),
                remedy=_("Restore the workspace from a backup."),
            ) from error

    def _secret(self) -> bytes:
        try:
            secret = bytes.fromhex(self.text.removeprefix(SEAL_PREFIX))
        except ValueError:
            secret = b""
        if not self.text.startswith(SEAL_PREFIX) or len(secret) != _SECRET_BYTES:
            # What was given may be half of the key, so it is not said again.
            raise ConfigError(
                _("That is no key-encryption key."),
                remedy=_(
                    "One begins with {prefix}, as mintage init --seal made it.", prefix=SEAL_PREFIX
                ),
            )
        return secret


class HeldKeys:
    """Implements ``WrappingKey`` with keys that ``read`` gives, the one that wraps first."""

    def __init__(self, reference: str, read: Callable[[], list[KeyEncryptionKey]]) -> None:
        """Read them now.

        Raises:
            ConfigError: they are not there, others can read them, or they are none.
        """
        self.reference = reference
        self._read = read
        self._keys = self._known()

    def current(self) -> str:
        """The id of the one that wraps."""
        return next(iter(self._known()))

    def wrap(self, secret: bytes, context: bytes) -> tuple[str, bytes]:
        """Wrapped by the one that is first now."""
        self._keys = self._known()
        name, key = next(iter(self._keys.items()))
        return name, key.wrap(secret, context)

    def unwrap(self, wrapped_by: str, wrapped: bytes, context: bytes) -> bytes:
        """Unwrapped by the one that wrapped it, which may have been added since."""
        if wrapped_by not in self._keys:
            self._keys = self._known()
        if wrapped_by not in self._keys:
            raise SealBroken(
                _(
                    "The data keys are wrapped by the key {wrapped_by}, which {reference} is not.",
                    wrapped_by=wrapped_by,
                    reference=self.reference,
                ),
                remedy=_("Say where that key is with MINTAGE_SEAL_KEY."),
            )
        return self._keys[wrapped_by].unwrap(wrapped, context)

    def _known(self) -> dict[str, KeyEncryptionKey]:
        return {each.id: each for each in self._read()}


def wrapping_key(reference: str) -> WrappingKey:
    """The key-encryption key at ``file:PATH``, ``env:NAME``, or ``SERVICE:ADDRESS`` of a plug-in.

    Raises:
        ConfigError: it is not there, others can read it, or there is no such service.
    """
    kind, colon, place = reference.partition(":")
    if not colon or not place:
        raise ConfigError(
            _("{reference!r} does not say where a key is.", reference=reference[:80]),
            remedy=_("Write file:PATH, env:NAME, or SERVICE:ADDRESS of an installed key service."),
        )
    if kind == "file":
        path = Path(place).expanduser().absolute()
        return HeldKeys(f"file:{path}", lambda: read_key_file(path))
    if kind == "env":
        return HeldKeys(reference, lambda: _in_variable(place))
    return registry.key_services().get(kind).open(place)


def make_key_file(path: Path) -> None:
    """A file with a new key, for its owner alone.

    Raises:
        ConfigError: there is one already, or it cannot be made.
    """
    with readable_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as error:
            raise ConfigError(
                _("{path} is there already.", path=path),
                remedy=_("Name a new file for the key, or use that one."),
            ) from error
    write_key_file(path, [KeyEncryptionKey.generate()])


def write_key_file(path: Path, keys: list[KeyEncryptionKey]) -> None:
    """Put these keys into the file, the one that wraps first; it is there whole or as it was."""
    store_atomic(path, "".join(f"{each.text}\n" for each in keys).encode(), mode=0o600)


def read_key_file(path: Path) -> list[KeyEncryptionKey]:
    """The keys of a file.

    Raises:
        ConfigError: it is not there, others can read it, or it holds something else.
    """
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & _OTHERS:
                raise ConfigError(
                    _("{path} can be read by others.", path=path),
                    remedy=_("Make it yours alone: chmod 600 {path}", path=path),
                )
            text = stream.read(_MOST_BYTES).decode(errors="replace")
    except OSError as error:
        raise ConfigError(
            _(
                "The key-encryption key {path} cannot be read: {reason}.",
                path=path,
                reason=said_by(error),
            ),
            remedy=_(
                "Without it nothing in this workspace opens. Say where it is with MINTAGE_SEAL_KEY."
            ),
        ) from error
    return _keys_of(text, str(path))


def _in_variable(name: str) -> list[KeyEncryptionKey]:
    if name not in os.environ:
        raise ConfigError(
            _("The environment variable {name} is not set.", name=name),
            remedy=_(
                "Set it to the key-encryption key; without it nothing in this workspace opens."
            ),
        )
    return _keys_of(os.environ[name], name)


def _keys_of(text: str, where: str) -> list[KeyEncryptionKey]:
    keys = [KeyEncryptionKey(each) for each in text.split()]
    if not keys:
        raise ConfigError(_("{where} holds no key-encryption key.", where=where))
    return keys
