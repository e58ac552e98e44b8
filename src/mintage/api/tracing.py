"""Tracing: the trace that a caller began (W3C Trace Context) goes on here.

Its id is in the log's line of the request. Where OpenTelemetry is told by its own variables whom to
export to, every request is a span too; that needs the extra ``mintage[otel]``.
"""

from __future__ import annotations

import http
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from mintage.api import logs
from mintage.api.heads import header
from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.messages import _

_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# The first that is set holds (OpenTelemetry Protocol Exporter, "Configuration Options").
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
_PARENT = re.compile(
    r"(00|(?!ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "bytes_in": "http.request.body.size",
    "request_id": "mintage.request_id",
    "customer": "mintage.customer",
    "product": "mintage.product",
    "model": "mintage.model",
    "model_version": "mintage.model_version",
    "outcome": "mintage.outcome",
}
"""What a span says, by the names of the log's fields: what is not logged is in no span."""


class Tracer(Protocol):
    """What makes spans."""

    def span(self, parent: str | None) -> AbstractContextManager[Any]:
        """A context in which a request is answered; gives the span."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


def begin(tracer: Tracer | None, scope: MutableMapping[str, Any]) -> AbstractContextManager[Any]:
    """The context of a request's span, which is None without a tracer; the trace's id is noted."""
    parent = header(scope, b"traceparent")
    found = None if parent is None else _PARENT.fullmatch(parent)
    if found is not None and found[1] == "00" and found[3]:
        found = None  # later versions may say more, this one does not (W3C Trace Context, 3.2.4)
    if found is not None:
        logs.note(scope, trace_id=found[2])
    return nullcontext() if tracer is None else tracer.span(parent if found else None)


def describe(span: Any, said: Mapping[str, Any]) -> None:
    """Have a span say what the log's line says."""
    span.update_name(f"{said.get('method')} {said.get('route') or ''}".strip())
    for field, name in _ATTRIBUTES.items():
        if said.get(field) is not None:
            span.set_attribute(name, said[field])
    if said.get("status", 0) >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - there is a span of its

        span.set_status(StatusCode.ERROR)


def from_environment() -> Tracer | None:
    """Spans as the variables of OpenTelemetry say; None where they say nothing.

    Raises:
        ConfigError: they say another protocol than HTTP with protobuf, the only one spoken here.
        DependencyDown: they say something, and OpenTelemetry is not installed.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(os.environ.get(name) for name in _VARIABLES):
        return None
    _check_protocol()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
    except ImportError as error:
        raise DependencyDown(
            _("Traces are to be exported, but OpenTelemetry is not installed."),
            remedy=_("Install it with: pip install 'mintage[otel]'"),
        ) from error
    return Spans(OTLPSpanExporter())


def _check_protocol() -> None:
    """The exporter for HTTP asks no variable: what was said for gRPC's port would go nowhere."""
    name = next((name for name in _PROTOCOLS if os.environ.get(name)), None)
    if name is None or os.environ[name] == _SPOKEN:
        return
    raise ConfigError(
        _(
            "{name} is {given!r}: traces are sent by {spoken} alone.",
            name=name,
            given=os.environ[name],
            spoken=_SPOKEN,
        ),
        remedy=_(
            "Set it to {spoken} or unset it, and name the collector's port for that, which is "
            "4318 by custom.",
            spoken=_SPOKEN,
        ),
    )


class Spans:
    """OpenTelemetry's spans, exported by a thread of its own; a ``Tracer``."""

    def __init__(self, exporter: Any) -> None:
        # Loaded where it is asked for: it takes 0.1 s, and most servers run without.
        from opentelemetry.sdk.resources import (  # noqa: PLC0415
            OTELResourceDetector,
            Resource,
        )
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        said = OTELResourceDetector().detect()  # what the variables say comes before our name
        named = Resource({"service.name": "mintage"}).merge(said)
        self._provider = TracerProvider(resource=Resource.create().merge(named))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mintage")

    @contextmanager
    def span(self, parent: str | None) -> Iterator[Any]:
        """A server's span, below the caller's where there is one.

        Of an exception it says the kind alone: what it quotes is in the log, without keys.
        """
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        carrier = {} if parent is None else {"traceparent": parent}
        context = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(
            "request",
            context,
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
