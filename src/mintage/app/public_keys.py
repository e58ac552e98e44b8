"""What anyone needs to verify what is signed here, as ``GET /v1/keys`` tells it."""

from __future__ import annotations

from typing import Any, get_args

from mintage.trust.key_list import ListedKey
from mintage.trust.keys import KeyRing, Role, SigningRole
from mintage.trust.own_keys import recorded
from mintage.trust.public_key import NOTE_ROLES

_NEEDED: tuple[Role, ...] = ("receipt", "log")
"""The keys that a server has from its start on; others are there once something was signed."""
_SAID = ("key_id", "pem", "valid_from", "valid_until", "revoked_at", "reason")


def public_keys(keys: KeyRing, now: str) -> dict[str, dict[str, Any]]:
    """Of each role the present key, and as ``former`` those before it, with their times."""
    for role in _NEEDED:
        keys.signer(role)
    listed = recorded(keys, now).keys
    found = {}
    for role in get_args(SigningRole):
        described = [_described(each) for each in listed.of(role)]
        if described:
            found[role] = described[0] | {"former": described[1:]}
    return found


def _described(key: ListedKey) -> dict[str, Any]:
    said = key.to_json()
    hashed = "" if key.role in NOTE_ROLES else " SHA-256"
    return {
        **{name: said[name] for name in _SAID},
        "algorithm": f"{said['algorithm']}{hashed}",
    }
