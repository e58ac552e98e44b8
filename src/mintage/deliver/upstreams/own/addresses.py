"""Where the servers of one's own models listen: a file that one process writes and all read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mintage.core.canonical import canonical_json
from mintage.core.errors import NotReady
from mintage.core.files import write_atomic
from mintage.core.messages import _
from mintage.deliver.upstreams.declared import Upstream


@dataclass(frozen=True)
class Address:
    """Where a model of one's own is asked.

    ``url`` is the base of its server's API, ``model`` what that calls it, ``bundle`` the model
    itself as ``BundleAt.url`` writes it, ``tokenizer`` the path of its ``tokenizer.json``.
    ``products`` are those that it answers for, or answered for until its successor is up.
    """

    url: str
    model: str
    bundle: str
    tokenizer: str
    products: tuple[str, ...]


class Addresses:
    """Finds them; without a file there are none."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._known: Mapping[str, Address] = {}

    def of(self, upstream: Upstream) -> tuple[Upstream, str, str]:
        """Who answers, the base of its API, and what that calls the model.

        A model of one's own whose server is not up yet is answered for by the one that it follows.

        Raises:
            NotReady: no server of such a model is up (yet).
        """
        own = upstream.bundle
        if own is None:
            return upstream, upstream.url, upstream.model
        known = self._read()
        found = known.get(own.digest) or next(
            (each for each in known.values() if upstream.product in each.products), None
        )
        if found is None:
            raise NotReady(
                _("The model of {product} is being loaded.", product=upstream.product),
                remedy=_("Send it again in a little while."),
            )
        answers = replace(upstream, url=found.bundle, tokenizer=found.tokenizer)
        return answers, found.url, found.model

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
                self._known = {
                    digest: Address(**{**each, "products": tuple(each["products"])})
                    for digest, each in said.items()
                }
                self._stamp = stamp
        except FileNotFoundError:
            return {}
        return self._known
