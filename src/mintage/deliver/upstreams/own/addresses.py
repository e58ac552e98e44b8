"""Where the servers of one's own models listen: a file that one process writes and all read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mintage.core.canonical import canonical_json
from mintage.core.errors import NotReady
from mintage.core.files import write_atomic
from mintage.core.messages import _
from mintage.deliver.upstreams.declared import Upstream


@dataclass(frozen=True)
class Address:
    """The base of a server's API, and what it calls the model."""

    url: str
    model: str


class Addresses:
    """Finds them; without a file there are none."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._known: Mapping[str, Address] = {}

    def of(self, upstream: Upstream) -> Address:
        """Where an upstream is asked.

        Raises:
            NotReady: it is a model of one's own whose server is not up (yet).
        """
        if upstream.bundle is None:
            return Address(upstream.url, upstream.model)
        found = self._read().get(upstream.bundle.digest)
        if found is None:
            raise NotReady(
                _("The model of {product} is being loaded.", product=upstream.product),
                remedy=_("Send it again in a little while."),
            )
        return found

    def write(self, addresses: Mapping[str, Address]) -> None:
        """Tell all who read which digest listens where."""
        if self._path is not None:
            said = {digest: asdict(each) for digest, each in addresses.items()}
            write_atomic(self._path, canonical_json(said))

    def _read(self) -> Mapping[str, Address]:
        if self._path is None:
            return {}
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_ino
            if stamp != self._stamp:
                said = json.loads(self._path.read_bytes())
                self._known = {digest: Address(**each) for digest, each in said.items()}
                self._stamp = stamp
        except FileNotFoundError:
            return {}
        return self._known
