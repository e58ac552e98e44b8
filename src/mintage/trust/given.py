"""Keys to verify with, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mintage.trust.keys import PublicKey, Role


class KeySource(Protocol):
    """What verifying asks for: the keys that are believed in a role."""

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys believed in this role."""
        ...


@dataclass(frozen=True)
class GivenKeys:
    """Public keys that somebody named for this once, believed for all that keys of their kind sign.

    With none, nothing verifies.
    """

    keys: tuple[PublicKey, ...] = ()

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """Those of the kind that signs in this role."""
        return tuple(key for key in self.keys if key.fits(role))
