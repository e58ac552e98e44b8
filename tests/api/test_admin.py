"""The operator's routes: the command line's verbs over HTTP, each for those who may."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.api.office import Office, office
from tests.terminal import Terminal

from mintage.api import openapi
from mintage.api.admin import PREFIX, models
from mintage.api.admin.bodies import MOST_BYTES
from mintage.api.admin.desk import ROLE
from mintage.api.models import Limits
from mintage.capture.keys import ApiKey, OperatorKey
from mintage.capture.operators import ROLES
from mintage.capture.payments.manual import Manual
from mintage.core.messages import told
from mintage.core.money import Money
from mintage.core.types import Payment
from mintage.store import schema

GOLD = """
currency = "EUR"
fee = "29.00"

[[charges]]
unit = "image"
price = "0.01"
included = 100
"""
__all__ = ["office"]

TOML = {"Content-Type": "application/toml"}
TERMS = {"currency": "EUR", "charges": [{"unit": "image", "price": "0.01"}]}


@pytest.fixture
def mintage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def described(office: Office) -> dict[str, Any]:
    return office.client.get("/openapi-admin.json").json()


# ---- who may


def test_every_route_declares_its_role_and_says_which_where_another_asks(office: Office) -> None:
    taken = {
        "viewer": {"viewer"},
        "support": {"viewer", "support"},
        "billing": {"viewer", "billing"},
        "admin": set(ROLES),
    }
    operations = [
        (method.upper(), path, operation)
        for path, found in described(office)["paths"].items()
        for method, operation in found.items()
    ]
    assert len(operations) > 30
    for method, path, operation in operations:
        wanted = operation[ROLE]
        assert operation["security"] == [{"operator": []}]
        assert wanted != "viewer" or method == "GET" or ":" in path, path
        for role in ROLES:
            asked = path.removeprefix(PREFIX).replace("{line}", "1")
            headers = {"Authorization": f"Bearer {office.keys[role]}"}
            said = office.client.request(method, f"{PREFIX}{asked}", headers=headers)
            if wanted in taken[role]:
                assert said.status_code not in (401, 403, 500), (method, path, role, said.text)
            else:
                assert said.status_code == 403, (method, path, role)
                assert f"'{wanted}'" in said.json()["detail"]


def test_without_an_operators_key_every_route_gives_one_identical_answer(office: Office) -> None:
    office.app.capture.operators.add("gone", "admin")
    gone = office.app.capture.rotate_operator("gone", "0s").key.reveal()
    office.app.capture.operators.revoke("gone")
    rotated = office.keys["viewer"]
    office.app.capture.rotate_operator("viewer", "0s")
    keys = [gone, rotated, office.shop.key_of("Ada"), "mtg_op_typo", "", OperatorKey.generate()]
    presented = [each.reveal() if isinstance(each, ApiKey) else each for each in keys]
    for path, found in described(office)["paths"].items():
        for method in found:
            answers = set()
            for key in presented:
                headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "same"}
                said = office.client.request(
                    method.upper(), path, headers=headers, content=b"x" * (MOST_BYTES + 1)
                )
                answers.add((said.status_code, tuple(said.headers.raw), said.content))
            assert len(answers) == 1, path
            assert answers.pop()[0] == 401


def test_what_operators_ask_is_a_line_of_the_log_with_their_id_and_no_key(
    office: Office, log: Callable[[], list[dict[str, Any]]]
) -> None:
    office.post("/customers", "support", 201, name="Carl")
    office.get("/customers/Carl", "viewer")
    office.client.get(f"{PREFIX}/customers/Carl")
    office.client.get("/metrics")
    lines = [line for line in log() if line["event"] == "request"]
    routes = [f"{PREFIX}/customers", *[f"{PREFIX}/customers/{{customer}}"] * 2]
    assert [line["route"] for line in lines] == routes
    listed = {each["name"]: each["id"] for each in office.get("/operators", "admin")["operators"]}
    said = [line.get("operator") for line in lines]
    assert said == [listed["support"], listed["viewer"], None]


def test_a_revoked_operator_is_refused_from_the_next_request_on(office: Office) -> None:
    office.get("/customers", "support")
    office.post("/operators/support/revoke")
    office.get("/customers", "support", status=401)
    office.ask("PUT", "/operators/viewer/role", json={"role": "support"})
    office.post("/customers", "viewer", 201, name="Carl")


# ---- the verbs


ECONOMICS, NOVEMBER, MODELS = ("economics",), ("--period", "2026-11"), ("--compare-models",)


def test_what_is_read_is_what_the_command_line_says(office: Office, mintage: Terminal) -> None:
    office.ask("PUT", "/plans/gold", content=GOLD.encode(), headers=TOML)
    office.post("/customers/Ada/plans", plan="gold")
    office.post("/invoices:run", period="2026-11", issue=True)
    office.post("/credits", "billing", 201, customer="Ada", amount="50 EUR", payment="bank 1")
    number = office.get("/invoices")["invoices"][0]["number"]
    receipt = office.get("/usage")["usage"][0]["receipt"]
    office.publish()
    at = ("--home", office.home)
    cases: list[tuple[str, str | None, tuple[object, ...]]] = [
        ("/customers", "customers", ("customer", "list")),
        ("/customers/Ada/keys", "keys", ("key", "list", "Ada")),
        ("/customers/Ada/plans", "plans", ("customer", "plans", "Ada")),
        ("/plans", "plans", ("plan", "list")),
        ("/plans/gold@1", None, ("plan", "show", "gold@1")),
        ("/usage", "usage", ("usage",)),
        ("/usage?customer=Ada&product=pets", "usage", ("usage", "--customer", "Ada")),
        ("/usage?period=2026-11", "usage", ("usage", "--period", "2026-11")),
        ("/usage/totals?period=2026-11", None, ("usage", "--period", "2026-11", "--totals")),
        ("/invoices?period=2026-11", "invoices", ("invoice", "list")),
        (f"/invoices/{number}", None, ("invoice", "show", number)),
        (f"/invoices/{number}/lines/1/events", "events", ("invoice", "events", number)),
        ("/ledger?since=2026-11", None, ("ledger", "check")),
        ("/economics?period=2026-11", "rows", ("economics", "show", "--period", "2026-11")),
        ("/economics/customers?period=2026-11", "rows", (*ECONOMICS, "customers", *NOVEMBER)),
        ("/economics/cohorts?until=2026-11", "rows", (*ECONOMICS, "cohorts", "--until", "2026-11")),
        ("/economics/models?period=2026-11", "rows", (*ECONOMICS, "replay", *MODELS, *NOVEMBER)),
        ("/products", "products", ("products",)),
        ("/credits", "credits", ("credit", "list")),
    ]
    for path, member, words in cases:
        said, told = office.get(path), mintage.json(*words, *at)
        assert (said if member is None else said[member]) == told, path
        assert told, path
    assert office.get("/operators", "admin")["operators"] == mintage.json("operator", "list", *at)
    said = office.post("/plans:simulate", "viewer", plan="gold", units=[10, 200])
    told = mintage.json("plan", "simulate", "gold", "--units", "10,200", *at)
    for row in (*said["rows"], *told["rows"]):
        del row["lines"]  # of the present month, which is another for the command line's clock
    assert said == told
    replayed = office.post("/economics:replay", "viewer", period="2026-11", plans=["gold"])
    words = ("economics", "replay", "--period", "2026-11", "--plans", "gold", *at)
    assert replayed["rows"] == mintage.json(*words)
    # A signature of ECDSA is another one each time; what is signed is not.
    mine, theirs = office.get(f"/receipts/{receipt}"), mintage.json("receipt", receipt, *at)
    assert mine["statement"] == theirs["statement"]
    assert mine["envelope"]["payload"] == theirs["envelope"]["payload"]


def test_an_operator_sells_bills_and_takes_back_and_the_log_names_them(office: Office) -> None:
    made = office.post("/customers", "support", 201, name="Carl")
    assert office.shop.gate.caller(made["key"], "usage").customer == made["id"]
    office.post("/customers", "support", 409, name="Carl")
    details = {"legal_name": "Carl GmbH", "taxes": [{"name": "VAT", "percent": "19"}]}
    changed = office.ask("PUT", "/customers/Carl/details", "support", json=details)
    assert office.get("/customers/Carl/details") == changed["details"]
    assert changed["details"]["legal_name"] == "Carl GmbH"
    limits = {"scopes": ["usage"], "networks": ["10.0.0.0/8"], "expires": "90d", "name": "ci"}
    issued = office.post("/customers/Carl/keys", "support", 201, **limits)
    rotated = office.post(f"/keys/{issued['key_id']}/rotate", "support", 201, overlap="0s")
    assert rotated["replaced"]["id"] == issued["key_id"]
    assert rotated["networks"] == ["10.0.0.0/8"]
    assert office.post(f"/keys/{rotated['key_id']}/revoke", "support")["revoked_at"]
    office.ask("PUT", "/plans/gold", "billing", json=TERMS)
    again = office.ask("PUT", "/plans/gold", "billing", json=TERMS)
    assert again["version"] == 1
    begun = office.post("/customers/Carl/plans", "billing", plan="gold")
    assert office.post("/customers/Carl/plans", "billing", plan="gold") == begun
    ended = office.post("/customers/Carl/plans/gold/cancel", "billing", at_month_end=True)
    assert ended["ended_at"] == "2027-01-01T00:00:00.000000Z"
    ran = office.post("/invoices:run", "billing", period="2026-11")
    assert office.post("/invoices:run", "billing", period="2026-11")["drafted"] == ran["drafted"]
    first, second = ran["drafted"]
    number = office.post(f"/invoices/{first['id']}/issue", "billing")["number"]
    payment = {"amount": "0.01", "reference": "bank 7"}
    assert office.post(f"/invoices/{number}/pay", "billing", **payment)["status"] == "issued"
    office.post(f"/invoices/{number}/pay", "billing", **payment)
    assert office.post(f"/invoices/{number}/pay", "billing", reference="8")["status"] == "paid"
    note = office.post(f"/invoices/{number}/credit", "billing", reason="wrong", anew=True)
    assert (note["kind"], note["corrects"]) == ("credit_note", first["id"])
    assert office.post(f"/invoices/{second['id']}/void", "billing")["status"] == "void"
    office.get("/ledger")
    assert office.actors("customer.added")[-1] == office.actors("customer.changed")[0] == "support"
    assert office.actors("key.issued")[-3:] == ["support"] * 3
    assert office.actors("key.revoked") == office.actors("key.rotated") == ["support"]
    assert office.actors("plan.set")[-1] == "billing"
    assert office.actors("subscription.begun") == office.actors("subscription.ended") == ["billing"]
    assert set(office.actors("invoice.issued")) == {"billing"}
    assert set(office.actors("ledger.posted")) == {"billing"}
    assert office.app.capture.audit()["records"] > 20


def test_what_is_overdue_exported_and_collected_is_asked_for_over_http(
    office: Office, mintage: Terminal
) -> None:
    ran = office.post("/invoices:run", "billing", period="2026-11", issue=True)
    number = ran["drafted"][0]["number"]
    assert office.get("/invoices:overdue") == {"invoices": []}
    office.shop.clock.advance(40 * 86_400)
    (first, *__) = office.get("/invoices:overdue")["invoices"]
    assert (first["number"], first["owed"]) == (number, first["to_pay"])
    said = office.get("/invoices:export?period=2026-11")
    assert number in said["written"]
    assert number in said["files"]["csv.csv"]
    assert office.get("/invoices:export?period=2026-11&format=ubl")["left_out"][0]["reason"]
    office.ask("GET", "/invoices:export?period=2026-11&format=odd", status=400)
    office.post(f"/invoices/{number}/push", "viewer", 403, provider="stripe")
    office.post(f"/invoices/{number}/push", "billing", 404, provider="barter")
    nothing = {"payments": [], "failed": [], "mismatches": []}
    assert office.post("/invoices:sync", "billing") == nothing
    office.post("/invoices:sync", "billing", 404, provider="barter")
    office.post("/invoices:dismiss", "viewer", 403, reference="in_1", reason="sent back")
    office.post("/invoices:dismiss", "billing", 404, reference="in_1", reason="sent back")
    credit = office.post("/credits", "billing", 201, customer="Ada", amount="50 EUR")
    owner = next(each for each in ran["drafted"] if each["customer"] == credit["customer"])
    paid = office.post(f"/invoices/{owner['id']}/pay", "billing", credit=True)
    assert (paid["status"], paid["credit"]) == ("paid", owner["total"])
    office.post(f"/invoices/{owner['id']}/pay", "billing", 400)


def test_a_credit_note_that_is_sent_again_under_its_reference_is_written_once(
    office: Office,
) -> None:
    (first, *__) = office.post("/invoices:run", "billing", period="2026-11", issue=True)["drafted"]
    address = f"/invoices/{first['number']}/credit"
    said = {"line": 1, "amount": "0.01", "reason": "slow", "reference": "ticket 7"}
    note = office.post(address, "billing", **said)
    assert office.post(address, "billing", **said) == note
    for other in ({"amount": "0.02"}, {"line": None, "amount": None}):
        refused = office.post(address, "billing", 409, **said | other)
        assert note["number"] in refused["detail"]
    office.post(address, "billing", 400, **said | {"reference": ""})
    assert office.get(f"/invoices/{first['number']}")["credited"] == "0.01"


def test_what_a_provider_took_beyond_what_is_owed_is_said_over_http(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *__) = office.post("/invoices:run", "billing", period="2026-11", issue=True)["drafted"]
    took = Payment("in_1", first["number"], Money.parse("1", "EUR"))
    office.post(f"/invoices/{first['number']}/push", "billing", provider="manual")
    monkeypatch.setattr(Manual, "look", lambda _self, _reference: took)
    (found,) = office.post("/invoices:sync", "billing")["payments"]
    rest = Money.parse("1", "EUR") + -Money.parse(first["total"], "EUR")
    assert (found["status"], found["credit"]) == ("paid", rest.amount)


def test_credit_is_added_once_by_its_reference_seen_and_paid_back(office: Office) -> None:
    paid = {"customer": "Ada", "amount": "50 EUR", "payment": "bank 1", "expires": "365d"}
    added = office.post("/credits", "billing", 201, **paid)
    assert office.post("/credits", "billing", 201, **paid)["id"] == added["id"]
    listed = office.get("/credits?customer=Ada")["credits"]
    assert [each["id"] for each in listed] == [added["id"]]
    limits = office.get("/customers/Ada/limits")
    Limits.model_validate(limits)
    assert [each["left"] for each in limits["credit"]] == ["50"]
    office.post(f"/credits/{added['id']}/refund", "billing")
    assert [each["left"] for each in office.get("/customers/Ada/limits")["credit"]] == ["0"]
    office.post("/credits", "billing", 404, customer="Nobody", amount="5 EUR")
    office.post("/credits", "billing", 400, customer="Ada", amount="much")
    office.post("/credits/none/refund", "billing", 404)
    assert set(office.actors("ledger.posted")) == {"billing"}
    budget = office.post("/customers/Ada/keys", "support", 201, budget="10 EUR")["budget"]
    assert budget == "10 EUR"


def test_what_is_given_is_given_once_for_each_idempotency_key(office: Office) -> None:
    gift = {"customer": "Ada", "amount": "5 EUR"}

    def give(key: str | None, status: int = 201, **changes: str) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return office.ask(
            "POST", "/credits", "billing", status, json=gift | changes, headers=headers
        )

    first = give("b7d0")
    assert give("b7d0") == first
    assert give("another")["id"] != first["id"]
    assert give(None)["id"] != give(None)["id"]  # without a key each is another
    assert give("b7d0", 409, amount="6 EUR")["detail"].startswith("5 EUR was given")
    give("b7d0", 409, customer="王小明")
    give("k" * 256, 400)
    limits = office.get("/customers/Ada/limits")
    assert [each["left"] for each in limits["credit"]] == ["20"]
    headers = {"Authorization": f"Bearer {office.keys['billing']}", "Idempotency-Key": "b7d0"}
    again = office.client.request("POST", "/v1/admin/credits", headers=headers, json=gift)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_last_admin_stays_one(office: Office) -> None:
    said = office.ask("PUT", "/operators/admin/role", status=409, json={"role": "viewer"})
    assert "is the last operator who is 'admin'" in said["detail"]
    assert office.post("/operators/admin/revoke", status=409)["detail"] == said["detail"]
    office.post("/operators", "admin", 201, name="Eve", role="admin")
    office.ask("PUT", "/operators/admin/role", json={"role": "viewer"})
    office.get("/operators", "admin", status=403)


def test_answers_are_shaped_as_the_description_says(office: Office) -> None:
    office.ask("PUT", "/plans/gold", json=TERMS)
    shapes: dict[str, tuple[type[Any], Callable[[], Any]]] = {
        "customer": (
            models.CustomerWithKey,
            lambda: office.post("/customers", "admin", 201, name="Carl"),
        ),
        "customers": (models.CustomerPage, lambda: office.get("/customers")),
        "details": (models.CustomerDetails, lambda: office.get("/customers/Ada/details")),
        "begun": (models.Begun, lambda: office.post("/customers/Ada/plans", plan="gold")),
        "plans begun": (models.BegunPage, lambda: office.get("/customers/Ada/plans")),
        "key": (
            models.IssuedKeyShown,
            lambda: office.post("/customers/Ada/keys", "admin", 201),
        ),
        "keys": (models.KeyPage, lambda: office.get("/customers/Ada/keys")),
        "plan": (models.ShownPlan, lambda: office.get("/plans/gold")),
        "plans": (models.PlanPage, lambda: office.get("/plans")),
        "simulated": (
            models.SimulatedShown,
            lambda: office.post("/plans:simulate", "viewer", terms=TERMS),
        ),
        "usage": (models.UsagePage, lambda: office.get("/usage")),
        "run": (models.RanInvoices, lambda: office.post("/invoices:run", period="2026-11")),
        "invoices": (models.InvoicePage, lambda: office.get("/invoices")),
        "ledger": (models.CheckedLedger, lambda: office.get("/ledger")),
        "operators": (models.OperatorPage, lambda: office.get("/operators", "admin")),
        "operator": (
            models.IssuedOperatorShown,
            lambda: office.post("/operators", "admin", 201, name="Eve", role="viewer"),
        ),
        "rotated": (
            models.IssuedOperatorShown,
            lambda: office.post("/operators/Eve/rotate", "admin", 201),
        ),
    }
    for model, ask in shapes.values():
        model.model_validate(ask())
    issued = office.get("/customers/Ada/keys")["keys"][0]
    rotated = office.post(f"/keys/{issued['id']}/rotate", "admin", 201)
    models.RotatedKeyShown.model_validate(rotated)


def test_usage_is_added_up_by_customer_product_and_outcome_summed_up_or_not(
    office: Office,
) -> None:
    shop = office.shop
    shop.clock.moment = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    shop.meter.record(shop.usage("Ada", quantities={"image": 2, "explanation": 1})).result(10)
    shop.meter.record(shop.usage("Ada", outcome="error")).result(10)
    before = office.get("/usage/totals?period=2026-11")["totals"]
    shop.rollup.catch_up()
    assert office.get("/usage/totals?period=2026-11")["totals"] == before
    shop.clock.advance(1)
    shop.meter.record(shop.usage("Ada")).result(10)
    after = office.get("/usage/totals?period=2026-11&customer=Ada")["totals"]
    ada = office.get("/customers/Ada")["id"]
    said = {"customer": ada, "product": "pets"}
    assert after == [
        {**said, "outcome": "error", "events": 1, "quantities": {"image": 1}},
        {**said, "outcome": "ok", "events": 4, "quantities": {"explanation": 1, "image": 5}},
    ]
    assert [each for each in before if each["customer"] == ada] == after
    december = office.get("/usage/totals?period=2026-12&product=pets")["totals"]
    assert [(each["customer"], each["events"]) for each in december] == [(ada, 1)]
    assert office.get("/usage/totals?period=2026-12&product=birds")["totals"] == []
    assert len(office.get("/usage?period=2026-12")["usage"]) == 1
    assert len(office.get("/usage?period=2026-11&customer=Ada")["usage"]) == 5
    office.get("/usage?period=november", status=400)


@pytest.mark.parametrize(
    ("path", "name", "key"),
    [
        ("/customers", "customers", "id"),
        ("/customers/Ada/keys", "keys", "id"),
        ("/usage", "usage", "receipt"),
        ("/invoices", "invoices", "id"),
        ("/plans", "plans", "name"),
        ("/operators", "operators", "name"),
    ],
)
def test_a_list_is_read_page_by_page_and_nothing_twice(
    office: Office, path: str, name: str, key: str
) -> None:
    office.post("/customers/Ada/keys", "admin", 201)
    office.ask("PUT", "/plans/gold", json=TERMS)
    office.post("/invoices:run", period="2026-11")
    whole = office.get(path, "admin")
    assert whole["next"] is None
    found, after = [], ""
    for __ in range(20):
        said = office.get(f"{path}?limit=1{after}", "admin")
        found += said[name]
        if said["next"] is None:
            break
        after = f"&after={said['next']}"
    assert len(found) > 1
    assert [each[key] for each in found] == [each[key] for each in whole[name]]
    office.get(f"{path}?after=none_such", "admin", status=404)
    office.get(f"{path}?limit=0", "admin", status=400)
    office.get(f"{path}?limit=1001", "admin", status=400)


def test_an_invoice_is_json_html_or_csv_by_accept_or_by_its_ending(office: Office) -> None:
    ran = office.post("/invoices:run", period="2026-11", issue=True)
    number = ran["drafted"][0]["number"]
    path = f"{PREFIX}/invoices/{number}"
    office.client.headers["Authorization"] = f"Bearer {office.keys['viewer']}"

    def ask(ending: str = "", **headers: str) -> httpx.Response:
        return office.client.get(f"{path}{ending}", headers=headers)

    assert ask().json() == ask(".json", Accept="text/html").json() == ran["drafted"][0]
    pages = [
        ask(".html", **{"Accept-Language": "zh"}),
        ask(Accept="text/html;q=0.9, application/json;q=0.1", **{"Accept-Language": "zh"}),
    ]
    assert pages[0].content == pages[1].content
    assert "账单" in pages[0].text
    assert pages[0].headers["Content-Language"] == "zh"
    assert pages[0].headers["Content-Type"].startswith("text/html")
    rows = list(csv.DictReader(io.StringIO(ask(".csv").text)))
    assert [row["number"] for row in rows] == [number] * len(rows)
    assert ask(".pdfx").status_code == 404


# ---- bad input


def test_a_body_that_is_not_as_it_has_to_be_changes_nothing_and_says_why(office: Office) -> None:
    cases: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", "/customers", {"content": b"{"}, 400),
        ("POST", "/customers", {"content": b"[]"}, 400),
        ("POST", "/customers", {"content": b'{"name": "Carl", "name": "Eve"}'}, 400),
        ("POST", "/customers", {"json": {}}, 400),
        ("POST", "/customers", {"json": {"name": "Carl", "nmae": "x"}}, 400),
        ("POST", "/customers", {"json": {"name": "a" * 201}}, 400),
        ("POST", "/customers", {"content": b"x" * (MOST_BYTES + 1)}, 413),
        ("POST", "/customers", {"content": iter([b"x" * MOST_BYTES, b"x"])}, 413),
        ("POST", "/customers", {"content": b"{}", "headers": {"Content-Type": "text/csv"}}, 415),
        ("POST", "/customers", {"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, 415),
        ("POST", "/customers", {"content": b'{"name": "\xff"}'}, 400),
        ("POST", "/customers", {"content": b"[" * 100_000}, 400),
        ("PUT", "/plans/gold", {"json": {"currency": "EUR", "charge": []}}, 400),
        ("PUT", "/plans/gold", {"json": {"currency": "EUR", "fee": 29.0}}, 400),
        ("PUT", "/plans/..", {"json": TERMS}, 404),
        ("PUT", "/plans/a b", {"json": TERMS}, 400),
        ("PUT", "/plans/gold", {"content": b"a =", "headers": TOML}, 400),
        ("PUT", "/customers/Ada/details", {"json": {"adress": "x"}}, 400),
        ("PUT", "/customers/Ada/details", {"json": {"taxes": 7}}, 400),
        ("PUT", "/customers/Nobody/details", {"json": {}}, 404),
        ("POST", "/customers/Ada/keys", {"json": {"scopes": ["root"]}}, 400),
        ("POST", "/customers/Ada/keys", {"json": {"products": ["none"]}}, 404),
        ("POST", "/customers/Nobody/keys", {"json": {}}, 404),
        ("POST", "/keys/key_none/revoke", {}, 404),
        ("POST", "/customers/Ada/plans", {"json": {"plan": "none"}}, 404),
        ("POST", "/customers/Ada/plans/none/cancel", {}, 404),
        ("POST", "/invoices:run", {"json": {"period": "2026-13"}}, 400),
        ("POST", "/invoices/INV-1/pay", {"json": {"reference": "1"}}, 404),
        ("POST", "/invoices/INV-1/credit", {"json": {"reason": ""}}, 400),
        ("POST", "/operators", {"json": {"name": "Eve", "role": "root"}}, 400),
        ("POST", "/operators", {"json": {"name": "viewer", "role": "admin"}}, 409),
        ("POST", "/plans:simulate", {"json": {}}, 400),
        ("POST", "/plans:simulate", {"json": {"plan": "standard", "units": [-1]}}, 400),
        ("POST", "/economics:replay", {"json": {"period": "2026-11"}}, 400),
        ("GET", "/economics?period=2026-11&by=colour", {}, 400),
        ("GET", "/invoices?status=odd", {}, 400),
        ("GET", "/usage?customer=Nobody", {}, 404),
    ]  # fmt: skip
    office.ask("GET", "/operators")  # the first in a day is an entry
    with office.shop.database.read() as connection:
        before = len(connection.execute(select(schema.log_leaves.c.position)).all())
    for method, path, options, status in cases:
        said = office.ask(method, path, status=status, **options)
        assert said["remedy"] or said["detail"], (method, path)
    with office.shop.database.read() as connection:
        assert len(connection.execute(select(schema.log_leaves.c.position)).all()) == before


def test_a_plan_that_is_asked_for_over_http_is_never_a_file_of_the_server(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.toml").write_text(GOLD)
    office.post("/plans:simulate", "viewer", 404, plan="secret.toml")
    office.post("/economics:replay", "viewer", 404, period="2026-11", plans=["secret.toml"])
    office.post("/customers/Ada/plans", "admin", 404, plan="secret.toml")


def test_the_description_is_whole_and_every_reference_in_it_resolves(office: Office) -> None:
    document = described(office)
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    references = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()
    assert "HTTPValidationError" not in text
    assert set(document["components"]["securitySchemes"]) == {"operator"}
    for path, found in document["paths"].items():
        assert path.startswith(PREFIX)
        for operation in found.values():
            assert operation["summary"]
            assert {"401", "403"} <= operation["responses"].keys()


def test_every_text_of_the_description_is_in_the_catalogue(office: Office) -> None:
    texts = set(openapi.texts(described(office)))
    assert [text for text in texts if told(text, "zh") == text] == []


def test_without_a_workspace_the_operators_port_has_no_admin_routes(operator: Any) -> None:
    assert operator.get(f"{PREFIX}/customers").status_code == 404
    assert operator.get("/openapi-admin.json").status_code == 404


def test_who_comes_to_the_operators_port_and_who_is_refused_there_is_logged(
    office: Office,
) -> None:
    for __ in range(3):
        office.get("/products", by="viewer")
        office.ask("POST", "/operators", by="viewer", status=403, json={})
    office.shop.clock.advance(86_400)
    office.get("/products", by="viewer")
    unknown = {"Authorization": "Bearer mtg_op_unknown"}
    for __ in range(4):
        office.ask("GET", "/products", status=401, headers=unknown)
    assert office.actors("operator.entered") == ["viewer", "viewer"]
    refusals = office.service.refusals
    assert refusals is not None
    refusals.close()
    records = [json.loads(leaf["record"]) for leaf in office.shop.leaves("operator.refused")]
    viewer = office.app.capture.operators.caller(office.keys["viewer"]).id
    assert [(each["operator"], each["code"], each["count"]) for each in records] == [
        (None, "unauthenticated", 4),
        (viewer, "not_allowed", 3),
    ]


def test_a_receipt_that_an_operator_reads_is_an_entry_and_one_that_is_not_there_is_none(
    office: Office,
) -> None:
    receipt = office.get("/usage")["usage"][0]["receipt"]
    office.get(f"/receipts/{receipt}", by="support")
    office.ask("GET", "/receipts/rcp_none", by="support", status=404)
    (record,) = [json.loads(leaf["record"]) for leaf in office.shop.leaves("data.read")]
    assert (record["what"], record["receipt"]) == ("receipt", receipt)
    assert record["actor"]["name"] == "support"
