"""Every command of the questions and answers runs, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.conftest import Open
from tests.docs.console import Block, blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "faq.md", "zh": DOCS / "faq.zh-CN.md"}


def _all() -> list[tuple[str, Block]]:
    """The English answers, and of the Chinese those that show something else."""
    english, chinese = (blocks(page) for page in PAGES.values())
    said = {block.steps for block in english}
    return [
        *(("en", block) for block in english),
        *(("zh", block) for block in chinese if block.steps not in said),
    ]


@pytest.mark.parametrize(("language", "block"), _all(), ids=str)
def test_an_answers_command_does_what_the_page_says(
    language: str, block: Block, open_shell: Open
) -> None:
    shell = open_shell(language)
    if "server" in block.marks:
        with shell.server() as addresses:
            shell.run(block, addresses)
    else:
        shell.run(block)


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_every_answer_has_one_command(page: Path) -> None:
    questions = re.split(r"^### ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(questions) > 30
    for question in questions:
        assert question.count("```console") == 1, question.splitlines()[0]
    assert all(len(block.steps) == 1 for block in blocks(page))
    assert not any("not run" in block.marks for block in blocks(page))


def test_both_languages_answer_with_the_same_commands() -> None:
    english, chinese = (
        [(block.commands, block.marks) for block in blocks(page)] for page in PAGES.values()
    )
    assert english == chinese
