"""Credit, which customers pay in advance or are given, and what limits them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from mintage.api import replays
from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.heads import header
from mintage.api.models import Limits
from mintage.api.paging import Limit, after_id, page
from mintage.capture.limits.prepaid import Credit
from mintage.core.clock import timestamp


def credit_routes(desk: Desk) -> APIRouter:
    """As ``mintage credit``, and ``mintage customer limits``."""
    router = desk.router("credits")
    billing, clock = desk.app.billing, desk.clock

    def said(credit: Credit) -> dict[str, Any]:
        return credit.to_json(timestamp(clock.now()))

    @router.get(
        "/credits",
        summary="List the credits",
        response_model=models.CreditRows,
        **desk.needs("viewer", 404),
    )
    async def listed(
        customer: Annotated[
            str | None, Query(max_length=200, description="Only this customer, by name or id.")
        ] = None,
        after: After = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """And what is left of them, the oldest first."""

        def work() -> object:
            found = [said(each) for each in billing.credits.list(customer)]
            return page("credits", after_id(found, after), limit)

        return await answer(work)

    @router.post(
        "/credits",
        summary="Add credit",
        response_model=dict[str, Any],
        status_code=201,
        **desk.needs("billing", 404, 409, body=models.NewCredit),
    )
    async def add(request: Request) -> JSONResponse:
        """What was paid in advance, once by its reference; without one it is given.

        What is given is given once for each ``Idempotency-Key``, where the request has one.
        """
        action = replays.event_id(header(request.scope, replays.HEADER))
        asked = await read(request, models.NewCredit)
        again = False

        def work() -> dict[str, Any]:
            nonlocal again
            given = action is not None and asked.payment is None
            again = given and billing.credits.given_by(action or "") is not None
            added = billing.add_credit(
                asked.customer, asked.amount, asked.payment, asked.expires, action
            )
            return said(added)

        found = await answer(work, status=201)
        found.headers.update(replays.REPLAYED if again else {})
        return found

    @router.post(
        "/credits/{credit}/refund",
        summary="End a credit",
        response_model=dict[str, Any],
        **desk.needs("billing", 404, 409),
    )
    async def refund(credit: str) -> JSONResponse:
        """What is left of it was paid back; one that was given is taken back."""
        return await answer(lambda: said(billing.credits.refund(credit)))

    @router.get(
        "/customers/{customer}/limits",
        summary="See what limits a customer",
        response_model=Limits,
        **desk.needs("viewer", 404),
    )
    async def limits(customer: str) -> JSONResponse:
        """This month: what is used of it, and the credit left."""
        return await answer(lambda: billing.standings.of(customer))

    return router
