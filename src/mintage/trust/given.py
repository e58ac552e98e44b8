"""Keys to verify with, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

from mintage.trust.key_files import read_public_keys
from mintage.trust.keys import PublicKey, Role


class KeySource(Protocol):
    """What verifying asks for: the keys that are believed in a role."""

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys believed in this role."""
        ...


@dataclass(frozen=True)
class GivenKeys:
    """Public keys that somebody named for this once, each believed in one role or in all it fits.

    With none, nothing verifies.
    """

    keys: tuple[tuple[PublicKey, Role | None], ...] = ()

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """Those that are believed in this role, and of the kind that signs in it."""
        return tuple(key for key, only in self.keys if key.fits(role) and only in (None, role))


def given_keys(paths: Sequence[Path]) -> GivenKeys:
    """Keys from files; ``receipt.pub`` and ``NAME.receipt.pub`` are believed for receipts alone.

    So whoever took the key of one role signs nothing of another. A name without a role is believed
    for all that keys of its kind sign.

    Raises:
        DataError: a file cannot be read.
        TrustError: one holds a private key, no key, or a kind that Mintage does not verify with.
    """
    roles = {str(role): role for role in get_args(Role)}
    return GivenKeys(
        tuple(
            (key, roles.get(path.stem.rpartition(".")[2]))
            for path in paths
            for key in read_public_keys(path)
        )
    )
