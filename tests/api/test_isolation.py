"""What is one customer's is nothing to another: each object of the OpenAPI documents, tried.

The tests walk the documents, so that a route that is new, or a parameter, is tried or fails here.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import InProcess, serving
from tests.conftest import ManualClock
from tests.scripted_upstream import Scripted, scripted_upstream

from mintage.api.admin import PREFIX
from mintage.api.admin.desk import ROLE
from mintage.api.application import customer_app, openapi_document, operator_app
from mintage.api.problems import LANGUAGE
from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Upstream

PREDICT = "/v1/products/pets/predict"
INFER = "/v2/models/pets/infer"
ACTION = "order-17"


@dataclass
class Town:
    """Ada, who has one of everything, and Bob, who wants to know."""

    client: InProcess
    operators: InProcess
    documents: Mapping[str, dict[str, Any]]
    keys: dict[str, str]
    ids: dict[str, str]
    picture: bytes
    output: dict[str, Any]

    def ask(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}", "X-Request-Id": "same"}
        headers |= options.pop("headers", {})
        client = self.operators if path.startswith(PREFIX) else self.client
        return client.request(method, path, headers=headers, **options)


# ---- what names what

Objects = Callable[[Town], list[str]]
"""Ada's identifiers of a kind."""


def receipts(town: Town) -> list[str]:
    return [town.ids["receipt"]]


def invoices(town: Town) -> list[str]:
    return [town.ids["invoice id"], town.ids["invoice number"]]


def every_form(town: Town) -> list[str]:
    written = [
        f"{each}{form}"
        for each in invoices(town)
        for form in ("", ".html", ".csv", ".json", ".pdf", ".signed")
    ]
    return [*written, town.ids["draft"]]


OBJECTS: dict[str, Objects] = {
    "GET /v1/usage?after": receipts,
    "GET /v1/invoices?after": invoices,
    "GET /v1/invoices/{number}": every_form,
    "GET /v1/invoices/{number}/evidence": invoices,
    "GET /v1/receipts/{receipt_id}": receipts,
    "PUT /v1/receipts/{receipt_id}/feedback": receipts,
    "DELETE /v1/receipts/{receipt_id}/feedback": receipts,
}
"""The customers' routes that take the name of an object, by where they take it."""

OPEN_TO_KEYS = {"/v1/models", "/v1/log", "/v1/log/consistency"}
"""Lists that are the same for all who have a key."""

OWN_SPACE = {"Idempotency-Key"}
"""Names that a customer gives themselves: another's are not theirs, and never a 404."""

PLAIN = {
    "product": "what is sold is open to all",
    "model": "a product, by another name",
    "version": "a product's versions are open to all",
    "limit": "a number",
    "period": "a month",
    "from": "a size of the log, which is the same for all",
    "to": "a size of the log",
    "log": "which of the logs",
    "explain": "a choice",
    "Inference-Header-Content-Length": "a number",
    # of bodies
    "file": "a picture",
    "image": "a picture",
    "images": "pictures",
    "right": "a word on an answer",
    "label": "a word on an answer",
    "consent": "a word on an answer",
    "output": "an answer",
    "id": "the caller's own name for a call, given back",
    "inputs": "tensors",
    "outputs": "tensors",
    "parameters": "of tensors",
    "name": "of a tensor",
    "shape": "of a tensor",
    "datatype": "of a tensor",
    "data": "of a tensor",
    "messages": "a conversation",
    "prompt": "a text",
    "input": "a text",
    "stream": "a choice",
}
"""Names that are no customer's object, and why."""


def named(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """``method, place, name`` of everything that a call can say."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                mark = {"path": "", "query": f"?{parameter['name']}"}.get(parameter["in"])
                place = f"{path} [{parameter['name']}]" if mark is None else f"{path}{mark}"
                yield method.upper(), place, parameter["name"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name in fields(content.get("schema", {}), document):
                    yield method.upper(), f"{path} [{name}]", name


def fields(schema: Any, document: dict[str, Any], seen: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from fields(each, document, seen)
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if reference is not None and reference not in seen:
        named_schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        yield from fields(named_schema, document, (*seen, reference))
    yield from schema.get("properties", {})
    for part in (*schema.get("properties", {}).values(), *map(schema.get, _PARTS)):
        yield from fields(part, document, seen)


_PARTS = ("items", "anyOf", "allOf", "oneOf", "additionalProperties", "prefixItems")


def is_known(method: str, place: str, name: str) -> bool:
    return f"{method} {place}" in OBJECTS or name in OWN_SPACE or name in PLAIN


# ---- the town


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture
def town(home: Path, trained_home: Path, upstream: Scripted) -> Iterator[Town]:
    clock, picture = ManualClock(), (trained_home.parent / "photos/light/003.jpg").read_bytes()
    clock.moment = datetime(2026, 10, 20, tzinfo=UTC)
    with App(load_settings(home=home, threads=1), clock) as app:
        app.publishing.publish("pets", "pets")
        app.language.add(
            Upstream("assistant", "one", upstream.url, "model"),
            prices=TokenPrices("1", "4", currency="EUR"),
        )
        made = {name: app.capture.add_customer(name) for name in ("Ada", "Bob")}
        with (
            serving(app) as service,
            InProcess(customer_app(service)) as client,
            InProcess(operator_app(service)) as operators,
        ):
            keys = {name: issued.key.reveal() for name, (__, issued) in made.items()}
            keys["viewer"] = app.capture.operators.add("viewer", "viewer").key.reveal()
            documents = {
                "customers": openapi_document(service),
                "operators": operators.get("/openapi-admin.json").json(),
            }
            town = Town(client, operators, documents, keys, {}, picture, {})
            call = {"content": picture, "headers": {"Idempotency-Key": ACTION}}
            town.ask("Ada", "POST", PREDICT, content=picture)
            clock.moment = datetime(2026, 11, 20, tzinfo=UTC)
            answer = town.ask("Ada", "POST", PREDICT, **call).json()
            town.ask("Bob", "POST", PREDICT, content=picture)
            clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
            customer = made["Ada"][0].id
            (issued,) = app.billing.run("2026-10", customer, issue=True).drafted
            (draft,) = app.billing.run("2026-11", customer).drafted
            town.output |= answer["output"]
            town.ids |= {
                "receipt": answer["receipt"]["id"],
                "event": answer["id"],
                "invoice id": issued.id,
                "invoice number": str(issued.number),
                "draft": draft.id,
                "customer": customer,
                "key": made["Ada"][1].id,
            }
            yield town
            client.call(service.engine.close())
            assert service.gateway is not None
            client.call(service.gateway.close())


def never(identifier: str) -> str:
    """One that never existed, of the same shape and length."""
    stem, dot, ending = identifier.partition(".")
    return f"{stem[:-6]}999999{dot}{ending}"


def body_for(town: Town, method: str, path: str) -> dict[str, Any]:
    """What makes a call right but for whose object it names."""
    if method == "PUT" and path.endswith("/feedback"):
        image = base64.b64encode(town.picture).decode()
        word = {"right": True, "consent": True, "output": town.output, "image": image}
        return {"json": word}
    return {}


def calls(town: Town) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """``method, place`` of each object, with the options of the call and Ada's identifier."""
    for key, objects in OBJECTS.items():
        method, __, place = key.partition(" ")
        for identifier in objects(town):
            yield method, place, body_for(town, method, place), identifier


def addressed(place: str, identifier: str) -> str:
    path, __, query = place.partition("?")
    filled = path.partition("{")[0] + identifier + path.rpartition("}")[2] if "{" in path else path
    return f"{filled}?{query}={identifier}" if query else filled


# ---- the tests


def test_every_name_that_a_call_can_say_is_known_here(town: Town) -> None:
    unknown = [
        f"{method} {place}: does {name!r} name something of a customer's? Then give its maker in "
        "OBJECTS of tests/api/test_isolation.py; if it does not, say in PLAIN what it is."
        for method, place, name in named(town.documents["customers"])
        if not is_known(method, place, name)
    ]
    assert unknown == []
    places = {f"{method} {place}" for method, place, __ in named(town.documents["customers"])}
    assert OBJECTS.keys() <= places, "of OBJECTS some are no longer in the document"


def test_a_route_that_is_new_is_not_known_until_somebody_says_what_it_names() -> None:
    parameter = {"name": "cheque", "in": "path"}
    schema = {"type": "object", "properties": {"voucher": {"type": "string"}}}
    document = {
        "paths": {
            "/v1/cheques/{cheque}": {
                "put": {
                    "parameters": [parameter, {"name": "X-Coupon", "in": "header"}],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"items": {"$ref": "#/x/V"}}}}
                    },
                }
            }
        },
        "components": {"schemas": {"V": schema}},
    }
    found = list(named(document))
    assert [name for *__, name in found] == ["cheque", "X-Coupon", "voucher"]
    assert not any(is_known(*each) for each in found)


def test_with_anothers_identifier_the_answer_is_that_of_one_that_never_was(town: Town) -> None:
    for method, place, options, identifier in calls(town):
        answers = []
        for each in (identifier, never(identifier)):
            said = town.ask("Bob", method, addressed(place, each), **options)
            assert said.status_code == 404, (method, place, said.text)
            spoken = said.content.replace(each.encode(), b"-").replace(
                each.partition(".")[0].encode(), b"-"
            )
            answers.append((said.headers.raw, spoken))
        assert answers[0] == answers[1], (method, place)


def test_with_the_same_identifier_its_owner_gets_what_is_theirs(town: Town) -> None:
    for method, place, options, identifier in calls(town):
        said = town.ask("Ada", method, addressed(place, identifier), **options)
        hidden = identifier == town.ids["draft"]
        good = (406,) if identifier.endswith(".pdf") and pdf_is_missing() else (200, 204)
        assert said.status_code in ((404,) if hidden else good), (method, place, said.text)


def pdf_is_missing() -> bool:
    """Whether the extra ``pdf`` is not installed."""
    return importlib.util.find_spec("fpdf") is None


def test_lists_and_totals_hold_nothing_of_another_customers(town: Town) -> None:
    document = town.documents["customers"]
    lists = [
        path
        for path, operations in document["paths"].items()
        if "get" in operations and "security" in operations["get"] and "{" not in path
    ]
    assert {"/v1/usage", "/v1/usage/totals", "/v1/invoices"} <= set(lists)
    for path in lists:
        if path in OPEN_TO_KEYS:
            asked = f"{path}?from=1" if path.endswith("/consistency") else path
            answers = [town.ask(who, "GET", asked).json() for who in ("Ada", "Bob")]
            assert "code" not in answers[0], path
            assert answers[0] == answers[1]
            continue
        asked = f"{path}?period=2026-11" if path == "/v1/usage/totals" else path
        mine, theirs = (town.ask(who, "GET", asked).text for who in ("Ada", "Bob"))
        assert any(identifier in mine for identifier in town.ids.values()), path
        assert not any(identifier in theirs for identifier in town.ids.values()), path


def test_anothers_idempotency_key_is_nobodys(town: Town) -> None:
    document = town.documents["customers"]
    taking = [
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if any(each["name"] in OWN_SPACE for each in operation.get("parameters", ()))
    ]
    assert len(taking) >= 4
    once = base64.b64encode(town.picture).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [once]}
    for number, path in enumerate(taking):
        address = path.replace("{product}", "pets").replace("{model}", "pets")
        address = address.replace("{version}", "1")
        options: dict[str, Any] = {"content": town.picture}
        if path.startswith("/v2"):
            options = {"json": {"inputs": [tensor]}}
        elif path in LANGUAGE:
            options = {"json": {"model": "assistant", "messages": [], "prompt": "", "input": ""}}
        elif path.endswith(":batch"):
            options = {"json": {"images": [once]}}
        action = {"Idempotency-Key": f"{ACTION}-{number}"}
        mine = town.ask("Ada", "POST", address, headers=action, **options)
        again = town.ask("Ada", "POST", address, headers=action, **options)
        assert (mine.status_code, again.status_code) == (200, 200), (path, mine.text)
        assert is_replayed(again), path
        theirs = town.ask("Bob", "POST", address, headers=action, **options)
        fresh = town.ask(
            "Bob", "POST", address, headers={"Idempotency-Key": f"own-{number}"}, **options
        )
        assert theirs.status_code == fresh.status_code == 200
        assert not is_replayed(theirs), path
        assert names(theirs) == names(fresh)
        assert receipts_in(mine).isdisjoint(receipts_in(theirs)), path
    # Nor is it a conflict where the body is another.
    said = [
        town.ask("Bob", "POST", PREDICT, content=b"none", headers={"Idempotency-Key": key})
        for key in (ACTION, "unused")
    ]
    assert said[0].json()["code"] == "data_error"
    assert (said[0].status_code, said[0].content) == (said[1].status_code, said[1].content)


def names(said: httpx.Response) -> list[bytes]:
    return [name for name, __ in said.headers.raw]


def is_replayed(said: httpx.Response) -> bool:
    results = said.json().get("results")
    if results is not None:
        return any(each["replayed"] for each in results)
    return "Idempotent-Replayed" in said.headers


def receipts_in(said: httpx.Response) -> set[str]:
    text = json.dumps(said.json()).replace('"', " ")
    return {word for word in text.split() if word.startswith("rcp_")}


@pytest.mark.parametrize(("who", "status"), [("Bob", 401), ("viewer", 403)])
def test_at_an_operators_route_who_may_not_learns_nothing_of_what_is_named(
    town: Town, who: str, status: int
) -> None:
    ids = [*town.ids.values(), "pets", "Ada"]
    tried = 0
    for path, operations in town.documents["operators"]["paths"].items():
        for method, operation in operations.items():
            if who == operation[ROLE]:
                continue
            answers = set()
            for identifier in (*ids, *map(never, ids)):
                address = re.sub(r"{\w+}", identifier, path)
                body = {"name": identifier, "plan": identifier}
                options = {} if method == "get" else {"json": body}
                said = town.ask(who, method.upper(), f"{address}?after={identifier}", **options)
                answers.add((said.status_code, tuple(said.headers.raw), said.content))
                tried += 1
            assert len(answers) == 1, path
            assert answers.pop()[0] == status
    assert tried > 250


def test_an_operators_key_is_nothing_at_a_customers_route(town: Town) -> None:
    for path, operations in town.documents["customers"]["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            address = path.replace("{product}", "pets").replace("{model}", "pets")
            address = address.replace("{receipt_id}", town.ids["receipt"])
            address = address.replace("{number}", town.ids["invoice number"])
            address = address.replace("{version}", "1").replace("/totals", "/totals?period=2026-11")
            address = address.replace("/consistency", "/consistency?from=1")
            said = town.ask("viewer", method.upper(), address, content=town.picture)
            unknown = town.ask(
                "viewer",
                method.upper(),
                address,
                content=town.picture,
                headers={"Authorization": "Bearer mtg_live_unknown"},
            )
            assert said.status_code == unknown.status_code == 401, path
            assert (said.headers.raw, said.content) == (unknown.headers.raw, unknown.content)
