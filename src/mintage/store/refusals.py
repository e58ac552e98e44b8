"""What SQLite refuses, as errors that say what to do next."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from mintage.core.errors import DependencyDown, MintageError, TrustError
from mintage.core.files import disk_full, failure
from mintage.core.messages import _

_NO_TEXT = re.compile("Could not decode to UTF-8 column '([^']*)'")
_UNREACHABLE = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)


def explained(error: BaseException, path: Path) -> BaseException:
    """What the database refused, and what to do; an error of the statement itself as it is."""
    if isinstance(error, MintageError):
        return error
    if isinstance(error, OSError):
        return failure(error, path)
    # Undoing a write may fail in its turn; what happened first is then behind it.
    cause: BaseException | None = error
    while cause is not None:
        original = cause.orig if isinstance(cause, DBAPIError) else cause
        found = _refused(getattr(original, "sqlite_errorcode", 0) & 0xFF, path, str(original))
        if found is not None:
            return found
        cause = cause.__context__
    return error


def _refused(code: int, path: Path, text: str) -> MintageError | None:
    if found := _NO_TEXT.match(text):  # and what follows is the value, which is nobody's business
        return TrustError(
            _("The database {path} holds in {column} what is no text.", path=path, column=found[1]),
            remedy=_(
                "Somebody changed it: restore the workspace from a backup. Of the audit log, "
                "mintage audit verify says which entry it is."
            ),
        )
    if code == sqlite3.SQLITE_FULL:
        return disk_full(path, text)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DependencyDown(
            _("The database {path} is damaged: {text}.", path=path, text=text),
            remedy=_("Restore the workspace from a backup; mintage doctor says more."),
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DependencyDown(
            _("Another program holds the database {path}: {text}.", path=path, text=text),
            remedy=_("End that program, then run the same command again."),
        )
    if code in _UNREACHABLE:
        return DependencyDown(
            _("The database {path} cannot be used: {text}.", path=path, text=text),
            remedy=_("Make room or mend the permissions; mintage doctor says which."),
        )
    return None
