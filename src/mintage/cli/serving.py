"""Starting the HTTP server over an opened workspace."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mintage.api.logs import LogFormat, logging_to
from mintage.api.server import serve
from mintage.api.service import Sample, Service
from mintage.api.tracing import from_environment
from mintage.api.workers import Place, supervise, work_at
from mintage.app.root import App
from mintage.core.errors import MintageError
from mintage.core.machine import available_cores
from mintage.core.settings import Settings

_log = logging.getLogger(__name__)


def run_server(
    app: App,
    *,
    samples: Sequence[Sample],
    on_started: Callable[[str, str], None],
    stop: threading.Event | None = None,
    log_format: LogFormat | None = None,
    workers: int = 1,
) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; in-flight answers finish first.

    Logs go to stderr: as text to a terminal, else as JSON, unless ``log_format`` says which. With
    several ``workers`` the calls are answered by so many processes.
    """
    with TemporaryDirectory(prefix="mintage-models-") as folder:
        models = Path(folder) / "addresses.json"
        _serve(app, models, samples, on_started, stop, log_format, workers)


def _serve(
    app: App,
    models: Path,
    samples: Sequence[Sample],
    on_started: Callable[[str, str], None],
    stop: threading.Event | None,
    log_format: LogFormat | None,
    workers: int,
) -> None:
    app.capture.log.check_key()  # before others are made
    service = service_of(app, samples=samples, models=models)
    # Here and in no worker: notices leave from one process, and so are tree heads signed.
    with (
        logging_to(sys.stderr, log_format or app.settings.log_format),
        app.notifying.in_background(),
        app.capture.log.signing(),
        app.heads_elsewhere.in_background(),
        app.deliver.model_servers(models).in_background(),
    ):
        if workers == 1:
            serve(service, on_started=on_started, stop=stop)
        else:
            crew = partial(_work, _shared(app.settings, workers), app.workspace.home, models)
            supervise(service, crew, workers=workers, on_started=on_started, stop=stop)


def _shared(settings: Settings, workers: int) -> Settings:
    """A worker's settings: its share of the cores, and of the calls and bytes that may wait."""

    def share(whole: int) -> int:
        return max(1, whole // workers)

    changes = {
        "threads": share(settings.threads or available_cores()),
        "max_queue": share(settings.max_queue),
        "max_body_bytes": share(settings.max_body_bytes),
    }
    return settings.model_copy(update=changes)


def _work(settings: Settings, home: Path, models: Path, place: Place) -> None:
    """One worker process, from its opening of the workspace to its end."""
    with logging_to(sys.stderr, settings.log_format):
        try:
            with App(settings.model_copy(update={"home": home}), make=False) as app:
                work_at(place, service_of(app, models=models))
        except MintageError as error:
            _log.error("A worker ends: %s %s", error.message, error.remedy)
            sys.exit(error.exit_status)


def service_of(app: App, *, samples: Sequence[Sample] = (), models: Path | None = None) -> Service:
    """What the routes call, made of the parts that ``app`` joins.

    ``models`` is the file that says where language models of one's own are served.
    """
    parts = app.deliver.serving(models)
    return Service(
        settings=parts.settings,
        engine=parts.engine,
        explanations=parts.explanations,
        gate=parts.gate,
        limiter=parts.limiter,
        reserve=parts.reserve,
        tracer=from_environment(),
        meter=parts.meter,
        accounts=parts.accounts,
        catalogue=parts.catalogue,
        samples=samples,
        clock=parts.clock,
        replays=parts.replays,
        public_keys=parts.public_keys,
        key_list=parts.key_list,
        feedback=app.feedback if app.settings.feedback_bytes else None,
        payments=app.billing.desk,
        admin=app,
        gateway=parts.gateway,
        refusals=parts.refusals,
        audits=lambda: {each.model: each.due_at for each in app.model_audits.due()},
    )
