"""Price lists of upstreams: dated, with a source, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mintage.core.errors import ConfigError
from mintage.deliver.upstreams import price_list
from mintage.deliver.upstreams.declared import Costs, Upstream

LIST = """
currency = "USD"
dated = 2026-11-01
source = "https://example.com/pricing"

[models.talker]
input = "0.27"
cached_input = "0.07"
output = "1.10"

[models."talker/large"]
currency = "CNY"
source = "https://example.cn/prices"
input = "2"
output = "8"
request = "0.001"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(LIST)
    return path


def test_a_models_costs_have_their_day_and_source(path: Path) -> None:
    costs = price_list.read(path, "talker")
    assert costs == Costs(
        "USD", "0.27", "1.10", "0.07", source="https://example.com/pricing", dated="2026-11-01"
    )
    large = price_list.read(path, "talker/large")
    assert (large.currency, large.cached_input, large.request) == ("CNY", None, "0.001")
    assert large.source == "https://example.cn/prices"
    declared = Upstream("assistant", "near", "https://example.com/v1", "talker", costs=costs)
    assert Upstream.from_json(declared.to_json()) == declared
    older = Costs("USD", "0.27", "1.10", "0.07")
    assert "source" not in older.to_json()  # what was declared before has the digest that it had


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("dated = 2026-11-01", "", "does not say dated"),
        ("dated = 2026-11-01", 'dated = "1 November"', "dated is a day"),
        ("dated = 2026-11-01", "dated = 2026-11-01T00:00:00", "dated is a day"),
        ('source = "https://example.com/pricing"', "", "does not say source"),
        ('source = "https://example.com/pricing"', 'source = "the web"', "where the prices are"),
        ('currency = "USD"', 'currency = "DOLLARS"', "Not a currency"),
        ('input = "0.27"', "input = 0.27", "input is a text"),
        ('input = "0.27"', 'input = "-1"', "cannot be negative"),
        ('output = "1.10"', "", "does not say output"),
        ('cached_input = "0.07"', 'cashed_input = "0.07"', "no 'cashed_input'"),
        ("[models.talker]", "[model.talker]", "no 'model'"),
        ("[models.talker]", "[models.talker", "is not TOML"),
    ],
)
def test_what_is_no_price_list_is_refused(path: Path, was: str, now: str, said: str) -> None:
    path.write_text(LIST.replace(was, now, 1))
    with pytest.raises(ConfigError, match=said):
        price_list.read(path, "talker")


def test_a_model_that_is_not_in_it_has_no_price(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no price for 'talkr'") as near:
        price_list.read(path, "talkr")
    assert "talker" in str(near.value.remedy)
    with pytest.raises(ConfigError, match="cannot be read"):
        price_list.read(tmp_path / "none.toml", "talker")
