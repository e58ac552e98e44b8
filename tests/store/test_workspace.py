import json
import threading
from pathlib import Path

import pytest

from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError, SignatureMismatch
from mintage.store.workspace import Workspace


def test_a_folder_that_never_got_its_row_is_swept_at_the_next_start(tmp_path: Path) -> None:
    with Workspace(tmp_path) as opened:
        orphan = opened.model_folder("pets", 1)
        orphan.mkdir(parents=True)
    with Workspace(tmp_path):
        assert not orphan.exists()


def test_a_folder_set_aside_comes_back_where_its_successor_never_came(home: Path) -> None:
    (folder,) = (path for path in (home / "datasets/pets").iterdir() if path.is_dir())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.rename(folder.with_name(f".{folder.name}.old-tmp_1"))
    staging = folder.with_name(f".{folder.name}.tmp_2")
    staging.mkdir()
    with Workspace(home):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]


def test_a_folder_set_aside_is_removed_where_its_successor_stands(home: Path) -> None:
    (folder,) = (path for path in (home / "datasets/pets").iterdir() if path.is_dir())
    aside = folder.with_name(f".{folder.name}.old-tmp_1")
    aside.mkdir()
    (aside / "card.json").write_text("{}")
    with Workspace(home):
        assert (folder / "manifest.jsonl").exists()
        assert not aside.exists()


def test_one_at_a_time_holds_the_lock_of_a_name(tmp_path: Path) -> None:
    with Workspace(tmp_path) as first, Workspace(tmp_path) as second:
        order = []

        def later() -> None:
            with second.name_lock("datasets", "pets"):
                order.append("second")

        with first.name_lock("datasets", "pets"):
            with second.name_lock("models", "pets"), second.name_lock("datasets", "cars"):
                order.append("others")
            thread = threading.Thread(target=later)
            thread.start()
            thread.join(0.2)
            order.append("first")
        thread.join()
    assert order == ["others", "first", "second"]


def test_nobody_sweeps_while_somebody_else_is_working(tmp_path: Path) -> None:
    with Workspace(tmp_path) as first:
        unfinished = first.dataset_folder("pets", "ab")
        unfinished.mkdir(parents=True)
        with Workspace(tmp_path):
            assert unfinished.exists()


def test_a_newer_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    Workspace(tmp_path).close()
    (tmp_path / "workspace.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ConfigError, match=r"newer Mintage.*pip install"):
        Workspace(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json"])
def test_a_damaged_description_is_refused_and_not_overwritten(tmp_path: Path, content: str) -> None:
    Workspace(tmp_path).close()
    (tmp_path / "workspace.json").write_text(content)
    with pytest.raises(ConfigError, match="not a workspace's description"):
        Workspace(tmp_path)
    assert (tmp_path / "workspace.json").read_text() == content


def test_a_file_in_the_workspaces_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="not a folder"):
        Workspace(tmp_path / "file")


def test_a_blob_that_was_changed_is_refused(workspace: Workspace) -> None:
    name = sha256_hex(b"picture")
    workspace.blobs.put(name, b"picture")
    assert workspace.blobs.get(name) == b"picture"
    workspace.blobs.path(name).write_bytes(b"Picture")
    with pytest.raises(SignatureMismatch):
        workspace.blobs.get(name)
    workspace.blobs.remove(name)
    workspace.blobs.remove(name)
    with pytest.raises(DataError, match="missing"):
        workspace.blobs.get(name)
