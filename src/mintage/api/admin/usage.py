"""What customers used, and the receipts that they got for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.models import UsageTotals
from mintage.api.paging import Limit, page

_Customer = Annotated[
    str | None, Query(max_length=200, description="Only this customer, by name or id.")
]
_Product = Annotated[str | None, Query(max_length=200, description="Only this product's.")]
_MONTH = "The month, in UTC: 2026-11."


def usage_routes(desk: Desk) -> APIRouter:
    """As ``mintage usage`` and ``mintage receipt``."""
    router = desk.router("usage")
    capture = desk.app.capture

    @router.get(
        "/usage",
        summary="List usage events",
        response_model=models.UsagePage,
        **desk.needs("viewer", 400, 404),
    )
    async def usage(
        customer: _Customer = None,
        product: _Product = None,
        period: Annotated[str | None, Query(max_length=100, description=_MONTH)] = None,
        after: After = None,
        limit: Limit = 100,
    ) -> JSONResponse:
        """The newest first."""

        def work() -> object:
            found = capture.usage(customer, product, limit + 1, period=period, after=after)
            return page("usage", found, limit, "receipt")

        return await answer(work)

    @router.get(
        "/usage/totals",
        summary="Add up usage",
        response_model=UsageTotals,
        **desk.needs("viewer", 400, 404),
    )
    async def totals(
        period: Annotated[str, Query(max_length=100, description=_MONTH)],
        customer: _Customer = None,
        product: _Product = None,
    ) -> JSONResponse:
        """What was used in a month, by customer, product and outcome."""
        return await answer(
            lambda: {"period": period, "totals": capture.usage_totals(period, customer, product)}
        )

    @router.get(
        "/receipts/{receipt_id}",
        summary="Show a receipt",
        response_model=models.AdminReceipt,
        **desk.needs("viewer", 404),
    )
    async def receipt(receipt_id: str) -> JSONResponse:
        """What was promised about one answer, and the signature over it."""
        return await answer(lambda: capture.receipt(receipt_id))

    return router
