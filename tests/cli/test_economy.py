"""Business models, customers over time, cohorts and break-even on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import Shop
from tests.conftest import ManualClock
from tests.terminal import Terminal

from mintage.core.types import UNKNOWN_CURRENCY, ProviderInfo
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@pytest.fixture
def sold(home: Path, mintage: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained model that was published in October 2026, and called since September."""
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 EUR")
    about = ("--home", home)
    mintage("publish", "pets@1", "--product", "pets", "--price", "0.02", *about)
    clock = ManualClock()
    with Workspace(home, clock) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        change = "UPDATE publications SET published_at = '2026-10-03T00:00:00.000000Z'"
        shop.database.write(lambda connection: connection.exec_driver_sql(change) and None)
        provider = ProviderInfo("pets", "1", "b" * 64, "class", "image")
        for month, counts in ((9, (5, 0)), (10, (8, 100)), (11, (0, 130))):
            clock.moment = datetime(2026, month, 5, tzinfo=UTC)
            for customer, count in zip(("Ada", "王小明"), counts, strict=True):
                usages = [shop.usage(customer, provider=provider) for __ in range(count)]
                if usages:
                    shop.meter.record_all(usages).result(10)
                    clock.moment += timedelta(hours=1)
    return home


def test_business_models_are_compared_as_a_table_a_document_and_a_page(
    mintage: Terminal, sold: Path, tmp_path: Path
) -> None:
    at = ("--period", "2026-10", "--home", sold)
    page = tmp_path / "models.html"
    said = mintage("economics", "replay", "--compare-models", "--html", page, *at)
    assert "2 customers used 108 × image, and pay 2.16 EUR" in said
    assert "0.02 EUR each" in said
    assert "1.08 EUR a month" in said
    text = page.read_text()
    assert text.count("<svg") == 6 + 1 - text.count("Nobody would pay otherwise.")
    assert "<script" not in text
    (found,) = mintage.json("economics", "replay", "--compare-models", *at)
    assert [each["revenue"] for each in found["models"]] == ["2.16"] * 6
    by_model = {each["model"]: each for each in found["models"]}
    assert by_model["subscription"]["pay_more"] == by_model["subscription"]["pay_less"] == 1
    assert by_model["pay_as_you_go"]["margin"] == pytest.approx(1 - 108 * 0.0071 / 100 / 2.16 * 1)
    path = tmp_path / "models.toml"
    path.write_text('[subscription]\nprice = "29"\n')
    (found,) = mintage.json("economics", "replay", "--models", path, *at)
    assert [each["revenue"] for each in found["models"]] == ["58"]
    for words, reason in (
        ([], "Either plans are replayed, or business models compared"),
        (["--plans", "standard", "--compare-models"], "Either plans are replayed"),
        (["--compare-models", "--confidence", "2"], "from 0 to 1"),
        (["--compare-models", "--unit", "token"], "Counted were: image"),
    ):
        mintage("economics", "replay", *words, *at, status=2)
        assert reason in mintage.err
    mintage("economics", "replay", "--compare-models", "--html", path / "x.html", *at, status=5)
    assert "models.toml" in mintage.err


def test_a_replay_of_plans_has_a_page_too(mintage: Terminal, sold: Path, tmp_path: Path) -> None:
    page = tmp_path / "plans.html"
    at = ("--period", "2026-10", "--home", sold)
    mintage("economics", "replay", "--plans", "pets", "--html", page, *at)
    assert "Nobody would pay otherwise." in page.read_text()


def test_customers_who_came_and_went_are_told(
    mintage: Terminal, sold: Path, tmp_path: Path
) -> None:
    at = ("--home", sold)
    page = tmp_path / "customers.html"
    said = mintage("economics", "customers", "--period", "2026-11", "--html", page, *at)
    assert "lost: 1" in mintage.err
    assert "王小明" in said
    assert "王小明" in page.read_text()
    wang, ada = mintage.json("economics", "customers", "--period", "2026-11", *at)
    assert (wang["trend"], wang["revenue"], wang["revenue_before"]) == ("growing", "2.6", "2")
    assert (ada["trend"], ada["recency_days"], ada["charged_calls"]) == ("lost", 57, 0)
    said = mintage("economics", "cohorts", "--until", "2026-11", "--html", page, *at)
    assert "100%" in said
    first, second = mintage.json("economics", "cohorts", "--until", "2026-11", *at)
    assert [each["retained"] for each in first["months"]] == [1, 1, 0]
    assert [each["revenue"] for each in second["months"]] == ["2", "2.6"]
    mintage("economics", "cohorts", "--until", "soon", *at, status=2)
    assert "Not a month" in mintage.err


def test_training_is_written_off_and_break_even_is_told(mintage: Terminal, sold: Path) -> None:
    (record,) = (json.loads(path.read_text()) for path in (sold / "runs").glob("*/run.json"))
    computed = Fraction(str(record["seconds"])) * record["recipe"]["threads"]
    cost = computed * 36 / 3600
    at = ("--home", sold)
    rows = mintage.json("economics", "show", "--period", "2026-10", "--write-off", "6", *at)
    shares = {row["customer"]: Fraction(row["written_off"]) for row in rows}
    assert float(sum(shares.values())) == pytest.approx(float(cost / 6), rel=1e-12)
    assert float(shares["Ada"]) == pytest.approx(float(cost / 6 * 8 / 108), rel=1e-12)
    rows = mintage.json("economics", "show", "--period", "2026-09", "--write-off", "6", *at)
    assert [row["written_off"] for row in rows] == ["0"]
    said = ("--training-cost", "pets@1=12 EUR")
    found = mintage.json("economics", "break-even", "--period", "2026-10", *said, *at)
    (pets,) = found["products"]
    assert (pets["fixed"], pets["training_cost"], pets["is_earned"]) == ("1", "12", True)
    each = Fraction("0.02") - Fraction("0.000071")
    assert pets["break_even_calls"] == -(-1 // each)
    told = mintage("economics", "break-even", "--period", "2026-10", *said, *at)
    assert "pets earns what is fixed from 51 charged calls on; it had 108." in told
    assert "its training is earned in" in told
    told = mintage("economics", "break-even", "--period", "2026-10", "--fixed", "90 EUR", *at)
    assert "pets earns what is fixed by 4," in told
    for words, reason in (
        (["--training-cost", "pets@9=1 EUR"], "never published"),
        (["--training-cost", "pets@1=dear"], "No cost of training"),
        (["--fixed", "much"], "Not a currency"),
        (["--write-off", "121"], "1 to 120 months"),
    ):
        mintage("economics", "break-even", "--period", "2026-10", *words, *at, status=2)
        assert reason in mintage.err


def test_a_break_even_is_not_told_where_what_calls_cost_is_not_known(
    mintage: Terminal, sold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 CNY")
    at = ("--period", "2026-10", "--fixed", "1 EUR", "--home", sold)
    found = mintage.json("economics", "break-even", *at)["products"]
    (pets,) = (each for each in found if each["currency"] == "EUR")  # training cost CNY
    assert (pets["revenue"], pets["cost"], pets["break_even_calls"]) == ("2.16", None, None)
    assert pets["is_earned"] is None
    told = " ".join(mintage("economics", "break-even", *at).split())
    assert "pets: what its calls cost is not known in EUR, so neither is what earns it." in told
    assert "unknown" in told
    page = tmp_path / "plans.html"
    for words in (["--plans", "pets"], ["--compare-models"]):
        mintage("economics", "replay", *words, "--html", page, *at[:2], *at[4:])
        assert "Of unknown cost, computed here: 108." in page.read_text()


def test_what_is_known_of_a_cost_is_shown_with_how_many_calls_it_leaves_out(
    mintage: Terminal, sold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINTAGE_COMPUTE_COST")
    clock = ManualClock()
    clock.moment = datetime(2026, 10, 20, tzinfo=UTC)
    with Workspace(sold, clock) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        shop.sell("chat", "pets")
        asked = {"compute_seconds": 0.0, "counted_by": "upstream"}
        for cost, currency in (("0.015", "EUR"), ("0", UNKNOWN_CURRENCY)):
            said = asked | {"cost": cost, "cost_currency": currency}
            usage = shop.usage("Li", permit=shop.permit("Li", "chat"), **said)
            shop.meter.record(usage).result(10)
    at = ("--period", "2026-10", "--home", sold)
    chat, __ = mintage.json("economics", "break-even", "--fixed", "1 EUR", *at)["products"]
    assert (chat["cost"], chat["unknown"], chat["each"]) == ("0.015", {"unsaid": 1}, "0.0125")
    assert (chat["break_even_calls"], chat["is_earned"]) == (80, False)
    told = mintage("economics", "break-even", "--fixed", "1 EUR", *at)
    assert "≥ 0.02 EUR" in told
    assert "80 charged calls at the least, since what 1 cost is not known; it had 2." in told
    assert "answered by upstreams: 1." in mintage.err
    page = tmp_path / "plans.html"
    for words in (["--plans", "pets"], ["--compare-models"]):
        (found,) = mintage.json("economics", "replay", *words, *at)
        each = found if "plan" in found else found["models"][0]
        assert (each["cost"], each["unknown_cost_calls"]) == ("0.015", 109)
        assert "≤ 99.3%" in mintage("economics", "replay", *words, "--html", page, *at)
        assert "computed here: 108." in mintage.err
        assert "≤ 99.3%" in page.read_text()


def test_what_upstreams_ask_is_cost_enough_where_nothing_is_computed(
    mintage: Terminal, sold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINTAGE_COMPUTE_COST")
    clock = ManualClock()
    clock.moment = datetime(2026, 10, 20, tzinfo=UTC)
    with Workspace(sold, clock) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        shop.sell("chat", "pets")
        asked = {"compute_seconds": 0.0, "counted_by": "upstream", "cost_currency": "EUR"}
        usage = shop.usage("Li", permit=shop.permit("Li", "chat"), cost="0.015", **asked)
        shop.meter.record(usage).result(10)
    at = ("--period", "2026-10", "--fixed", "1 EUR", "--home", sold)
    chat, pets = mintage.json("economics", "break-even", *at)["products"]
    assert (chat["each"], chat["break_even_calls"], chat["is_earned"]) == ("0.005", 200, False)
    assert (pets["cost"], pets["is_earned"]) == (None, None)


def test_what_training_cost_is_asked_for_where_no_run_knows_it(
    mintage: Terminal, sold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", sold)
    for path in (sold / "runs").glob("*/run.json"):
        path.unlink()
    mintage("economics", "show", "--period", "2026-10", "--write-off", "12", *at)
    assert "not known of pets@1" in mintage.err
    found = mintage.json("economics", "break-even", "--period", "2026-10", *at)
    assert found["unknown_training_costs"] == ["pets@1"]
    monkeypatch.delenv("MINTAGE_COMPUTE_COST")
    mintage("economics", "break-even", "--period", "2026-10", *at, status=2)
    assert "MINTAGE_COMPUTE_COST='0.05 EUR'" in mintage.err
