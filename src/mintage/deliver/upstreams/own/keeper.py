"""Keeps a server going for each model of one's own that is on sale."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from mintage.core.errors import MintageError
from mintage.deliver.upstreams.declared import BundleAt, Upstream
from mintage.deliver.upstreams.own.addresses import Address, Addresses
from mintage.deliver.upstreams.own.server import Model, ModelServer, Server

_LOOK_SECONDS = 0.5
_FIRST_AGAIN_SECONDS, _MOST_AGAIN_SECONDS = 1.0, 60.0
_LINGER_SECONDS = 60.0
"""How long a model that is no longer on sale is served on, for calls that have begun."""
_log = logging.getLogger(__name__)


class Catalogue(Protocol):
    """Says which upstreams answer for each product."""

    def all(self) -> Mapping[str, Sequence[Upstream]]:
        """Those of every product that has any."""
        ...


class Keeper:
    """Begins servers as models are put on sale, in one process for all that answer calls.

    ``located`` gives a verified model's folder, or raises MintageError.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        located: Callable[[BundleAt], Path],
        addresses: Addresses,
        *,
        kind: ModelServer,
        threads: int,
    ) -> None:
        self._catalogue, self._located, self._addresses = catalogue, located, addresses
        self._kind, self._threads = kind, threads
        self._servers: dict[str, Server] = {}
        self._healthy: dict[str, Address] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._unwanted: dict[str, float] = {}
        self._end = Event()

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Look after them until the block ends, and end them with it."""
        thread = Thread(target=self._watch, name="model servers", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()
            for server in self._servers.values():
                server.end()

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except MintageError as error:  # the database is away: what runs goes on
                _log.warning("Models on sale cannot be looked up: %s", error.message)
            if self._end.wait(_LOOK_SECONDS):
                return

    def look(self) -> None:
        """Begin what is wanted and lacks, bury what ended, let go of what is no longer sold."""
        wanted = {
            each.bundle.digest: each.bundle
            for upstreams in self._catalogue.all().values()
            for each in upstreams
            if each.bundle is not None
        }
        for digest, server in list(self._servers.items()):
            if server.has_ended:
                self._bury(digest, server)
        for digest, at in wanted.items():
            self._unwanted.pop(digest, None)
            if digest not in self._servers and self._may_begin(digest):
                self._begin(at)
        self._let_go(wanted)
        healthy = {
            digest: server.address
            for digest, server in self._servers.items()
            if self._is_up(server)
        }
        if healthy != self._healthy:
            self._healthy = healthy
            self._addresses.write(healthy)

    def _is_up(self, server: Server) -> bool:
        """Healthy once is healthy until it ends: one that is busy answers no further question."""
        digest = server.model.digest
        if self._healthy.get(digest) == server.address:
            return True
        if not server.is_healthy():
            return False
        self._failures.pop(digest, None)
        seconds = time.monotonic() - server.begun
        _log.info("%s answers, after %.1f s.", server.model.name, seconds)
        return True

    def _begin(self, at: BundleAt) -> None:
        try:
            model = Model(at.reference, at.digest, self._located(at))
            self._servers[at.digest] = Server(model, self._kind, self._threads)
        except MintageError as error:
            self._failed(at.digest)
            _log.error("%s cannot be served: %s %s", at.reference, error.message, error.remedy)
            return
        _log.info("%s is being loaded.", at.reference)

    def _bury(self, digest: str, server: Server) -> None:
        del self._servers[digest]
        server.end()
        self._failed(digest)
        _log.error("The server of %s ended: %s", server.model.name, server.last_words())

    def _failed(self, digest: str) -> None:
        count = self._failures.get(digest, (0, 0.0))[0] + 1
        seconds = min(_MOST_AGAIN_SECONDS, _FIRST_AGAIN_SECONDS * 2 ** (count - 1))
        self._failures[digest] = count, time.monotonic() + seconds

    def _may_begin(self, digest: str) -> bool:
        return time.monotonic() >= self._failures.get(digest, (0, 0.0))[1]

    def _let_go(self, wanted: Mapping[str, BundleAt]) -> None:
        now = time.monotonic()
        for digest in self._servers.keys() - wanted.keys():
            self._unwanted.setdefault(digest, now)
        for digest, since in list(self._unwanted.items()):
            if now - since >= _LINGER_SECONDS:
                del self._unwanted[digest]
                self._servers.pop(digest).end()
