"""The trial over a real workspace: page, limit, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.api.conftest import InProcess

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.cli.serving import service_of
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
        app.deliver.publish("pets@1", "pets", price="0.02")
        service = service_of(app)
        with InProcess(customer_app(service)) as visitor:
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


def test_without_the_option_there_is_no_trial(home: Path, picture: bytes) -> None:
    with served(home, trial=None) as (app, visitor):
        assert visitor.get("/page.json").json()["trial"] is None
        assert visitor.post(PREDICT, content=picture).status_code == 401
        assert app.capture.customers.list() == []


def test_no_product_may_take_the_trials_plan(home: Path) -> None:
    with App(load_settings(home=home)) as app, pytest.raises(ConfigError, match="'trial'"):
        app.deliver.publish("pets@1", "trial", price="0.02")
