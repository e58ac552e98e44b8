"""A labelling session: whose turn a picture is, in which order, and what is kept."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.pictures import jpeg

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError, RequestError
from mintage.core.types import Answer
from mintage.create.doubts import UNUSUAL, Doubts, doubt_of
from mintage.create.label_queue import LabelQueue, rank_of, ranked
from mintage.create.labelling import LabelSession
from mintage.sources.book import Book
from mintage.sources.decisions import Decision, Header
from mintage.sources.journal import Journal
from mintage.sources.pictures import Pictures

Open = Callable[..., LabelSession]
CLASSES = ("good", "bad")


class Doubting:
    """A model whose doubt is given by file: 0 is certain, 1 a toss-up, None unlike all it knows."""

    def __init__(self, doubts: dict[bytes, float | None]) -> None:
        self._doubts = doubts
        self.held = threading.Event()
        self.held.set()

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        self.held.wait(5)
        if data not in self._doubts:
            raise DataError("damaged")
        return np.array([[[[*self._doubts].index(data)]]], np.uint8)

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        return [self._answer([*self._doubts.values()][int(one.item())]) for one in inputs]

    def _answer(self, doubt: float | None) -> Answer:
        if doubt is None:
            names = ("label", "probability", "probabilities")
            return Answer("class", dict.fromkeys(names) | {"unusual": True}, abstained=True)
        good = 1 - doubt / 2
        chances = {"good": good, "bad": 1 - good}
        output = {"label": "good", "probability": good, "probabilities": chances, "unusual": False}
        return Answer("class", output)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return folder


@pytest.fixture
def opened(photos: Path, clock) -> Iterator[Open]:
    sessions: list[LabelSession] = []

    def open_one(labeller: str = "ada", overlap: float = 0.0, **options: Any) -> LabelSession:
        for session in sessions:
            session.close()
        journal = Journal(photos / "labels.jsonl")
        header = Header(CLASSES, overlap)
        journal.declare(header)
        names = tuple(sorted(path.name for path in photos.glob("*.jpg")))
        sessions.append(
            LabelSession(photos, Pictures(names), journal, header, labeller, clock=clock)
        )
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


def names(session: LabelSession, numbers: list[int] | None = None) -> list[str]:
    found = session.upcoming(99) if numbers is None else numbers
    return [session.name(number) for number in found]


def numbered(session: LabelSession, name: str) -> int:
    return next(n for n in range(10) if session.name(n) == name)


def lines(photos: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (photos / "labels.jsonl").read_text().splitlines()]


# ---- the queue


def test_the_drawn_order_is_the_same_for_ever_and_not_the_folders() -> None:
    paths = [f"shelf/{number:03}.jpg" for number in range(200)]
    assert ranked(paths) == ranked(reversed(paths)) != paths
    # The oracle: printf 'mintage label:a.jpg' | sha256sum | cut -c1-16
    assert rank_of("a.jpg") == 0x52A3C24153A7F832 / 2**64
    assert all(0 <= rank_of(path) < 1 for path in paths)
    assert rank_of("caf\u00e9.jpg") == rank_of("cafe\u0301.jpg")


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 1.0])
def test_the_overlap_is_its_share_comes_first_and_only_grows(overlap: float) -> None:
    paths = ranked(f"{number}.jpg" for number in range(2000))
    book = Book()
    for path in paths:
        book.add(Decision("label", path, "0" * 64, "ben", "now", 1.0, "good"))
    mine = LabelQueue(paths, book, "ada", overlap).upcoming()
    assert len(mine) == pytest.approx(2000 * overlap, abs=60)
    assert mine == list(range(len(mine)))
    more = LabelQueue(paths, book, "ada", min(1.0, overlap + 0.1)).upcoming()
    assert set(mine) <= set(more)


def test_what_one_labelled_is_nobody_elses_but_for_the_overlap(opened: Open) -> None:
    ada = opened("ada", 0.5)
    everybodys = [n for n in range(10) if rank_of(ada.name(n)) < 0.5]
    assert 0 < len(everybodys) < 10
    for number in ada.upcoming(8):
        ada.decide(number, "good", 1.0)
    ben = opened("ben", 0.5)
    assert set(ben.upcoming(99)) == {*everybodys, 8, 9}


def test_what_one_skipped_is_still_the_others_turn(opened: Open) -> None:
    ada = opened("ada")
    first = ada.upcoming(1)[0]
    ada.decide(first, None, 1.0)
    assert first not in ada.upcoming(99)
    assert first in opened("ben").upcoming(99)
    assert first not in opened("ada").upcoming(99)


# ---- decisions


def test_a_decision_is_on_disk_with_who_when_what_bytes_and_how_long(
    opened: Open, photos: Path, clock
) -> None:
    session = opened()
    number = session.upcoming(1)[0]
    session.decide(number, "bad", 1.23456)
    name = session.name(number)
    assert lines(photos)[-1] == {
        "action": "label",
        "path": name,
        "sha256": sha256_hex((photos / name).read_bytes()),
        "labeller": "ada",
        "time": str(clock),
        "seconds": 1.235,
        "label": "bad",
    }
    assert session.state() | {"labelled": 1, "left": 9, "can_undo": True} == session.state()


def test_starting_again_goes_on_where_it_ended(opened: Open) -> None:
    session = opened()
    order = session.upcoming(99)
    session.decide(order[0], "good", 1.0)
    session.decide(order[1], None, 1.0)
    session.decide(order[2], "bad", 1.0)
    again = opened()
    assert again.upcoming(99) == order[3:]
    assert again.undo() == (order[2], "label")
    assert again.undo() == (order[1], "skip")
    assert again.upcoming(99) == order[1:]


def test_undo_is_a_further_line_and_takes_back_ones_own_alone(opened: Open, photos: Path) -> None:
    opened("ben").decide(0, "good", 1.0)
    ada = opened("ada")
    with pytest.raises(RequestError) as nothing:
        ada.undo()
    assert nothing.value.http_status == 409
    ada.decide(1, "good", 1.0)
    assert ada.undo() == (1, "label")
    assert [line.get("action") for line in lines(photos)][1:] == ["label", "label", "undo"]
    with pytest.raises(RequestError):
        ada.undo()


def test_skipped_ones_come_again_when_they_are_asked_for(opened: Open) -> None:
    session = opened()
    for number in (0, 1, 2):
        session.decide(number, None, 1.0)
    session.decide(3, "good", 1.0)
    assert session.again() == 3
    assert session.upcoming(3) == [0, 1, 2]
    assert session.again() == 0
    assert opened().upcoming(3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("number", "label", "status"), [(10, "good", 404), (-1, "good", 404), (0, "ugly", 422)]
)
def test_what_cannot_be_decided_is_refused_and_not_kept(
    opened: Open, photos: Path, number: int, label: str, status: int
) -> None:
    session = opened()
    with pytest.raises(RequestError) as refused:
        session.decide(number, label, 1.0)
    assert refused.value.http_status == status
    assert len(lines(photos)) == 1


def test_nothing_is_decided_twice(opened: Open) -> None:
    session = opened()
    session.decide(0, "good", 1.0)
    with pytest.raises(RequestError) as refused:
        session.decide(0, "bad", 1.0)
    assert refused.value.http_status == 409


def test_the_bytes_that_were_shown_are_those_that_count(opened: Open, photos: Path) -> None:
    session = opened()
    session.picture(0)
    shown = (photos / session.name(0)).read_bytes()
    (photos / session.name(0)).write_bytes(jpeg(77))
    session.decide(0, "good", 1.0)
    assert lines(photos)[-1]["sha256"] == sha256_hex(shown)


def test_a_picture_that_changed_is_asked_about_again(opened: Open, photos: Path, clock) -> None:
    session = opened()
    session.decide(0, "good", 1.0)
    session.decide(1, "good", 1.0)
    changed, touched = photos / session.name(0), photos / session.name(1)
    clock.advance(10)
    later = clock.now().timestamp()
    changed.write_bytes(jpeg(77))
    for path in (changed, touched):
        os.utime(path, (later, later))
    again = opened()
    assert again.changed == [changed.name]
    assert 0 in again.upcoming(99)
    assert 1 not in again.upcoming(99)
    again.decide(0, "bad", 1.0)
    assert opened().summary()["classes"] == {"good": 1, "bad": 1}


def test_labelled_pictures_that_are_gone_are_counted(opened: Open, photos: Path) -> None:
    session = opened()
    session.decide(0, "good", 1.0)
    (photos / session.name(0)).unlink()
    assert len(opened().gone) == 1


def test_an_unreadable_picture_is_listed_and_passed_over(opened: Open, photos: Path) -> None:
    (photos / "3.jpg").write_bytes(jpeg(3)[:100])
    session = opened()
    broken = numbered(session, "3.jpg")
    with pytest.raises(DataError):
        session.picture(broken)
    assert broken not in session.upcoming(99)
    (unreadable,) = session.summary()["unreadable"]
    assert unreadable["path"] == "3.jpg"
    assert unreadable["reason"]
    (photos / "4.jpg").unlink()
    with pytest.raises(DataError):
        session.picture(numbered(session, "4.jpg"))
    assert session.summary()["unlabelled"] == 8


def test_a_link_that_was_put_in_place_of_a_picture_leads_nowhere(
    opened: Open, photos: Path, tmp_path: Path
) -> None:
    session = opened()
    (tmp_path / "secret.jpg").write_bytes(jpeg(99))
    (photos / session.name(0)).unlink()
    (photos / session.name(0)).symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match="leads out"):
        session.picture(0)


# ---- several labellers


def test_disagreements_are_listed_and_resolved_by_name(opened: Open, photos: Path) -> None:
    opened("ada", 1.0).decide(0, "good", 1.0)
    ben = opened("ben", 1.0)
    ben.decide(0, "bad", 1.0)
    (dispute,) = ben.disagreements()
    assert dispute["labels"] == {"ada": "good", "ben": "bad"}
    assert ben.state()["agreement"]["agreed"] == 0
    assert len(ben.summary()["undecided"]) == 1
    cleo = opened("cleo", 1.0)
    cleo.resolve(0, "bad")
    assert cleo.disagreements() == []
    assert cleo.summary()["classes"] == {"good": 0, "bad": 1}
    assert cleo.state()["agreement"]["agreed"] == 0  # it measures what they said on their own
    assert 0 not in cleo.upcoming(99)
    with pytest.raises(RequestError):
        cleo.resolve(0, "good")
    assert cleo.undo() == (0, "resolve")
    assert len(cleo.disagreements()) == 1


def test_a_disagreement_about_a_picture_that_changed_is_not_resolved(
    opened: Open, photos: Path
) -> None:
    opened("ada", 1.0).decide(0, "good", 1.0)
    ben = opened("ben", 1.0)
    ben.decide(0, "bad", 1.0)
    (photos / ben.name(0)).write_bytes(jpeg(77))
    ben.picture(0)
    with pytest.raises(RequestError, match="has changed"):
        ben.resolve(0, "good")


def test_agreement_follows_each_decision_and_undo(opened: Open) -> None:
    ada = opened("ada", 1.0)
    for number in range(4):
        ada.decide(number, "good", 1.0)
    ben = opened("ben", 1.0)
    assert ben.state()["agreement"] is None
    ben.decide(0, "good", 1.0)
    ben.decide(1, "bad", 1.0)
    assert ben.state()["agreement"]["agreed"] == 0.5
    ben.undo()
    assert ben.state()["agreement"]["agreed"] == 1
    assert ben.state()["agreement"]["units"] == 1


# ---- with a model


def doubting(photos: Path, doubts: list[float | None]) -> Doubting:
    return Doubting({(photos / f"{n}.jpg").read_bytes(): doubt for n, doubt in enumerate(doubts)})


def waited(session: LabelSession) -> LabelSession:
    assert session._doubts is not None
    session._doubts.wait(10)
    return session


def test_the_most_doubtful_come_first_and_what_is_unlike_all_before_them(
    opened: Open, photos: Path
) -> None:
    session = opened()
    session.ask(doubting(photos, [0.3, 0.9, None, 0.1, 0.8, 0.0, 0.5, 0.2, 0.7, 0.6]), "m@1")
    waited(session)
    assert names(session) == [f"{n}.jpg" for n in (2, 1, 4, 8, 9, 6, 0, 7, 3, 5)]


def test_the_answer_comes_after_the_decision_and_never_before(opened: Open, photos: Path) -> None:
    session = opened()
    session.ask(doubting(photos, [0.5] * 10), "m@1")
    waited(session)
    state = json.dumps(session.state()) + json.dumps(names(session))
    assert "0.75" not in state
    assert "probab" not in state
    answer = session.decide(0, "good", 1.0)
    assert answer is not None
    assert (answer["label"], answer["probability"]) == ("good", 0.75)


def test_agreement_with_the_model_counts_first_decisions_alone(opened: Open, photos: Path) -> None:
    session = opened()
    session.ask(doubting(photos, [None, *[0.5] * 9]), "m@1")
    waited(session)
    unlike = numbered(session, "0.jpg")
    one, two, three = [number for number in range(10) if number != unlike][:3]
    session.decide(one, "bad", 1.0)
    session.undo()
    session.decide(one, "good", 1.0)  # having seen that the model says good
    session.decide(two, "good", 1.0)
    session.decide(three, None, 1.0)
    session.again()
    session.decide(three, "good", 1.0)  # so it was with this one
    session.decide(unlike, "good", 1.0)
    assert session.summary()["agreement_with_model"] == {"compared": 2, "agreed": 1}


def test_labelling_goes_on_while_the_model_works_and_ends_it_at_once(
    opened: Open, photos: Path
) -> None:
    model = doubting(photos, [0.5] * 10)
    model.held.clear()
    session = opened()
    session.ask(model, "m@1")
    assert session.upcoming(2) == [0, 1]  # the drawn order, as nothing is known yet
    assert session.decide(0, "good", 1.0) is None
    model.held.set()
    session.close()


def test_what_the_model_cannot_read_is_listed(opened: Open, photos: Path) -> None:
    model = doubting(photos, [0.5] * 10)
    (photos / "5.jpg").write_bytes(b"other")
    session = opened()
    session.ask(model, "m@1")
    waited(session)
    assert [each["path"] for each in session.summary()["unreadable"]] == ["5.jpg"]
    assert len(session.upcoming(99)) == 9


def test_a_model_that_fails_is_said_and_labelling_goes_on(opened: Open, photos: Path) -> None:
    class Failing(Doubting):
        def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
            raise RuntimeError("out of tensors")

    session = opened()
    session.ask(Failing({jpeg(n): 0.5 for n in range(10)}), "m@1")
    with pytest.raises(RuntimeError):
        waited(session)
    assert session.state()["model_failure"] == "out of tensors"
    assert len(session.upcoming(99)) == 10


def test_doubt_is_the_margin_between_the_two_likeliest() -> None:
    assert doubt_of({"probabilities": {"a": 0.5, "b": 0.5}}) == 1
    assert doubt_of({"probabilities": {"a": 0.7, "b": 0.2, "c": 0.1}}) == pytest.approx(0.5)
    assert doubt_of({"probabilities": {"a": 1.0}}) == 0
    assert doubt_of({"probabilities": None}) == UNUSUAL > 1


def test_doubts_end_when_they_are_closed() -> None:
    read: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(number: int) -> bytes:
        read.append(number)
        begun.set()
        go_on.wait(5)
        return b"x"

    doubts = Doubts(Doubting({b"x": 0.5}), range(1000), slow, lambda *__: None)
    assert begun.wait(5)
    closing = threading.Thread(target=doubts.close)
    closing.start()
    while not doubts._stop.is_set():
        pass
    go_on.set()
    closing.join(5)
    assert len(read) == 1
