"""docs/formats/audit-log.md: its checker runs, and agrees with ours; its kinds are the code's."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.databases import sqlite_alone

from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, append
from mintage.trust.keys import KeyRing
from mintage.trust.kinds import KINDS

SOURCE = Path(__file__).parents[2] / "src" / "mintage"
PAGE = Path(__file__).parents[2] / "docs" / "formats" / "audit-log.md"
ORIGIN = "example.com/log"


def program() -> str:
    pattern = r"<!-- test: audit log -->\n```python\n(.*?)```"
    (found,) = re.findall(pattern, PAGE.read_text(), re.DOTALL)
    return str(found)


def checked(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", program()], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@sqlite_alone
@pytest.mark.parametrize(("size", "more"), [(1, 1), (7, 6), (8, 0), (300, 30)])
def test_the_pages_checker_needs_nothing_of_ours_and_finds_out_what_was_changed(
    workspace: Workspace, keys: KeyRing, tmp_path: Path, size: int, more: int
) -> None:
    def add(count: int) -> None:
        def work(connection: Any) -> None:
            for number in range(count):
                append(connection, "usage", {"n": number})

        workspace.database.write(work)

    log = AuditLog(workspace.database, keys, ORIGIN)
    (tmp_path / "log.pub").write_bytes(keys.signer("log").public_pem)
    add(size)
    (tmp_path / "kept.txt").write_text(log.tree_head().note)
    add(more)
    head = log.tree_head()
    inclusion = log.inclusion(size - 1).to_json(with_record=True)
    consistency = log.consistency(size).to_json()
    assert consistency["head"] == head.note
    (tmp_path / "inclusion.json").write_text(json.dumps(inclusion))
    (tmp_path / "proof.json").write_text(json.dumps(consistency))
    assert checked(tmp_path) == (0, "the record is in the log: True\nthe log only grew: True\n")
    for name, document in (("inclusion", inclusion), ("proof", consistency)):
        if not document["path"]:
            continue
        wrong = {**document, "path": ["00" * 32, *document["path"][1:]]}
        (tmp_path / f"{name}.json").write_text(json.dumps(wrong))
        assert "False" in checked(tmp_path)[1]
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    forged = {**inclusion, "record": inclusion["record"].replace("usage", "login")}
    (tmp_path / "inclusion.json").write_text(json.dumps(forged))
    assert checked(tmp_path)[0] != 0


APPENDING = {"append", "append_all"}
GIVEN = {
    # Where the kind is an argument, or made of one: what it is there.
    "create/repository.py": {"dataset.removed", "model.removed", "run.removed"},
    "capture/refusals.py": {"calls.refused", "calls.counted", "operator.refused"},
    "trust/trusted.py": {"key.trusted", "key.distrusted"},
    "trust/rotation.py": {
        "signing_key.made",
        "signing_key.rotated",
        "signing_key.revoked",
        "signing_key.abandoned",
        "keys.published",
    },
    "capture/erasing/erasing.py": {"customer.erased"},
    "app/sealing.py": {"workspace.sealed", "seal.rotated", "seal.renewed"},
    "trust/openings.py": {"data.read", "data.erased"},
}


def logged_kinds(path: Path) -> tuple[set[str], bool]:
    """The kinds that a module appends, and whether there are some that it does not write out."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    kinds: set[str] = set()
    hidden = False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or len(node.args) != 3:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name not in APPENDING:
            continue
        kind = node.args[1]
        if isinstance(kind, ast.Constant):
            kinds.add(str(kind.value))
        elif isinstance(kind, ast.Name) and kind.id in constants:
            kinds.add(str(constants[kind.id]))
        else:
            hidden = True
    return kinds, hidden


def test_the_pages_kinds_are_those_that_the_code_appends() -> None:
    table = PAGE.read_text().partition("## What is logged")[2].partition("\n## ")[0]
    listed = [
        kind
        for line in table.splitlines()
        if line.startswith("| `")
        for kind in re.findall(r"`([a-z_.]+)`", line.split("|")[1])
    ]
    appended: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if name == "trust/leaves.py":  # which is what all others call
            continue
        kinds, hidden = logged_kinds(path)
        assert hidden == (name in GIVEN), f"{name}: say in GIVEN which kinds it appends"
        given = GIVEN.get(name, set())
        assert all(kind.rpartition(".")[2] in path.read_text() for kind in given)
        appended |= kinds | given
    assert sorted(listed) == sorted(appended) == sorted(KINDS)
