"""A customer's own usage, invoices and receipts, over a real workspace."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.conftest import InProcess
from tests.api.office import Office, office

from mintage.api import models
from mintage.api.application import customer_app
from mintage.api.invoice_forms import _accepted

__all__ = ["office"]
from mintage.trust.statements import MEDIA_TYPE


@pytest.fixture
def ada(office: Office) -> Iterator[InProcess]:
    key = office.shop.key_of("Ada")
    with InProcess(customer_app(office.service), Authorization=f"Bearer {key}") as client:
        yield client


def ask(client: InProcess, path: str, status: int = 200, **headers: str) -> httpx.Response:
    said = client.get(path, headers=headers)
    assert said.status_code == status, said.text
    return said


def test_usage_is_listed_by_month_and_page_by_page(office: Office, ada: InProcess) -> None:
    office.shop.meter.record(office.shop.usage("Ada", outcome="error")).result(10)
    november = models.UsageList.model_validate(ask(ada, "/v1/usage?period=2026-11").json())
    december = models.UsageList.model_validate(ask(ada, "/v1/usage?period=2026-12").json())
    assert [each["outcome"] for each in november.usage] == ["ok"] * 3
    assert [each["outcome"] for each in december.usage] == ["error"]
    found, after = [], ""
    while after is not None:
        said = ask(ada, f"/v1/usage?limit=3{after}").json()
        found += said["usage"]
        after = said["next"] and f"&after={said['next']}"
    assert found == [*december.usage, *november.usage]
    assert ask(ada, "/v1/usage?period=2026-13", 400).json()["code"] == "config_error"


def test_usage_is_added_up_by_product_and_outcome_and_a_bound_key_sees_its_own_products(
    office: Office, ada: InProcess
) -> None:
    shop = office.shop
    shop.sell("birds")
    shop.clock.moment = datetime(2026, 11, 24, tzinfo=UTC)
    birds = shop.permit("Ada", "birds")
    shop.meter.record(shop.usage("Ada", birds, quantities={"image": 2})).result(10)
    shop.meter.record(shop.usage("Ada", birds, outcome="timeout")).result(10)
    said = models.UsageTotals.model_validate(
        ask(ada, "/v1/usage/totals?period=2026-11").json()
    ).model_dump()
    rows = [(each["product"], each["outcome"], each["events"]) for each in said["totals"]]
    assert rows == [("birds", "ok", 1), ("birds", "timeout", 1), ("pets", "ok", 3)]
    assert said["totals"][0]["quantities"] == {"image": 2}
    bound = office.app.capture.issue_key("Ada", products=["pets"]).key.reveal()
    theirs = {"Authorization": f"Bearer {bound}"}
    totals = ask(ada, "/v1/usage/totals?period=2026-11", **theirs).json()["totals"]
    assert [each["product"] for each in totals] == ["pets"]
    ask(ada, "/v1/usage/totals?period=2026-11&product=birds", 403, **theirs)
    ask(ada, "/v1/usage/totals?period=2026-11&product=pets", **theirs)
    ask(ada, "/v1/usage/totals", 400)


def test_a_running_month_is_previewed_for_customer_and_operator_and_is_not_final(
    office: Office, ada: InProcess
) -> None:
    owner = office.shop.customers.find("Ada").id
    empty = {"customer": owner, "final": False, "documents": []}
    assert ask(ada, "/v1/invoices/preview").json() == empty
    office.shop.clock.moment += timedelta(minutes=2)
    office.shop.meter.record(office.shop.usage("Ada")).result(10)
    said = ask(ada, "/v1/invoices/preview").json()
    (document,) = models.InvoicePreview.model_validate(said).documents
    assert (document["number"], document["period"], document["total"]) == (None, "2026-12", "0.02")
    assert document["preview"]["final"] is False
    assert office.get("/invoices:preview?customer=Ada") == said
    assert office.get("/invoices:preview?customer=Ada&period=2026-11")["documents"]
    office.get("/invoices:preview?customer=Eve", status=404)
    office.get("/invoices:preview?customer=Ada&period=2027-01", status=400)
    bound = office.app.capture.issue_key("Ada", products=["pets"]).key.reveal()
    ask(ada, "/v1/invoices/preview", 403, Authorization=f"Bearer {bound}")
    assert ask(ada, "/v1/invoices").json()["invoices"] == []


def test_invoices_are_listed_and_read_as_json_html_and_csv_in_both_languages(
    office: Office, ada: InProcess
) -> None:
    details = {"legal_name": "Ada <GmbH>", "language": "zh"}
    office.ask("PUT", "/customers/Ada/details", json=details)
    drafted = office.post("/invoices:run", period="2026-11")["drafted"]
    assert ask(ada, "/v1/invoices").json() == {"invoices": [], "next": None}
    mine = next(each for each in drafted if each["document"]["customer"]["name"] == "Ada")
    issued = office.post(f"/invoices/{mine['id']}/issue")
    number = issued["number"]
    listed = models.InvoiceList.model_validate(ask(ada, "/v1/invoices").json())
    assert [each.number for each in listed.invoices] == [number]
    said = ask(ada, f"/v1/invoices/{number}")
    models.InvoiceDocument.model_validate(said.json())
    assert said.json() == issued
    assert said.headers["Vary"] == "Accept, Accept-Language"
    html = ask(ada, f"/v1/invoices/{number}", Accept="text/html", **{"Accept-Language": "en"})
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    assert html.headers["Content-Language"] == "en"
    assert html.headers["Content-Disposition"] == f'attachment; filename="{number}.html"'
    assert f"Invoice {number}" in html.text
    assert "Ada &lt;GmbH&gt;" in html.text
    english = ask(ada, f"/v1/invoices/{number}.html", **{"Accept-Language": "en"})
    assert english.content == html.content
    # Who says no language gets the one in their details.
    own = ask(ada, f"/v1/invoices/{number}.html")
    asked = ask(ada, f"/v1/invoices/{number}.html", **{"Accept-Language": "zh-CN,en;q=0.5"})
    assert own.content == asked.content
    assert own.headers["Content-Language"] == "zh"
    assert f"账单 {number}" in own.text
    rows = list(csv.DictReader(io.StringIO(ask(ada, f"/v1/invoices/{number}.csv").text)))
    assert {row["number"] for row in rows} == {number}
    assert sum(float(row["amount"]) for row in rows) == float(issued["total"])


def test_an_invoice_is_fetched_as_it_was_signed_and_with_its_evidence(
    office: Office, ada: InProcess
) -> None:
    drafted = office.post("/invoices:run", period="2026-11")["drafted"]
    mine = next(each for each in drafted if each["document"]["customer"]["name"] == "Ada")
    assert "not signed" not in ask(ada, f"/v1/invoices/{mine['id']}.signed", 404).text
    refused = office.ask("GET", f"/invoices/{mine['id']}.signed", status=409)
    assert "only what is issued is signed" in str(refused)
    number = office.post(f"/invoices/{mine['id']}/issue")["number"]
    by_ending = ask(ada, f"/v1/invoices/{number}.signed")
    by_accept = ask(ada, f"/v1/invoices/{number}", Accept=MEDIA_TYPE)
    assert by_ending.content == by_accept.content
    assert office.ask("GET", f"/invoices/{number}.signed") == by_ending.json()
    assert by_ending.headers["Content-Type"] == MEDIA_TYPE
    said = json.loads(base64.b64decode(by_ending.json()["payload"]))
    assert said["subject"][0]["name"] == f"invoice/{number}"
    assert said["predicate"] == ask(ada, f"/v1/invoices/{number}").json()["document"]
    digest = said["subject"][0]["digest"]["sha256"]
    assert digest in ask(ada, f"/v1/invoices/{number}.html", **{"Accept-Language": "en"}).text
    zipped = ask(ada, f"/v1/invoices/{number}/evidence")
    assert zipped.headers["Content-Disposition"] == f'attachment; filename="{number}.zip"'
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.read("invoice.json") == by_ending.content
        count = len(archive.read("events.jsonl").splitlines())
        assert count == said["predicate"]["lines"][0]["events"]


def test_invoices_are_listed_page_by_page(office: Office, ada: InProcess) -> None:
    office.post("/invoices:run", period="2026-11", issue=True)
    first = ask(ada, "/v1/invoices").json()["invoices"][0]
    office.post(f"/invoices/{first['id']}/credit", reason="wrong", anew=True)
    office.post("/invoices:run", period="2026-11", issue=True)
    whole = ask(ada, "/v1/invoices").json()
    assert len(whole["invoices"]) == 3
    assert whole["next"] is None
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        said = ask(ada, f"/v1/invoices?limit=2{after}").json()
        found += said["invoices"]
        after = said["next"] and f"&after={said['next']}"
    assert found == whole["invoices"]
    by_number = ask(ada, f"/v1/invoices?after={first['number']}").json()
    assert by_number["invoices"] == found[1:]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/html", "html"),
        ("text/csv", "csv"),
        (MEDIA_TYPE, "signed"),
        ("TEXT/CSV; q=0.5, text/html; q=0.4", "csv"),
        ("text/*", "html"),
        ("text/html;q=0, */*;q=0.1", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("text/html;q=many", "json"),
        ("image/png", "json"),
    ],
)
def test_accept_says_which_form_is_liked_best(accept: str, form: str) -> None:
    assert _accepted(accept) == form
