"""What the server logs: one JSON object a line, by an allow-list, and nothing of a customer's."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import warnings

import httpx
import pytest

from mintage.api.logs import FIELDS, JsonFormatter, TextFormatter, logging_to
from mintage.core.errors import DataError
from mintage.core.messages import _, speaking, told

PREDICT = "/v1/products/tones/predict"
HEAD = {"time", "level", "logger", "event"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def requests_of(lines: list[dict]) -> list[dict]:
    return [line for line in lines if line["event"] == "request"]


def test_an_answered_call_is_one_line_with_what_happened(client, warm, log) -> None:
    response = client.post(PREDICT, content=warm)
    [line] = requests_of(log())
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert line["time"].endswith("Z")
    assert line["latency_seconds"] > 0
    said = {name: line[name] for name in set(line) & set(FIELDS)}
    del said["request_id"], said["latency_seconds"]
    assert said == {
        "method": "POST",
        "route": "/v1/products/{product}/predict",
        "status": 200,
        "customer": "cus_1",
        "product": "tones",
        "model": "tones",
        "model_version": "3",
        "outcome": "ok",
        "bytes_in": len(warm),
    }
    assert (line["level"], line["logger"]) == ("info", "mintage.access")


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("POST", PREDICT, {"content": b"x"}, {"status": 422, "outcome": "error"}),
        ("POST", PREDICT, {"content": b"x" * 100_001}, {"status": 413, "outcome": "refused"}),
        ("GET", "/nothing/here", {}, {"status": 404, "code": "request_error"}),
        ("DELETE", PREDICT, {}, {"status": 405, "method": "DELETE"}),
        ("GET", "/v1/usage", {}, {"status": 200, "customer": "cus_1"}),
        ("GET", "/v1/receipts/rcp_7", {}, {"status": 404, "route": "/v1/receipts/{receipt_id}"}),
        ("POST", "/v1/products/made-up/predict", {"content": b"x"}, {"code": "request_error"}),
    ],
)
def test_every_request_has_its_line(client, log, method, path, options, expected) -> None:
    client.request(method, path, **options)
    [line] = requests_of(log())
    assert expected.items() <= line.items()
    assert "made-up" not in json.dumps(line)
    assert "rcp_7" not in json.dumps(line)


def test_health_checks_and_the_operators_port_are_not_worth_a_line(client, operator, log) -> None:
    client.get("/v2/health/live")
    client.get("/v2/health/ready")
    client.get("/v2/models/tones/ready")
    operator.get("/metrics")
    assert log() == []
    client.get("/v2")
    assert len(log()) == 1


def test_a_bug_is_logged_with_its_traceback_in_one_field(client, desk, monkeypatch, log) -> None:
    def broken() -> list[str]:
        raise KeyError("inner\nforged line")

    monkeypatch.setattr(desk, "names", broken)
    problem = client.get("/v1/products").json()
    bug, line = log()
    assert (bug["event"], bug["level"]) == ("a bug", "error")
    assert bug["incident"] == line["incident"] == problem["incident"]
    assert bug["request_id"] == line["request_id"] == problem["instance"]
    assert "Traceback" in bug["exception"]
    assert "KeyError" in bug["exception"]
    assert (line["level"], line["status"], line["code"]) == ("warning", 500, "bug")


def test_no_key_name_query_header_or_body_is_ever_logged(client, desk, warm, key, log) -> None:
    secret = "planted"
    files = {"file": (f"{secret} name.png", warm, "image/png")}
    headers = {
        "Idempotency-Key": f"{secret} idempotency",
        "User-Agent": f"{secret} agent",
        "Referer": f"http://{secret}/",
        "Cookie": f"c={secret}",
        "X-Request-Id": f"{secret} with spaces, so not well-formed",
    }
    addresses = (f"/v1/usage?product={secret}&limit=x", f"/v1/receipts/{secret}", f"/{secret}")
    client.post(PREDICT, files=files, headers=headers)
    client.post(PREDICT, content=f"{secret} body".encode(), headers=headers)
    client.post(f"/v1/products/{secret}/predict?key={key}", content=warm)
    client.get("/v1/usage", headers={"Authorization": f"Bearer {key}x"})
    client.post(PREDICT, content=warm, headers={"Authorization": secret})
    client.post(PREDICT, content=warm, headers={"Content-Type": f"text/{secret}"})
    for address in addresses:
        client.get(address)
    desk.fault = OSError(f"what the library quotes: {key}")
    client.post(PREDICT, files=files)
    text = json.dumps(log())
    assert len(requests_of(log())) == 10
    assert "a bug" in text
    assert key not in text
    assert secret not in text


def test_a_real_server_logs_no_address_and_no_query_either(running, key, log) -> None:
    with httpx.Client(base_url=running.address, trust_env=False) as http:
        http.get(f"/?key={key}", headers={"Authorization": f"Bearer {key}"})
        http.get("/%ff/planted?planted")
    host, port = running.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"planted nonsense\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    lines = log()
    assert [line["status"] for line in requests_of(lines)] == [200, 404, 400]
    text = json.dumps(lines)
    assert key not in text
    assert "planted" not in text
    assert host not in text


def test_only_what_the_allow_list_holds_is_written() -> None:
    record = logging.makeLogRecord({"msg": "request", "product": "pets", "path": "/secret"})
    document = json.loads(JsonFormatter().format(record))
    assert set(document) == HEAD | {"product"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x85", "\x1b[2J", "\x00", "\u202e"])
def test_no_value_can_begin_a_line_of_its_own(end) -> None:
    forged = f'x{end}{{"event": "forged"}}'
    values = {"msg": "%s", "args": (forged,), "product": forged, "name": "mintage.deliver"}
    line = JsonFormatter().format(logging.makeLogRecord(values))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == json.loads(line)["product"] == forged
    assert TextFormatter().format(logging.makeLogRecord(values)).isprintable()


def test_no_line_of_a_traceback_passes_for_a_line_of_the_log() -> None:
    error = ValueError("x\n12:00:00 GET /forged 200 1 ms")
    fault = (type(error), error, None)
    record = logging.LogRecord("a", logging.ERROR, "", 0, "a bug", (), fault)
    first, *rest = TextFormatter().format(record).splitlines()
    assert first.endswith("error: a bug")
    assert all(line.startswith("    ") for line in rest)


def test_logs_are_english_whoever_asks(chinese) -> None:
    error = DataError(_("Nothing readable was found."))
    record = logging.makeLogRecord({"msg": "%s", "args": (error,)})
    with speaking("zh"):
        assert told(error.message) == chinese("Nothing readable was found.")
        assert json.loads(JsonFormatter().format(record))["event"] == "Nothing readable was found."


def test_a_terminal_gets_a_short_line(client, warm) -> None:
    client.post(PREDICT, content=warm)
    terminal = Terminal()
    with logging_to(terminal):
        response = client.post(PREDICT, content=warm)
    [line] = terminal.getvalue().splitlines()
    assert " POST /v1/products/{product}/predict 200 " in line
    assert "product=tones outcome=ok" in line
    assert response.headers["X-Request-Id"] in line


@pytest.mark.parametrize(("asked", "is_json"), [("json", True), ("text", False), (None, False)])
def test_the_form_can_be_chosen(asked, is_json) -> None:
    terminal = Terminal()
    with logging_to(terminal, asked):
        logging.getLogger("mintage.deliver").info("said")
    assert terminal.getvalue().startswith("{") is is_json


def test_our_modules_uvicorns_errors_and_warnings_go_the_same_way_and_chatter_nowhere(log) -> None:
    logging.getLogger("mintage.deliver.versions").info("loaded", extra={"product": "pets"})
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("alembic").info("Context impl")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("an old way", DeprecationWarning, stacklevel=1)
    said = [(line["logger"], line["event"]) for line in log()]
    assert said[:2] == [
        ("mintage.deliver.versions", "loaded"),
        ("uvicorn.error", "Invalid HTTP request received."),
    ]
    assert len(said) == 3
    assert "an old way" in said[2][1]


def test_afterwards_logging_is_as_it_was() -> None:
    root, ours = logging.getLogger(), logging.getLogger("mintage")
    before = (list(root.handlers), root.level, ours.level)
    with logging_to(io.StringIO()):
        assert list(root.handlers) != before[0]
    assert (list(root.handlers), root.level, ours.level) == before


def test_mintage_serve_logs_json_to_a_stderr_that_is_no_terminal(tmp_path, capsys) -> None:
    from mintage.app.root import App
    from mintage.cli.serving import run_server
    from mintage.core.settings import Settings

    started, stop, addresses = threading.Event(), threading.Event(), []

    def on_started(customers: str, operator: str) -> None:
        addresses.append(customers)
        started.set()

    settings = Settings(home=tmp_path / "workspace", port=0, operator_port=0)
    with App(settings) as app:
        options = {"samples": (), "on_started": on_started, "stop": stop}
        thread = threading.Thread(target=run_server, args=(app,), kwargs=options)
        thread.start()
        assert started.wait(20)
        assert httpx.get(f"{addresses[0]}/v2", trust_env=False).status_code == 200
        stop.set()
        thread.join(20)
    [line] = requests_of([json.loads(line) for line in capsys.readouterr().err.splitlines()])
    assert (line["route"], line["status"]) == ("/v2", 200)


@pytest.mark.parametrize("spelled", [str, str.upper, str.lower])
def test_an_api_key_that_a_library_quotes_is_hidden_however_it_is_spelled(spelled) -> None:
    secret = "A1b2C3" * 6
    quoted = spelled(f"https://x_mtg_live_{secret}/?mtg_live_{secret}&more")
    record = logging.makeLogRecord({"msg": quoted, "levelno": 40, "levelname": "ERROR"})
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record)
        assert secret.lower() not in line.lower()
        assert "more" in line.lower()
