"""Servers on one event loop: the customers', and beside it the operator's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from mintage.api.application import customer_app, operator_app
from mintage.api.door import Door
from mintage.api.protocol import Protocol
from mintage.api.service import Service
from mintage.api.tls import Certificate, certificate_of
from mintage.api.turned_away import Overload
from mintage.api.turns import Turns
from mintage.core.errors import DependencyDown
from mintage.core.messages import Message, _
from mintage.core.settings import Settings

OnStarted = Callable[[str, str], None]
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_IDLE_SECONDS = 5
_TICK_SECONDS = 0.05
_SAMPLE_SECONDS = 0.5
_SWITCH_SECONDS = 0.0005


def serve(service: Service, *, on_started: OnStarted, stop: threading.Event | None = None) -> None:
    """Serve until SIGTERM, SIGINT or ``stop``; then finish what was taken, and return.

    After a signal, calls are taken for ``lame_duck_seconds`` more, while it is not ready. A second
    one ends it at once. ``on_started`` is told both addresses, such as ``http://127.0.0.1:8000``,
    when both answer.

    Raises:
        DependencyDown: an address cannot be listened on.
    """
    settings = service.settings
    certificate = certificate_of(settings)
    # Before anything is loaded: a port in use is said at once.
    with listening(settings) as (customers, operators):
        addresses = address(customers, tls=certificate is not None), address(operators)
        inner = Server(operator_app(service), settings.drain_seconds)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(
                _serve(
                    service,
                    customers,
                    certificate,
                    lambda: on_started(*addresses),
                    stop,
                    beside=(inner, operators),
                )
            )


def serve_customers(
    service: Service,
    customers: socket.socket,
    *,
    turns: Turns,
    on_started: Callable[[], None],
    stop: threading.Event,
) -> None:
    """``serve`` in one of several processes: on a socket that they share, without the operator's.

    SIGINT is not for it: a terminal sends it to all of them, and whoever began them says when. Nor
    is a second SIGTERM: one that goes to the whole group comes from the supervisor once more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    certificate = certificate_of(service.settings)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            _serve(
                service,
                customers,
                certificate,
                on_started,
                stop,
                signals=(signal.SIGTERM,),
                turns=turns,
            )
        )


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The customers' socket and the operator's.

    Raises:
        DependencyDown: an address cannot be listened on.
    """
    with (
        _listen(settings.host, settings.port, "port") as customers,
        _listen(settings.operator_host, settings.operator_port, "operator-port") as operators,
    ):
        yield customers, operators


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: two of them share the process."""

    def __init__(
        self,
        app: ASGIApp,
        drain_seconds: float,
        *,
        keep_alive_seconds: int = _IDLE_SECONDS,
        certificate: Certificate | None = None,
        proxies: str | None = None,
        overload: Overload | None = None,
        turns: Turns | None = None,
    ) -> None:
        """``proxies`` are those whose ``X-Forwarded-For`` and ``-Proto`` are believed.

        ``certificate``, ``overload`` and ``turns`` are the ``Door``'s.
        """
        config = uvicorn.Config(
            app,
            loop="none",
            http=Protocol,
            ws="none",
            lifespan="off",
            access_log=False,  # it would show addresses and queries; ours is in the Envelope
            log_config=None,
            server_header=False,
            proxy_headers=proxies is not None,
            forwarded_allow_ips=proxies,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=math.ceil(drain_seconds),
        )
        config.load()
        self._certificate = certificate
        self._overload = overload
        self._turns = turns
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open a door of ours on each socket, where uvicorn would have the event loop accept."""
        await self.lifespan.startup()

        def protocol() -> Protocol:
            return Protocol(
                self.config,
                self.server_state,
                self.lifespan.state,
                overload=self._overload,
                turns=self._turns,
            )

        doors = [
            Door(
                each,
                protocol,
                certificate=self._certificate,
                overload=self._overload,
                turns=self._turns,
            )
            for each in sockets or ()
        ]
        self.servers = cast("list[asyncio.base_events.Server]", doors)
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: ``stopping`` does."""
        yield


async def _start(service: Service) -> None:
    """Load what answers."""
    for part in (service.engine, service.gateway):
        if part is not None:
            await part.start()


async def _close(service: Service) -> None:
    """Answer what was taken, and let go."""
    for part in (service.explanations, service.engine, service.gateway):
        if part is not None:
            await part.close()


async def _serve(
    service: Service,
    customers: socket.socket,
    certificate: Certificate | None,
    on_started: Callable[[], None],
    stop: threading.Event | None,
    beside: tuple[Server, socket.socket] | None = None,
    signals: Sequence[signal.Signals] = SIGNALS,
    turns: Turns | None = None,
) -> None:
    """Serve customers until a signal or ``stop``; the server ``beside`` ends after theirs."""
    facing = Server(
        customer_app(service),
        service.settings.drain_seconds,
        keep_alive_seconds=service.settings.keep_alive_seconds,
        certificate=certificate,
        proxies=service.settings.behind_proxy,
        overload=Overload(service),
        turns=turns,
    )
    servers = [facing] if beside is None else [facing, beside[0]]
    with stopping(signals) as stopped, _interpreter_for_serving():
        try:
            await _start(service)
            gc.freeze()
            async with asyncio.TaskGroup() as tasks:
                watching: list[asyncio.Task[None]] = []
                if beside is None:  # another process reads the metrics of this one
                    watching.append(tasks.create_task(_sample(service)))
                if certificate is not None:
                    watching.append(tasks.create_task(certificate.watch()))
                running = tasks.create_task(facing.serve([customers]))
                if beside is not None:
                    tasks.create_task(beside[0].serve([beside[1]]))
                while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn's
                    await asyncio.sleep(_TICK_SECONDS)
                on_started()
                while not (stopped.is_set() or (stop and stop.is_set())):  # noqa: ASYNC110
                    await asyncio.sleep(_TICK_SECONDS)
                service.engine.retire()
                if beside is not None:
                    watching.append(tasks.create_task(_at_second_signal(stopped, servers)))
                await _linger(service.settings.lame_duck_seconds, facing, stop)
                service.engine.drain()
                facing.should_exit = True
                await running
                # Until here the operator could watch the customers' calls end.
                for server in servers:
                    server.should_exit = True
                for task in watching:
                    task.cancel()
        finally:
            await _close(service)
            await asyncio.to_thread(service.finish)


@contextlib.contextmanager
def _interpreter_for_serving() -> Iterator[None]:
    """Python as a server wants it, and as it was afterwards.

    What is loaded is looked through for garbage once and never again; the event loop waits half a
    millisecond for a thread that computes, not five: with five, one in a hundred refusals under
    a flood took twice as long, and answers a second are the same.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


async def _sample(service: Service) -> None:
    """Have the queues' lengths in the metrics, for whoever reads those of several processes."""
    while True:
        service.metrics.sample()
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _linger(seconds: float, facing: Server, stop: threading.Event | None) -> None:
    """Go on answering until load balancers have seen that this server is not ready."""
    until = time.monotonic() + seconds
    while (  # noqa: ASYNC110 - a thread or another task says when it is over
        time.monotonic() < until and not facing.force_exit and not (stop and stop.is_set())
    ):
        await asyncio.sleep(_TICK_SECONDS)


async def _at_second_signal(stopped: asyncio.Event, servers: Sequence[Server]) -> None:
    stopped.clear()
    await stopped.wait()
    for server in servers:
        server.force_exit = True


@contextlib.contextmanager
def stopping(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[asyncio.Event]:
    """An event that these signals set; elsewhere than in the main thread nothing sets it."""
    stopped = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in signals}
    for number in before:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _listen(host: str, port: int, option: str) -> socket.socket:
    variable = f"MINTAGE_{option.replace('-', '_').upper()}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        # Not error.strerror: asyncio and socket add the address to it, which is said already.
        number = getattr(error, "errno", None)
        reason = Message(str(error) if number is None else os.strerror(number))
        raise DependencyDown(
            _("Cannot listen on {host}:{port}: {reason}.", host=host, port=port, reason=reason),
            remedy=_(
                "Choose another with --{option} or {variable}, or 0 for any free one.",
                option=option,
                variable=variable,
            ),
        ) from error


def address(customers: socket.socket, *, tls: bool = False) -> str:
    """Where a socket is reached, such as ``http://127.0.0.1:8000``."""
    host, port = customers.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not made for Windows, where asyncio's own loop serves
    except ImportError:
        return None
    return uvloop.new_event_loop
