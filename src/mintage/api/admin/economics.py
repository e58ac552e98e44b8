"""What answers earn and cost, and what other plans would earn."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import Desk, answer
from mintage.api.admin.plans import unnamed
from mintage.core.errors import RequestError
from mintage.core.messages import _


def economics_routes(desk: Desk) -> APIRouter:
    """As ``mintage economics``."""
    router = desk.router("economics")
    app = desk.app

    @router.get(
        "/economics",
        summary="Show what was earned and what it cost",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 400),
    )
    async def show(
        period: Annotated[str, Query(max_length=100, description="The month: 2026-11.")],
        by: Annotated[
            str | None,
            Query(max_length=100, description="Add up by customer, product or model, with commas."),
        ] = None,
    ) -> JSONResponse:
        """Each customer's use of each model version in a month: revenue, cost, margin."""

        def work() -> object:
            rows = app.billing.economics(period, [] if by is None else by.split(","))
            return {"rows": [each.to_json() for each in rows]}

        return await answer(work)

    @router.post(
        "/economics:replay",
        summary="Price a month's usage under other plans",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 404, body=models.ReplayPlans),
    )
    async def replay(request: Request) -> JSONResponse:
        """What would be earned, and who would pay more or less; nothing is changed."""
        asked = await read(request, models.ReplayPlans)

        def work() -> object:
            plans = [app.billing.plan(each) for each in asked.plans]
            plans += [unnamed(name, terms) for name, terms in asked.terms.items()]
            if not plans:
                raise RequestError(
                    _("No plan is named."), remedy=_("Name some in 'plans', or send 'terms'.")
                )
            found = app.billing.replay(asked.period, plans)
            return {"rows": [each.to_json() for each in found]}

        return await answer(work)

    return router
