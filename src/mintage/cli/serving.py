"""Starting the HTTP server over an opened workspace."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from mintage.api.logs import LogFormat, logging_to
from mintage.api.server import serve
from mintage.api.service import Sample, Service
from mintage.app.root import App


def run_server(
    app: App,
    *,
    samples: Sequence[Sample],
    trial_key: str | None,
    on_started: Callable[[str, str], None],
    stop: threading.Event | None = None,
    log_format: LogFormat | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; in-flight answers finish first.

    Logs go to stderr: as text to a terminal, else as JSON, unless ``log_format`` says which.
    """
    service = service_of(app, samples=samples, trial_key=trial_key)
    with logging_to(sys.stderr, log_format or app.settings.log_format):
        serve(service, on_started=on_started, stop=stop)


def service_of(
    app: App, *, samples: Sequence[Sample] = (), trial_key: str | None = None
) -> Service:
    """What the routes call, made of the parts that ``app`` joins."""
    parts = app.deliver.serving()
    return Service(
        settings=parts.settings,
        engine=parts.engine,
        gate=parts.gate,
        meter=parts.meter,
        accounts=parts.accounts,
        catalogue=parts.catalogue,
        samples=samples,
        trial_key=trial_key,
        clock=parts.clock,
        replays=parts.replays,
        public_keys=parts.public_keys,
    )
