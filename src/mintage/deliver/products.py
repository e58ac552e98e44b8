"""Products: what is sold under a name, and which version of which model answers for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.units import check_name
from mintage.deliver import repository
from mintage.store.engine import Database
from mintage.trust import audit

STABLE = "stable"


class Pointer(NamedTuple):
    """What an alias points at: one version of a model, and the digest its bundle must have."""

    model: str
    version: int
    bundle_digest: str


@dataclass(frozen=True)
class Product:
    """A product as it stands in the database."""

    name: str
    model: str
    plan: str
    created_at: str


class Products:
    """The products of a workspace."""

    def __init__(self, database: Database, now: Callable[[], str]) -> None:
        """``now`` gives the moment as it stands in rows and records."""
        self._database = database
        self._now = now

    def publish(
        self,
        product: str,
        model: str,
        version: int,
        bundle_digest: str,
        plan: str,
        alias: str = STABLE,
    ) -> Pointer:
        """Point a product's alias at a version; the product is made where it is new.

        Rows and the audit log's leaf are one transaction.

        Raises:
            ConfigError: the product's name cannot be one.
            RequestError: the model was removed in the meantime (404).
        """
        check_name(product, "product")
        moment = self._now()
        pointer = Pointer(model, version, bundle_digest)
        row = {"product": product, "alias": alias, "changed_at": moment, **pointer._asdict()}

        def work(connection: repository.Connection) -> Pointer:
            if not repository.model_stands(connection, model, version):
                raise RequestError(
                    _("There is no model {model}@{version}.", model=model, version=version),
                    remedy=_("See those that there are with: mintage list models"),
                    http_status=404,
                )
            repository.save_product(connection, product, model, plan, moment)
            repository.save_alias(connection, row)
            audit.append(connection, "product.published", row | {"plan": plan})
            return pointer

        return self._database.write(work)

    def get(self, name: str) -> Product:
        """The product of this name.

        Raises:
            RequestError: there is none (404).
        """
        with self._database.read() as connection:
            row = repository.find_product(connection, name)
        if row is None:
            raise _missing(name)
        return Product(**row)

    def list(self) -> Sequence[Product]:
        """Every product, by name."""
        with self._database.read() as connection:
            return [Product(**row) for row in repository.all_products(connection)]

    def alias(self, product: str, alias: str = STABLE) -> Pointer:
        """What a product's alias points at.

        Raises:
            RequestError: no such product, or it has no such alias (404).
        """
        pointer = self.pointers(alias).get(product)
        if pointer is None:
            self.get(product)
            raise RequestError(
                _("The product {product!r} has no {alias!r}.", product=product, alias=alias),
                remedy=_("Publish a version: mintage publish MODEL@VERSION --product NAME"),
                http_status=404,
            )
        return pointer

    def pointers(self, alias: str = STABLE) -> dict[str, Pointer]:
        """What the alias points at for every product that has it: one small query."""
        with self._database.read() as connection:
            rows = repository.find_aliases(connection, alias)
        return {
            row["product"]: Pointer(row["model"], row["version"], row["bundle_digest"])
            for row in rows
        }


def _missing(name: str) -> RequestError:
    return RequestError(
        _("There is no product {name!r}.", name=name),
        remedy=_(
            "GET /v1/products lists what is sold here;"
            " publish with: mintage publish MODEL@VERSION --product NAME"
        ),
        http_status=404,
    )
