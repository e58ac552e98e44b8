"""The two applications: one faces customers, the other only whoever runs the service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from mintage.api import openapi, problems
from mintage.api.customer import customer_routes, predict_routes
from mintage.api.middleware import Envelope
from mintage.api.oip import infer_routes, oip_routes
from mintage.api.pages import docs_routes, page_routes
from mintage.api.payments import payment_routes
from mintage.api.routing import ClientGone, Direct, to_nobody
from mintage.api.service import Service
from mintage.api.tracing import Tracer
from mintage.core.messages import current
from mintage.core.version import __version__

_DESCRIPTION = "Pictures in, answers out, each with its price and a signed receipt."


def customer_app(service: Service) -> ASGIApp:
    """The page and the API that customers reach."""
    app, sold = _customer_routes(service)
    return Direct(app, sold, partial(Envelope, clock=service.clock, tracer=service.tracer))


def _customer_routes(service: Service) -> tuple[FastAPI, list[APIRouter]]:
    """All routes, and those among them that sell answers."""
    app = _bare_app(service, tracer=service.tracer)
    sold = [predict_routes(service), infer_routes(service)]
    for router in (*sold, customer_routes(service), oip_routes(service), page_routes(service)):
        app.include_router(router)
    if service.payments is not None:
        app.include_router(payment_routes(service.payments))
    return app, sold


def operator_app(service: Service, metrics: Callable[[], bytes] | None = None) -> ASGIApp:
    """Metrics and documentation, for the operator's port.

    ``metrics`` gives the text that Prometheus reads, where it is more than this process's.
    """
    render = metrics or service.metrics.render
    app = _bare_app(service, dull=True)
    described = openapi_document(service)

    @app.get("/metrics")
    async def measured() -> Response:
        return Response(render(), media_type=service.metrics.media_type)

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
    return openapi.complete(_customer_routes(service)[0].openapi())


def _bare_app(service: Service, *, dull: bool = False, tracer: Tracer | None = None) -> FastAPI:
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
    app.add_exception_handler(ClientGone, to_nobody)
    app.add_middleware(Envelope, clock=service.clock, dull=dull, tracer=tracer)
    return app
