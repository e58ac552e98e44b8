"""Tree heads leave: into a folder of somebody else, and by webhook; often enough, and not more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ManualClock

from mintage.app.heads_elsewhere import HeadsElsewhere
from mintage.app.root import App
from mintage.core.errors import MintageError
from mintage.core.settings import load_settings
from mintage.trust.audit import verify_note


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    with App(load_settings(home=tmp_path / "home", threads=1), clock) as app:
        yield app


def giving(app: App, folder: Path | None) -> HeadsElsewhere:
    return HeadsElsewhere(app.workspace, app.capture.log, folder, 3600)


def notes(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.head.txt"))


def later(clock: ManualClock, folder: Path, seconds: float) -> None:
    """As if what lies there had been put there so long ago."""
    for path in notes(folder):
        moment = clock.now().timestamp()
        os.utime(path, (moment, moment))
    clock.advance(seconds)


def test_a_new_head_lies_in_the_folder_once_an_hour_and_an_old_one_never_again(
    app: App, clock: ManualClock, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere" / "heads"
    given = giving(app, folder)
    app.capture.customers.add("Ada")
    assert given.give() == ["folder"]
    (first,) = notes(folder)
    key = app.keys.signer("log").public
    text = first.read_text()
    assert verify_note(text, key, text.partition("\n")[0]).size > 0
    later(clock, folder, 60)
    app.capture.customers.add("Bea")
    assert given.give() == []
    clock.advance(3600)
    assert given.give() == ["folder"]
    assert len(notes(folder)) == 2
    later(clock, folder, 7200)
    assert given.give() == []  # nothing was logged since
    assert app.auditing.verify(notes(folder))[0].fault is None


def test_endpoints_of_all_customers_hear_of_heads_and_those_of_one_do_not(
    app: App, clock: ManualClock
) -> None:
    app.capture.customers.add("Ada")
    given = giving(app, None)
    assert given.give() == []  # nobody hears it
    app.notifying.add("https://books.example.org/all", None, [], private=False)
    app.notifying.add("https://books.example.org/ada", "Ada", [], private=False)
    clock.advance(10)
    assert given.give() == ["webhook"]
    (told,) = app.notifying.events(None, None, 10)
    assert (told["type"], told["customer"]) == ("log.head", None)
    assert told["data"]["head"] == app.auditing.head().note
    assert len(told["deliveries"]) == 1
    clock.advance(7200)
    assert given.give() == []
    app.capture.customers.add("Bea")
    clock.advance(10)
    assert given.give() == ["webhook"]


def test_a_folder_that_is_not_there_any_more_is_an_error_and_no_head_is_lost(
    app: App, clock: ManualClock, tmp_path: Path
) -> None:
    folder = tmp_path / "heads"
    folder.write_text("a file in its place")
    given = giving(app, folder)
    app.capture.customers.add("Ada")
    with pytest.raises(MintageError):
        given.give()
    folder.unlink()
    clock.advance(10)
    assert given.give() == ["folder"]
