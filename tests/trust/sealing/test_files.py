"""Sealed files and values: whatever is moved, exchanged, cut or put back is refused by name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from tests.sealing import sealed_with

from mintage.core import files
from mintage.core.canonical import sha256_hex
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    MintageError,
    SealBroken,
)
from mintage.core.files import (
    append_line,
    opened_file,
    read_stored,
    read_whole,
    store_atomic,
    write_atomic,
    write_folder,
)
from mintage.store import data_keys, sealed
from mintage.store.schema import customers
from mintage.store.workspace import Workspace
from mintage.trust.sealing.data_keys import DataKey
from mintage.trust.sealing.files import is_sealed, write_sealed

SECRET = b"4111 1111 1111 1111"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.fixture
def opened(tmp_path: Path, key: Path, database_url: SecretStr | None) -> Iterator[Workspace]:
    asked = sealed_with(key) | {"database_url": database_url}
    with Workspace(tmp_path / "home", **asked) as workspace:
        yield workspace


def file_of(workspace: Workspace, name: str = "run_1/run.json", data: bytes = SECRET) -> Path:
    path = workspace.home / "runs" / name
    write_atomic(path, data)
    return path


def test_a_sealed_file_says_what_it_is_and_nothing_of_what_it_holds(opened: Workspace) -> None:
    for size in (0, 1, 65_000, 65_536, 300_001):
        data = (SECRET * (size // len(SECRET) + 1))[:size]
        path = file_of(opened, data=data)
        assert read_whole(path) == data
        assert read_stored(path).startswith(b'{"format":"sealed/1","key":1,"name":"runs/run_1/run')
        assert SECRET not in read_stored(path)
    with opened_file(path) as stream:
        assert stream.read() == data
    append_line(path, b"\nmore")
    assert read_whole(path) == data + b"\nmore"


def test_a_folder_is_sealed_under_the_names_that_its_files_will_have(opened: Workspace) -> None:
    folder = opened.model_folder("pets", 3)
    write_folder(folder, {"card.md": SECRET})
    assert is_sealed(folder / "card.md")
    assert read_whole(folder / "card.md") == SECRET


def flipped(path: Path, at: int) -> None:
    data = bytearray(read_stored(path))
    data[at] ^= 1
    path.write_bytes(data)


def moved(workspace: Workspace, path: Path) -> Path:
    other = path.with_name("recipe.json")
    shutil.copy(path, other)
    return other


def swapped(workspace: Workspace, path: Path) -> Path:
    other = file_of(workspace, "run_2/run.json", b"other")
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    return path


def of_another(workspace: Workspace, path: Path) -> Path:
    """The name is made to fit, so that only the key tells."""
    theirs = workspace.home / "datasets" / "dogs" / "v" / "card.json"
    write_atomic(theirs, b"dogs")
    ours = theirs.parents[2] / "cats" / "v" / "card.json"
    ours.parent.mkdir(parents=True)
    ours.write_bytes(theirs.read_bytes().replace(b"datasets/dogs", b"datasets/cats"))
    return ours


def rolled_back(workspace: Workspace, path: Path) -> Path:
    before = path.read_bytes()
    write_atomic(path, b"newer")
    path.write_bytes(before)
    return path


def renumbered(workspace: Workspace, path: Path) -> Path:
    """An older one that says that it is the newest."""
    rolled_back(workspace, path)
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    return path


def lying_open(workspace: Workspace, path: Path) -> Path:
    path.write_bytes(b"{}")
    return path


def cut(workspace: Workspace, path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-1])
    return path


def cut_to_a_segment(workspace: Workspace, path: Path) -> Path:
    write_atomic(path, bytes(200_000))
    line = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[: line + 2 * 65_536])
    return path


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (moved, "is the sealed file of runs/run_1/run.json"),
        (swapped, "is the sealed file of runs/run_2/run.json"),
        (of_another, "is sealed under the key of dataset/dogs"),
        (rolled_back, "is version 1 of that file, and 2 was the last"),
        (renumbered, "was changed or cut short"),
        (lying_open, "is not sealed"),
        (cut, "was changed or cut short"),
        (cut_to_a_segment, "was changed or cut short"),
    ],
)
def test_what_somebody_did_to_a_sealed_file_is_refused_by_its_name(
    opened: Workspace, attack: Callable[[Workspace, Path], Path], reason: str
) -> None:
    path = attack(opened, file_of(opened))
    with pytest.raises(SealBroken, match=reason):
        read_whole(path)


def test_no_byte_of_a_sealed_file_can_be_another(opened: Workspace) -> None:
    path = file_of(opened)
    kept = read_stored(path)
    for at in range(len(kept)):
        flipped(path, at)
        with pytest.raises(SealBroken):
            read_whole(path)
        path.write_bytes(kept)
    assert read_whole(path) == SECRET


def test_a_crash_between_file_and_row_leaves_a_file_that_opens(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(opened)
    assert opened.sealing is not None
    monkeypatch.setattr(opened.sealing.vault, "landed", lambda names: None)
    write_atomic(path, b"newer")
    assert read_whole(path) == b"newer"
    monkeypatch.undo()
    write_atomic(path, b"newest")
    assert b'"version":3' in read_stored(path)
    assert read_whole(path) == b"newest"


def test_no_version_is_vouched_for_that_a_power_failure_could_take_back(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    store, keep = files.store_atomic, data_keys.keep_versions

    def stored(*given: Any, **how: Any) -> None:
        store(*given, **how)
        happened.append("on the disk" if how["durable"] else "in memory")

    def kept(connection: data_keys.Connection, versions: Mapping[str, int]) -> None:
        keep(connection, versions)
        happened.append("vouched for")

    monkeypatch.setattr(files, "store_atomic", stored)
    monkeypatch.setattr(data_keys, "keep_versions", kept)
    path = opened.home / "runs/run_1/checkpoints/state.safetensors"
    write_atomic(path, SECRET, durable=False)
    append_line(path.with_name("log.jsonl"), b"{}")
    assert happened == ["on the disk", "vouched for"] * 2


def test_blobs_are_called_otherwise_in_each_dataset_and_never_by_what_they_are(
    opened: Workspace,
) -> None:
    sha256 = sha256_hex(SECRET)
    cats, dogs = opened.blobs_of("cats"), opened.blobs_of("dogs")
    for blobs in (cats, dogs, cats):
        blobs.put(sha256, SECRET)
        assert blobs.get(sha256) == SECRET
    assert len({cats.path(sha256), dogs.path(sha256)} | {*opened.stored("blobs")}) == 2
    assert all(sha256 not in str(path) for path in opened.stored("blobs"))
    dogs.path(sha256).write_bytes(cats.path(sha256).read_bytes())
    with pytest.raises(SealBroken, match="is the sealed file of blobs/"):
        dogs.get(sha256)
    cats.remove(sha256)
    assert not cats.has(sha256)
    with pytest.raises(DataError, match="is missing"):
        cats.get(sha256)


def add(workspace: Workspace, name: str) -> None:
    row = {"id": f"cus_{name}", "name": name, "created_at": "2026", "details": '{"phone":"110"}'}
    workspace.database.write(
        lambda each: each.execute(customers.insert().values(sealed.closed(each, customers, row)))
    )


def rows_of(workspace: Workspace) -> dict[str, str]:
    with workspace.database.read() as connection:
        found = sealed.all_rows(connection, customers.select().order_by(customers.c.id))
    return {row["name"]: row["details"] for row in found}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (lambda ben: {"details": ben["details"]}, "is sealed under the key of customer/cus_Ben"),
        (lambda ben: {"details": '{"phone":"112"}'}, "is not sealed"),
        (lambda ben: {"details": ben["ours"]["name"]}, "was changed, or is sealed for another"),
        (lambda ben: {"details": "\x1fsealed:!"}, "is not as it was sealed"),
        (lambda ben: {"details": ben["ours"]["details"][:-8] + "AAAAAAA="}, "was changed, or"),
    ],
)
def test_a_value_opens_in_its_own_row_and_column_alone(
    opened: Workspace, changes: Callable[[dict[str, object]], dict[str, str]], reason: str
) -> None:
    for name in ("Ada Lovelace", "Ben"):
        add(opened, name)
    assert rows_of(opened) == {"Ada Lovelace": '{"phone":"110"}', "Ben": '{"phone":"110"}'}
    with opened.database.read() as connection:
        ours, theirs = (dict(row) for row in connection.execute(customers.select()).mappings())
    assert "Lovelace" not in f"{ours['name']}{ours['name_key']}"
    changed = changes({**theirs, "ours": ours})
    at = customers.c.id == "cus_Ada Lovelace"
    opened.database.write(lambda each: each.execute(update(customers).where(at).values(changed)))
    with pytest.raises(SealBroken, match=reason):
        rows_of(opened)


def test_rows_that_lay_open_are_sealed_where_they_are_and_once(
    tmp_path: Path, key: Path, database_url: SecretStr | None
) -> None:
    row = {"id": "cus_1", "name": "Ada", "created_at": "2026", "details": '{"phone":"110"}'}
    with Workspace(tmp_path / "home", database_url=database_url) as workspace:
        workspace.database.write(
            lambda each: each.execute(
                customers.insert().values(sealed.closed(each, customers, row))
            )
        )
        home, database = workspace.home, workspace.database
        asked = sealed_with(key)
        workspace.unseal(asked["opens_sealed"](asked["seal_key"], home, database, workspace.now))
        for __ in range(2):
            workspace.database.write(
                lambda each: sealed.seal_rows(each, name="customers", after="", most=10)
            )
        workspace.database.scrub(whole=True)
        assert rows_of(workspace) == {"Ada": '{"phone":"110"}'}
        with workspace.database.read() as connection:
            assert "Ada" not in str(connection.execute(customers.select()).all())
        gone = workspace.database.write(
            lambda each: data_keys.destroy(each, sealed.customer("cus_1"), "2026")
        )
        workspace.database.scrub(whole=False)
        assert (len(gone), rows_of(workspace)) == (1, {"cus_1": "{}"})


def test_another_tenants_data_key_under_our_name_does_not_unwrap(opened: Workspace) -> None:
    add(opened, "Ada")
    add(opened, "Ben")

    def exchange(connection: data_keys.Connection) -> None:
        ada, ben = data_keys.everyone(connection)[-2:]
        data_keys.wrap(connection, ada.number, ben.wrapped or b"", ben.wrapped_by)

    opened.database.write(exchange)
    with pytest.raises(SealBroken, match="belongs to another owner"):
        rows_of(opened)


@pytest.mark.parametrize("how", ["gone", "readable", "another", "none", "nothing known"])
def test_without_its_key_nothing_of_a_sealed_workspace_opens(
    tmp_path: Path, key: Path, how: str
) -> None:
    with Workspace(tmp_path / "home", **sealed_with(key)) as workspace:
        file_of(workspace)
    asked = sealed_with(key)
    if how == "gone":
        key.unlink()
    elif how == "readable":
        key.chmod(0o644)
    elif how == "another":
        asked = sealed_with(tmp_path / "other")
    elif how == "none":
        key.write_text("mtg_kek_0123\n")
    else:
        asked = {}
    reasons = {
        "gone": (ConfigError, "cannot be read"),
        "readable": (ConfigError, "can be read by others"),
        "another": (SealBroken, "are wrapped by the key"),
        "none": (ConfigError, "no key-encryption key"),
        "nothing known": (ConfigError, "is sealed"),
    }
    kind, reason = reasons[how]
    with pytest.raises(kind, match=reason) as raised:
        Workspace(tmp_path / "home", **asked)
    assert isinstance(raised.value, MintageError)
    assert "0123" not in str(raised.value)


def test_one_whose_description_says_that_it_is_open_is_refused(tmp_path: Path, key: Path) -> None:
    home = tmp_path / "home"
    Workspace(home, **sealed_with(key)).close()
    (home / "workspace.json").write_text('{"format": 1, "created_at": "2026"}')
    with pytest.raises(SealBroken, match="its database is sealed"):
        Workspace(home)


def test_a_key_that_is_named_for_an_open_workspace_is_no_half_seal(
    tmp_path: Path, key: Path
) -> None:
    Workspace(tmp_path / "home").close()
    with pytest.raises(ConfigError, match="is not sealed"):
        Workspace(tmp_path / "home", **sealed_with(key))


def test_the_key_may_be_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {**sealed_with(tmp_path / "key"), "seal_key": "env:KEK"}
    with pytest.raises(ConfigError, match="KEK is not set"):
        Workspace(tmp_path / "home", **asked)
    monkeypatch.setenv("KEK", (tmp_path / "key").read_text())
    with Workspace(tmp_path / "home", **asked) as workspace:
        assert read_whole(file_of(workspace)) == SECRET


def test_a_blob_that_a_full_disk_cannot_take_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """Tink tells of a failing file by its name alone."""

    class Full(FileIO):
        def write(self, data: Any, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    key = DataKey(1, "dataset/pets", b"k" * 32)
    path = tmp_path / "blob"
    for size in (500, 3_000_000):
        data = b"x" * size

        def write(sink: FileIO, data: bytes = data) -> None:
            with Full(sink.fileno(), "w", closefd=False) as full:
                write_sealed(full, key, "blobs/x", 0, data)

        with pytest.raises(DependencyDown, match="full"):
            store_atomic(path, write, durable=False)
        assert list(tmp_path.iterdir()) == []
