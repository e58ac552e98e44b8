import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.files import (
    alone,
    failure,
    is_temporary,
    put_back,
    read_whole,
    readable_failures,
    reserve,
    size_on_disk,
    write_atomic,
    write_folder,
)


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


def test_what_the_system_takes_in_parts_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_atomic(tmp_path / "a", b"in several parts")
    assert (tmp_path / "a").read_bytes() == b"in several parts"


def test_a_name_without_a_folder_is_written_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic(Path("a"), b"here", durable=False)
    write_atomic(Path("b/b"), b"there", durable=False)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["a", "b", "b/b"]


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


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, DependencyDown, "Make room"),
        (errno.EDQUOT, DependencyDown, "Make room"),
        (errno.EFBIG, DependencyDown, "Make room"),
        (errno.EROFS, ConfigError, "can only be read"),
        (errno.EACCES, ConfigError, "Check who owns"),
        (errno.EPERM, ConfigError, "Check who owns"),
        (errno.EIO, DependencyDown, "Check the path and the disk"),
    ],
)
def test_what_the_system_refuses_says_what_to_do(
    tmp_path: Path, number: int, kind: type[Exception], remedy: str
) -> None:
    with pytest.raises(kind, match=remedy), readable_failures(tmp_path):
        raise OSError(number, os.strerror(number))
    assert "/there" in str(failure(OSError(number, os.strerror(number), "/there")))


def test_what_is_being_written_is_told_from_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(step: Callable[..., None]) -> Callable[..., None]:
        def wrapper(path: str | Path, target: str | Path) -> None:
            seen.append(Path(path).name)
            step(path, target)

        return wrapper

    monkeypatch.setattr(os, "replace", watched(os.replace))
    monkeypatch.setattr(os, "rename", watched(os.rename))
    write_folder(tmp_path / "v1", {"a": b"1"})
    assert len(seen) == 2
    assert all(is_temporary(name) for name in seen)
    for name in ("v1", "a", ".pets.lock", ".hidden", "tmp_1", ".a.tmp_1"):
        assert not is_temporary(name)


def test_a_size_on_disk_counts_every_file_once_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/one").write_bytes(b"x" * 10)
    (tmp_path / "a/b/two").write_bytes(b"x" * 5)
    (tmp_path / "large").write_bytes(b"x" * 1000)
    (tmp_path / "a/link").symlink_to(tmp_path / "large")
    link = (tmp_path / "a/link").lstat().st_size
    assert size_on_disk(tmp_path / "a") == 15 + link
    assert size_on_disk(tmp_path / "a/one") == 10
    assert size_on_disk(tmp_path / "nothing") == 0


def test_room_is_claimed_for_the_whole_file_and_its_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.write(b"head")
        stream.truncate(1_000_000)
    assert path.stat().st_blocks * 512 < 1_000_000
    reserve(path)
    assert path.stat().st_blocks * 512 >= 1_000_000
    assert path.read_bytes() == b"head".ljust(1_000_000, b"\0")


@pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
def test_a_file_is_read_whole_and_no_further_than_asked(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256 + 1))
    with path.open("r+b") as stream:
        stream.truncate(size)
    assert read_whole(path) == path.read_bytes()
    assert read_whole(str(path), size) == path.read_bytes()
    if size:
        assert len(read_whole(path, size - 1)) == size  # one more than asked for: it is too large


def test_what_has_no_size_is_read_to_its_end():
    assert read_whole("/proc/self/status").startswith(b"Name:")


def test_a_part_is_one_processs_alone_and_goes_on_where_it_was(tmp_path: Path) -> None:
    part = tmp_path / "file.part"
    with alone(part) as first:
        assert first is not None
        with alone(part) as second:
            assert second is None
        first.write(b"one")
    with alone(part) as again:
        assert again is not None
        again.write(b"two")
    assert part.read_bytes() == b"onetwo"


def test_an_empty_part_is_not_left_behind_nor_what_lies_beside_it(tmp_path: Path) -> None:
    part, notes = tmp_path / "file.part", tmp_path / "file.part.json"
    notes.write_text("{}")
    with pytest.raises(ZeroDivisionError), alone(part, notes):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_once_a_part_has_another_name_its_own_is_free(tmp_path: Path) -> None:
    part = tmp_path / "file.part"
    with alone(part) as stream:
        assert stream is not None
        stream.write(b"whole")
        stream.flush()
        part.rename(tmp_path / "file")
        with alone(part) as other:
            assert other is not None
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert not part.exists()
