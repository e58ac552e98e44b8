"""Signed tree heads: C2SP tlog-checkpoint, which is a C2SP signed note with Ed25519."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintage.core.errors import ConfigError, SignatureMismatch
from mintage.core.messages import _
from mintage.trust.encoding import strict_base64
from mintage.trust.public_key import PublicKey
from mintage.trust.signed_head import SignedHead
from mintage.trust.signer import Signer

__all__ = [
    "SignedHead",
    "add_signature",
    "check_name",
    "key_id",
    "key_ids",
    "open_note",
    "opened_by",
    "sign_head",
    "signed_by",
    "verify_by_any",
    "verify_note",
]

_MOST_CHARACTERS = 100_000  # far above the 16 signatures that a verifier must accept
_SIGNATURE_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_REMEDY = _("Do not rely on it: get the note again, and the key from whoever keeps the log.")


def sign_head(size: int, root: bytes, origin: str, signer: Signer) -> SignedHead:
    """Sign a tree head.

    Raises:
        ConfigError: the origin is empty or holds a space or a plus.
    """
    check_name(origin)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = key_id(origin, signer.public) + signer.sign(text.encode())
    return SignedHead(size, root, f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n")


def check_name(name: str) -> None:
    """Check that a name is one for a log, or for a witness of it.

    Raises:
        ConfigError: it is empty or holds a space or a plus.
    """
    if not re.fullmatch(r"[^\s+]+", name) or not name.isprintable():
        raise ConfigError(
            _("Not a name for a log: {origin!r}.", origin=name),
            remedy=_("Use one such as example.com/log."),
        )


def verify_note(text: str, public_key: PublicKey, origin: str) -> SignedHead:
    """The tree head that a note signs; signatures by keys unknown to us are passed over.

    Raises:
        SignatureMismatch: not signed by this key under this origin, or no tree head; or the log
            had another key by then.
    """
    body = open_note(text, public_key, origin)
    lines = body.split("\n")[:-1]
    if len(lines) < 3 or "" in lines or lines[0] != origin or not _NUMBER.fullmatch(lines[1]):
        raise _refused(_("The note is no tree head of {origin}.", origin=origin))
    root = _decoded(lines[2])
    if len(root) != hashlib.sha256().digest_size:
        raise _refused(_("The note's root is not a SHA-256: {root}.", root=lines[2]))
    head = SignedHead(int(lines[1]), root, text)
    last = public_key.last_head
    if last is not None and not last.admits(head):
        raise _refused(
            _(
                "The key {key_id} signed {origin} up to {count} entries: a head of {size} that it "
                "signed of {name} is not one of those.",
                key_id=public_key.key_id,
                origin=last.origin,
                count=last.size,
                size=head.size,
                name=origin,
            )
        )
    return head


def opened_by(
    text: str, keys: Iterable[PublicKey], origin: str | None = None
) -> tuple[SignedHead, PublicKey]:
    """The tree head that a note signs, and whose key did; under the name that it gives itself.

    Raises:
        SignatureMismatch: none of these keys did, under ``origin`` where one is said; or it is no
            tree head.
    """
    name = text.partition("\n")[0] if origin is None else origin
    named, refusal = key_ids(text, name), None
    for key in keys:
        try:
            return verify_note(text, key, name), key
        except SignatureMismatch as error:
            # Why it is not believed by a key that it names says more than that others did not.
            if refusal is None or (named and key_id(name, key) in named):
                refusal = error
    if origin is not None:
        raise refusal or _refused(_("The note is not signed by the key of {name}.", name=origin))
    raise refusal or SignatureMismatch(
        _("No key is trusted here for the log, so its head cannot be confirmed."),
        remedy=_("Name it: --key log.pub, as mintage public-key log prints it."),
    )


def verify_by_any(text: str, keys: Iterable[PublicKey], origin: str) -> SignedHead:
    """``verify_note`` by any of these keys, one that was revoked too.

    It is for heads that are held against the log itself: they bind it whatever became of the key,
    up to the head at which another took over.

    Raises:
        SignatureMismatch: none of them signed it under this origin, or it is no tree head.
    """
    return opened_by(text, (replace(key, revocation=None) for key in keys), origin)[0]


def key_ids(text: str, name: str) -> set[bytes]:
    """Which keys the lines of a name say to be of, of which nothing is confirmed."""
    lines = (encoded.rstrip("=") for __, encoded in _signature_lines(text, name))
    return {base64.b64decode(encoded[:8].ljust(8, "A"))[:4] for encoded in lines}


def signed_by(text: str, name: str) -> str:
    """The note with the signatures of this name alone, without those of witnesses."""
    lines = "".join(f"{line}\n" for line, __ in _signature_lines(text, name))
    body = text.rpartition("\n\n")[0]
    return f"{body}\n\n{lines}"


def _signature_lines(text: str, name: str) -> list[tuple[str, str]]:
    """Each line of a name, and its base64."""
    lines = text.rpartition("\n\n")[2].split("\n")
    found = ((line, _SIGNATURE_LINE.fullmatch(line)) for line in lines)
    return [(line, match[2]) for line, match in found if match and match[1] == name]


def open_note(text: str, public_key: PublicKey, name: str) -> str:
    """The text of a signed note, once the named key is found to have signed it.

    Raises:
        SignatureMismatch: it did not.
    """
    body, blank, signatures = text.rpartition("\n\n")
    if not blank or not signatures.endswith("\n") or len(text) > _MOST_CHARACTERS:
        raise _refused(_("This is not a signed note."))
    body += "\n"
    signed_by_us = False
    for line in signatures[:-1].split("\n"):
        match = _SIGNATURE_LINE.fullmatch(line)
        if not match:
            raise _refused(_("This is not a signed note."))
        if match[1] == name and _signed_with(match[2], name, public_key, body):
            signed_by_us = True
    if not signed_by_us:
        raise _refused(_("The note is not signed by the key of {name}.", name=name))
    public_key.check_still_believed(body.encode("utf-8", "surrogatepass"))
    return body


def _signed_with(encoded: str, name: str, public_key: PublicKey, body: str) -> bool:
    """Whether the line is by this key; one that names the key and does not verify is an attack."""
    signature = _decoded(encoded)
    if signature[:4] != key_id(name, public_key):
        return False
    if not public_key.verify(signature[4:], body.encode("utf-8", "surrogatepass")):
        raise _refused(_("The note was changed after {name} signed it.", name=name))
    return True


def _decoded(encoded: str) -> bytes:
    try:
        return strict_base64(encoded)
    except ValueError as error:
        raise _refused(_("The note holds no base64: {encoded}.", encoded=encoded)) from error


def _refused(what: str) -> SignatureMismatch:
    return SignatureMismatch(what, remedy=_REMEDY)


def key_id(name: str, public_key: PublicKey, kind: bytes = b"\x01") -> bytes:
    """How a signature's line names its key, which no decision rests on; ``kind`` is C2SP's.

    Raises:
        ConfigError: such a key signs no notes.
    """
    if not isinstance(public_key.key, Ed25519PublicKey):
        raise ConfigError(_("Tree heads are signed with Ed25519."), remedy=_("Use the role 'log'."))
    raw = public_key.key.public_bytes_raw()
    return hashlib.sha256(name.encode() + b"\n" + kind + raw).digest()[:4]


def add_signature(note: str, name: str, signer: Signer) -> str:
    """The note with one more signature, as when a log changes its key: both vouch for one head."""
    body, __, signatures = note.rpartition("\n\n")
    signature = key_id(name, signer.public) + signer.sign(f"{body}\n".encode())
    return f"{body}\n\n{signatures}— {name} {base64.b64encode(signature).decode()}\n"
