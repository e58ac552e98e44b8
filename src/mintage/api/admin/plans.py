"""Plans: what is agreed, and what it would come to."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import document, read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.paging import Limit, after_id, page
from mintage.capture.plans import Plan
from mintage.capture.pricing import terms_file
from mintage.capture.pricing.terms_file import TermsTable
from mintage.core.errors import RequestError
from mintage.core.messages import _, told


def plan_routes(desk: Desk) -> APIRouter:
    """As ``mintage plan``."""
    router = desk.router("plans")
    app = desk.app

    @router.get(
        "/plans",
        summary="List every version of every plan",
        response_model=models.PlanPage,
        **desk.needs("viewer", 404),
    )
    async def listed(after: After = None, limit: Limit = 100) -> JSONResponse:
        """By name and version; ``next`` is such as ``gold@2``."""

        def work() -> object:
            found = app.capture.plans.list()
            named = [{"at": each.reference, "plan": each.to_json()} for each in found]
            shown = page("plans", after_id(named, after, "at"), limit, "at")
            return shown | {"plans": [each["plan"] for each in shown["plans"]]}

        return await answer(work)

    @router.get(
        "/plans/{plan}",
        summary="Show a plan",
        response_model=models.ShownPlan,
        **desk.needs("viewer", 400, 404),
    )
    async def show(plan: str) -> JSONResponse:
        """``gold`` or ``gold@2``, every default made visible."""
        return await answer(lambda: app.billing.plan(plan))

    @router.put(
        "/plans/{plan}",
        summary="Put a plan's terms in force",
        response_model=models.ShownPlan,
        **desk.needs("billing", body=TermsTable, toml=True),
    )
    async def agree(plan: str, request: Request) -> JSONResponse:
        """Terms that differ are a new version; whoever has begun an earlier one keeps it.

        The body is what ``mintage plan set`` reads, as TOML or JSON.
        """
        said = await document(request, toml=True)

        def work() -> object:
            terms = terms_file.parse(said, told(_("the body")))
            return app.billing.agree(plan, terms).to_json()

        return await answer(work)

    @router.post(
        "/plans:simulate",
        summary="Say what a month comes to",
        response_model=models.SimulatedShown,
        **desk.needs("viewer", 404, body=models.Simulate),
    )
    async def simulate(request: Request) -> JSONResponse:
        """For several numbers of units, under a plan or under terms that are none yet.

        Cost and margin are there where the server knows what an hour of computing costs.
        """
        asked = await read(request, models.Simulate)

        def work() -> object:
            if (asked.plan is None) == (asked.terms is None):
                raise RequestError(
                    _("Either a plan or terms are to be tried out."),
                    remedy=_("Send one of 'plan' and 'terms'."),
                )
            plan = (
                app.billing.plan(asked.plan or "")
                if asked.terms is None
                else unnamed("terms", asked.terms)
            )
            return app.billing.simulate(plan, asked.units, asked.product, asked.unit).to_json()

        return await answer(work)

    return router


def unnamed(name: str, terms: TermsTable) -> Plan:
    """Terms that are nobody's plan yet.

    Raises:
        ConfigError: they cannot be.
    """
    return Plan(name, 1, terms.terms(), "")
