"""What the server says of itself: one JSON object a line, or a short line for a terminal.

Only the fields of an allow-list leave. Keys, file names, addresses, bodies, queries and the values
of headers have no field, so they reach no log. Logs are English: machines and colleagues read them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from mintage.core.clock import timestamp
from mintage.core.messages import speaking

LogFormat = Literal["json", "text"]
FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "customer",
    "product",
    "model",
    "model_version",
    "outcome",
    "code",
    "incident",
    "bytes_in",
    "latency_seconds",
)
REQUEST = "request"
"""The event of an access line."""

_access = logging.getLogger("mintage.access")
_LEVELS = {"": logging.WARNING, "mintage": logging.INFO}
# Whatever a library's error quotes: an API key is never shown.
_KEY = re.compile(r"\bmk_\w+")
_TERMINAL = ("product", "outcome", "code", "incident", "request_id")


def note(scope: MutableMapping[str, Any], **fields: object) -> None:
    """Have the request's access line say more; fields that are not allowed are left out there."""
    scope.setdefault("state", {}).setdefault("logged", {}).update(fields)


def access(scope: MutableMapping[str, Any], **fields: object) -> None:
    """The access line of a request. Health checks, many and dull, are said at debug level alone."""
    status = fields.get("status")
    level = logging.WARNING if isinstance(status, int) and status >= 500 else logging.INFO
    if scope["state"].get("dull"):
        level = logging.DEBUG
    if _access.isEnabledFor(level):
        # As Logger.log does, but that it would look for the line of code that called.
        said = scope["state"].get("logged", {}) | fields
        _access.handle(
            _access.makeRecord(_access.name, level, __file__, 0, REQUEST, (), None, extra=said)
        )


@contextmanager
def logging_to(stream: TextIO, log_format: LogFormat | None = None) -> Iterator[None]:
    """Send every log of the process there; by default as text to a terminal, else as JSON."""
    chosen = log_format or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if chosen == "json" else TextFormatter())
    before = {name: logging.getLogger(name).level for name in _LEVELS}
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; ASCII alone, so that nothing in a value can end the line."""

    def format(self, record: logging.LogRecord) -> str:
        """Only what the allow-list holds."""
        document = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            **_fields(record),
        }
        if trace := _trace(self, record):
            document["exception"] = trace
        return json.dumps(document, default=str)


class TextFormatter(logging.Formatter):
    """A short line for a person: ``12:00:01 POST /v1/… 200 12 ms product=pets …``."""

    def format(self, record: logging.LogRecord) -> str:
        """A request's line begins with what was asked; every other with what happened."""
        found = _fields(record)
        if record.name == _access.name:
            asked = f"{found.get('method')} {found.get('route', '-')} {found.get('status', '-')}"
            said = f"{asked} {1000 * float(found.get('latency_seconds', 0)):.0f} ms"
        else:
            said = f"{record.levelname.lower()}: {_event(record)}"
        shown = [f"{name}={found[name]}" for name in _TERMINAL if name in found]
        lines = [_printable(" ".join((_moment(record)[11:19], said, *shown)))]
        # Indented, so that no line of a traceback can pass for a line of the log.
        lines += [f"    {_printable(line)}" for line in _trace(self, record).splitlines()]
        return "\n".join(lines)


def _moment(record: logging.LogRecord) -> str:
    return timestamp(datetime.fromtimestamp(record.created, UTC))


def _event(record: logging.LogRecord) -> str:
    with speaking("en"):  # an error among the arguments would speak the customer's language
        return _without_keys(record.getMessage().strip())


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    given = vars(record)
    known = ((name, given[name]) for name in FIELDS if given.get(name) is not None)
    return {name: _without_keys(each) if isinstance(each, str) else each for name, each in known}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    with speaking("en"):
        return _without_keys(formatter.formatException(record.exc_info))


def _without_keys(text: str) -> str:
    return _KEY.sub("mk_…", text) if "mk_" in text else text


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
