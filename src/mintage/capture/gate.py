"""The Gate: who is calling, and at what price."""

from __future__ import annotations

import hmac
from typing import Any

from mintage.capture import repository
from mintage.capture.keys import ApiKey, refused
from mintage.capture.plans import Plan
from mintage.capture.subscriptions import in_force
from mintage.core.clock import Clock
from mintage.core.errors import NotAllowed, NotReady, RequestError
from mintage.core.messages import _
from mintage.core.types import Permit
from mintage.store.engine import Database

_MOST_PERMITS = 10_000


class KeyGate:
    """Admits callers by API key; implements ``core.ports.Gate``.

    Every call asks whether keys, plans or products changed since its permit was made, by the
    database's ``epoch``: a revocation by any process holds from the next request on. Asking the
    tables each time takes 0.1 ms of the event loop, a kept permit 0.003 ms.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._permits: dict[tuple[str, str], Permit] = {}
        self._epoch: int | None = None

    def customer(self, key: str | None) -> str:
        """The id of the customer whose key this is.

        Raises:
            Unauthenticated: no key, a malformed, an unknown or a revoked one; all alike.
        """
        caller = ApiKey.parse(key)
        with self._database.read() as connection:
            return _authenticated(connection, caller)[1]

    def admit(self, key: str | None, product: str) -> Permit:
        """The permit for a call, at the price in force now.

        Raises:
            Unauthenticated: no key, a malformed, an unknown or a revoked one; all alike.
            RequestError: no such product (404); said only to those with a valid key.
            NotReady: the product's plan has no price yet.
        """
        caller, epoch = ApiKey.parse(key), self._database.epoch()
        if epoch is None or epoch != self._epoch or len(self._permits) >= _MOST_PERMITS:
            self._permits, self._epoch = {}, epoch
        asked = caller.sha256, product
        permit = self._permits.get(asked)
        if permit is None:
            permit, lasts = self._permit(caller, product)
            if lasts and epoch is not None and epoch == self._database.epoch():
                self._permits[asked] = permit
        return permit

    def _permit(self, caller: ApiKey, product: str) -> tuple[Permit, bool]:
        """The permit, and whether it lasts until something is changed."""
        with self._database.read() as connection:
            key_id, customer = _authenticated(connection, caller)
            offer = repository.offer(connection, product)
            begun = in_force(connection, customer, product, self._clock.now())
        if offer is None:
            raise no_product(product)
        if begun is None and offer.name is None:
            raise NotReady(
                _("The product {product!r} has no price yet.", product=product),
                remedy=_("Whoever runs this service has to set its plan's price."),
            )
        plan = Plan.from_row(offer._asdict()) if begun is None else begun.plan
        if begun is None and plan.terms.needs_subscription:
            raise NotAllowed(
                _("The product {product!r} is for those who have begun a plan.", product=product),
                remedy=_("Ask whoever runs this service for the plan {plan!r}.", plan=plan.name),
            )
        prices = priced(plan, product)
        if begun is not None and begun.on_trial:
            prices |= {"prices": {}, "final": True}
        permit = Permit(
            customer=customer,
            key_id=key_id,
            product=product,
            plan=plan.name,
            plan_version=plan.version,
            **prices,
        )
        return permit, begun is None or begun.lasts


def priced(plan: Plan, product: str) -> dict[str, Any]:
    """What a permit says of prices."""
    return {
        "prices": plan.prices(product),
        "currency": plan.terms.currency,
        "rate": plan.rate,
        "final": plan.terms.is_final(product),
        "charge_abstained": plan.terms.charge_abstained,
    }


def no_product(product: str) -> RequestError:
    """Nothing is sold under this name."""
    return RequestError(
        _("There is no product {product!r}.", product=product),
        remedy=_("GET /v1/products lists what is sold here."),
        http_status=404,
    )


def _authenticated(connection: repository.Connection, caller: ApiKey) -> tuple[str, str]:
    digest = caller.sha256
    found = repository.key_by_digest(connection, digest)
    if found is None:
        raise refused()
    if not hmac.compare_digest(found.sha256, digest) or found.revoked_at is not None:
        raise refused()
    return found.id, found.customer
