"""The page of threats cannot rot: every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/threats.md"
TEXT = PAGE.read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
NAMED = sorted(set(_NAMED.findall(TEXT)))
NONE_YET = "not yet defended"

# The rows of the notes that this page has to have an answer for, by a word of each.
THREATS = (
    *(
        "picture that grows",
        "decoder itself",
        "two kinds at once",
        "places and names in photographs",
    ),
    *("pickle", "tampered bundle or dataset", "older signed bundle", "stolen API key", "timing"),
    *(
        "zip with a way out",
        "tar",
        "archive that grows",
        "huge uploads",
        "addresses that lead inside",
    ),
    *("audit log edited", "metering replayed", "another customer's records", "more fields than"),
    *("admin functions", "copying a model", "membership", "poisoned data", "adversarial input"),
    *("personal data in logs", "formula", "YAML", "signing key", "vulnerable dependency"),
    *("safetensors", "ONNX", "JSON that says two things", "operator", "chain"),
)


def rows() -> list[list[str]]:
    """The cells of every row of the tables, without their heads."""
    found = []
    for line in TEXT.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if cells[0].strip("| ") != "threat":
                found.append(cells)
    return found


@cache
def named_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda each: each.rpartition("/")[2])
def test_every_test_that_the_page_names_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert name in named_in(path)


def test_the_page_names_tests_for_every_threat_or_says_that_there_is_no_defence_yet() -> None:
    assert len(NAMED) > 60
    for cells in rows():
        assert len(cells) == 4, cells[0]
        threat, defence, tests, left = cells
        assert _NAMED.search(tests) or NONE_YET in defence.lower(), threat
        assert left, threat


def test_every_threat_of_the_notes_has_a_row() -> None:
    threats = "\n".join(cells[0].lower() for cells in rows())
    missing = [threat for threat in THREATS if threat.lower() not in threats]
    assert not missing
