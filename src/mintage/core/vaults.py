"""Folders whose files are sealed: who reads or writes a file below one gets and gives it open.

``core.files`` asks here, so that no room above has to know. A workspace mounts its vault when it is
opened, and takes it away when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from mmap import mmap
from pathlib import Path
from typing import Protocol

Data = bytes | mmap


class Vault(Protocol):
    """Seals and opens the files of one folder; names are below it, with ``/``."""

    def covers(self, name: str) -> bool:
        """Whether the file of this name is a sealed one."""
        ...

    def seal(self, name: str, data: Data) -> bytes:
        """What is to lie there instead of the data, as the newest version of that file."""
        ...

    def open(self, name: str, sealed: bytes) -> bytes:
        """The data of what lies there.

        Raises:
            SealBroken: it is not that file as it was sealed last.
        """
        ...

    def landed(self, names: Sequence[str]) -> None:
        """What was sealed under these names lies there now: nothing older is taken any more."""
        ...


class Mounted:
    """One file of a vault: the vault, and what the file is called in it."""

    __slots__ = ("name", "vault")

    def __init__(self, vault: Vault, name: str) -> None:
        self.vault, self.name = vault, name


_mounts: list[tuple[str, Vault]] = []


def mount(folder: Path, vault: Vault) -> None:
    """From now on files below the folder are the vault's."""
    _mounts.append((_absolute(folder) + os.sep, vault))


def unmount(vault: Vault) -> None:
    """The vault is closed; nothing happens where it was not mounted."""
    _mounts[:] = [each for each in _mounts if each[1] is not vault]


def mounted(path: Path | str) -> Mounted | None:
    """The vault that a path is in, and its name there; None where files lie as they are."""
    if not _mounts:
        return None
    whole = _absolute(path)
    for folder, vault in _mounts:
        if whole.startswith(folder):
            name = whole[len(folder) :].replace(os.sep, "/")
            if vault.covers(name):
                return Mounted(vault, name)
    return None


def _absolute(path: Path | str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - no link is followed, and `..` is taken out
