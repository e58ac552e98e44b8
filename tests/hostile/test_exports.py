"""What leaves as a table: no cell of it is a program for whoever opens it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/mintage"

# Each of these has a test of its own that no text begins as a formula does.
ESCAPED = {
    "capture/books/fapiao.py",  # tests/capture/books/test_export.py
    "capture/books/rendering.py",  # tests/capture/books/test_rendering.py
    "deliver/forms.py",  # tests/deliver/test_forms.py
}


def writers(text: str) -> bool:
    """Whether a program writes CSV: by the standard library, or by a table of its own."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, method = ast.unparse(node.func.value), node.func.attr
        if method in ("to_csv", "write_csv") or (
            owner == "csv" and method in ("writer", "DictWriter")
        ):
            return True
    return False


def test_every_writer_of_csv_is_one_whose_cells_are_escaped() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if writers(path.read_text(encoding="utf-8"))
    }
    assert found == ESCAPED
