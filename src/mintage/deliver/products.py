"""Products: what is sold under a name, and which version of which model answers for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.units import check_name
from mintage.deliver import repository
from mintage.store.engine import Database
from mintage.trust import audit

STABLE, CANARY, SHADOW = "stable", "canary", "shadow"
Trial = Literal["canary", "shadow"]
"""How a version stands beside the stable one: it answers some customers, or nobody."""


class Pointer(NamedTuple):
    """What an alias points at: one version of a model, and the digest its bundle must have."""

    model: str
    version: int
    bundle_digest: str

    @property
    def reference(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"


class Routing(NamedTuple):
    """Which versions answer for a product: ``percent`` of its customers get the canary.

    Or so many of its calls are asked of the ``shadow`` too, whose answers nobody gets. There is one
    of them at most.
    """

    stable: Pointer
    canary: Pointer | None = None
    percent: int = 0
    shadow: Pointer | None = None

    def alias_for(self, product: str, customer: str) -> str:
        """The alias whose version answers this customer: always the same one."""
        if self.canary is None:
            return STABLE
        digest = hashlib.sha256(f"{customer}\n{product}".encode()).digest()
        return CANARY if int.from_bytes(digest) % 100 < self.percent else STABLE

    def pointers(self) -> dict[str, Pointer]:
        """Each alias that there is."""
        there = {STABLE: self.stable, CANARY: self.canary, SHADOW: self.shadow}
        return {alias: pointer for alias, pointer in there.items() if pointer is not None}


@dataclass(frozen=True)
class Product:
    """A product as it stands in the database."""

    name: str
    model: str
    plan: str
    created_at: str


@dataclass(frozen=True)
class Published:
    """That a version of a model was published for the first time, and for which product."""

    product: str
    model: str
    version: int
    published_at: str


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
        trial: Trial | None = None,
        percent: int = 100,
        *,
        allow_older: bool = False,
    ) -> Pointer:
        """Point ``stable`` at a version, or have it stand trial beside it for ``percent``.

        The product is made where it is new. Whatever is published ends the trial of what was
        before: it was tried, or overtaken. Rows and the audit log's leaf are one transaction.

        An older version than was ever published for the product is put on sale where that is
        asked for, by ``allow_older``; it was signed once too, and so nothing else would tell an
        honest publish from one that brings an old mistake back.

        Raises:
            ConfigError: the product's name cannot be one.
            RequestError: it is an older version (409).
            RequestError: the model was removed in the meantime (404), or nothing is stable yet
                that the others would get (409).
        """
        check_name(product, "product")
        moment = self._now()
        pointer = Pointer(model, version, bundle_digest)
        alias = trial or STABLE
        row = {
            "product": product,
            "alias": alias,
            **pointer._asdict(),
            "percent": percent,
            "published_at": moment,
        }

        def work(connection: repository.Connection) -> Pointer:
            _check_stands(connection, pointer)
            if trial is not None and not repository.standing_publications(connection, product):
                raise RequestError(
                    _(
                        "{product} has no stable version that a {trial} could stand beside.",
                        product=product,
                        trial=trial,
                    ),
                    remedy=_("Publish one first, without --{trial}.", trial=trial),
                    http_status=409,
                )
            if any(row["product"] == product for row in repository.standing_upstreams(connection)):
                raise answered_by_upstream(product)
            if not allow_older:
                _check_not_older(connection, product, pointer)
            repository.save_product(connection, product, model, plan, moment)
            repository.add_publication(connection, row)
            _settle(connection, product, moment)
            audit.append(connection, "product.published", row | {"plan": plan})
            return pointer

        return self._database.write(work)

    def check_not_older(self, product: str, pointer: Pointer) -> None:
        """Refuse an older version before anything else of a publish is done.

        Raises:
            RequestError: it is older than one that the product has sold already (409).
        """
        with self._database.read() as connection:
            _check_not_older(connection, product, pointer)

    def first_published(self) -> list[Published]:
        """When each version was published for the first time, and for which product."""
        with self._database.read() as connection:
            return [Published(**row) for row in repository.first_publications(connection)]

    def before(self, product: str) -> Routing:
        """Which versions answered before the last publish.

        Raises:
            RequestError: there is no such product (404), or nothing came before (409).
        """
        self.get(product)
        with self._database.read() as connection:
            return _before(product, repository.standing_publications(connection, product))

    def rollback(self, product: str, expected: Routing) -> Undone:
        """Take the product's last publish back, so that ``expected``, of ``before``, stands again.

        Raises:
            RequestError: something else was published meanwhile (409), or what stood before was
                removed (404).
        """
        moment = self._now()

        def work(connection: repository.Connection) -> Undone:
            standing = repository.standing_publications(connection, product)
            if _before(product, standing) != expected:
                raise RequestError(
                    _("Somebody else published {product} meanwhile.", product=product),
                    remedy=_("See what answers now: mintage products"),
                    http_status=409,
                )
            for pointer in expected.pointers().values():
                _check_stands(connection, pointer)
            last = standing[0]
            repository.undo_publication(connection, last["sequence"], moment)
            _settle(connection, product, moment)
            undone = Undone(_pointer(last), last["alias"], expected)
            record = {"product": product, "alias": undone.alias, **undone.pointer._asdict()}
            audit.append(connection, "product.rolled_back", record | {"rolled_back_at": moment})
            return undone

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

    def routing(self, product: str) -> Routing:
        """Which versions answer for a product.

        Raises:
            RequestError: there is no such product, or it has no version (404).
        """
        routing = self.routings().get(product)
        if routing is None:
            self.get(product)
            raise RequestError(
                _("The product {product!r} has no {alias!r}.", product=product, alias=STABLE),
                remedy=_("Publish a version: mintage publish MODEL@VERSION --product NAME"),
                http_status=404,
            )
        return routing

    def routings(self) -> dict[str, Routing]:
        """Which versions answer, for every product: one small query."""
        with self._database.read() as connection:
            return _routings(repository.all_aliases(connection))

    def epoch(self) -> int | None:
        """A number that is another one after every publish, by whatever process."""
        return self._database.epoch()


@dataclass(frozen=True)
class Undone:
    """A publish that was taken back, and what stands again."""

    pointer: Pointer
    alias: str
    routing: Routing


def _routing(standing: Sequence[repository.Values]) -> Routing:
    """What publications come to, the newest first: each ends every trial before it."""
    stable = next(_pointer(row) for row in standing if row["alias"] == STABLE)
    newest = standing[0]
    if newest["alias"] == STABLE:
        return Routing(stable)
    return _beside(stable, newest)


def _before(product: str, standing: Sequence[repository.Values]) -> Routing:
    if not any(row["alias"] == STABLE for row in standing[1:]):
        raise RequestError(
            _(
                "{product} stands as it was first published: there is nothing to go back to.",
                product=product,
            ),
            remedy=_(
                "Publish another version: mintage publish MODEL@VERSION --product {product}",
                product=product,
            ),
            http_status=409,
        )
    return _routing(standing[1:])


def _settle(connection: repository.Connection, product: str, moment: str) -> None:
    """Make the aliases what the publications that stand come to."""
    routing = _routing(repository.standing_publications(connection, product))
    rows = [
        {
            "product": product,
            "alias": alias,
            **pointer._asdict(),
            "percent": 100 if alias == STABLE else routing.percent,
            "changed_at": moment,
        }
        for alias, pointer in routing.pointers().items()
    ]
    repository.set_aliases(connection, product, rows)


def _check_stands(connection: repository.Connection, pointer: Pointer) -> None:
    if not repository.model_stands(connection, pointer.model, pointer.version):
        raise RequestError(
            _("There is no model {model}@{version}.", model=pointer.model, version=pointer.version),
            remedy=_("See those that there are with: mintage list models"),
            http_status=404,
        )


def _check_not_older(connection: repository.Connection, product: str, pointer: Pointer) -> None:
    """What answers already may be published again, with another price, say."""
    newest = repository.newest_published(connection, pointer.model, product)
    if newest is None or pointer.version >= newest:
        return
    standing = repository.standing_publications(connection, product)
    if standing and pointer in _routing(standing).pointers().values():
        return
    raise older(product, pointer.reference, f"{pointer.model}@{newest}")


def older(product: str, reference: str, newest: str) -> RequestError:
    """Nobody goes back to an older version without saying so."""
    return RequestError(
        _(
            "{model} is older than {newest}, which {product} has sold already.",
            model=reference,
            newest=newest,
            product=product,
        ),
        remedy=_(
            "To take the last publish back: mintage rollback {product}; to sell the older version "
            "on purpose, add --allow-older.",
            product=product,
        ),
        http_status=409,
    )


def _pointer(row: repository.Values) -> Pointer:
    return Pointer(row["model"], row["version"], row["bundle_digest"])


def _routings(rows: Sequence[repository.Values]) -> dict[str, Routing]:
    found = {row["product"]: Routing(_pointer(row)) for row in rows if row["alias"] == STABLE}
    for row in rows:
        if row["alias"] != STABLE and row["product"] in found:
            found[row["product"]] = _beside(found[row["product"]].stable, row)
    return found


def _beside(stable: Pointer, row: repository.Values) -> Routing:
    """The stable version, and the one on trial that a row says."""
    pointer, percent = _pointer(row), row["percent"]
    if row["alias"] == SHADOW:
        return Routing(stable, percent=percent, shadow=pointer)
    return Routing(stable, pointer, percent)


def answered_by_upstream(product: str) -> RequestError:
    """No bundle can answer for a product that upstreams answer for."""
    return RequestError(
        _("An upstream answers for {product}.", product=product),
        remedy=_("Sell the model as another product."),
        http_status=409,
    )


def _missing(name: str) -> RequestError:
    return RequestError(
        _("There is no product {name!r}.", name=name),
        remedy=_("See what is sold here: GET /v1/products, or mintage products."),
        http_status=404,
    )
