"""Columns as they lie in the file, for tables that somebody may have written into by hand.

SQLite keeps in any column what it is given, and its driver reads no text that is not UTF-8: with
one such cell nothing else of its row could be read, not even which one it is.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class bytes_of(FunctionElement[Any]):  # noqa: N801 - it is used as a function is
    """What is in a column, as bytes; PostgreSQL, which lets nothing else in, gives it as it is."""

    inherit_cache = True


@compiles(bytes_of)
def _as_it_is(element: bytes_of, compiler: SQLCompiler, **more: Any) -> str:
    return compiler.process(element.clauses, **more)


@compiles(bytes_of, "sqlite")
def _cast(element: bytes_of, compiler: SQLCompiler, **more: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **more)} AS BLOB)"
