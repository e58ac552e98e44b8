"""The operators' pages: their commands run in order, in both languages."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from tests.docs.conftest import Open
from tests.docs.console import Block, blocks, program

FOLDER = Path(__file__).parents[2] / "docs/how-to"
PAGES = sorted(FOLDER.glob("*.md"))


def _runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if "not run" not in block.marks]


def _language(page: Path) -> str:
    return "zh" if page.name.endswith(".zh-CN.md") else "en"


@pytest.mark.parametrize("page", [*filter(_runnable, PAGES)], ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says_in_its_order(page: Path, open_shell: Open) -> None:
    shell = open_shell(_language(page))
    for block in _runnable(page):
        if "server" in block.marks:
            with shell.server() as addresses:
                shell.run(block, addresses)
        else:
            shell.run(block)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if program(page).code], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page: Path, open_shell: Open) -> None:
    shell = open_shell(_language(page))
    written = program(page)
    with shell.server() if written.served else nullcontext({}) as addresses:
        shell.run_python(written, addresses)


def test_what_is_not_run_says_why() -> None:
    marked = [block for page in PAGES for block in blocks(page) if "not run" in block.marks]
    assert marked
    for block in marked:
        assert block.marks["not run"], block
