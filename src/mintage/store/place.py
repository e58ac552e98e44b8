"""Where a workspace may lie, and whether it can be written there."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from mintage.core.errors import ConfigError, MintageError
from mintage.core.files import failure, readable_failures
from mintage.core.machine import file_system
from mintage.core.messages import _

NETWORK_FILE_SYSTEMS = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "smb2", "smb3", "smbfs", "fuse.s3fs", "fuse.sshfs"}
    | {f"fuse.{name}" for name in ("ceph-fuse", "davfs2", "gcsfuse", "glusterfs", "rclone")}
)
"""As the system calls them; locks there end with the connection, or not at all."""


def workspace_folder(home: Path, *, make: bool) -> Path:
    """The workspace's folder, made where it is new if it is to be.

    Raises:
        ConfigError: it cannot be used, or there is none and it is not to be made.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") != "utf8":
        # The same folder would have another name to each locale, and be swept as a leftover.
        raise ConfigError(
            _("In this locale the names of files are not UTF-8 but {encoding}.", encoding=encoding),
            remedy=_("Set PYTHONUTF8=1, or a UTF-8 locale, such as: export LC_ALL=C.UTF-8"),
        )
    try:
        folder = home.expanduser().absolute()
    except RuntimeError as error:  # ~somebody, who is not known here
        raise ConfigError(
            _("{home} leads nowhere: {error}", home=home, error=error),
            remedy=_("Name another with --home."),
        ) from error
    with readable_failures(folder):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                _("{home} is not a folder.", home=folder), remedy=_("Name another with --home.")
            )
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigError(
            _(
                "{home} is on a network file system ({kind}), where locks and flushes cannot "
                "be relied on.",
                home=folder,
                kind=kind,
            ),
            remedy=_("Name a folder on a disk of this machine with --home."),
        )
    if make:
        with readable_failures(folder):  # customers and usage are nobody else's business
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif not folder.exists():
        raise ConfigError(
            _("There is no workspace at {home}.", home=folder),
            remedy=_("Name another with --home, or begin one: mintage collect PATH --name NAME"),
        )
    return folder


def why_not_written(home: Path, *, reading: bool) -> MintageError | None:
    """Why nothing can be written in the folder; None where it can."""
    if reading:
        return ConfigError(_("The workspace {home} is open for reading only.", home=home))
    if os.access(home, os.W_OK | os.X_OK):
        return None
    read_only = os.statvfs(home).f_flag & os.ST_RDONLY
    return failure(OSError(errno.EROFS if read_only else errno.EACCES, ""), home)
