"""Where payment providers tell of payments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.api.conftest import InProcess

from mintage.api.application import customer_app
from mintage.core.errors import RequestError
from mintage.core.messages import _


class Till:
    """Takes what is signed."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []

    def notified(self, provider: str, body: bytes, headers: Mapping[str, str]) -> None:
        if provider not in ("stripe", "alipay"):
            raise RequestError(_("No such provider."), http_status=404)
        if headers.get("stripe-signature") != "good":
            raise RequestError(_("Not signed."))
        self.came.append((provider, body))

    def acknowledgement(self, provider: str) -> str:
        return "success" if provider == "alipay" else ""


@pytest.fixture
def till() -> Till:
    return Till()


@pytest.fixture
def paid(service: Any, till: Till) -> Iterator[InProcess]:
    with InProcess(customer_app(replace(service, payments=till))) as opened:
        yield opened
        opened.call(service.engine.close())


ADDRESS = "/v1/payments/stripe/webhook"


def test_a_message_is_taken_as_it_came_without_a_key_of_ours(paid: Any, till: Till) -> None:
    answer = paid.post(ADDRESS, content=b'{"a": 1}', headers={"Stripe-Signature": "good"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert till.came == [("stripe", b'{"a": 1}')]


def test_a_provider_that_wants_a_word_gets_it(paid: Any) -> None:
    headers = {"Stripe-Signature": "good"}
    answer = paid.post("/v1/payments/alipay/webhook", content=b"a=1", headers=headers)
    assert (answer.status_code, answer.text) == (200, "success")


@pytest.mark.parametrize(
    ("address", "signature", "size", "status"),
    [
        (ADDRESS, "bad", 10, 400),
        (ADDRESS, "", 10, 400),
        ("/v1/payments/barter/webhook", "good", 10, 404),
        (ADDRESS, "good", 1_000_001, 413),
    ],
)
def test_what_is_not_the_providers_is_refused(
    paid: Any, till: Till, address: str, signature: str, size: int, status: int
) -> None:
    body = (b"x" * 1000 for __ in range(size // 1000 + 1)) if size > 1000 else b"x" * size
    answer = paid.post(address, content=body, headers={"Stripe-Signature": signature})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert till.came == []


def test_without_payments_there_is_no_such_address(client: Any) -> None:
    assert client.post(ADDRESS, content=b"{}").status_code == 404


def test_it_is_not_among_what_customers_are_told(service: Any, till: Till) -> None:
    from mintage.api.application import openapi_document

    paths = openapi_document(replace(service, payments=till))["paths"]
    assert not [path for path in paths if "payments" in path]
