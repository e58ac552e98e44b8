"""What a limited customer's call will use is reserved before its body is read, and let go of."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

import pytest
from tests.api.conftest import InProcess

from mintage.api import uploads
from mintage.api.application import customer_app
from mintage.api.metered import Metered
from mintage.api.recording import COMMIT_SECONDS
from mintage.app.delivering import LEASE_SECONDS
from mintage.core.errors import DependencyDown, PaymentDue, QuotaReached
from mintage.core.types import Permit

PREDICT = "/v1/products/tones/predict"


class Reserved:
    """Holds everything; what is held is known by what was asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, int]] = []
        self.held: set[str] = set()
        self.released: list[str] = []
        self.fault: Exception | None = None
        self.refusal: Exception | None = None

    def reserve(
        self, permit: Permit, quantities: Mapping[str, int], seconds: float | None = None
    ) -> Future[str]:
        if self.fault is not None:
            raise self.fault
        future: Future[str] = Future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
            return future
        self.asked.append(quantities)
        self.held.add(f"hld_{len(self.asked)}")
        future.set_result(f"hld_{len(self.asked)}")
        return future

    def release(self, hold: str) -> None:
        self.held.discard(hold)
        self.released.append(hold)


@pytest.fixture
def reserved() -> Reserved:
    return Reserved()


@pytest.fixture
def limited(service, desk, reserved, key, monkeypatch):
    admit = desk.admit
    monkeypatch.setattr(desk, "admit", lambda *asked: replace(admit(*asked), held=True))
    held = replace(service, reserve=reserved, metrics=type(service.metrics)())
    with InProcess(customer_app(held), Authorization=f"Bearer {key}") as client:
        yield client
        client.call(held.engine.close())


def test_an_answered_calls_hold_is_the_meters_to_settle(limited, desk, reserved, warm) -> None:
    assert limited.post(PREDICT, content=warm).status_code == 200
    assert reserved.asked == [{"image": 1}]
    assert [usage.hold for usage, __ in desk.events.values()] == ["hld_1"]
    assert reserved.released == []


def test_a_failed_calls_hold_is_settled_with_its_failure(limited, desk, reserved) -> None:
    assert limited.post(PREDICT, content=b"no picture").status_code == 422
    (usage,) = [usage for usage, __ in desk.events.values()]
    assert (usage.outcome, usage.hold, reserved.released) == ("error", "hld_1", [])


def test_what_nothing_is_recorded_of_is_released(limited, reserved) -> None:
    headers = {"Content-Type": "text/plain"}
    assert limited.post(PREDICT, content=b"x", headers=headers).status_code == 415
    assert reserved.released == ["hld_1"]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(QuotaReached("Used up."), 429), (PaymentDue("No credit."), 402)],
)
def test_a_refusal_comes_before_the_body_is_read(
    limited, desk, reserved, warm, refusal, status
) -> None:
    reserved.refusal, read = refusal, []

    def body():
        read.append(1)
        yield warm

    refused = limited.post(PREDICT, content=body(), headers={"Content-Type": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (status, refusal.code)
    assert (read, desk.events, reserved.released) == ([], {}, [])


def test_what_cannot_be_held_is_a_503_and_never_free(limited, desk, reserved, warm) -> None:
    reserved.fault = DependencyDown("The count is away.", retry_after_seconds=1)
    assert limited.post(PREDICT, content=warm).status_code == 503
    assert desk.events == {}


def test_the_hold_of_a_call_that_may_be_recorded_yet_is_not_released(
    limited, desk, reserved, warm, monkeypatch
) -> None:
    monkeypatch.setattr(Metered.record, "__defaults__", (0.05,))
    desk.hold = True  # its write waits
    assert limited.post(PREDICT, content=warm).status_code == 503
    assert reserved.released == []
    desk.settle()


def test_a_lease_is_longer_than_a_call_may_take() -> None:
    assert uploads._READ_SECONDS + COMMIT_SECONDS < LEASE_SECONDS  # beside its deadline


def test_a_repeated_call_holds_nothing(limited, reserved, warm) -> None:
    headers = {"Idempotency-Key": "once"}
    for __ in range(2):
        assert limited.post(PREDICT, content=warm, headers=headers).status_code == 200
    assert (len(reserved.asked), reserved.released) == (1, [])


def test_who_is_not_limited_holds_nothing(service, reserved, key, warm) -> None:
    unlimited = replace(service, reserve=reserved, metrics=type(service.metrics)())
    with InProcess(customer_app(unlimited), Authorization=f"Bearer {key}") as client:
        assert client.post(PREDICT, content=warm).status_code == 200
        client.call(unlimited.engine.close())
    assert reserved.asked == []
