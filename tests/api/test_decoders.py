"""A server that decodes elsewhere: its customers notice nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.api.conftest import InProcess, serving
from tests.corpus.makers import png

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.modalities.apart import Decoders

PREDICT = "/v1/products/pets/predict"


@contextmanager
def customer(home: Path, decoders: int) -> Iterator[tuple[App, InProcess]]:
    with App(load_settings(home=home, threads=1, decoders=decoders)) as app:
        if not app.products.list():
            app.publishing.publish("pets@1", "pets")
        __, issued = app.capture.add_customer(f"Ada {decoders}")
        authorization = f"Bearer {issued.key.reveal()}"
        with (
            serving(app) as service,
            InProcess(customer_app(service), Authorization=authorization) as client,
        ):
            yield app, client
            client.call(service.engine.close())


def test_answers_and_refusals_are_those_of_a_server_that_decodes_here(
    home: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = next((trained_home.parent / "photos").rglob("*.jpg")).read_bytes()
    bodies = [picture, b"hello", png(12000, 12000, 1, 0, b"\0" * 1501 * 12000)]
    asked: list[int] = []
    decode = Decoders.decode
    monkeypatch.setattr(
        Decoders, "decode", lambda self, *given: asked.append(1) or decode(self, *given)
    )
    found = []
    for decoders in (0, 1):
        with customer(home, decoders) as (app, client):
            answers = [client.post(PREDICT, content=each) for each in bodies]
            found.append([(each.status_code, each.json().get("detail")) for each in answers])
            found[-1].append(answers[0].json()["output"])
            events = list(app.capture.usage())
            assert all(each["compute_seconds"] > 0 for each in events if each["outcome"] == "ok")
    assert found[0] == found[1]
    assert [status for status, __ in found[0][:3]] == [200, 422, 422]
    assert len(asked) >= len(bodies)  # and what warms a version up
