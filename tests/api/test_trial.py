"""The trial over a real workspace: page, limit, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.api.conftest import InProcess, serving

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.core.errors import ConfigError
from mintage.core.settings import load_settings

PREDICT = "/v1/products/pets/predict"


@pytest.fixture
def picture(trained_home: Path) -> bytes:
    return (trained_home.parent / "photos/light/003.jpg").read_bytes()


@contextmanager
def served(home: Path, trial: int | None) -> Iterator[tuple[App, InProcess]]:
    """A visitor without a key before a server."""
    with App(load_settings(home=home, threads=1, trial=trial)) as app:
        app.publishing.publish("pets@1", "pets", price="0.02")
        with serving(app) as service, InProcess(customer_app(service)) as visitor:
            yield app, visitor
            visitor.call(service.engine.close())


def test_a_visitor_without_a_key_is_answered_free_until_the_limit(
    home: Path, picture: bytes
) -> None:
    with served(home, trial=2) as (app, visitor):
        assert visitor.get("/page.json").json()["trial"] == 2
        for __ in range(2):
            answer = visitor.post(PREDICT, content=picture)
            assert answer.status_code == 200, answer.text
            assert answer.json()["price"]["amount"] == "0"
        refused = visitor.post(PREDICT, content=picture)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_reached")
        assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
        assert visitor.get("/v1/usage").status_code == 401  # others' calls are not a visitor's
        __, issued = app.capture.add_customer("Ada")
        own = {"Authorization": f"Bearer {issued.key.reveal()}"}
        assert visitor.post(PREDICT, content=picture, headers=own).json()["price"]["amount"] == (
            "0.02"
        )
        names = {each.id: each.name for each in app.capture.customers.list()}
        events = app.capture.usage()
    assert [names[event["customer"]] for event in events] == ["Ada", "trial", "trial"]


def test_calls_that_nobody_answered_leave_the_trial_as_it_was(home: Path, picture: bytes) -> None:
    with served(home, trial=2) as (app, visitor):
        for __ in range(3):
            assert visitor.post(PREDICT, content=b"").status_code == 422
            text = {"Content-Type": "text/plain"}
            assert visitor.post(PREDICT, content=b"x", headers=text).status_code == 415
            large = visitor.post(PREDICT, content=bytes(21_000_000))
            assert large.status_code == 413
            assert large.headers["RateLimit"].split(";")[1] == "r=2"
            assert visitor.post("/v1/products/none/predict", content=picture).status_code == 404
        assert {event["outcome"] for event in app.capture.usage()} == {"error"}
        assert [visitor.post(PREDICT, content=picture).status_code for __ in range(3)] == [
            200,
            200,
            429,
        ]


def test_of_64_calls_at_once_no_more_are_answered_than_the_trial_has(
    home: Path, picture: bytes
) -> None:
    with served(home, trial=5) as (app, visitor), ThreadPoolExecutor(64) as many:
        answers = list(many.map(lambda __: visitor.post(PREDICT, content=picture), range(64)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 59
        assert len(app.capture.usage()) == 5


def test_without_the_option_there_is_no_trial(home: Path, picture: bytes) -> None:
    with served(home, trial=None) as (app, visitor):
        assert visitor.get("/page.json").json()["trial"] is None
        assert visitor.post(PREDICT, content=picture).status_code == 401
        assert app.capture.customers.list() == []


def test_no_product_may_take_the_trials_plan(home: Path) -> None:
    with App(load_settings(home=home)) as app, pytest.raises(ConfigError, match="'trial'"):
        app.publishing.publish("pets@1", "trial", price="0.02")
