"""Operators: who may do what here."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mintage.api.admin import models
from mintage.api.admin.bodies import read
from mintage.api.admin.desk import After, Desk, answer
from mintage.api.paging import Limit, after_id, page


def operator_routes(desk: Desk) -> APIRouter:
    """As ``mintage operator``."""
    router = desk.router("operators")
    capture = desk.app.capture

    @router.get(
        "/operators",
        summary="List the operators",
        response_model=models.OperatorPage,
        **desk.needs("admin", 404),
    )
    async def listed(after: After = None, limit: Limit = 100) -> JSONResponse:
        """Revoked ones too, by name; never their keys."""

        def work() -> object:
            return page("operators", after_id(list(capture.operators.list()), after), limit)

        return await answer(work)

    @router.post(
        "/operators",
        summary="Add an operator with a key",
        response_model=models.IssuedOperatorShown,
        status_code=201,
        **desk.needs("admin", 409, body=models.NewOperator),
    )
    async def add(request: Request) -> JSONResponse:
        """The key is shown now and never again."""
        asked = await read(request, models.NewOperator)
        return await answer(lambda: capture.operators.add(asked.name, asked.role), status=201)

    @router.put(
        "/operators/{operator}/role",
        summary="Let an operator do other things",
        response_model=models.ShownOperator,
        **desk.needs("admin", 404, 409, body=models.RoleOfOperator),
    )
    async def set_role(operator: str, request: Request) -> JSONResponse:
        """From the next request on; the last admin stays one."""
        asked = await read(request, models.RoleOfOperator)
        return await answer(
            lambda: capture.operators.set_role(operator, asked.role, keeps_admin=True)
        )

    @router.post(
        "/operators/{operator}/rotate",
        summary="Make an operator another key",
        response_model=models.IssuedOperatorShown,
        status_code=201,
        **desk.needs("admin", 404, 409, body=models.RotateOperator),
    )
    async def rotate(operator: str, request: Request) -> JSONResponse:
        """Those before it are taken until the overlap is over."""
        asked = await read(request, models.RotateOperator)
        return await answer(lambda: capture.rotate_operator(operator, asked.overlap), status=201)

    @router.post(
        "/operators/{operator}/revoke",
        summary="Revoke an operator",
        response_model=models.ShownOperator,
        **desk.needs("admin", 404, 409),
    )
    async def revoke(operator: str) -> JSONResponse:
        """They are refused from the next request on; the last admin is not revoked."""
        return await answer(lambda: capture.operators.revoke(operator, keeps_admin=True))

    return router
