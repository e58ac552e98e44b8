"""JSON Lines of scores as Parquet. Here alone is pyarrow used, which the plain install lacks."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

from mintage.core.errors import missing_extra

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise missing_extra("pyarrow", "parquet") from error

_GROUP_ROWS = 8192
_KINDS = {"unusual": pa.bool_()}


def write_parquet(rows: Path, target: Path, columns: tuple[str, ...]) -> None:
    """Write the rows as a file that is on disk when this returns, a group of rows at a time."""
    schema = pa.schema([(name, _kind(name)) for name in columns])
    with target.open("wb") as stream, rows.open("rb") as lines:
        with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
            while some := [json.loads(line) for line in islice(lines, _GROUP_ROWS)]:
                writer.write_table(pa.Table.from_pylist(some, schema=schema))
        stream.flush()
        os.fsync(stream.fileno())


def _kind(column: str) -> pa.DataType:
    if column.startswith("probability"):
        return pa.float64()
    return _KINDS.get(column, pa.string())
