"""Several processes that serve customers on one socket, and the one that sees to them.

They share the listening socket, so a connection that nobody has taken yet outlives whichever of
them dies, and another is begun in its place. The supervisor takes no calls: it has the operator's
port, where the metrics of all are added up (files in a folder that lives as long as it does, so
that what a dead process had counted is not lost).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from mintage.api.application import operator_app
from mintage.api.metrics import Background
from mintage.api.server import (
    OnStarted,
    Server,
    address,
    listening,
    loop_factory,
    serve_customers,
    stopping,
)
from mintage.api.service import Service
from mintage.api.tls import certificate_of
from mintage.api.turns import Turns
from mintage.core.errors import ServiceError
from mintage.core.messages import _

_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_READY = b"ready"
_TICK_SECONDS = 0.02
_START_SECONDS = 120.0
_SOONEST_AGAIN_SECONDS = 1.0  # a process that dies as it starts must not keep a core busy
_GRACE_SECONDS = 5.0  # beyond the drain, for what was recorded to be flushed
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """What a worker process is given: the socket, and the pipe by which its supervisor lives."""

    customers: socket.socket
    supervisor: Connection
    turns: Turns


Work = Callable[[Place], None]
"""What a process does; it is pickled."""


def work_at(place: Place, service: Service) -> None:
    """Serve customers until SIGTERM, or until the supervisor is gone."""
    stop = threading.Event()

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            place.supervisor.recv_bytes()  # nothing ever comes but the end
        stop.set()

    threading.Thread(target=watch, name="supervisor", daemon=True).start()

    def ready() -> None:
        with contextlib.suppress(OSError):
            place.supervisor.send_bytes(_READY)

    serve_customers(service, place.customers, turns=place.turns, on_started=ready, stop=stop)


def supervise(
    service: Service,
    work: Work,
    *,
    workers: int,
    on_started: OnStarted,
    stop: threading.Event | None = None,
) -> None:
    """Keep ``workers`` processes at work until SIGTERM, SIGINT or ``stop``; then let them finish.

    ``service`` is the supervisor's own, for what the operator's port tells. A second signal ends
    all at once.

    Raises:
        DependencyDown: an address cannot be listened on.
        ServiceError: none of the processes got ready.
    """
    settings = service.settings
    tls = certificate_of(settings) is not None  # a mistake in it is said once, and here
    with listening(settings) as (customers, operators), _shared_metrics() as folder:
        addresses = address(customers, tls=tls), address(operators)
        crew = _Crew(customers, work, workers, folder)
        metrics = partial(_added_up, folder)
        inner = Server(operator_app(service, metrics), settings.drain_seconds)
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(
                    _supervise(
                        crew,
                        inner,
                        operators,
                        lambda: on_started(*addresses),
                        stop,
                        settings.lame_duck_seconds + settings.drain_seconds + _GRACE_SECONDS,
                    )
                )
        finally:
            service.finish()


async def _supervise(
    crew: _Crew,
    inner: Server,
    operators: socket.socket,
    on_started: Callable[[], None],
    stop: threading.Event | None,
    most_seconds: float,
) -> None:
    with stopping() as stopped:
        serving = asyncio.create_task(inner.serve([operators]))
        try:
            crew.begin()
            told = False
            while not (stopped.is_set() or (stop and stop.is_set())):
                crew.look_after()
                if not told and inner.started and crew.is_ready():
                    on_started()
                    told = True
                await asyncio.sleep(_TICK_SECONDS)
            stopped.clear()
            crew.ask_to_end()
            until = time.monotonic() + most_seconds
            while (  # noqa: ASYNC110 - a process tells no event loop of its end
                crew.is_alive() and not stopped.is_set() and time.monotonic() < until
            ):
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            crew.end()
            inner.should_exit = True
            await serving


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    begun: float
    ready: bool = False


class _Crew:
    """The processes."""

    def __init__(self, customers: socket.socket, work: Work, count: int, folder: str) -> None:
        self._customers, self._work, self._count, self._folder = customers, work, count, folder
        # A fork would share the database's connections and the threads' locks.
        self._context = multiprocessing.get_context("spawn")
        self._held = self._context.RawArray("i", count)
        self._workers: list[_Worker] = []
        self._began = time.monotonic()
        self._ever_ready = False

    def begin(self) -> None:
        """Begin as many as there are to be."""
        self._workers = [self._new(position) for position in range(self._count)]

    def is_ready(self) -> bool:
        """Whether all of them serve."""
        return all(worker.ready for worker in self._workers)

    def is_alive(self) -> bool:
        """Whether any has not ended."""
        return any(worker.process.is_alive() for worker in self._workers)

    def look_after(self) -> None:
        """Note who is ready, and put another in the place of who died.

        Raises:
            ServiceError: none of them ever got ready.
        """
        for position, worker in enumerate(self._workers):
            if not worker.ready and worker.pipe.poll():
                with contextlib.suppress(EOFError, OSError):
                    worker.ready = worker.pipe.recv_bytes() == _READY
                    self._ever_ready |= worker.ready
            if worker.process.is_alive():
                continue
            if not self._ever_ready:
                raise _never_ready()
            if time.monotonic() - worker.begun >= _SOONEST_AGAIN_SECONDS:
                _log.error(
                    "A worker (process %s) ended with status %s; another takes its place.",
                    worker.process.pid,
                    worker.process.exitcode,
                )
                self._bury(worker)
                self._workers[position] = self._new(position)
        if not self._ever_ready and time.monotonic() - self._began > _START_SECONDS:
            raise _never_ready()

    def ask_to_end(self) -> None:
        """Have all of them finish what they have taken.

        The last of them to close the socket refuses whoever comes then: nobody waits here.
        """
        self._customers.close()
        for worker in self._workers:
            worker.process.terminate()

    def end(self) -> None:
        """End those that have not ended by themselves."""
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            self._bury(worker)

    def _new(self, position: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        place = Place(self._customers, theirs, Turns(self._held, position))
        process = self._context.Process(target=self._work, args=(place,), name="mintage worker")
        process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def _bury(self, worker: _Worker) -> None:
        worker.pipe.close()
        if worker.process.pid is not None:
            mark_process_dead(worker.process.pid, self._folder)  # type: ignore[no-untyped-call]


def _never_ready() -> ServiceError:
    return ServiceError(
        _("None of the server's processes got ready."),
        remedy=_("What they said is above; try it with --workers 1."),
    )


@contextlib.contextmanager
def _shared_metrics() -> Iterator[str]:
    """A folder in which processes begun meanwhile count; prometheus_client looks for its name."""
    before = os.environ.get(_METRICS_FOLDER)
    with tempfile.TemporaryDirectory(prefix="mintage-metrics-") as folder:
        os.environ[_METRICS_FOLDER] = folder
        try:
            yield folder
        finally:
            del os.environ[_METRICS_FOLDER]
            if before is not None:
                os.environ[_METRICS_FOLDER] = before


def _added_up(folder: str) -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    registry.register(Background())  # which is this process's
    return generate_latest(registry)
