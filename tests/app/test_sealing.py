"""Sealing a workspace that stands, rotating its keys, erasing a customer; and kill -9 meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mintage.app import backup, sealing
from mintage.app.restore import restore
from mintage.app.root import App
from mintage.capture.details import Details
from mintage.capture.erasing import erasing
from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, MintageError, RequestError, SealBroken
from mintage.core.files import read_stored
from mintage.core.ids import new_id
from mintage.core.settings import Settings, load_settings
from mintage.store import data_keys
from mintage.trust.sealing.files import is_sealed
from mintage.trust.sealing.wrapping import read_key_file

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))
KILLED = Path(__file__).with_name("killed_sealer.py")
ADA = "Ada Lovelace GmbH"
PHONE = "+49 30 901820"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "kek" / "seal.key"


@pytest.fixture
def settings(home: Path) -> Settings:
    """Of a trained workspace with a customer in it."""
    found = load_settings(home=home, threads=1)
    with App(found) as app:
        app.capture.add_customer("Ada")
        app.capture.customers.set_details("Ada", Details(legal_name=ADA, phone=PHONE))
        app.capture.add_customer("Ben")
    return found


@pytest.fixture
def sealed(settings: Settings, key: Path) -> Settings:
    sealing.seal_workspace(settings, f"file:{key}")
    return settings


@pytest.fixture
def app(sealed: Settings) -> Iterator[App]:
    with App(sealed, make=False) as opened:
        yield opened


def files(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "keys" not in path.parts
    }


def lies_open(home: Path) -> list[str]:
    """Files of a sealed workspace that anybody can read something of."""
    # Long ones: four given bytes are in some ciphertext of ten megabytes every 400th time.
    words = (
        ADA.encode(),
        PHONE.encode(),
        b"light/001.jpg",
        b'{"legal_name"',
        b"\xff\xe0\x00\x10JFIF",
    )
    return [
        name
        for name, data in files(home).items()
        if any(word in data for word in words)
        or (_is_to_be_sealed(name) and not is_sealed(home / name))
    ]


def _is_to_be_sealed(name: str) -> bool:
    kinds = {"blobs", "feedback", "datasets", "models", "runs", "cache", "downloads"}
    return name.partition("/")[0] in kinds and not name.endswith(".lock")


def looked_at(found: Settings) -> dict[str, object]:
    """All that a workspace says."""
    with App(found, make=False) as app:
        dataset = app.create.dataset("pets")
        blobs = app.workspace.blobs_of("pets")
        for example in dataset.examples:
            assert sha256_hex(blobs.get(example.sha256)) == example.sha256
        log = app.capture.log
        log.check()
        run = app.create.bundles.run_folder("pets@1")
        return {
            "dataset": dataset.version,
            "model": app.create.model("pets@1").digest,
            "report": app.create.report("pets@1").name,
            "recipe": (run / "recipe.json").stat().st_mtime_ns,
            "customers": [each.to_json() for each in app.capture.customers.list()],
            "records": {row.position: row.record for row in log.entries() if row.kind != "sealed"},
        }


def test_a_sealed_workspace_says_all_that_it_said_and_lies_open_nowhere(
    settings: Settings, key: Path
) -> None:
    assert lies_open(settings.home), "the test has to see what lies open"
    left = settings.home / "blobs" / "00" / f".0.{new_id('tmp')}"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"\xff\xe0\x00\x10JFIF of a crash")
    before = looked_at(settings)
    done = sealing.seal_workspace(settings, f"file:{key}")
    assert (done.files, done.blobs) == (17, 120)
    assert done.removed == 121
    assert lies_open(settings.home) == []
    assert all(is_sealed(path) for path in settings.home.glob("models/pets/1/*"))
    after = looked_at(settings)
    assert after.pop("records").items() >= before.pop("records").items()  # type: ignore[attr-defined]
    customers = [after.pop("customers"), before.pop("customers")]
    assert sorted(map(str, customers[0])) == sorted(map(str, customers[1]))  # type: ignore[arg-type]
    assert after == before
    with pytest.raises(ConfigError, match="is sealed already"):
        sealing.seal_workspace(settings)


def killed(what: str, settings: Settings, key: Path, seconds: float | None) -> float:
    """Begin it in a process of its own, and kill that; how long it went. None: it may end."""
    command = [sys.executable, str(KILLED), what, str(settings.home), f"file:{key}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        began = time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            child.send_signal(signal.SIGKILL)
        child.wait()
        return time.monotonic() - began


def test_a_sealing_that_was_killed_opens_for_nobody_loses_nothing_and_goes_on(
    settings: Settings, key: Path, tmp_path: Path
) -> None:
    before = looked_at(settings)
    drawn = random.Random(7)
    timed = Path(shutil.copytree(settings.home, tmp_path / "timed"))
    whole = killed("seal", load_settings(home=timed), key, None)
    for number in range(ROUNDS):
        home = Path(shutil.copytree(settings.home, tmp_path / f"{number}"))
        found = load_settings(home=home, threads=1)
        killed("seal", found, key, drawn.uniform(0, whole))
        said = json.loads((home / "workspace.json").read_text()).get("seal")
        if said is not None and said.get("state") == "sealing":
            with pytest.raises(ConfigError, match="is not finished"):
                App(found, make=False)
        if said is None or "state" in said:
            sealing.seal_workspace(found, f"file:{key}")
        after = looked_at(found)
        assert (after["dataset"], after["model"]) == (before["dataset"], before["model"])
        assert after["records"].items() >= before["records"].items()  # type: ignore[attr-defined]
        assert lies_open(home) == []
        with App(found, make=False) as app:
            kinds = [row.kind for row in app.capture.log.entries()]
        assert kinds.count("workspace.sealed") == 1


def test_a_key_within_the_workspace_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="is within the workspace"):
        sealing.seal_workspace(settings, f"file:{settings.home / 'seal.key'}")
    with App(settings, make=False) as app:
        assert app.workspace.sealing is None


def test_a_damaged_manifest_is_told_of_before_anything_is_sealed(
    settings: Settings, key: Path
) -> None:
    (manifest,) = settings.home.glob("datasets/pets/*/manifest.jsonl")
    manifest.write_bytes(manifest.read_bytes()[:-1])
    before = files(settings.home)
    with pytest.raises(MintageError, match=r"manifest of pets#.* is damaged"):
        sealing.seal_workspace(settings, f"file:{key}")
    assert {name: data for name, data in before.items() if "mintage.db" not in name} == {
        name: data for name, data in files(settings.home).items() if "mintage.db" not in name
    }


def test_a_new_key_encryption_key_wraps_all_while_somebody_serves(app: App, key: Path) -> None:
    (old,) = read_key_file(key)
    with App(app.settings, make=False) as served:
        assert served.create.dataset("pets")
        done = sealing.rotate(app.workspace)
        (new,) = read_key_file(key)
        assert new.id == done.wrapped_by != old.id
        with app.workspace.database.read() as connection:
            rows = data_keys.everyone(connection)
        assert {row.wrapped_by for row in rows} == {new.id}
        assert done.wrapped == len(rows) >= 4
        served.create.dataset("pets")
        served.capture.add_customer("Cem")
    assert {"Ada", "Ben", "Cem"} == {each.name for each in app.capture.customers.list()}
    key.write_text(old.text)
    with pytest.raises(SealBroken, match="are wrapped by the key"):
        App(app.settings, make=False)


def test_a_rotation_that_was_killed_leaves_a_workspace_that_opens(
    sealed: Settings, key: Path
) -> None:
    drawn = random.Random(11)
    for __ in range(ROUNDS):
        killed("rotate", sealed, key, drawn.uniform(0, 0.6))
        with App(sealed, make=False) as app:
            assert {"Ada", "Ben"} == {each.name for each in app.capture.customers.list()}
            sealing.rotate(app.workspace)
            assert len(read_key_file(key)) == 1
            app.create.dataset("pets")


def test_a_key_in_a_variable_is_rotated_by_who_puts_another_before_it(
    app: App, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = key.read_text().strip()
    monkeypatch.setenv("KEK", old)
    with App(load_settings(home=app.settings.home, seal_key="env:KEK"), make=False) as other:
        with pytest.raises(ConfigError, match="still gives the key"):
            sealing.rotate(other.workspace)
        sealing.usable_key(f"file:{tmp_path / 'new'}", other.workspace.home)
        monkeypatch.setenv("KEK", f"{(tmp_path / 'new').read_text()} {old}")
        sealing.rotate(other.workspace)
    monkeypatch.setenv("KEK", (tmp_path / "new").read_text())
    with App(load_settings(home=app.settings.home, seal_key="env:KEK"), make=False) as other:
        assert other.capture.customers.find("Ada").details.phone == PHONE


def test_new_data_keys_seal_from_then_on_and_the_old_ones_still_open(app: App) -> None:
    before = len(app.create.dataset("pets").examples)
    (manifest,) = app.settings.home.glob("datasets/pets/*/manifest.jsonl")
    old = read_stored(manifest)
    assert sealing.renew(app.workspace) >= 4
    assert len(app.create.dataset("pets").examples) == before
    app.capture.customers.set_details("Ada", Details(legal_name=ADA, phone="110"))
    with app.workspace.database.read() as connection:
        owners = [row.owner for row in data_keys.everyone(connection)]
    assert owners.count(f"customer/{app.capture.customers.find('Ada').id}") == 2
    assert read_stored(manifest) == old
    for example in app.create.dataset("pets").examples[:3]:
        assert app.workspace.blobs_of("pets").has(example.sha256)


def test_what_was_sealed_is_backed_up_and_restored_sealed(
    app: App, tmp_path: Path, key: Path
) -> None:
    contents = backup.make(app.workspace, tmp_path / "backup.tar", with_keys=True)
    assert contents.seal_key == f"file:{key}"
    assert ADA.encode() not in (tmp_path / "backup.tar").read_bytes()
    restore(tmp_path / "backup.tar", tmp_path / "again", clock=app.workspace.clock)
    with App(load_settings(home=tmp_path / "again", threads=1), make=False) as again:
        assert again.capture.customers.find("Ada").details.legal_name == ADA
        assert again.create.dataset("pets").version == app.create.dataset("pets").version


def test_an_erased_customers_key_is_gone_and_the_log_still_holds(app: App) -> None:
    ada = app.capture.customers.find("Ada")
    heads = [app.capture.log.tree_head()]
    issued = app.capture.issue_key(ada.id, name="laptop of Ada")
    done = erasing.erase(app.workspace, "Ada")
    assert done.customer == ada.id
    assert (done.removed["keys"], done.remains["invoices"]) == (2, 0)
    found = app.capture.customers.find(ada.id)
    assert (found.name, found.details.phone, found.erased_at) == (ada.id, "", done.erased_at)
    assert [each.name for each in app.capture.customers.list() if each.erased_at is None] == ["Ben"]
    assert all(each.name is None for each in app.capture.customers.keys(ada.id))
    assert app.capture.log.check(*heads) > 0
    said = [row.record for row in app.capture.log.entries() if ada.id.encode() in row.record]
    assert len(said) == 1, "what is left is that they were erased"
    assert b"customer.erased" in said[0]
    entry = next(row for row in app.capture.log.entries() if row.kind == "customer.added")
    assert (entry.erased, entry.salt) == (True, b"")
    with pytest.raises(RequestError, match="There is no customer"):
        app.capture.customers.find("Ada")
    with pytest.raises(RequestError, match="was erased already"):
        erasing.erase(app.workspace, ada.id)
    with pytest.raises(RequestError, match="was erased"):
        app.capture.issue_key(ada.id)
    with pytest.raises(MintageError):
        app.capture.gate.admit(issued.key.reveal(), "pets")
    assert app.capture.customers.add("Ada").id != ada.id


def test_nothing_is_left_on_the_disk_that_a_destroyed_key_would_open(app: App) -> None:
    with app.workspace.database.read() as connection:
        ada = app.capture.customers.find("Ada").id
        (row,) = [each for each in data_keys.everyone(connection) if each.owner.endswith(ada)]
    assert row.wrapped is not None
    database = app.settings.home / "mintage.db"
    assert row.wrapped in database.read_bytes()
    erasing.erase(app.workspace, "Ada")
    for name in ("mintage.db", "mintage.db-wal"):
        path = app.settings.home / name
        assert not path.exists() or row.wrapped not in path.read_bytes()


def test_in_a_workspace_that_is_not_sealed_nobody_is_erased(settings: Settings) -> None:
    with App(settings, make=False) as app, pytest.raises(ConfigError, match="is not sealed"):
        erasing.erase(app.workspace, "Ada")


def test_an_erasing_that_was_killed_is_done_or_was_not_begun(sealed: Settings, key: Path) -> None:
    drawn = random.Random(13)
    for number in range(ROUNDS):
        with App(sealed, make=False) as app:
            ada = app.capture.customers.find("Ada").id
        killed("erase", sealed, key, drawn.uniform(0, 0.4))
        with App(sealed, make=False) as app:
            erased = app.capture.customers.find(ada).erased_at is not None
            with app.workspace.database.read() as connection:
                rows = data_keys.everyone(connection)
            gone = [each for each in rows if each.owner.endswith(ada) and each.wrapped is None]
            logged = list(app.capture.log.entries(kinds=("customer.erased",)))
            assert bool(gone) == erased == any(ada.encode() in row.record for row in logged)
            if not erased:
                assert app.capture.customers.find("Ada").details.phone == (
                    PHONE if not number else ""
                )
                erasing.erase(app.workspace, "Ada")
            app.capture.add_customer("Ada")
