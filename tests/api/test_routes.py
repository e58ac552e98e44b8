"""All other routes: the customer's records, the protocol, problems, documents, metrics."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import pytest
from tests.api.conftest import InProcess

from mintage.api import pages
from mintage.api.application import customer_app, openapi_document, operator_app
from mintage.api.models import InferProblem, Problem

PREDICT = "/v1/products/tones/predict"
INFER = "/v2/models/tones/infer"
SHAPE = {"type", "title", "status", "detail", "code", "remedy", "instance"}


def infer_body(*pictures: bytes, datatype: str = "BYTES") -> dict:
    data = [base64.b64encode(one).decode() for one in pictures]
    one = {"name": "image", "shape": [len(data)], "datatype": datatype, "data": data}
    return {"id": "call-7", "inputs": [one]}


# ---- problems


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/v1/products/nothing", {}, 404),
        ("GET", "/docs", {}, 404),
        ("GET", "/metrics", {}, 404),
        ("GET", "/openapi.json", {}, 404),
        ("GET", "/static/../service.py", {}, 404),
        ("GET", "/samples/99", {}, 404),
        ("GET", "/samples/x", {}, 400),
        ("DELETE", PREDICT, {}, 405),
        ("GET", "/v1/usage?limit=0", {}, 400),
        ("GET", "/v1/usage?limit=many", {}, 400),
        ("GET", "/v1/receipts/rcp_9", {}, 404),
        ("GET", "/v1/usage", {"headers": {"Authorization": "Bearer wrong"}}, 401),
        ("GET", "/v1/receipts/rcp_0", {"headers": {"Authorization": "Bearer wrong"}}, 401),
        ("POST", PREDICT, {"headers": {"Authorization": "Bearer wrong"}}, 401),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", PREDICT, {"content": b"x" * 100_001}, 413),
        ("POST", PREDICT, {"content": b"x"}, 422),
        ("POST", INFER, {"json": {}}, 400),
        ("POST", INFER, {"headers": {"Authorization": "Bearer wrong"}, "json": {}}, 401),
        ("POST", INFER, {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ("DELETE", INFER, {}, 405),
        ("GET", "/v2/nothing", {}, 404),
        ("GET", "/v2x", {}, 404),
        ("GET", "/v2/models/nothing", {}, 404),
        ("GET", "/v2/models/nothing/ready", {}, 404),
    ],
)
def test_every_error_is_a_problem_of_one_shape(client, method, path, options, status) -> None:
    response = client.request(method, path, **options)
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    inference = path.startswith("/v2/")
    assert set(problem) == SHAPE | ({"error"} if inference else set())
    (InferProblem if inference else Problem).model_validate(problem)
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["instance"] == response.headers["X-Request-Id"]


def test_a_405_says_which_method_works(client) -> None:
    response = client.delete(PREDICT)
    assert response.headers["Allow"] == "POST"
    assert "POST" in response.json()["remedy"]


def test_every_answer_has_its_own_request_id_and_the_security_headers(client) -> None:
    seen = set()
    for path in ("/", "/static/app.js", "/v1/products", "/v2/health/live", "/nothing"):
        headers = client.get(path).headers
        seen.add(headers["X-Request-Id"])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert len(seen) == 5


def test_a_bug_in_a_route_is_a_problem_with_an_incident_that_the_log_repeats(
    client, desk, monkeypatch, caplog
) -> None:
    def broken() -> list[str]:
        raise KeyError("inner")

    monkeypatch.setattr(desk, "names", broken)
    response = client.get("/v1/products")
    assert response.status_code == 500
    problem = response.json()
    assert set(problem) == SHAPE | {"incident"}
    [bug] = [record for record in caplog.records if record.getMessage() == "a bug"]
    assert problem["incident"] == bug.incident
    assert "inner" not in response.text
    monkeypatch.setattr(desk, "card", lambda product: broken())
    inference = client.get("/v2/models/tones").json()
    assert set(inference) == SHAPE | {"incident", "error"}
    assert inference["incident"] in inference["error"]


# ---- the customer's own


def test_a_customer_reads_their_usage_and_receipts(client, warm) -> None:
    answer = client.post(PREDICT, content=warm).json()
    client.post(PREDICT, content=b"broken")
    usage = client.get("/v1/usage").json()["usage"]
    assert [event["outcome"] for event in usage] == ["error", "ok"]
    assert client.get("/v1/usage?limit=1").json()["usage"] == usage[:1]
    receipt = client.get(f"/v1/receipts/{answer['receipt']['id']}")
    assert receipt.json() == answer["receipt"]


def test_metadata_of_a_product_is_open(client) -> None:
    del client.headers["Authorization"]
    assert client.get("/v1/products").json() == {"products": [{"name": "tones"}]}
    card = client.get("/v1/products/tones").json()
    assert card["labels"] == ["warm", "cold"]
    assert card["price"] == {
        "amount": "0.02",
        "currency": "EUR",
        "per": 1,
        "unit": "image",
        "explanation": "0.05",
    }


# ---- the Open Inference Protocol


def test_health_and_metadata_are_open_and_have_the_protocols_names(client, warm) -> None:
    client.post(PREDICT, content=warm)
    del client.headers["Authorization"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/tones/ready").json() == {"ready": True}
    model = client.get("/v2/models/tones").json()
    assert (model["name"], model["versions"]) == ("tones", ["3"])
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
    assert client.get("/v2").json()["name"] == "mintage"


def test_a_draining_server_is_live_but_not_ready(client, service, warm) -> None:
    client.post(PREDICT, content=warm)
    service.engine.drain()
    assert client.get("/v2/health/live").status_code == 200
    response = client.get("/v2/health/ready")
    assert response.status_code == 503
    assert response.json()["code"] == "not_ready"
    assert client.post(PREDICT, content=warm).status_code == 503


@pytest.mark.parametrize("path", [INFER, "/v2/models/tones/versions/3/infer"])
def test_an_inference_is_metered_like_any_call(client, desk, warm, path) -> None:
    answer = client.post(path, json=infer_body(warm)).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tones", "3", "call-7")
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert outputs["label"] == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [1],
        "data": ["warm"],
    }
    assert outputs["probabilities"]["shape"] == [2]
    assert outputs["unusual"]["data"] == [False]
    assert answer["parameters"]["price"] == "0.02"
    assert answer["parameters"]["receipt"] == "rcp_0"
    assert desk.outcomes == ["ok"]


def test_a_version_that_does_not_answer_is_a_404(client, desk, warm) -> None:
    response = client.post("/v2/models/tones/versions/2/infer", json=infer_body(warm))
    assert response.status_code == 404
    assert desk.events == {}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": []},
        {"inputs": "x"},
        infer_body(b"1", b"2"),
        infer_body(b"1", datatype="FP32"),
        {"inputs": [{"name": "i", "shape": [1], "datatype": "BYTES", "data": [7]}]},
    ],
)
def test_an_inference_request_of_another_shape_is_a_400(client, desk, body) -> None:
    assert client.post(INFER, json=body).status_code == 400
    assert desk.events == {}


def test_an_unusual_picture_has_no_label_among_its_outputs(client, gray) -> None:
    answer = client.post(INFER, json=infer_body(gray)).json()
    outputs = {one["name"]: one["data"] for one in answer["outputs"]}
    assert outputs == {"unusual": [True], "message": ["unlike anything this model was shown"]}


# ---- pages and documents


def page_texts() -> dict[str, str]:
    from importlib.resources import files

    folder = files(pages)
    return {
        item.name: item.read_text()
        for item in folder.iterdir()
        if item.name.rpartition(".")[2] in ("html", "css", "js", "svg")
    }


def test_the_pages_name_no_address_outside_this_server() -> None:
    texts = page_texts()
    assert {"index.html", "app.js", "app.css", "docs.html"} <= set(texts)
    for name, text in texts.items():
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*|@import|url\(", text))
        assert found <= {"http://www.w3.org/2000/svg"}, name


def test_the_pages_hold_no_inline_script_or_style() -> None:
    for name, text in page_texts().items():
        if name.endswith(".html"):
            assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", text), name


def test_both_languages_of_every_page_have_the_same_words() -> None:
    __, *tables = page_texts()["words.js"].split("\nexport const ")
    assert [table.partition(" ")[0] for table in tables] == ["WORDS", "DOCS"]
    for table in tables:
        english, chinese = table.split("\n  zh: {")
        found = [re.findall(r"^ {4,6}(\w+):", part, re.MULTILINE) for part in (english, chinese)]
        assert found[0] == found[1]


def test_everything_the_page_asks_for_is_there(client) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    addresses = set(re.findall(r'(?:src|href)="(/[^"]+)"', page.text))
    scripts = addresses & {"/static/app.js"}
    while scripts:  # and what those ask for in turn
        text = client.get(scripts.pop()).text
        names = re.findall(r'^import .* from "./(.*)";', text, re.MULTILINE)
        found = {f"/static/{name}" for name in names}
        scripts |= found - addresses
        addresses |= found
    assert len(addresses) > 10
    for address in addresses:
        assert client.get(address).status_code == 200, address
    found = client.get("/page.json").json()
    assert found["trial"] is None
    assert len(found["samples"]) == 6
    sample = client.get(found["samples"][0]["address"])
    assert sample.headers["Content-Type"] == "image/jpeg"


def test_a_file_that_the_browser_has_is_not_sent_again(client) -> None:
    tag = client.get("/static/app.css").headers["ETag"]
    again = client.get("/static/app.css", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_the_document_describes_what_customers_reach_and_every_reference_resolves(
    service, client
) -> None:
    document = openapi_document(service)
    paths = set(document["paths"])
    assert {PREDICT.replace("tones", "{product}"), "/v1/usage", "/v2/health/ready"} <= paths
    assert not any(path.startswith(("/static", "/metrics", "/samples", "/page")) for path in paths)
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in schemas
    assert "ValidationError" not in json.dumps(document)
    predict = document["paths"]["/v1/products/{product}/predict"]["post"]
    assert set(predict["requestBody"]["content"]) >= {"image/webp", "multipart/form-data"}
    assert "413" in predict["responses"]
    assert predict["security"] == [{"key": []}]


@pytest.mark.parametrize(
    ("accept", "is_pdf"),
    [
        ("application/pdf", True),
        ("application/json;q=0.5, application/pdf", True),
        ("application/PDF; Q=0.9, */*;q=0.1", True),
        ("*/*", False),
        ("application/json, application/pdf;q=0.9", False),
        ("application/pdf;q=0", False),
        ("application/pdf;q=much", False),
        (";;,,", False),
    ],
)
def test_an_invoice_is_a_pdf_where_that_is_asked_for(client, accept, is_pdf) -> None:
    path = "/v1/invoices/INV-2026-000001"
    answer = client.get(path, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Vary"] == "Accept, Accept-Language"
    assert answer.headers["Content-Type"] == ("application/pdf" if is_pdf else "application/json")
    assert answer.content.startswith(b"%PDF-" if is_pdf else b"{")
    other = client.get("/v1/invoices/INV-2026-000002", headers={"Accept": accept})
    assert other.status_code == 404


def test_where_no_pdf_can_be_made_a_problem_says_so(client, desk) -> None:
    desk.pdf = None
    answer = client.get("/v1/invoices/INV-2026-000001", headers={"Accept": "application/pdf"})
    assert answer.status_code == 406
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert client.get("/v1/invoices/INV-2026-000001").status_code == 200


def test_the_operators_port_has_documents_and_metrics(operator, client, desk, warm) -> None:
    client.post(PREDICT, content=warm)
    client.post(PREDICT, content=b"broken")
    client.post(PREDICT, content=warm, headers={"Authorization": "Bearer wrong"})
    client.post("/v1/products/made-up/predict", content=warm)
    text = operator.get("/metrics").text
    assert 'mintage_calls_total{outcome="ok",product="tones",version="3"} 1.0' in text
    assert 'mintage_calls_total{outcome="error",product="tones",version="3"} 1.0' in text
    assert 'mintage_calls_total{outcome="unauthenticated",product="-",version="-"} 1.0' in text
    assert 'mintage_latency_seconds_count{product="tones"} 1.0' in text
    assert 'mintage_receipts_total{product="tones"} 1.0' in text
    assert 'mintage_queue_length{product="tones"} 0.0' in text
    assert "mintage_batch_items_bucket" in text
    assert "made-up" not in text
    assert operator.get("/openapi.json").json()["openapi"].startswith("3.")
    docs = operator.get("/docs")
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', docs.text):
        assert operator.get(address).status_code == 200, address


def test_metrics_tell_which_audits_are_due_as_they_stand_when_they_are_read(service) -> None:
    due = {"tones@3": "2026-12-01T00:00:00.000000Z", "tones@4": None}
    audited = replace(service, audits=lambda: due)
    with InProcess(operator_app(audited)) as operator:
        text = operator.get("/metrics").text
        name = "mintage_audit_due_timestamp_seconds"
        assert f'{name}{{model="tones",version="3"}} 1.7960832e+09' in text
        assert f'{name}{{model="tones",version="4"}} 0.0' in text
        assert "mintage_calls_total" in text
        del due["tones@4"]
        assert 'version="4"' not in operator.get("/metrics").text


def test_the_operators_port_answers_no_customer(operator, warm) -> None:
    assert operator.post(PREDICT, content=warm).status_code == 404


def test_two_services_share_no_metrics(service, changed) -> None:
    other = changed(service)
    service.metrics.call("tones", "3", "ok")
    assert b'outcome="ok"' not in other.metrics.render()


def test_building_the_application_twice_is_harmless(service) -> None:
    assert customer_app(service) is not customer_app(service)


def test_the_public_keys_are_open_to_all_and_a_404_where_there_are_none(client, desk) -> None:
    del client.headers["Authorization"]
    assert client.get("/v1/keys").status_code == 404
    key = {"key_id": "a" * 64, "algorithm": "Ed25519", "pem": "-----BEGIN PUBLIC KEY-----"}
    desk.public_keys = {"receipt": key, "log": key}
    assert client.get("/v1/keys").json() == {"receipt": key, "log": key}


def test_the_signed_list_of_keys_is_open_to_all_byte_for_byte(client, desk) -> None:
    del client.headers["Authorization"]
    assert client.get("/v1/keys/list").status_code == 404
    desk.key_list = b'{"payload":"..."}\n'
    found = client.get("/v1/keys/list")
    assert (found.status_code, found.content) == (200, desk.key_list)
    assert found.headers["content-type"] == "application/json"


def test_a_server_over_a_workspace_publishes_the_keys_that_verify_its_receipts(tmp_path) -> None:
    from mintage.api.models import PublicKeys
    from mintage.app.root import App
    from mintage.core.settings import Settings
    from mintage.trust.keys import PublicKey

    with App(Settings(home=tmp_path / "workspace")) as app:
        parts = app.deliver.serving()
        published = PublicKeys.model_validate(parts.public_keys())
        for role in ("receipt", "log"):
            told = getattr(published, role)
            read = PublicKey.from_pem(told.pem.encode())
            assert read.key_id == told.key_id
            assert read.verify(app.keys.signer(role).sign(b"said"), b"said")
        assert (published.receipt.algorithm, published.log.algorithm) == (
            "ECDSA P-256 SHA-256",
            "Ed25519",
        )
        assert parts.replays.find("cus_1", "a") is None
        assert published.data is published.bundle is published.witness is None
        assert published.receipt.former == []
        app.keys.signer("data")
        made = app.signing_keys.rotate("receipt").key
        app.signing_keys.revoke(published.receipt.key_id, "leaked")
        published_then, published = published, PublicKeys.model_validate(parts.public_keys())
        assert published.data is not None
        assert published.receipt.key_id == made.key.key_id
        (former,) = published.receipt.former
        assert former.key_id == published_then.receipt.key_id
        assert former.valid_until == published.receipt.valid_from == made.valid_from
        assert (former.reason, former.revoked_at is None) == ("leaked", False)
