"""What every admin route stands on: who asks, which role that takes, and what the log will say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mintage.api import logs
from mintage.api.admin.bodies import body_of
from mintage.api.metered import bearer_key, caller_address
from mintage.api.openapi import problems
from mintage.api.service import Administration, Refusals
from mintage.capture.operators import Role
from mintage.core.clock import Clock
from mintage.core.errors import AccountError
from mintage.trust import audit

PREFIX = "/v1/admin"
NOTHING: Mapping[int | str, Any] = MappingProxyType({})
ROLE = "x-mintage-role"
"""Under this name the description of a route has the role that it takes."""

After = Annotated[
    str | None, Query(max_length=200, description="Go on after this one: a page's ``next``.")
]


@dataclass(frozen=True)
class Desk:
    """The workspace that the routes work on, for whoever may."""

    app: Administration
    clock: Clock
    refusals: Refusals | None = None
    """Where it is given, who was refused is counted there."""

    def router(self, noun: str) -> APIRouter:
        """For a noun's routes. They are whole addresses, as the log names them."""
        return APIRouter(prefix=PREFIX, tags=[noun])

    def needs(
        self,
        role: Role,
        *refusals: int,
        body: type[BaseModel] | None = None,
        toml: bool = False,
        more: Mapping[int | str, Any] = NOTHING,
    ) -> dict[str, Any]:
        """What a route declares beside its address: its role, its body, how it may be refused.

        ``toml``: the body may be that too; ``more``: what else it may be answered.

        Its operator is known and allowed before its body is read or its parameters are looked at.
        """
        extra: dict[str, Any] = {"security": [{"operator": []}], ROLE: role}
        statuses = {401, 403, *refusals}
        if body is not None:
            extra["requestBody"] = body_of(body, toml=toml)
            statuses |= {400, 408, 413, 415}
        return {
            "dependencies": [Depends(self._asked(role))],
            "responses": {**problems(*sorted(statuses)), **more},
            "openapi_extra": extra,
        }

    def _asked(self, role: Role) -> Callable[[Request], AsyncIterator[None]]:
        async def operator(request: Request) -> AsyncIterator[None]:
            operators = self.app.capture.operators
            came = bearer_key(request), caller_address(request)
            try:
                found = await asyncio.to_thread(operators.enter, *came)
            except AccountError as error:
                self._note(None, error)
                raise
            logs.note(request.scope, operator=found.id)
            try:
                found.check(role)
            except AccountError as error:
                self._note(found.id, error)
                raise
            with audit.acting(found.actor):
                yield

        return operator

    def _note(self, operator: str | None, error: AccountError) -> None:
        if self.refusals is not None:
            self.refusals.note_operator(operator, error.code)


async def answer(work: Callable[[], Any], status: int = 200) -> JSONResponse:
    """What a verb gives, as the command line's ``--json`` has it; it is awaited in a thread."""
    found = await asyncio.to_thread(work)
    return JSONResponse(found if isinstance(found, dict) else found.to_json(), status)
