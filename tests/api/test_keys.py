"""What a key may do, asked over HTTP: each route its scope, and every call its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.api.conftest import KEY, Desk, InProcess, Running, serving

from mintage.api.application import customer_app
from mintage.api.service import Service
from mintage.app.root import App
from mintage.core.settings import load_settings

PREDICT = "/v1/products/tones/predict"
ROUTES = [
    ("POST", PREDICT, "predict"),
    ("POST", f"{PREDICT}:batch", "predict"),
    ("POST", "/v2/models/tones/infer", "predict"),
    ("GET", "/v1/usage", "usage"),
    ("GET", "/v1/receipts/rcp_0", "usage"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_asks_for_its_scope_and_says_which_is_lacking(
    client: InProcess, desk: Desk, method: str, path: str, scope: str, warm: bytes
) -> None:
    desk.scopes = [each for each in desk.scopes if each != scope]
    refused = client.request(method, path, content=warm)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert "WWW-Authenticate" not in refused.headers
    assert desk.events == {}
    desk.scopes = [scope]
    assert client.request(method, path, content=warm).status_code not in (401, 403)


@pytest.mark.parametrize(("proxy", "seen"), [("127.0.0.1", "203.0.113.9"), (None, "127.0.0.1")])
def test_the_gate_is_told_where_a_call_comes_from_and_believes_a_named_proxy_alone(
    service: Service, changed: Callable[..., Service], desk: Desk, proxy: str | None, seen: str
) -> None:
    told = {"Authorization": f"Bearer {KEY}", "X-Forwarded-For": "10.0.0.1, 203.0.113.9"}
    server = Running(changed(service, behind_proxy=proxy))
    try:
        for method, path, __ in ROUTES:
            httpx.request(method, f"{server.address}{path}", headers=told, trust_env=False)
    finally:
        server.close()
    assert desk.addresses == [seen] * len(ROUTES)


def test_a_key_for_one_product_calls_reads_and_comments_on_that_alone(
    home: Any, trained_home: Any
) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    with App(load_settings(home=home, threads=1)) as app:
        for product in ("pets", "birds"):
            app.publishing.publish("pets", product)
        __, whole = app.capture.add_customer("Ada")
        bound = app.capture.issue_key("Ada", products=["pets"]).key.reveal()
        with serving(app) as service, InProcess(customer_app(service)) as client:

            def ask(method: str, path: str, key: str = bound, **options: Any) -> httpx.Response:
                headers = {"Authorization": f"Bearer {key}"}
                return client.request(method, path, headers=headers, **options)

            def call(product: str, key: str = bound) -> httpx.Response:
                return ask("POST", f"/v1/products/{product}/predict", key, content=picture)

            mine = call("pets").json()["receipt"]["id"]
            other = call("birds", whole.key.reveal()).json()["receipt"]["id"]
            said = call("birds")
            assert (said.status_code, said.json()["code"]) == (403, "not_allowed")
            assert [e["receipt"] for e in ask("GET", "/v1/usage").json()["usage"]] == [mine]
            assert ask("GET", "/v1/usage?product=birds").status_code == 403
            assert ask("GET", "/v1/usage?product=pets").status_code == 200
            assert ask("GET", f"/v1/receipts/{mine}").status_code == 200
            hidden = ask("GET", f"/v1/receipts/{other}").json()
            never = ask("GET", "/v1/receipts/rcp_none").json()
            assert hidden["detail"].replace(other, "rcp_none") == never["detail"]
            word = {"right": True, "consent": True, "output": {}, "image": "AAAA"}
            address = f"/v1/receipts/{other}/feedback"
            assert ask("PUT", address, json=word).status_code == 404
            assert ask("DELETE", address).status_code == 404
            assert ask("PUT", f"/v1/receipts/{mine}/feedback", json=word).status_code == 422
            calling = app.capture.issue_key("Ada", scopes=["predict"]).key.reveal()
            assert ask("PUT", address, calling, json=word).status_code == 403
            client.call(service.engine.close())
