"""Keeps a server going for each model of one's own that is on sale."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from mintage.core.background import Rounds
from mintage.core.errors import MintageError
from mintage.core.types import ModelServer
from mintage.deliver.upstreams.declared import BundleAt, Upstream
from mintage.deliver.upstreams.own.addresses import Address, Addresses
from mintage.deliver.upstreams.own.server import Model, Server

_LOOK_SECONDS = 0.5
_FIRST_AGAIN_SECONDS, _MOST_AGAIN_SECONDS = 1.0, 60.0
_LINGER_SECONDS = 60.0
"""How long a model is served on once its successor is up, for calls that have begun."""
_log = logging.getLogger(__name__)


class Catalogue(Protocol):
    """Says which upstreams answer for each product."""

    def all(self) -> Mapping[str, Sequence[Upstream]]:
        """Those of every product that has any."""
        ...

    def epoch(self) -> int | None:
        """A number that is another one after every declaration; None where nobody can say."""
        ...


class Keeper:
    """Begins servers as models are put on sale, in one process for all that answer calls.

    ``located`` gives a verified model's folder, which may take long, or raises MintageError.
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
        self._wanted: dict[str, BundleAt] = {}
        self._epoch: int | None = None
        self._looking: dict[str, Thread] = {}
        self._folders: dict[str, Path] = {}
        self._servers: dict[str, Server] = {}
        self._up: set[str] = set()
        self._products: dict[str, set[str]] = defaultdict(set)
        self._written: dict[str, Address] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._unwanted: dict[str, float] = {}
        self._end = Event()

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Look after them until the block ends, and end them with it."""
        rounds = Rounds("model-servers", self.look, "Servers of models cannot be looked after")
        watch = partial(rounds.until, self._end, _LOOK_SECONDS)
        thread = Thread(target=watch, name=rounds.name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()
            for server in self._servers.values():
                server.end()

    def look(self) -> None:
        """Begin what is wanted and lacks, bury what ended, let go of what is no longer sold."""
        self._read()
        wanted = self._wanted
        for digest, server in list(self._servers.items()):
            if server.has_ended:
                self._bury(digest, server)
            elif digest not in self._up and server.is_healthy():
                self._rejoice(digest, server)
        for digest, at in wanted.items():
            if digest not in self._servers and self._may_begin(digest):
                self._begin(at)
        self._let_go(wanted.keys())
        self._tell()

    def _read(self) -> None:
        """Know what is sold, where anything was declared since."""
        epoch = self._catalogue.epoch()
        if epoch is not None and epoch == self._epoch:
            return
        wanted: dict[str, BundleAt] = {}
        for product, upstreams in self._catalogue.all().items():
            for at in (each.bundle for each in upstreams):
                if at is not None:
                    wanted[at.digest] = at
                    self._products[at.digest].add(product)
        self._wanted, self._epoch = wanted, epoch

    def _begin(self, at: BundleAt) -> None:
        """Look its files through in a thread of their own, then begin its server."""
        if at.digest in self._folders:
            folder = self._folders.pop(at.digest)
            try:
                model = Model(at, folder)
                self._servers[at.digest] = Server(model, self._kind, self._threads)
            except MintageError as error:
                self._cannot(at, error)
                return
            _log.info("%s is being loaded.", at.reference)
        elif at.digest not in self._looking:
            thread = Thread(target=self._look_through, args=(at,), daemon=True)
            self._looking[at.digest] = thread
            thread.start()

    def _look_through(self, at: BundleAt) -> None:
        try:
            self._folders[at.digest] = self._located(at)
        except MintageError as error:
            self._cannot(at, error)
        finally:
            del self._looking[at.digest]

    def _cannot(self, at: BundleAt, error: MintageError) -> None:
        self._failed(at.digest)
        _log.error("%s cannot be served: %s %s", at.reference, error.message, error.remedy)

    def _rejoice(self, digest: str, server: Server) -> None:
        """Up once is up until it ends: one that is busy answers no further question."""
        self._up.add(digest)
        self._failures.pop(digest, None)
        seconds = time.monotonic() - server.begun
        _log.info("%s answers, after %.1f s.", server.model.at.reference, seconds)

    def _bury(self, digest: str, server: Server) -> None:
        del self._servers[digest]
        self._up.discard(digest)
        server.end()
        self._failed(digest)
        reference, words = server.model.at.reference, server.last_words()
        _log.error("The server of %s ended: %s", reference, words)

    def _failed(self, digest: str) -> None:
        count = self._failures.get(digest, (0, 0.0))[0] + 1
        seconds = min(_MOST_AGAIN_SECONDS, _FIRST_AGAIN_SECONDS * 2 ** (count - 1))
        self._failures[digest] = count, time.monotonic() + seconds

    def _may_begin(self, digest: str) -> bool:
        return time.monotonic() >= self._failures.get(digest, (0, 0.0))[1]

    def _let_go(self, digests: AbstractSet[str]) -> None:
        """End what is no longer sold, once all that is sold is up: until then it answers."""
        now, waiting = time.monotonic(), digests - self._up
        for digest in self._servers.keys() - digests:
            if waiting:
                self._unwanted[digest] = now
            elif now - self._unwanted.setdefault(digest, now) >= _LINGER_SECONDS:
                self._up.discard(digest)
                self._servers.pop(digest).end()
        for digest in self._unwanted.keys() - (self._servers.keys() - digests):
            del self._unwanted[digest]

    def _tell(self) -> None:
        found = {
            digest: self._servers[digest].address(tuple(sorted(self._products[digest])))
            for digest in self._up
        }
        if found != self._written:
            self._addresses.write(found)
            self._written = found
