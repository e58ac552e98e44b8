"""Starting the HTTP server over an opened workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

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
) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; in-flight answers finish first."""
    parts = app.deliver.serving()
    service = Service(
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
    serve(service, on_started=on_started, stop=stop)
