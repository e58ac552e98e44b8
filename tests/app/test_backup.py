"""A backup made while the workspace is in use, and the workspace that is made of it again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select
from tests.capture.conftest import Shop
from tests.conftest import ManualClock

from mintage.app import backup
from mintage.app import restore as restoring
from mintage.app.restore import restore
from mintage.capture.pricing.periods import Period
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, LogForked
from mintage.core.progress import Silent
from mintage.store import schema
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

KINDS = ("sqlite", "postgresql")


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes a place for facts: None is SQLite in the workspace's folder."""
    given: list[SecretStr] = []

    def make(kind: str) -> SecretStr | None:
        if kind == "sqlite":
            return None
        given.append(request.getfixturevalue("postgres").new_database(tables=False))
        return given[-1]

    yield make
    for address in given:
        request.getfixturevalue("postgres").give_back(address)


def fill(workspace: Workspace) -> Any:
    """A shop with usage, an invoice, a rotated key, a model's and a dataset's rows and files."""
    shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
    shop.plans.ensure_default()
    shop.sell("pets")
    for customer in ("Ada", "王小明"):
        for __ in range(3):
            shop.meter.record(shop.usage(customer)).result(10)
    shop.customers.rotate_key(shop.issued["Ada"].id, 100 * 86400.0)
    shop.clock.advance(12 * 86400)
    shop.invoices.issue_all(shop.invoices.run(Period(2026, 11)).drafted)
    moment = workspace.now()
    model = {"name": "pets", "version": 1, "bundle_digest": "b" * 64, "run": "run_1"}
    common = {"dataset": "pets", "dataset_version": "d" * 64, "created_at": moment}
    dataset = {"name": "pets", "version": "d" * 64, "number": 1, "modality": "image"}
    dataset |= {"task": "class", "examples": 1, "created_at": moment, "log_position": 0}
    for table, row in (
        (schema.models, model | common | {"log_position": 0}),
        (schema.datasets, dataset),
    ):
        workspace.database.write(lambda c, t=table, r=row: c.execute(insert(t).values(r)) and None)
    for folder in (workspace.model_folder("pets", 1), workspace.dataset_folder("pets", "d" * 64)):
        folder.mkdir(parents=True)
        names = ("bundle.json", "model.onnx", "manifest.jsonl", "card.json", "card.md")
        for name in (*names, "evaluation.json", "signature.json"):
            (folder / name).write_bytes(os.urandom(100))
    (workspace.home / "blobs" / "ab").mkdir(parents=True)
    (workspace.home / "blobs" / "ab" / "图.jpg").write_bytes(b"\xff" * 200_000)
    (workspace.home / "cache").mkdir()
    (workspace.home / "cache" / "decoded").write_bytes(b"made anew")
    return shop


def rows_of(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    with workspace.database.read() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in schema.metadata.sorted_tables
        }


def files_of(home: Path) -> dict[str, bytes]:
    found = {}
    for top in ("blobs", "datasets", "models", "runs", "feedback", "keys"):
        for path in sorted((home / top).rglob("*")):
            if path.is_file() and not path.name.endswith(".lock"):
                found[path.relative_to(home).as_posix()] = path.read_bytes()
    return found


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Any]:
    with Workspace(tmp_path / "home", ManualClock()) as workspace:
        yield fill(workspace)


@pytest.mark.parametrize("origin", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_a_backup_holds_every_row_and_file_and_moves_between_databases(
    tmp_path: Path, new_database: Any, origin: str, target: str
) -> None:
    clock = ManualClock()
    with Workspace(tmp_path / "home", clock, database_url=new_database(origin)) as workspace:
        shop = fill(workspace)
        contents = backup.make(workspace, tmp_path / "whole.tar", with_keys=True)
        rows, files = rows_of(workspace), files_of(workspace.home)
        assert all(rows[name] for name in ("usage_events", "invoices", "api_keys", "log_leaves"))
    assert contents.rows == {name: len(found) for name, found in rows.items()}
    address = new_database(target)
    done = restore(tmp_path / "whole.tar", tmp_path / "new", database_url=address, clock=clock)
    assert (done.leaves, done.transactions) == (len(rows["log_leaves"]), 2)
    assert [each for each in done.findings if each.status == "problem"] == []
    with Workspace(tmp_path / "new", clock, database_url=address) as again:
        assert rows_of(again) == rows
        assert files_of(again.home) == files
        assert not (again.home / "cache" / "decoded").exists()
        assert oct(again.home.stat().st_mode)[-3:] == "700"
        for path in again.key_folder.iterdir():
            assert oct(path.stat().st_mode)[-3:] == "600"
        # It goes on: keys are known, and new rows are numbered after the old ones.
        after: Any = Shop(again, KeyRing(again.key_folder), dict(shop.issued))
        receipt = after.meter.record(after.usage("王小明")).result(10)
        assert receipt.id not in {row[4] for row in rows["usage_events"]}
        assert len(rows_of(again)["usage_events"]) == len(rows["usage_events"]) + 1
        after.ledger.check()


@pytest.mark.parametrize("kind", KINDS)
def test_backups_while_usage_is_recorded_hold_all_that_was_acknowledged_before(
    tmp_path: Path, new_database: Any, kind: str
) -> None:
    clock = ManualClock()
    acknowledged: list[str] = []
    stop = threading.Event()
    with Workspace(tmp_path / "home", clock, database_url=new_database(kind)) as workspace:
        shop = fill(workspace)

        def record() -> None:
            while not stop.is_set():
                acknowledged.append(shop.meter.record(shop.usage()).result(10).id)

        writers = [threading.Thread(target=record) for __ in range(3)]
        for writer in writers:
            writer.start()
        taken = []
        try:
            for n in range(5):
                before = set(acknowledged)
                backup.make(workspace, tmp_path / f"{n}.tar")
                taken.append((tmp_path / f"{n}.tar", before, set(acknowledged)))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        live = rows_of(workspace)["log_leaves"]
    sizes = []
    for path, before, after in taken:
        done = restore(path, tmp_path / path.stem, clock=clock)
        with Workspace(tmp_path / path.stem, clock) as restored:
            rows = rows_of(restored)
        recorded = {row[4] for row in rows["usage_events"]}
        assert before <= recorded
        assert len(recorded - after) <= 6 + len(writers)  # those of ``fill``, and in flight
        leaves = rows["log_leaves"]
        assert leaves == live[: len(leaves)]
        assert done.leaves == len(leaves)
        sizes.append(len(leaves))
    assert sizes == sorted(set(sizes))  # it was recorded all the while


def test_keys_are_in_it_only_where_that_was_asked_for(filled: Any, tmp_path: Path) -> None:
    private = [path.read_bytes() for path in filled.workspace.key_folder.glob("*.pem")]
    private = private or [
        path.read_bytes() for path in filled.workspace.key_folder.rglob("*") if path.is_file()
    ]
    assert private
    for asked in (False, True):
        path = tmp_path / f"{asked}.tar"
        contents = backup.make(filled.workspace, path, with_keys=asked)
        assert contents.with_keys is asked
        written = path.read_bytes()
        assert [each in written for each in private] == [asked] * len(private)
        assert oct(path.stat().st_mode)[-3:] == "600"
        assert any(name.startswith("files/keys/") for name in contents.digests) is asked


def damaged(path: Path, offset: int, tmp_path: Path) -> Path:
    changed = bytearray(path.read_bytes())
    changed[offset] ^= 1 << random.Random(offset).randrange(8)
    other = tmp_path / "damaged.tar"
    other.write_bytes(changed)
    return other


def test_any_changed_byte_of_any_member_is_noticed_and_nothing_put_in_place(
    filled: Any, tmp_path: Path
) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)
    with tarfile.open(path) as tar:
        members = [(each.offset_data, each.size) for each in tar if each.size]
    chance = random.Random(7)
    for begin, size in members:
        other = damaged(path, begin + chance.randrange(size), tmp_path)
        with pytest.raises((DataError, ConfigError)):
            restore(other, tmp_path / "new")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["damaged.tar", "home", "whole.tar"]


def test_a_backup_that_is_cut_off_anywhere_is_none(filled: Any, tmp_path: Path) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        last = max(each.offset_data + each.size for each in tar)
    chance = random.Random(7)
    for length in (0, 1, 511, *(chance.randrange(last) for __ in range(40))):
        (tmp_path / "short.tar").write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a whole one"):
            backup.verify(tmp_path / "short.tar")
    (tmp_path / "text.tar").write_text("no backup at all, " * 100)
    with pytest.raises(DataError):
        backup.verify(tmp_path / "text.tar")
    with pytest.raises(ConfigError, match="No such file"):
        backup.verify(tmp_path / "none.tar")


def rewritten(path: Path, other: Path, change: Any) -> Path:
    """The backup with members as ``change`` makes them, and a manifest that says so."""
    with tarfile.open(path) as tar, tarfile.open(other, "w") as out:
        members = []
        for each in tar:
            stream = tar.extractfile(each)
            assert stream is not None
            data = stream.read()
            if each.name == backup.MANIFEST:
                head = data.splitlines()[0]
                said = [json.dumps(member).encode() for member in members]
                data = b"\n".join([head, *said]) + b"\n"
            else:
                each.name, data = change(each.name, data)
                digest = hashlib.sha256(data).hexdigest()
                members.append({"name": each.name, "sha256": digest, "size": len(data)})
            each.size = len(data)
            out.addfile(each, io.BytesIO(data))
    return other


@pytest.mark.parametrize(
    "name", ["files/../../evil", "/evil", "files/a/../../../evil", "evil", "tables/../evil"]
)
def test_no_member_lands_outside_of_the_workspace(filled: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)

    def moved(member: str, data: bytes) -> tuple[str, bytes]:
        return (name if member.endswith("model.onnx") else member), data

    evil = rewritten(path, tmp_path / "evil.tar", moved)
    with pytest.raises(DataError):
        restore(evil, tmp_path / "deep" / "new")
    assert not list(tmp_path.rglob("evil"))


def test_a_table_whose_line_never_ends_is_not_held(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_MOST_ROW_BYTES", 100_000)
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)

    def endless(member: str, data: bytes) -> tuple[str, bytes]:
        if member != "tables/customers.jsonl.gz":
            return member, data
        return member, gzip.compress(gzip.decompress(data) + b"[" * 50_000_000)

    evil = rewritten(path, tmp_path / "evil.tar", endless)
    assert evil.stat().st_size < 2 * path.stat().st_size
    with pytest.raises(DataError, match="no backup, or not a whole one"):
        restore(evil, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        link = tarfile.TarInfo("files/keys")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(DataError):
        backup.verify(tmp_path / "link.tar")


def test_a_whole_backup_of_a_log_that_was_rewritten_is_noticed(filled: Any, tmp_path: Path) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)

    columns = [column.name for column in schema.log_leaves.columns]

    def forged(member: str, data: bytes) -> tuple[str, bytes]:
        if member != "tables/log_leaves.jsonl.gz":
            return member, data
        lines = gzip.decompress(data).splitlines(keepends=True)
        changed = json.loads(lines[5])
        record = json.loads(base64.b64decode(changed[columns.index("record")]))
        record["forged"] = True
        changed[columns.index("record")] = base64.b64encode(canonical_json(record)).decode()
        lines[5] = json.dumps(changed).encode() + b"\n"
        return member, gzip.compress(b"".join(lines))

    other = rewritten(path, tmp_path / "forged.tar", forged)
    with pytest.raises(LogForked, match="position 4 was changed"):
        restore(other, tmp_path / "new")


def test_rows_that_contradict_one_another_are_refused(filled: Any, tmp_path: Path) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)

    def twice(member: str, data: bytes) -> tuple[str, bytes]:
        if member != "tables/customers.jsonl.gz":
            return member, data
        lines = gzip.decompress(data).splitlines(keepends=True)
        return member, gzip.compress(b"".join([*lines[:-1], lines[1]]))

    with pytest.raises(DataError, match="rows of customers contradict"):
        restore(rewritten(path, tmp_path / "twice.tar", twice), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_restored_over_anything(filled: Any, tmp_path: Path, new_database: Any) -> None:
    path = tmp_path / "whole.tar"
    backup.make(filled.workspace, path)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note").write_text("mine")
    for home in (tmp_path / "used", tmp_path / "used" / "note", filled.workspace.home):
        with pytest.raises(ConfigError, match="never restored over"):
            restore(path, home)
    (tmp_path / "empty").mkdir()
    restore(path, tmp_path / "empty")
    address = new_database("postgresql")
    restore(path, tmp_path / "first", database_url=address)
    with pytest.raises(ConfigError, match=r"PostgreSQL .* is not empty"):
        restore(path, tmp_path / "second", database_url=address)
    assert not (tmp_path / "second").exists()


def test_no_file_is_written_over_and_none_within_the_workspace(filled: Any, tmp_path: Path) -> None:
    (tmp_path / "there.tar").write_text("another")
    with pytest.raises(ConfigError, match="is there already"):
        backup.make(filled.workspace, tmp_path / "there.tar")
    assert (tmp_path / "there.tar").read_text() == "another"
    with pytest.raises(ConfigError, match="within the workspace"):
        backup.make(filled.workspace, filled.workspace.home / "inside.tar")


class Meanwhile(Silent):
    """Does something after the rows were read and before the files are."""

    def __init__(self, work: Any) -> None:
        self._work = work

    def start(self, title: str, total: float | None = None) -> None:
        if title == "Reading the files":
            self._work()


def test_what_comes_after_the_moment_of_the_backup_does_not_disturb_it(
    filled: Any, tmp_path: Path
) -> None:
    def add() -> None:
        folder = filled.workspace.model_folder("pets", 2)
        folder.mkdir()
        (folder / "signature.json").write_text("{}")
        filled.meter.record(filled.usage()).result(10)

    before = rows_of(filled.workspace)
    backup.make(filled.workspace, tmp_path / "whole.tar", progress=Meanwhile(add))
    done = restore(tmp_path / "whole.tar", tmp_path / "new", clock=filled.clock)
    assert [each for each in done.findings if each.status == "problem"] == []
    with Workspace(tmp_path / "new", filled.clock) as again:
        found = rows_of(again)
        reading = found["log_leaves"].pop()  # of the backup itself
        assert reading[1] == "data.read"
        assert found == before


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_what_is_removed_while_it_is_copied_makes_no_backup(
    filled: Any, tmp_path: Path, kind: str
) -> None:
    def remove() -> None:
        for path in (filled.workspace.home / kind).rglob("signature.json"):
            path.unlink()

    with pytest.raises(DataError, match="was removed while the backup was made"):
        backup.make(filled.workspace, tmp_path / "whole.tar", progress=Meanwhile(remove))
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


def test_a_backup_that_is_interrupted_leaves_nothing(filled: Any, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.make(filled.workspace, tmp_path / "whole.tar", progress=Meanwhile(interrupt))
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


def test_a_file_that_grows_while_it_is_copied_is_in_it_as_it_was(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled.workspace.home / "runs" / "run_1" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"epoch 1\n")
    hashed = backup._Hashed

    class Growing(hashed):  # type: ignore[valid-type, misc]
        def read(self, size: int = -1) -> bytes:
            with log.open("ab") as stream:
                stream.write(b"epoch 2\n")
            return bytes(super().read(size))

    monkeypatch.setattr(backup, "_Hashed", Growing)
    backup.make(filled.workspace, tmp_path / "whole.tar")
    restore(tmp_path / "whole.tar", tmp_path / "new", clock=filled.clock)
    restored = (tmp_path / "new" / "runs" / "run_1" / "log.jsonl").read_bytes()
    assert log.read_bytes().startswith(restored)
    assert restored.startswith(b"epoch 1\n")


def test_a_backup_of_another_version_names_it(filled: Any, tmp_path: Path) -> None:
    backup.make(filled.workspace, tmp_path / "whole.tar")
    with tarfile.open(tmp_path / "whole.tar") as tar, tarfile.open(tmp_path / "n.tar", "w") as out:
        for each in tar:
            data = tar.extractfile(each).read()  # type: ignore[union-attr]
            if each.name == backup.MANIFEST:
                data = data.replace(b'"format": 1', b'"format": 9', 1)
            out.addfile(each, io.BytesIO(data))
    with pytest.raises(ConfigError, match="another version of Mintage"):
        backup.verify(tmp_path / "n.tar")
