"""Traces go on, and are exported where OpenTelemetry's own variables say so."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.api.conftest import InProcess

from mintage.api.application import customer_app
from mintage.api.logs import logging_to
from mintage.api.tracing import Spans, from_environment
from mintage.core.errors import ConfigError, DependencyDown

PREDICT = "/v1/products/tones/predict"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def made(service, exported, key):
    """A client of a server that makes spans, and the spans so far."""
    tracer = Spans(exported)
    told = replace(service, tracer=tracer, metrics=type(service.metrics)())
    with InProcess(customer_app(told), Authorization=f"Bearer {key}") as client:

        def finished():
            tracer._provider.force_flush()
            return exported.get_finished_spans()

        yield client, finished
        client.call(told.engine.close())
    tracer.close()


def test_a_call_is_a_span_below_its_callers(made, warm) -> None:
    client, finished = made
    answer = client.post(PREDICT, content=warm, headers=PARENT)
    (span,) = finished()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.name == "POST /v1/products/{product}/predict"
    said = dict(span.attributes)
    assert said["mintage.request_id"] == answer.headers["X-Request-Id"]
    assert said["http.response.status_code"] == 200
    assert (said["mintage.product"], said["mintage.outcome"]) == ("tones", "ok")


@pytest.mark.parametrize(
    "junk",
    [
        *("", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"),
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_what_is_no_trace_begins_a_new_one(made, warm, junk: str) -> None:
    client, finished = made
    client.post(PREDICT, content=warm, headers={"traceparent": junk})
    (span,) = finished()
    assert span.parent is None


def test_what_a_later_version_says_besides_is_passed_over(made, warm) -> None:
    client, finished = made
    client.post(PREDICT, content=warm, headers={"traceparent": f"01-{TRACE}-{SPAN}-01-more"})
    (span,) = finished()
    assert f"{span.context.trace_id:032x}" == TRACE


def test_a_service_that_cannot_answer_is_an_error_and_a_wrong_call_is_none(
    made, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, finished = made
    client.post(PREDICT, content=b"x")
    client.get("/v2/models/nothing/versions/9/ready")
    assert {each.status.status_code.name for each in finished()} == {"UNSET"}
    monkeypatch.setattr("mintage.deliver.engine.Engine.ready", lambda *_: False)
    client.get("/v2/health/ready")
    *__, last = finished()
    assert (last.attributes["http.response.status_code"], last.status.status_code.name) == (
        *(503, "ERROR"),
    )


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "mintage"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,team=a"}, "shop"),
    ],
)
def test_the_service_has_the_name_that_the_variables_give(
    monkeypatch: pytest.MonkeyPatch, exported, variables: dict[str, str], name: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    tracer = Spans(exported)
    assert tracer._provider.resource.attributes["service.name"] == name
    tracer.close()


def test_a_failed_call_and_another_page_have_their_span_too(made) -> None:
    client, finished = made
    client.post(PREDICT, content=b"x")
    client.get("/v1/products")
    assert [(each.name, each.attributes["http.response.status_code"]) for each in finished()] == [
        ("POST /v1/products/{product}/predict", 422),
        ("GET /v1/products", 200),
    ]


def test_without_opentelemetry_the_log_still_says_the_trace(client, warm) -> None:
    stream = io.StringIO()
    with logging_to(stream):
        client.post(PREDICT, content=warm, headers=PARENT)
        client.post(PREDICT, content=warm, headers={"traceparent": "planted"})
    lines = map(json.loads, stream.getvalue().splitlines())
    first, second = (line for line in lines if line["event"] == "request")
    assert first["trace_id"] == TRACE
    assert "trace_id" not in second
    assert "planted" not in stream.getvalue()


def test_the_variables_of_opentelemetry_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracer = from_environment()
    assert tracer is not None
    tracer.close()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert from_environment() is None


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
)
@pytest.mark.parametrize("protocol", ["grpc", "http/json"])
def test_a_protocol_that_is_not_spoken_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, protocol: str
) -> None:
    monkeypatch.setenv(name, protocol)
    assert from_environment() is None  # nothing is exported, so nothing is wrong
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=f"{name} is '{protocol}'") as refused:
        from_environment()
    assert "http/protobuf" in refused.value.remedy


def test_the_protocol_for_traces_comes_before_that_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    tracer = from_environment()
    assert tracer is not None
    tracer.close()


def test_where_it_is_missing_the_line_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(DependencyDown) as missing:
        from_environment()
    assert "pip install 'mintage[otel]'" in str(missing.value.remedy)


def test_of_an_exception_a_span_says_the_kind_alone(exported) -> None:
    spans = Spans(exported)
    with pytest.raises(ValueError, match="secret"), spans.span(None):
        raise ValueError("secret")
    spans.close()
    (span,) = exported.get_finished_spans()
    assert (span.status.is_ok, span.status.description, span.events) == (False, "ValueError", ())
