"""Keys: ``mtg_live_`` or ``mtg_op_``, 30 random base62 characters (178 bits), a checksum of 6.

The checksum lets a typo be refused without asking the database. Only the SHA-256 is ever stored:
a random key of this length needs no slow hash, and the digest is what it is looked up by.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mintage.capture.key_limits import UNLIMITED, KeyLimits
from mintage.core.canonical import sha256_hex
from mintage.core.errors import Unauthenticated
from mintage.core.messages import _
from mintage.core.redaction import KEY_PREFIX as PREFIX
from mintage.core.redaction import OPERATOR_PREFIX

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 30
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32: the whole CRC fits
_REST = re.compile(rf"[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


class ApiKey:
    """A customer's key in memory. It shows itself only where ``reveal`` is called."""

    prefix: ClassVar[str] = PREFIX
    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's randomness."""
        body = cls.prefix + "".join(secrets.choice(_BASE62) for __ in range(_RANDOM_LENGTH))
        return cls(body + _checksum(body))

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what a caller sent.

        Raises:
            Unauthenticated: nothing, or nothing that could ever have been a key of ours.
        """
        prefix = cls.prefix
        if text is None or not (text.startswith(prefix) and _REST.fullmatch(text, len(prefix))):
            raise refused()
        if _checksum(text[:-_CHECKSUM_LENGTH]) != text[-_CHECKSUM_LENGTH:]:
            raise refused()
        return cls(text)

    def reveal(self) -> str:
        """The key itself, for the one moment when it is shown to its owner."""
        return self._text

    @property
    def sha256(self) -> str:
        """What is stored and looked up: 64 hexadecimal digits."""
        return sha256_hex(self._text.encode())

    @property
    def last4(self) -> str:
        """What people tell their keys apart by."""
        return self._text[-4:]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prefix}…{self.last4})"

    __str__ = __repr__


class OperatorKey(ApiKey):
    """The key of somebody who runs the service; no customer's key is one, nor the other way."""

    prefix = OPERATOR_PREFIX
    __slots__ = ()


@dataclass(frozen=True)
class KeyInfo:
    """What is kept of a key; ``replaces`` is the id of the one in whose place it was made."""

    id: str
    customer: str
    last4: str
    created_at: str
    name: str | None = None
    limits: KeyLimits = UNLIMITED
    replaces: str | None = None
    revoked_at: str | None = None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Read a key's row, or a part of it that has the limits."""
        columns = dict(row)
        limits = KeyLimits.from_row(row)
        for name in limits.to_json():
            del columns[name]
        return cls(**columns, limits=limits)

    def to_row(self) -> dict[str, Any]:
        """The key as its row holds it, but for its digest."""
        return self.to_json() | self.limits.to_row()

    def to_json(self) -> dict[str, Any]:
        """The key as lists show it; ``products`` and ``networks`` are null where any will do."""
        return {
            "id": self.id,
            "customer": self.customer,
            "name": self.name,
            "last4": self.last4,
            **self.limits.to_json(),
            "replaces": self.replaces,
            "created_at": self.created_at,
            "revoked_at": self.revoked_at,
        }


@dataclass(frozen=True)
class IssuedKey:
    """A key just made: the only moment at which ``key.reveal()`` can be shown."""

    info: KeyInfo
    key: ApiKey

    @property
    def id(self) -> str:
        """What the key is called."""
        return self.info.id

    @property
    def customer(self) -> str:
        """Whose key it is."""
        return self.info.customer

    def to_json(self) -> dict[str, Any]:
        """The key and what it is bound to, for the one moment when it is shown."""
        return {
            "customer": self.customer,
            "key_id": self.id,
            "key": self.key.reveal(),
            "name": self.info.name,
            **self.info.limits.to_json(),
        }


@dataclass(frozen=True)
class RotatedKey:
    """A key in place of another, which is ``replaced`` and is taken for a while yet."""

    issued: IssuedKey
    replaced: KeyInfo

    def to_json(self) -> dict[str, Any]:
        """The new key as it is shown once, and the old one as lists show it."""
        return {**self.issued.to_json(), "replaced": self.replaced.to_json()}


def refused() -> Unauthenticated:
    """The one answer to no key, a malformed, an unknown, a revoked and an expired one."""
    return Unauthenticated(
        _("No valid API key came with this call."),
        remedy=_("Send one as 'Authorization: Bearer KEY'; whoever runs this service issues keys."),
    )


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for __ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
