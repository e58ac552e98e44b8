import errno
import os
import shutil
from pathlib import Path

import pytest

from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.files import put_back, write_atomic, write_folder


def test_a_failed_write_leaves_the_old_bytes_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    write_atomic(target, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DependencyDown, match="No space left"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_refused_permission_is_an_error_that_names_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="Not allowed to write"):
        write_atomic(tmp_path / "a", b"x")


def test_a_file_gets_the_mode_it_was_asked_for(tmp_path: Path) -> None:
    write_atomic(tmp_path / "key", b"secret", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_folder_appears_whole_and_replaces_the_old_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    write_folder(folder, {"a": b"1", "b": b"2"})
    write_folder(folder, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"3"}
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


@pytest.mark.parametrize("killed_at", range(1, 4))
def test_a_folder_being_replaced_is_never_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """A crash is played by ending at each rename or removal, without any clearing up."""
    folder = tmp_path / "v1"
    write_folder(folder, {"a": b"old"})
    steps = []

    def counted(step: object) -> object:
        def wrapper(*args: object, **options: object) -> object:
            steps.append(step)
            if len(steps) >= killed_at:
                raise KeyboardInterrupt
            return step(*args, **options)  # type: ignore[operator]

        return wrapper

    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"a": b"new"})
    monkeypatch.undo()
    put_back(tmp_path)
    assert (folder / "a").read_bytes() == (b"new" if killed_at == 3 else b"old")
    assert not list(tmp_path.glob(".*.old-*"))


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "v1"
    write_folder(folder, {"a": b"old"})
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if ".tmp_" in path.name and ".old-" not in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DependencyDown, match="No space left"):
        write_folder(folder, {"a": b"new"})
    assert (folder / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]
