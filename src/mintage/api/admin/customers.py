"""Customers, what invoices say of them, and the plans that they have begun."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import document, read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.paging import Limit, after_id, page
from mintage.capture.details import Details
from mintage.core.messages import _, told


def customer_routes(desk: Desk) -> APIRouter:
    """As ``mintage customer``."""
    router = desk.router("customers")
    _add_customers(router, desk)
    _add_details(router, desk)
    _add_plans(router, desk)
    return router


def _add_customers(router: APIRouter, desk: Desk) -> None:
    capture = desk.app.capture

    @router.get(
        "/customers",
        summary="List the customers",
        response_model=models.CustomerPage,
        **desk.needs("viewer", 404),
    )
    async def listed(after: After = None, limit: Limit = 100) -> JSONResponse:
        """By name."""

        def work() -> object:
            found = capture.customers.list(after=after, limit=limit + 1)
            return page("customers", [each.to_json() for each in found], limit)

        return await answer(work)

    @router.post(
        "/customers",
        summary="Add a customer with a first key",
        response_model=models.CustomerWithKey,
        status_code=201,
        **desk.needs("support", 409, body=models.NewCustomer),
    )
    async def add(request: Request) -> JSONResponse:
        """The key is shown now and never again. A name that is taken is a 409."""
        asked = await read(request, models.NewCustomer)

        def work() -> object:
            added, issued = capture.add_customer(asked.name)
            return added.with_key(issued)

        return await answer(work, status=201)

    @router.get(
        "/customers/{customer}",
        summary="Fetch a customer",
        response_model=models.AdminCustomer,
        **desk.needs("viewer", 404),
    )
    async def fetch(customer: str) -> JSONResponse:
        """By name or id; where the name has a slash, by id."""
        return await answer(lambda: capture.customers.find(customer))


def _add_details(router: APIRouter, desk: Desk) -> None:
    capture = desk.app.capture

    @router.get(
        "/customers/{customer}/details",
        summary="Fetch what invoices say of a customer",
        response_model=models.CustomerDetails,
        **desk.needs("viewer", 404),
    )
    async def details(customer: str) -> JSONResponse:
        """Names, address, tax number, bank, taxes, language."""
        return await answer(lambda: capture.customers.find(customer).details)

    @router.put(
        "/customers/{customer}/details",
        summary="Set what invoices say of a customer",
        response_model=models.AdminCustomer,
        **desk.needs("support", 404, body=models.CustomerDetails, toml=True),
    )
    async def set_details(customer: str, request: Request) -> JSONResponse:
        """All of it, from now on; what is left out is empty. Issued invoices stay as they are."""
        said = await document(request, toml=True)

        def work() -> object:
            given = Details.from_json(said, told(_("the body")))
            return capture.customers.set_details(customer, given).to_json()

        return await answer(work)


def _add_plans(router: APIRouter, desk: Desk) -> None:
    app = desk.app

    @router.get(
        "/customers/{customer}/plans",
        summary="List the plans that a customer has begun",
        response_model=models.BegunPage,
        **desk.needs("viewer", 404),
    )
    async def plans(customer: str, after: After = None, limit: Limit = 100) -> JSONResponse:
        """Ended ones too, the oldest first."""

        def work() -> object:
            found = [each.to_json() for each in app.billing.subscriptions.list(customer)]
            return page("plans", after_id(found, after), limit)

        return await answer(work)

    @router.post(
        "/customers/{customer}/plans",
        summary="Begin a plan for a customer",
        response_model=models.Begun,
        **desk.needs("billing", 404, body=models.BeginPlan),
    )
    async def begin(customer: str, request: Request) -> JSONResponse:
        """From now on, in place of those for the same products.

        Of a plan that is in force already, this is it: a repetition changes nothing.
        """
        asked = await read(request, models.BeginPlan)
        return await answer(lambda: app.billing.begin(customer, asked.plan))

    @router.post(
        "/customers/{customer}/plans/{plan}/cancel",
        summary="End a customer's plan",
        response_model=models.Begun,
        **desk.needs("billing", 404, body=models.CancelPlan),
    )
    async def cancel(customer: str, plan: str, request: Request) -> JSONResponse:
        """Now, or with the month by the plan's own calendar."""
        asked = await read(request, models.CancelPlan)
        return await answer(
            lambda: app.billing.subscriptions.cancel(
                customer, plan, at_month_end=asked.at_month_end
            )
        )
