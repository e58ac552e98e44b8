"""What is sold."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.desk import Desk, answer


def product_routes(desk: Desk) -> APIRouter:
    """As ``mintage products``."""
    router = desk.router("products")
    app = desk.app

    @router.get(
        "/products",
        summary="List what is sold",
        response_model=models.ProductRows,
        **desk.needs("viewer"),
    )
    async def listed() -> JSONResponse:
        """Which model answers for each product, and at what price."""
        return await answer(lambda: {"products": app.publishing.catalogue()})

    return router
