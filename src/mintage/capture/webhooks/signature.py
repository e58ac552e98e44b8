"""Signatures of Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over id, time and body.

Secrets are written ``whsec_`` and base64. Those of endpoints are made of one key beside the
database and the endpoint's id, so that no copy of the database, no backup of it and no log of its
statements holds one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from mintage.core.canonical import sha256_hex

PREFIX = "whsec_"
_PURPOSE = b"mintage webhook secret\0"


class Secret:
    """The bytes that an endpoint's messages are signed with; shown where ``reveal`` is called."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Read what ``reveal`` said.

        Raises:
            ValueError: it is none.
        """
        return cls(base64.b64decode(text.removeprefix(PREFIX), validate=True))

    @classmethod
    def derived(cls, root: bytes, endpoint: str, generation: int) -> Secret:
        """The secret of an endpoint, in the generation that rotating it counts."""
        said = _PURPOSE + f"{endpoint}/{generation}".encode()
        return cls(hmac.digest(root, said, hashlib.sha256))

    def reveal(self) -> str:
        """The secret itself, for the one moment when it is shown to its owner."""
        return PREFIX + base64.b64encode(self._key).decode()

    @property
    def sha256(self) -> str:
        """What is stored, so that another key's secret is not taken for it."""
        return sha256_hex(self._key)

    def sign(self, message: str, seconds: int, body: bytes) -> str:
        """``v1,`` and the signature in base64; ``seconds`` are of Unix time."""
        said = f"{message}.{seconds}.".encode() + body
        return "v1," + base64.b64encode(hmac.digest(self._key, said, hashlib.sha256)).decode()

    def __repr__(self) -> str:
        return f"Secret({PREFIX}…)"


def headers(secrets: Sequence[Secret], message: str, seconds: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; with a signature for each secret, the newest first."""
    return {
        "webhook-id": message,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(each.sign(message, seconds, body) for each in secrets),
    }
