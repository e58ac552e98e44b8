"""Every number that the documents work out is what our code computes, in both languages."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docs.worked import FUNCTIONS

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent
TOURS = (DOCS / "tour.md", DOCS / "tour.zh-CN.md")
_MARK = re.compile(r"<!-- worked: (\w+)\((.*?)\) = (.*?) -->")
_CODE = re.compile(r"`(src/[\w/]+\.py)(?:::([\w.]+))?`")


@dataclass(frozen=True)
class Worked:
    """A call, what the page says of it, and the text that a reader sees."""

    name: str
    arguments: str
    results: tuple[str, ...]
    visible: str

    @classmethod
    def all_of(cls, page: Path) -> list[Worked]:
        found = []
        seen = ""
        for block in re.split(r"\n{2,}", page.read_text(encoding="utf-8")):
            text = re.sub(r"<!--.*?-->", "", block, flags=re.DOTALL)
            found += [
                # A table's numbers stand in the block before the paragraph about it.
                cls(name, arguments, tuple(results.split(", ")), _plain(seen + "\n" + text))
                for name, arguments, results in _MARK.findall(block.replace("\n", " "))
            ]
            seen = text if text.startswith("|") else ""
        return found


def _plain(text: str) -> str:
    """Minus signs and thousands as Python writes them."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", text.replace("−", "-"))


def _same(said: str, computed: object) -> bool:
    """Text is equal; a number agrees to the last decimal that is written."""
    if isinstance(computed, str):
        return said == computed
    decimals = len(said.partition(".")[2])
    return abs(float(said) - float(computed)) <= 0.500001 * 10**-decimals  # type: ignore[arg-type]


@pytest.mark.parametrize("page", TOURS, ids=lambda page: page.name)
def test_the_numbers_worked_out_are_those_of_the_code(page: Path) -> None:
    worked = Worked.all_of(page)
    assert len(worked) > 40
    for each in worked:
        arguments = ast.literal_eval(f"({each.arguments},)" if each.arguments else "()")
        computed = FUNCTIONS[each.name](*arguments)
        results = computed if isinstance(computed, tuple) else (computed,)
        assert len(each.results) == len(results), each
        for said, result in zip(each.results, results, strict=True):
            assert _same(said, result), (each, result)


@pytest.mark.parametrize("page", TOURS, ids=lambda page: page.name)
def test_what_is_checked_is_what_the_reader_sees(page: Path) -> None:
    for each in Worked.all_of(page):
        for said in each.results:
            alone = rf"(?<![\w.]){re.escape(said)}(?!\.?\w)"
            assert re.search(alone, each.visible, re.ASCII), each


def test_both_tours_work_out_the_same() -> None:
    first, second = (
        [(each.name, each.arguments, each.results) for each in Worked.all_of(page)]
        for page in TOURS
    )
    assert first == second


def test_every_formula_has_a_number() -> None:
    assert {each.name for each in Worked.all_of(TOURS[0])} == set(FUNCTIONS)


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")]), ids=lambda page: page.name
)
def test_the_code_that_documents_name_exists(page: Path) -> None:
    for file, name in _CODE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file
        if name:
            assert name in _names(ROOT / file), f"{file}::{name}"


def test_both_tours_name_the_same_code() -> None:
    english, chinese = (_CODE.findall(page.read_text(encoding="utf-8")) for page in TOURS)
    assert english == chinese
    assert len(english) > 30


def _names(file: Path) -> set[str]:
    """Functions and classes of a module, and ``Class.method``."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
            found |= {f"{node.name}.{each.name}" for each in methods}
    return found


@pytest.mark.parametrize("different_bits", [33, 52, 90])
def test_the_chance_of_the_bands_is_what_the_bands_in_use_give(different_bits: int) -> None:
    import numpy as np

    from mintage.modalities.image import similarity

    random = np.random.default_rng(0)
    bands = similarity._band_bits()
    rounds = 2000
    met = 0
    for __ in range(rounds):
        differs = np.zeros(256, bool)
        differs[random.choice(256, different_bits, replace=False)] = True
        met += not differs[bands].any(axis=1).all()
    chance = FUNCTIONS["near_duplicate_chance"](different_bits)
    # Four deviations of a fair draw, and what forty given bands may differ from forty random ones.
    assert abs(met / rounds - chance) < 4 * (chance * (1 - chance) / rounds) ** 0.5 + 0.02
