"""A disk that is full, at each step, and one that can only be read: real ones, of their own."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock
from tests.disks import filled, read_only, small_disk
from tests.pictures import two_classes

from mintage.app.housekeeping import Housekeeping, clear_workspace
from mintage.app.root import App
from mintage.core.errors import ConfigError, DependencyDown, MintageError
from mintage.core.files import is_temporary
from mintage.core.ids import new_id
from mintage.core.settings import load_settings
from mintage.core.types import Usage
from mintage.store.workspace import Workspace

Act = Callable[[App, Path], Any]


def collect(app: App, photos: Path) -> Any:
    return app.create.collect(photos, "more")


def train(app: App, _photos: Path) -> Any:
    return app.create.train("pets", recipe="seed-cnn", epochs=1, model="another")


def publish(app: App, _photos: Path) -> Any:
    return app.publishing.publish("pets@1", "sold", price="0.07", currency="EUR")


def add_customer(app: App, _photos: Path) -> Any:
    return app.capture.add_customer(new_id("anna"))


def invoice(app: App, _photos: Path) -> Any:
    return app.billing.run("2026-10", issue=True)


def credit(app: App, _photos: Path) -> Any:
    return app.billing.add_credit("customer 1", "5 EUR", "x")


def meter(app: App, _photos: Path) -> Any:
    """What a server does for each call; enough of them that the log of writes has to grow."""
    gate, recorder = app.capture.gate, app.capture.meter()
    permit = gate.admit((app.workspace.home / "key").read_text(), "first")
    info = app.create.predictor("pets@1").info
    usage = Usage(permit, info, "stable", "ok", {"image": 1}, "0" * 64, "0" * 64, 0.1, 0.1)
    for promised in [recorder.record(usage) for _ in range(50)]:
        promised.result()
    return recorder.record(usage).result()


@pytest.fixture
def disk(tmp_path: Path, trained_home: Path) -> Iterator[Path]:
    """A small disk with the trained workspace on it, a product and a customer's key."""
    with small_disk(tmp_path / "disk", 64) as folder:
        home = Path(shutil.copytree(trained_home, folder / "home"))
        with App(load_settings(home=home, threads=1)) as app:
            app.publishing.publish("pets@1", "first", price="0.05", currency="EUR")
            (home / "key").write_text(app.capture.add_customer("first")[1].key.reveal())
            app.capture.audit()  # so that the log's key is there
        yield folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty pictures that the workspace does not have yet."""
    folder = two_classes(tmp_path / "photos", each=70)
    for path in folder.glob("*/0[0-5]*"):
        path.unlink()
    return folder


def refusal(act: Act, app: App, photos: Path) -> MintageError | None:
    try:
        act(app, photos)
    except DependencyDown as error:
        return error
    return None


def litter(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if is_temporary(path.name)]


@pytest.mark.parametrize("leaving", [0, 40_000, 120_000])
@pytest.mark.parametrize("act", [collect, train, publish, add_customer, meter])
def test_a_full_disk_ends_each_step_in_order_and_the_next_run_works(
    disk: Path, photos: Path, act: Act, leaving: int
) -> None:
    home = disk / "home"
    with App(load_settings(home=home, threads=1)) as app:
        before = Housekeeping(app.workspace, app.keys).listing()
        with filled(disk, leaving):
            refused = refusal(act, app, photos)
            assert litter(home) == []
            after = Housekeeping(app.workspace, app.keys).listing()
        if refused is None:  # with a little room left a step may end well
            assert leaving
        else:
            assert "Make room" in refused.remedy, repr(refused)
            kept = {kind: before[kind] for kind in ("datasets", "models", "products")}
            assert {kind: after[kind] for kind in kept} == kept
    with App(load_settings(home=home, threads=1)) as app:
        assert act(app, photos) is not None
        assert app.capture.audit()["records"] > 0
        assert app.create.model("pets@1").subject == "pets@1"
        states = {run["status"] for run in Housekeeping(app.workspace, app.keys).listing()["runs"]}
        assert "running" not in states


@pytest.mark.parametrize("leaving", [0, 40_000, 120_000])
def test_a_disk_that_fills_while_a_month_is_invoiced_costs_no_number_and_no_line(
    disk: Path, leaving: int
) -> None:
    settings, clock = load_settings(home=disk / "home", threads=1), ManualClock()
    clock.moment = datetime(2026, 10, 10, tzinfo=UTC)
    with App(settings, clock) as app:
        info = app.create.predictor("pets@1").info
        for number in range(8):
            __, issued = app.capture.add_customer(f"customer {number}")
            permit = app.capture.gate.admit(issued.key.reveal(), "first")
            usage = Usage(permit, info, "stable", "ok", {"image": 1}, "0" * 64, "0" * 64, 0.1, 0.1)
            app.capture.meter().record_all([usage] * (number + 1)).result()
        app.billing.add_credit("customer 0", "5 EUR", "first")
    clock.moment = datetime(2026, 11, 20, tzinfo=UTC)
    with App(settings, clock) as app:
        with filled(disk, leaving):
            for act in (invoice, credit):
                refused = refusal(act, app, disk)
                assert refused is None or "Make room" in refused.remedy, repr(refused)
        app.billing.run("2026-10", issue=True)
    with App(settings, clock) as app:
        assert app.billing.run("2026-10", issue=True).drafted == []
        issued_ones = app.billing.listed(period="2026-10")
        assert len({each.customer for each in issued_ones}) == len(issued_ones) == 8
        numbers = sorted(int(str(each.number).rpartition("-")[2]) for each in issued_ones)
        assert numbers == list(range(1, 9))
        lines = [line for each in issued_ones for line in each.document["lines"]]
        assert sum(line["units"] for line in lines) == sum(range(1, 9))
        app.billing.check()


# Twenty blobs and three files of the dataset; recipe, weights, bundle, record and report.
@pytest.mark.parametrize(
    ("act", "failing"),
    [(collect, number) for number in (0, 19, 20, 21, 22)]
    + [(train, number) for number in range(10)],
)
def test_a_disk_that_is_full_at_any_one_file_leaves_no_half_of_it(
    home: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, act: Act, failing: int
) -> None:
    """Played, for those who may not mount a disk: the file of that number cannot be made."""
    made = []

    def full(path: Any, *options: Any, **more: Any) -> int:
        if ".tmp_" in str(path):
            made.append(path)
            if len(made) == failing + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *options, **more)

    opened = os.open
    with App(load_settings(home=home, threads=1)) as app:
        monkeypatch.setattr(os, "open", full)
        with pytest.raises(DependencyDown, match="Make room"):
            act(app, photos)
        monkeypatch.undo()
    assert litter(home) == []
    with App(load_settings(home=home, threads=1)) as app:
        assert act(app, photos) is not None
        shown = Housekeeping(app.workspace, app.keys)
        for document in (*shown.show("pets"), *shown.show("more" if act is collect else "another")):
            assert "problem" not in document


PREPARING = """
import sys
from pathlib import Path
from mintage.app.root import App
from mintage.core.errors import DependencyDown
from mintage.core.settings import load_settings
with App(load_settings(home=Path(sys.argv[1]), threads=1)) as app:
    try:
        app.create.train("pets", recipe="seed-cnn", epochs=1)
    except DependencyDown as error:
        print(error.remedy)
"""


def test_a_disk_that_fills_while_pixels_are_decoded_is_said_and_kills_nobody(disk: Path) -> None:
    """In a process of its own: writing to a map of a full disk would end it by SIGBUS."""
    home = disk / "home"
    shutil.rmtree(home / "cache")
    with filled(disk, 150_000):  # less than the 282,240 bytes of the pixels
        done = subprocess.run(
            [sys.executable, "-c", PREPARING, str(home)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Make room")
        assert litter(home) == []


def test_gc_makes_room_on_a_disk_that_is_full(disk: Path) -> None:
    home = disk / "home"
    with filled(disk):
        with pytest.raises(DependencyDown, match="Make room"):
            Workspace(home)
        freed = {each.kind: each.size_bytes for each in clear_workspace(home).freed}
        assert freed["cache"] > 120 * 28 * 28 * 3
        with App(load_settings(home=home, threads=1)) as app:
            assert app.capture.add_customer("second")[0].name == "second"


def test_what_only_reads_works_on_a_disk_that_can_only_be_read(
    disk: Path, trained_home: Path
) -> None:
    home = disk / "home"
    read_only(disk)
    picture = trained_home.parent / "photos/light/003.jpg"
    with App(load_settings(home=home, threads=1)) as app:
        keeping = Housekeeping(app.workspace, app.keys)
        assert keeping.listing()["models"][0]["model"] == "pets@1"
        assert all("problem" not in document for document in keeping.show("pets"))
        assert app.create.inspect("pets")["examples"] == 120
        (answer,) = app.create.predict("pets@1", [picture])
        assert answer["output"]["label"] == "light"
        assert app.create.model("pets@1").subject == "pets@1"
        assert app.create.evaluate("pets@1")["examples"] == 24
        assert app.capture.audit()["records"] > 0
        assert app.capture.usage() == []
        for writes in (
            lambda: app.create.collect(trained_home.parent / "photos", "more"),
            lambda: app.create.train("pets", recipe="seed-cnn", epochs=1),
            lambda: app.publishing.publish("pets@1", "sold"),
            lambda: app.capture.add_customer("second"),
            lambda: keeping.remove("pets@1"),
            lambda: app.create.report("pets@1"),
        ):
            with pytest.raises(ConfigError) as refused:
                writes()
            assert "can only be read" in refused.value.message or "sold" in refused.value.message
    with pytest.raises(MintageError, match="can only be read"):
        clear_workspace(home)
    with pytest.raises(ConfigError, match="can only be read"):
        Workspace(disk / "new")


def test_a_log_of_writes_that_nobody_merged_is_read_too(disk: Path) -> None:
    """The process that wrote it was killed, and then the disk was mounted for reading only."""
    home = disk / "home"
    program = (
        "import os, sys; from pathlib import Path; from mintage.app.root import App\n"
        "from mintage.core.settings import load_settings\n"
        "app = App(load_settings(home=Path(sys.argv[1])))\n"
        "app.capture.add_customer('last'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True)
    assert (home / "mintage.db-wal").stat().st_size > 0
    read_only(disk)
    with App(load_settings(home=home)) as app:
        assert "last" in json.dumps([customer.name for customer in app.capture.customers.list()])
