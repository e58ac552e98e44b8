"""What PostgreSQL refuses, as errors that say what to do next."""

from __future__ import annotations

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from mintage.core.errors import DependencyDown, MintageError, RequestError
from mintage.core.files import failure
from mintage.core.messages import _


def explained(error: BaseException, where: str) -> BaseException:
    """What the database refused, and what to do; an error of the statement itself as it is."""
    if isinstance(error, MintageError):
        return error
    if isinstance(error, NoneFree):
        return DependencyDown(
            _("All connections to {database} are in use.", database=where),
            remedy=_("Send it again in a moment."),
            retry_after_seconds=1,
        )
    if isinstance(error, OSError):
        return failure(error)
    # Undoing a write may fail in its turn; what happened first is then behind it.
    cause: BaseException | None = error
    while cause is not None:
        original = cause.orig if isinstance(cause, DBAPIError) else cause
        if isinstance(original, psycopg.Error):
            found = _refused(original, where)
            if found is not None:
                return found
            _without_values(cause, original)
        cause = cause.__context__
    return error


def _refused(error: psycopg.Error, where: str) -> MintageError | None:
    text = _first_line(error)
    if isinstance(error, errors.DiskFull):
        return DependencyDown(
            _("The disk of {database} is full: {text}.", database=where, text=text),
            remedy=_("Make room there, then send it again: nothing was lost."),
        )
    if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
        return DependencyDown(
            _("Another server holds {database}: {text}.", database=where, text=text),
            remedy=_("Send it again in a moment."),
            retry_after_seconds=1,
        )
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return DependencyDown(
            _("{database} may not be written: {text}.", database=where, text=text),
            remedy=_("Name its primary server, and a user who owns the database."),
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DependencyDown(
            _("{database} does not answer: {text}.", database=where, text=text),
            remedy=_(
                "See that it runs and that MINTAGE_DATABASE_URL is right, then send it again; what "
                "was under way may be recorded, which its Idempotency-Key tells."
            ),
            retry_after_seconds=1,
        )
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return RequestError(  # the driver's own refusal: a text with a zero byte
            _("The database cannot keep this: {text}.", text=text),
            remedy=_("Leave out what cannot be written."),
        )
    return None


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    lines = str(primary or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _without_values(cause: BaseException, original: psycopg.Error) -> None:
    """PostgreSQL's DETAIL quotes what a row holds, which belongs in no message."""
    primary = original.diag.message_primary
    if primary:
        original.args = (primary,)
        if isinstance(cause, DBAPIError):
            cause.args = (f"({type(original).__name__}) {primary}",)
