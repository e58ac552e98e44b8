"""The two applications: one faces customers, the other only whoever runs the service."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from mintage.api import openapi, problems
from mintage.api.calls import ClientGone
from mintage.api.customer import customer_routes
from mintage.api.middleware import Envelope
from mintage.api.oip import oip_routes
from mintage.api.pages import docs_routes, page_routes
from mintage.api.service import Service
from mintage.core.messages import current
from mintage.core.version import __version__

_DESCRIPTION = "Pictures in, answers out, each with its price and a signed receipt."
_CLIENT_CLOSED_REQUEST = 499  # nobody reads it


def customer_app(service: Service) -> FastAPI:
    """The page and the API that customers reach."""
    app = _bare_app(service)
    app.include_router(customer_routes(service))
    app.include_router(oip_routes(service))
    app.include_router(page_routes(service))

    @app.exception_handler(ClientGone)
    async def gone(_request: Request, _error: ClientGone) -> Response:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)

    return app


def operator_app(service: Service) -> FastAPI:
    """Metrics and documentation, for the operator's port."""
    app = _bare_app(service, dull=True)
    described = openapi_document(service)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=service.metrics.media_type)

    @app.get("/openapi.json")
    async def document() -> JSONResponse:
        headers = {"Content-Language": current(), "Vary": "Accept-Language"}
        return JSONResponse(openapi.told_document(described), headers=headers)

    @app.get("/")
    async def home() -> Response:
        return RedirectResponse("/docs")

    app.include_router(docs_routes())
    return app


def openapi_document(service: Service) -> dict[str, Any]:
    """The OpenAPI document of what customers reach."""
    return openapi.complete(customer_app(service).openapi())


def _bare_app(service: Service, *, dull: bool = False) -> FastAPI:
    # FastAPI's own documentation pages load from a CDN, so ours stand in their place.
    app = FastAPI(
        title="Mintage",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.add_middleware(Envelope, clock=service.clock, dull=dull)
    return app
