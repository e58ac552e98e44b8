"""Runs of invoices: what they came to, and their writes; what fails for one stops no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from mintage.capture.books import repository
from mintage.capture.books.invoice import Invoice
from mintage.core.errors import MintageError, ServiceError
from mintage.core.messages import Message, _
from mintage.store.engine import Database

_log = logging.getLogger(__name__)
_WRITES_AT_ONCE = 16
"""Documents that share a flush: no call can be recorded until they are written."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ran:
    """What a run of invoices came to; ``waiting`` says of whom there is none yet, and why.

    ``is_broken``: of somebody because what they used is not what was recorded.
    """

    period: str
    is_over: bool
    drafted: Sequence[Invoice]
    standing: Sequence[Invoice]
    credited: Sequence[Invoice]
    waiting: Sequence[tuple[str, Message]]
    is_broken: bool

    def to_json(self) -> dict[str, Any]:
        """As ``invoice run --json`` says it."""
        parts = {name: getattr(self, name) for name in ("drafted", "standing", "credited")}
        said: dict[str, list[Any]] = {
            name: [each.to_json() for each in found] for name, found in parts.items()
        }
        said["waiting"] = [list(each) for each in self.waiting]
        return {"period": self.period, "is_over": self.is_over, **said}


def written(
    database: Database, works: Iterable[Callable[[repository.Connection], T]]
) -> Iterator[T | Exception]:
    """What writes come to, in their order, or why one failed; several of them share a flush.

    Raises:
        ServiceError: the database cannot be written, so that none can be done.
    """
    left = iter(works)
    while portion := [database.submit(work) for work in islice(left, _WRITES_AT_ONCE)]:
        for done in portion:
            error = done.exception()
            if isinstance(error, ServiceError):
                raise error
            yield error if isinstance(error, Exception) else done.result()


def reason_of(error: Exception) -> Message:
    """Why a customer has no invoice for now; of what nobody foresaw the log has all."""
    if isinstance(error, MintageError):
        said = error.message
        return said if isinstance(said, Message) else Message(said)
    _log.error("an invoice failed", exc_info=error)
    # The first line alone: a database's error goes on with the values that it was given.
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return _("this failed in a way that is to be reported: {what}", what=what)
