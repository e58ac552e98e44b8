"""Routes that are called for every answer sold, without the framework between."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.api.problems import answer_to
from mintage.core.errors import MintageError

_CLIENT_CLOSED_REQUEST = 499


class ClientGone(Exception):
    """Nobody waits for this answer any more; nothing is charged."""


class Direct:
    """Hands the calls of sold routes to their endpoints; all else goes through the application.

    Such an endpoint takes the path's parameters, plain strings, and the request, and makes its
    response itself: the framework's layers and its search for the route were a quarter of what a
    call took outside the model.
    """

    def __init__(
        self, app: ASGIApp, routers: Iterable[APIRouter], around: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        """``routers`` hold sold routes, whose paths are whole; ``around`` goes around them."""
        self._app = app
        self._sold = around(_answer)
        self._routes = [
            (method, compile_path(route.path)[0], route)
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        for method, pattern, route in self._routes:
            found = pattern.match(scope["path"]) if method == scope["method"] else None
            if found is not None:
                scope["route"], scope["path_params"] = route, found.groupdict()
                await self._sold(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def to_nobody(*_: object) -> Response:
    """What is answered where the client has gone; nobody reads it but the log."""
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """The endpoint's response, or the problem that it raised."""
    request = Request(scope, receive, send)
    response: Response
    try:
        response = await scope["route"].endpoint(request=request, **request.path_params)
    except MintageError as error:
        response = answer_to(error, request.state.request_id)
    except ClientGone:
        response = await to_nobody()
    await response(scope, receive, send)
