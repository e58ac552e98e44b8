"""What is told the Meter of a language model's call that came to nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mintage.api.openai.call import LanguageCall
from mintage.core.types import UNKNOWN_CURRENCY
from mintage.deliver.upstreams.declared import Costs, Upstream
from mintage.deliver.upstreams.tokens import NOTHING, Tokens

CLOCK = SimpleNamespace(monotonic=lambda: 2.0)


def call_of(upstream: Upstream) -> Any:
    permit = SimpleNamespace(prices={})
    asked = SimpleNamespace(sha256="1" * 64, streams=False)
    service = SimpleNamespace(clock=CLOCK)
    parts: tuple[Any, ...] = (service, None, permit, None, 1.0)
    return LanguageCall(*parts, asked=asked, gateway=None, upstreams=[upstream])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("costs", "spent", "cost"),
    [
        (Costs("USD", "1", "4"), Tokens(10, 5), "0.00003"),
        (Costs("USD", "1", "4"), NOTHING, "0"),
        (None, Tokens(10, 5), "0"),
    ],
)
def test_what_nobody_got_is_free_and_what_it_cost_is_booked(
    costs: Costs | None, spent: Tokens, cost: str
) -> None:
    upstream = Upstream("assistant", "one", "http://127.0.0.1:9/v1", "m", costs=costs)
    usage = call_of(upstream).failed("cancelled", SimpleNamespace(upstream=upstream), spent)
    assert (usage.quantities, usage.cost) == ({"request": 1}, cost)
    assert usage.cost_currency == ("USD" if costs else UNKNOWN_CURRENCY)
