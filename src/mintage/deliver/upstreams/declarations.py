"""Which upstreams answer for which product: declared, listed, taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mintage.core.canonical import canonical_json
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.units import check_name
from mintage.deliver import repository
from mintage.deliver.upstreams.declared import Upstream
from mintage.store.engine import Database
from mintage.trust import audit


class Upstreams:
    """The upstreams of a workspace."""

    def __init__(self, database: Database, now: Callable[[], str]) -> None:
        """``now`` gives the moment as it stands in rows and records."""
        self._database = database
        self._now = now

    def declare(self, upstream: Upstream, plan: str) -> None:
        """Have an upstream answer for its product, in place of the one of the same name.

        The product is made where it is new. Row and leaf are one transaction.

        Raises:
            ConfigError: the product's name cannot be one.
            RequestError: a bundle answers for this product (409).
        """
        check_name(upstream.product, "product")
        moment = self._now()
        said = upstream.to_json()
        row = {
            **said,
            "costs": canonical_json(said["costs"]).decode(),
            "deidentify": ",".join(upstream.deidentify),
            "digest": upstream.digest,
        }

        def work(connection: repository.Connection) -> None:
            if repository.standing_publications(connection, upstream.product):
                raise answered_by_bundle(upstream.product)
            repository.save_product(connection, upstream.product, "", plan, moment)
            repository.remove_upstream(connection, upstream.product, upstream.name, moment)
            repository.add_upstream(connection, row | {"declared_at": moment})
            record = said | {"digest": upstream.digest, "plan": plan, "declared_at": moment}
            audit.append(connection, "upstream.declared", record)

        self._database.write(work)

    def remove(self, product: str, name: str) -> None:
        """Have an upstream answer no more; what it answered stays recorded.

        Raises:
            RequestError: the product has none of this name (404).
        """
        moment = self._now()

        def work(connection: repository.Connection) -> None:
            if not repository.remove_upstream(connection, product, name, moment):
                raise RequestError(
                    _("{product} has no upstream {name!r}.", product=product, name=name),
                    remedy=_(
                        "See which there are: mintage product show {product}", product=product
                    ),
                    http_status=404,
                )
            record = {"product": product, "name": name, "removed_at": moment}
            audit.append(connection, "upstream.removed", record)

        self._database.write(work)

    def newest(self, name: str, model: str, product: str | None = None) -> int | None:
        """The highest version of a model of one's own that an upstream of this name ever was."""
        with self._database.read() as connection:
            found = repository.declared_models(connection, name, product)
        versions = [each.rpartition("@") for each in found]
        return max(
            (int(v) for own, __, v in versions if own == model and v.isdecimal()), default=None
        )

    def of(self, product: str) -> Sequence[Upstream]:
        """Those that answer for a product, in the order in which they are asked."""
        return self.all().get(product, ())

    def all(self) -> dict[str, Sequence[Upstream]]:
        """Those of every product that has any, in their order."""
        with self._database.read() as connection:
            rows = repository.standing_upstreams(connection)
        found: dict[str, list[Upstream]] = {}
        for row in rows:
            found.setdefault(row["product"], []).append(_read(row))
        return {product: tuple(upstreams) for product, upstreams in found.items()}

    def epoch(self) -> int | None:
        """A number that is another one after every declaration, by whatever process."""
        return self._database.epoch()


def answered_by_bundle(product: str) -> RequestError:
    """No upstream can answer for a product that a bundle answers for."""
    return RequestError(
        _("A bundle answers for {product}.", product=product),
        remedy=_("Sell what the upstream answers as another product."),
        http_status=409,
    )


def _read(row: repository.Values) -> Upstream:
    said: dict[str, Any] = {
        name: value
        for name, value in row.items()
        if name not in ("sequence", "digest", "declared_at", "removed_at")
    }
    more = {
        "costs": json.loads(row["costs"]),
        "deidentify": [kind for kind in row["deidentify"].split(",") if kind],
        "since": row["declared_at"],
    }
    return Upstream.from_json(said | more)
