"""What answers earn and cost, and what other plans would earn."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import Desk, answer
from mintage.api.admin.plans import unnamed
from mintage.app.economy import MONTHS
from mintage.core.errors import RequestError
from mintage.core.messages import _


def economics_routes(desk: Desk) -> APIRouter:
    """As ``mintage economics``."""
    router = desk.router("economics")
    _add_months(router, desk)
    _add_time(router, desk)
    return router


def _add_months(router: APIRouter, desk: Desk) -> None:
    """What one month earned, and what it would have."""
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
        write_off: Annotated[
            int | None, Query(ge=1, description="Over how many months training is written off.")
        ] = None,
    ) -> JSONResponse:
        """Each customer's use of each model version in a month: revenue, cost, margin."""

        def work() -> object:
            names = [] if by is None else by.split(",")
            rows, unknown = app.billing.economics(period, names, write_off)
            return {
                "rows": [each.to_json() for each in rows],
                "unknown_training_costs": unknown,
            }

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


def _add_time(router: APIRouter, desk: Desk) -> None:
    """Who came, stayed and left; what has to be earned; and other ways to charge."""
    app = desk.app

    @router.get(
        "/economics/customers",
        summary="Show how customers stand",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 400),
    )
    async def customers(
        period: Annotated[str, Query(max_length=100, description="The month: 2026-11.")],
    ) -> JSONResponse:
        """Who is growing, shrinking and lost: recency, frequency and money by customer."""

        def work() -> object:
            found = app.billing.economy.customers(period).items()
            return {"rows": [one.to_json(currency) for currency, some in found for one in some]}

        return await answer(work)

    @router.get(
        "/economics/cohorts",
        summary="Show customers by the month of their first charged call",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 400),
    )
    async def cohorts(
        until: Annotated[
            str | None, Query(max_length=100, description="The last month: 2026-11.")
        ] = None,
    ) -> JSONResponse:
        """Who stayed, and what they paid in each later month."""

        def work() -> object:
            found = app.billing.economy.cohorts(until).items()
            rows = [one.to_json() | {"currency": c} for c, some in found for one in some]
            return {"rows": rows}

        return await answer(work)

    @router.get(
        "/economics/break-even",
        summary="Show how many calls earn what is fixed",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 400),
    )
    async def break_even(
        period: Annotated[str, Query(max_length=100, description="The month: 2026-11.")],
        write_off: Annotated[
            int, Query(ge=1, description="Over how many months training is written off.")
        ] = MONTHS,
        fixed: Annotated[
            str | None, Query(max_length=100, description="To be earned besides: 500 EUR.")
        ] = None,
    ) -> JSONResponse:
        """For each product: training written off, and what is named besides."""

        def work() -> object:
            found = app.billing.economy.break_even(period, write_off, (), fixed)
            return {
                "rows": [each.to_json() for each in found.products],
                "unknown_training_costs": list(found.unknown),
            }

        return await answer(work)

    @router.get(
        "/economics/models",
        summary="Compare business models",
        response_model=models.EarnedRows,
        **desk.needs("viewer", 400),
    )
    async def compare(
        period: Annotated[str, Query(max_length=100, description="The month: 2026-11.")],
    ) -> JSONResponse:
        """The month's usage under six business models, each calibrated to earn the same."""

        def work() -> object:
            return {"rows": [each.to_json() for each in app.billing.economy.compare(period)]}

        return await answer(work)
