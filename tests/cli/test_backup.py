"""Backup and restore on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import Shop
from tests.conftest import ManualClock
from tests.terminal import Terminal

from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Workspace(tmp_path / "home", ManualClock()) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        shop.plans.ensure_default()
        shop.sell("pets")
        for __ in range(3):
            shop.meter.record(shop.usage()).result(10)
    return tmp_path / "home"


def test_a_workspace_is_backed_up_checked_and_restored(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    made = mintage.json("backup", "whole.tar", "--home", home)
    assert (made["path"], made["rows"]["usage_events"], made["with_keys"]) == (
        "whole.tar",
        3,
        False,
    )
    checked = mintage.json("backup", "--check", "whole.tar")
    assert checked == made
    said = mintage("restore", "whole.tar", "--home", tmp_path / "new")
    assert said.splitlines()[-1] == str(tmp_path / "new")
    assert "records are as they were logged" in mintage.err
    assert "put the folder keys back" in mintage.err
    assert not (tmp_path / "new" / "keys").exists()
    before, after = (mintage.json("usage", "--home", each) for each in (home, tmp_path / "new"))
    assert [each["id"] for each in before] == [each["id"] for each in after]
    mintage("backup", "secret.tar", "--with-keys", "--home", home)
    found = mintage.json("restore", "secret.tar", "--home", tmp_path / "other")
    assert found["with_keys"] is True
    assert "problem" not in [each["status"] for each in found["findings"]]
    assert any((tmp_path / "other" / "keys").iterdir())


def test_what_is_no_backup_or_no_place_for_one_is_said(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    mintage("backup", "whole.tar", "--home", home)
    mintage("backup", "whole.tar", "--home", home, status=2)
    assert "is there already" in mintage.err
    mintage("restore", "whole.tar", "--home", home, status=2)
    assert "never restored over" in mintage.err
    whole = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "half.tar").write_bytes(whole[: len(whole) // 2])  # its end is filling
    for words in (("backup", "--check", "half.tar"), ("restore", "half.tar", "--home", "new")):
        mintage(*words, status=2)
        assert "not a whole one" in mintage.err
    assert not (tmp_path / "new").exists()
    mintage("backup", "none.tar", "--home", tmp_path / "nowhere", status=2)
    assert "There is no workspace" in mintage.err
