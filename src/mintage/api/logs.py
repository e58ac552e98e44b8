"""What the server says of itself: one JSON object a line, or a short line for a terminal.

Only the fields of an allow-list leave. Keys, file names, addresses, bodies, queries and the values
of headers have no field, so they reach no log. Logs are English: machines and colleagues read them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from mintage.core.clock import timestamp
from mintage.core.messages import speaking
from mintage.core.redaction import without_keys

LogFormat = Literal["json", "text"]
FIELDS = (
    "request_id",
    "trace_id",
    "method",
    "route",
    "status",
    "customer",
    "operator",
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

_KEPT_SECONDS, _MOST_KEPT = 0.1, 256
_access = logging.getLogger("mintage.access")
_LEVELS = {"": logging.WARNING, "mintage": logging.INFO}
_TERMINAL = ("product", "outcome", "code", "incident", "request_id")


def note(scope: MutableMapping[str, Any], **fields: object) -> None:
    """Have the request's access line say more; fields that are not allowed are left out there."""
    try:
        scope["state"]["logged"].update(fields)
    except KeyError:
        scope.setdefault("state", {})["logged"] = fields


def access(scope: MutableMapping[str, Any], **fields: object) -> None:
    """The access line of a request. Health checks, many and dull, are said at debug level alone."""
    status = fields.get("status")
    level = logging.WARNING if isinstance(status, int) and status >= 500 else logging.INFO
    if scope["state"].get("dull"):
        level = logging.DEBUG
    if not _access.isEnabledFor(level):
        return
    said = scope["state"].get("logged", {}) | fields
    if level == logging.INFO and _lines is not None:
        _lines.keep(said)
    else:
        _access.log(level, REQUEST, extra=said)


class _Lines(logging.StreamHandler[TextIO]):
    """Keeps access lines for a tenth of a second and spells them together.

    One by one they took a fifth of what a call takes outside the model. Every other record is
    written at once, after them.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(JsonFormatter())
        self._keeping = threading.Lock()
        self._kept: list[tuple[float, Mapping[str, Any]]] = []

    def keep(self, said: Mapping[str, Any]) -> None:
        """An access line, to be written soon; where no event loop runs, now."""
        with self._keeping:
            self._kept.append((time.time(), said))
            count = len(self._kept)
        if count == 1:
            try:
                asyncio.get_running_loop().call_later(_KEPT_SECONDS, self.flush)
            except RuntimeError:
                self.flush()
        elif count >= _MOST_KEPT:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write what is kept, then the record."""
        self._write()
        super().emit(record)

    def flush(self) -> None:
        """Write what is kept."""
        self._write()
        with suppress(OSError):  # said already, when it was written
            super().flush()

    def _write(self) -> None:
        with self._keeping:
            kept, self._kept = self._kept, []
        if not kept:
            return
        try:
            self.stream.write("".join(map(_access_line, kept)))
        except Exception:  # noqa: BLE001 - as every handler does: a log that fails fails nothing else
            self.handleError(logging.makeLogRecord({"msg": REQUEST, "name": _access.name}))


_lines: _Lines | None = None


def _access_line(kept: tuple[float, Mapping[str, Any]]) -> str:
    moment, said = kept
    head = {"time": _moment(moment), "level": "info", "logger": _access.name, "event": REQUEST}
    return json.dumps({**head, **_fields(said)}, default=str) + "\n"


@contextmanager
def logging_to(
    stream: TextIO, log_format: LogFormat | None = None
) -> Iterator[logging.StreamHandler[TextIO]]:
    """Send every log of the process there; by default as text to a terminal, else as JSON.

    JSON's access lines come a moment later; ``flush`` of what is given writes them.
    """
    global _lines  # noqa: PLW0603 - as the root logger's handlers, which it is one of
    chosen = log_format or ("text" if stream.isatty() else "json")
    handler: logging.StreamHandler[TextIO] = _Lines(stream)
    if chosen == "text":
        handler = logging.StreamHandler(stream)
        handler.setFormatter(TextFormatter())
    names_before = {name: logging.getLogger(name).level for name in _LEVELS}
    lines_before, _lines = _lines, handler if isinstance(handler, _Lines) else None
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield handler
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(handler)
        handler.flush()
        _lines = lines_before
        for name, level in names_before.items():
            logging.getLogger(name).setLevel(level)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; ASCII alone, so that nothing in a value can end the line."""

    def format(self, record: logging.LogRecord) -> str:
        """Only what the allow-list holds."""
        document = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            **_fields(vars(record)),
        }
        if trace := _trace(self, record):
            document["exception"] = trace
        return json.dumps(document, default=str)


class TextFormatter(logging.Formatter):
    """A short line for a person: ``12:00:01 POST /v1/… 200 12 ms product=pets …``."""

    def format(self, record: logging.LogRecord) -> str:
        """A request's line begins with what was asked; every other with what happened."""
        found = _fields(vars(record))
        if record.name == _access.name:
            asked = f"{found.get('method')} {found.get('route', '-')} {found.get('status', '-')}"
            said = f"{asked} {1000 * float(found.get('latency_seconds', 0)):.0f} ms"
        else:
            said = f"{record.levelname.lower()}: {_event(record)}"
        shown = [f"{name}={found[name]}" for name in _TERMINAL if name in found]
        lines = [_printable(" ".join((_moment(record.created)[11:19], said, *shown)))]
        # Indented, so that no line of a traceback can pass for a line of the log.
        lines += [f"    {_printable(line)}" for line in _trace(self, record).splitlines()]
        return "\n".join(lines)


def _moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))


def _event(record: logging.LogRecord) -> str:
    with speaking("en"):  # an error among the arguments would speak the customer's language
        return without_keys(record.getMessage().strip())


def _fields(given: Mapping[str, Any]) -> Mapping[str, Any]:
    known = ((name, given[name]) for name in FIELDS if given.get(name) is not None)
    return {name: without_keys(each) if isinstance(each, str) else each for name, each in known}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    with speaking("en"):
        return without_keys(formatter.formatException(record.exc_info))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
