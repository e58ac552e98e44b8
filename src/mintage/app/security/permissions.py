"""Who else on this machine could read or change what is here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mintage.app.security.weakness import Severity, Weakness, closed_with, closing
from mintage.core.messages import Message, _
from mintage.core.settings import Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITING = stat.S_IWGRP | stat.S_IWOTH
_PUBLIC = (".pub", ".json", ".lock")


def examine_permissions(home: Path, settings: Settings) -> Iterator[Weakness]:
    """The folders on the way to the workspace, the workspace, its keys, and keys that lie outside.

    Behind a closed folder nothing is open, so what lies in the workspace is not looked at one by
    one; keys are, since a copy of them keeps its mode.
    """
    home = home.resolve()
    yield from _way(home)
    mode = _mode(home)
    if mode & _WRITING:
        said = _("{path} can be changed by others", path=home)
        yield _open("workspace.writable", "critical", said, home, _OTHERS)
    elif mode & _OTHERS:
        said = _("{path} can be read by others", path=home)
        yield _open("workspace.readable", "high", said, home, _OTHERS)
    yield from _keys(home / "keys")
    for path in (settings.tls_key, settings.alipay_private_key):
        if path is not None and path.is_file() and _mode(path) & stat.S_IRWXO:
            said = _("{path} can be read by others", path=path)
            yield _open("key.readable", "critical", said, path, stat.S_IRWXO)


def _way(home: Path) -> Iterator[Weakness]:
    for folder in home.parents:
        mode = _mode(folder)
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield Weakness(
                "path.writable",
                "high",
                _(
                    "everybody on this machine can write in {folder}, and put another workspace in "
                    "the place of this one",
                    folder=folder,
                ),
                _("Close it with: {command}", command=f"chmod o-w {folder}"),
            )


def _keys(folder: Path) -> Iterator[Weakness]:
    for path in (folder, *sorted(folder.rglob("*"))) if folder.is_dir() else ():
        if path.is_symlink():
            continue
        private = path.is_file() and path.suffix not in _PUBLIC
        if private and _mode(path) & _OTHERS:
            said = _("{path} can be read by others", path=path)
            yield _open("key.readable", "critical", said, path, _OTHERS)
        elif _mode(path) & _WRITING:
            said = _("{path} can be changed by others: they decide whose keys count", path=path)
            yield _open("key.writable", "critical", said, path, _WRITING)


def _open(code: str, severity: Severity, said: Message, path: Path, taken: int) -> Weakness:
    mend = closing(path, taken)
    ours = path.stat().st_uid == os.geteuid() or not os.geteuid()
    return Weakness(code, severity, said, closed_with(mend), mend if ours else None)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
