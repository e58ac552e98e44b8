"""The keys that customers call with."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.paging import Limit, after_id, page


def key_routes(desk: Desk) -> APIRouter:
    """As ``mintage key``."""
    router = desk.router("keys")
    capture = desk.app.capture

    @router.get(
        "/customers/{customer}/keys",
        summary="List a customer's keys",
        response_model=models.KeyPage,
        **desk.needs("viewer", 404),
    )
    async def listed(customer: str, after: After = None, limit: Limit = 100) -> JSONResponse:
        """Revoked ones too; never the keys themselves."""

        def work() -> object:
            found = [each.to_json() for each in capture.customers.keys(customer)]
            return page("keys", after_id(found, after), limit)

        return await answer(work)

    @router.post(
        "/customers/{customer}/keys",
        summary="Make a further key for a customer",
        response_model=models.IssuedKeyShown,
        status_code=201,
        **desk.needs("support", 404, body=models.NewKey),
    )
    async def add(customer: str, request: Request) -> JSONResponse:
        """Shown now and never again. A repetition makes another: revoke the one that was lost."""
        asked = await read(request, models.NewKey)
        return await answer(lambda: capture.issue_key(customer, **asked.model_dump()), status=201)

    @router.post(
        "/keys/{key_id}/rotate",
        summary="Make a key in place of another",
        response_model=models.RotatedKeyShown,
        status_code=201,
        **desk.needs("support", 404, 409, body=models.RotateKey),
    )
    async def rotate(key_id: str, request: Request) -> JSONResponse:
        """With the same limits; the old one is taken until the overlap is over."""
        asked = await read(request, models.RotateKey)
        return await answer(
            lambda: capture.rotate_key(key_id, asked.overlap, asked.expires), status=201
        )

    @router.post(
        "/keys/{key_id}/revoke",
        summary="Revoke a key",
        response_model=models.ShownKey,
        **desk.needs("support", 404),
    )
    async def revoke(key_id: str) -> JSONResponse:
        """It is refused from the next request on, by every process."""
        return await answer(lambda: capture.customers.revoke_key(key_id))

    return router
