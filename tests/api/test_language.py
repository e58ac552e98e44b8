"""Two languages over HTTP: problems, answers without a label, the API's description."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil

import pytest

import mintage
from mintage.api import openapi
from mintage.api.application import openapi_document
from mintage.api.titles import TITLES, title_of
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, MintageError
from mintage.core.messages import _, told

PREDICT = "/v1/products/tones/predict"
ZH = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


def test_a_problem_is_told_in_the_language_that_was_asked_for(client, chinese) -> None:
    english = client.get("/nothing")
    translated = client.get("/nothing", headers=ZH)
    assert (english.headers["Content-Language"], translated.headers["Content-Language"]) == (
        "en",
        "zh",
    )
    for name in ("title", "detail", "remedy"):
        assert translated.json()[name] == chinese(english.json()[name])
    for name in ("type", "code", "status"):
        assert translated.json()[name] == english.json()[name]
    assert translated.headers["Vary"] == english.headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/nothing", {}),
        ("DELETE", PREDICT, {}),
        ("GET", "/v1/usage?limit=0", {}),
        ("GET", "/v1/usage?limit=many", {}),
        ("GET", "/v1/receipts/rcp_9", {}),
        ("GET", "/v1/keys", {}),
        ("GET", "/v1/keys/list", {}),
        ("POST", PREDICT, {"headers": {"Authorization": "Bearer wrong"}}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Encoding": "br"}}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Encoding": "gzip"}}),
        ("POST", PREDICT, {"content": b"x" * 100_001}),
        ("POST", PREDICT, {"content": b"x"}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Type": "application/json"}}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
        ("POST", "/v2/models/tones/infer", {"json": {}}),
        ("POST", "/v2/models/tones/infer", {"json": {"inputs": [{"name": 1}]}}),
        ("POST", PREDICT, {"content": b"x", "headers": {"Idempotency-Key": "k" * 256}}),
    ],
)
def test_no_sentence_of_a_problem_stays_english(client, chinese, method, path, options) -> None:
    options = options | {"headers": options.get("headers", {}) | ZH}
    problem = client.request(method, path, **options).json()
    for name in ("title", "detail", "remedy"):
        assert problem[name].startswith("〔"), problem[name]
        assert problem[name].endswith("〕"), problem[name]


def test_a_reason_inside_a_sentence_is_told_too(client, chinese) -> None:
    detail = client.post(PREDICT, content=b"x", headers=ZH).json()["detail"]
    assert chinese("not a JPEG, PNG, WebP, BMP or TIFF picture") in detail


def test_a_problem_without_a_remedy_has_none_in_any_language(client, desk, monkeypatch) -> None:
    def broken() -> list[str]:
        raise DataError(_("Nothing readable was found."))

    monkeypatch.setattr(desk, "names", broken)
    assert client.get("/v1/products", headers=ZH).json()["remedy"] == ""


def test_every_kind_of_error_has_a_title() -> None:
    for module in pkgutil.walk_packages(mintage.__path__, "mintage."):
        if module.name.split(".")[1] in ("core", "api", "capture", "deliver", "trust", "client"):
            importlib.import_module(module.name)

    def below(kind: type[MintageError]) -> list[type[MintageError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    ours = {kind.code for kind in below(MintageError) if kind.__module__.startswith("mintage.")}
    assert ours == set(TITLES)


def test_an_error_of_a_plug_in_has_the_title_of_the_kind_above_it() -> None:
    class Peculiar(DataError):
        code = "peculiar"

    assert title_of(Peculiar("x")) == TITLES["data_error"]


def test_the_message_of_an_answer_is_told_before_it_is_hashed_and_kept(
    client, desk, gray, chinese
) -> None:
    headers = ZH | {"Idempotency-Key": "once"}
    answer = client.post(PREDICT, content=gray, headers=headers)
    output = answer.json()["output"]
    assert output["message"] == chinese("unlike anything this model was shown")
    [usage] = desk.usages
    assert usage.output_sha256 == hashlib.sha256(canonical_json(output)).hexdigest()
    assert json.loads(usage.stored_answer)["output"] == output
    # A repetition is the answer that was hashed, whatever is asked for now.
    again = client.post(
        PREDICT, content=gray, headers={"Idempotency-Key": "once", "Accept-Language": "en"}
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["output"] == output


def test_an_english_answer_is_english(client, gray, chinese) -> None:
    output = client.post(PREDICT, content=gray).json()["output"]
    assert output["message"] == "unlike anything this model was shown"


def test_labels_are_the_models_and_never_translated(client, warm, chinese) -> None:
    output = client.post(PREDICT, content=warm, headers=ZH).json()["output"]
    assert output["label"] == "warm"
    assert list(output["probabilities"]) == ["warm", "cold"]


def test_the_description_is_told_but_its_names_are_not(operator, chinese) -> None:
    english = operator.get("/openapi.json").json()
    answer = operator.get("/openapi.json", headers=ZH)
    translated = answer.json()
    assert answer.headers["Content-Language"] == "zh"
    assert translated["paths"].keys() == english["paths"].keys()
    assert list(openapi.texts(translated)) == [chinese(text) for text in openapi.texts(english)]
    schemas = translated["components"]["schemas"]
    assert schemas["Problem"]["properties"].keys() == (
        english["components"]["schemas"]["Problem"]["properties"].keys()
    )


def test_every_text_of_the_description_is_in_the_catalogue(service) -> None:
    texts = set(openapi.texts(openapi_document(service)))
    assert [text for text in texts if told(text, "zh") == text] == []
