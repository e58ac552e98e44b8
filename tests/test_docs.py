"""The documents say what is so."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.console import blocks, mintage_words, unknown

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
CHINESE_DOCS = [page for page in CHINESE if page.parent != ROOT]
"""The README's Chinese sibling has the same commands, and is shorter."""


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _without_code(text: str) -> str:
    """A page's prose: what stands in fences is no heading and no link."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _headings(page: Path) -> list[tuple[int, str]]:
    text = _without_code(page.read_text(encoding="utf-8"))
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.*)$", text, re.MULTILINE)]


def _anchors(page: Path) -> set[str]:
    """What links within a page may name: headings as GitHub makes anchors of them."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for __, title in _headings(page))
    return {title.replace(" ", "-") for title in titles}


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    generator = runpy.run_path(str(ROOT / "docs/generate.py"))
    page = ROOT / "docs/reference/cli.md"
    assert page.read_text() == generator["reference"](), "run: make docs"


def test_every_verb_has_help_and_every_option_says_what_it_is() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert not re.findall(r"^\| `[^|]+` \|\s*\|$", page, re.MULTILINE)
    for section in page.split("## ")[1:]:
        assert section.splitlines()[2].strip(), section


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_in_documents_lead_somewhere(page: Path) -> None:
    text = _without_code(page.read_text(encoding="utf-8"))
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if link.startswith("http"):
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("chinese", CHINESE_DOCS, ids=_name)
def test_a_page_is_as_complete_in_chinese_as_in_english(chinese: Path) -> None:
    english = chinese.with_name(chinese.name.replace(".zh-CN.md", ".md"))
    assert english.exists()
    levels = [[level for level, __ in _headings(page)] for page in (english, chinese)]
    assert levels[0] == levels[1]
    fences = [
        re.findall(r"^ *```(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        for page in (english, chinese)
    ]
    assert fences[0] == fences[1]
    tables = [
        len(re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE))
        for page in (english, chinese)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("chinese", CHINESE, ids=_name)
def test_a_page_and_its_sibling_lead_to_each_other(chinese: Path) -> None:
    english = chinese.with_name(chinese.name.replace(".zh-CN.md", ".md"))
    assert f"[English]({english.name})" in chinese.read_text(encoding="utf-8")
    assert f"[中文]({chinese.name})" in english.read_text(encoding="utf-8")


def test_the_pages_that_operators_and_users_read_are_there_in_both_languages() -> None:
    for page in (ROOT / "docs/tour.md", ROOT / "docs/faq.md", *(ROOT / "docs/how-to").glob("*.md")):
        if not page.name.endswith(".zh-CN.md"):
            assert page.with_suffix(".zh-CN.md").exists(), page


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_in_the_documents_is_one_that_mintage_has(page: Path) -> None:
    for block in blocks(page):
        for command in block.commands:
            for words in mintage_words(command):
                assert not unknown(words), f"{command}: {unknown(words)}"


def test_every_setting_and_error_code_is_documented() -> None:
    from mintage.core import errors
    from mintage.core.settings import Settings

    page = (ROOT / "docs/reference/settings-and-errors.md").read_text()
    for name in Settings.model_fields:
        assert f"`MINTAGE_{name.upper()}`" in page
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.MintageError):
            assert f"`{value.code}`" in page, value


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))

    def commands(text: str) -> list[str]:
        return [line.split("#")[0].strip() for line in text.splitlines() if line.startswith("$ ")]

    assert commands(english) == commands(chinese)
    assert len(commands(english)) > 10


def test_the_readmes_verbs_exist() -> None:
    verbs = set(re.findall(r"^\$ mintage (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    reference = (ROOT / "docs/reference/cli.md").read_text()
    assert {"collect", "train", "serve"} <= verbs
    for verb in verbs:
        assert f"## `mintage {verb}" in reference


def test_the_readmes_python_example_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (program,) = re.findall(r"<!-- test: python -->\n```python\n(.*?)```", text, re.DOTALL)
    drawing = (
        "from mintage.datasets import drawn_pets; from pathlib import Path\n"
        "drawn_pets.write_folder(Path('photos'), 120, size=64)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", drawing + program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "120 examples, 0 unreadable"
    assert 0 <= float(lines[1]) <= 1


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_leads_to_every_how_to_in_its_language(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    chinese = readme in [page.name for page in CHINESE]
    pages = (ROOT / "docs/how-to").glob("*.md")
    ours = [page.name for page in pages if page.name.endswith(".zh-CN.md") is chinese]
    assert ours
    assert [name for name in ours if f"(docs/how-to/{name})" not in text] == []


def test_security_does_not_call_missing_what_a_setting_is_there_for() -> None:
    from mintage.core.settings import Settings

    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    defended, missing = text.split("\nNot yet:")
    assert "tls_cert" in Settings.model_fields
    assert "TLS" not in missing
    assert "TLS" in defended
    named = re.findall(r"`(tests/[\w./]+)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
