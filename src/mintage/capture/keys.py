"""API keys: ``mk_``, 32 random base62 characters (190 bits), a checksum of 6.

The checksum lets a typo be refused without asking the database. Only the SHA-256 is ever stored:
a random key of this length needs no slow hash, and the digest is what it is looked up by.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Self

from mintage.core.canonical import sha256_hex
from mintage.core.errors import Unauthenticated
from mintage.core.messages import _

PREFIX = "mk_"
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32: the whole CRC fits
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


class ApiKey:
    """A key in memory. It shows itself only where ``reveal`` is called."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's randomness."""
        body = PREFIX + "".join(secrets.choice(_BASE62) for __ in range(_RANDOM_LENGTH))
        return cls(body + _checksum(body))

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what a caller sent.

        Raises:
            Unauthenticated: nothing, or nothing that could ever have been a key of ours.
        """
        if text is None or not _SHAPE.fullmatch(text):
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
        return f"ApiKey({PREFIX}…{self.last4})"

    __str__ = __repr__


@dataclass(frozen=True)
class IssuedKey:
    """A key just made: the only moment at which ``key.reveal()`` can be shown."""

    id: str
    customer: str
    key: ApiKey


@dataclass(frozen=True)
class KeyInfo:
    """What is kept of a key."""

    id: str
    customer: str
    last4: str
    created_at: str
    revoked_at: str | None

    def to_json(self) -> dict[str, str | None]:
        """The key as lists show it."""
        return {
            "id": self.id,
            "customer": self.customer,
            "last4": self.last4,
            "created_at": self.created_at,
            "revoked_at": self.revoked_at,
        }


def refused() -> Unauthenticated:
    """The one answer to no key, a malformed, an unknown and a revoked one."""
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
