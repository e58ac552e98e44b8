"""The documents say what is so."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    generator = runpy.run_path(str(ROOT / "docs/generate.py"))
    page = ROOT / "docs/reference/cli.md"
    assert page.read_text() == generator["reference"](), "run: make docs"


def test_every_verb_has_help_and_every_option_says_what_it_is() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert not re.findall(r"^\| `[^|]+` \|\s*\|$", page, re.MULTILINE)
    for section in page.split("## ")[1:]:
        assert section.splitlines()[2].strip(), section


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_in_documents_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


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
