"""The chain of an invoice over two versions of a product's own plan, one after the other."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import InProcess, serving
from tests.conftest import ManualClock
from tests.sold import PREDICT

from mintage.api.application import customer_app
from mintage.app.chaining import opened_evidence, walked
from mintage.app.root import App
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.terms import Terms
from mintage.core.settings import load_settings

MORE: dict[str, dict[str, Any]] = {
    "included and tiers": {"included": 2},
    "a maximum, by the second": {"maximum": "1", "prorate": "second"},
    "a discount": {"discount_percent": "10"},
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_both_versions_lines_hold(trained_home: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    home = Path(shutil.copytree(trained_home, tmp_path / "home"))
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    clock = ManualClock()
    clock.moment = datetime(2026, 11, 2, tzinfo=UTC)
    with App(load_settings(home=home, threads=1), clock) as app:
        app.publishing.publish("pets", "pets", price="0.1", currency="EUR")
        app.publishing.publish("pets", "pets")
        __, issued = app.capture.add_customer("Ada")
        headers = {"Authorization": f"Bearer {issued.key.reveal()}"}
        with serving(app) as service, InProcess(customer_app(service)) as client:
            for day, price in ((4, "1"), (16, "2")):
                clock.moment = datetime(2026, 11, day, 12, tzinfo=UTC)
                terms = dict(more)
                included = int(terms.pop("included", 0))
                charge = Charge("image", (Tier(price),), "graduated", included=included)
                app.capture.plans.agree("pets", Terms("EUR", (charge,), **terms))
                for minute in range(1, 4):
                    clock.moment = clock.moment.replace(minute=minute)
                    said = client.request("POST", PREDICT, content=picture, headers=headers)
                    assert said.status_code == 200, said.text
            clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
            (invoice,) = app.billing.run("2026-11", issue=True).drafted
            place = f"/v1/invoices/{invoice.number}/evidence"
            zipped = client.request("GET", place, headers=headers)
            (tmp_path / "evidence.zip").write_bytes(zipped.content)
            client.call(service.engine.close())
        with opened_evidence(tmp_path / "evidence.zip") as evidence:
            chain = walked(evidence, app.keys)
    assert {line["plan"] for line in invoice.document["lines"]} == {"pets@2", "pets@3"}
    assert chain.broken is None
