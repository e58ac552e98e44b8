"""The two applications: one faces customers, the other only whoever runs the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from mintage.api import openapi, problems
from mintage.api.account import account_routes
from mintage.api.admin import admin_routes
from mintage.api.admin.desk import Desk
from mintage.api.admin.models import BODIES
from mintage.api.customer import customer_routes, predict_routes
from mintage.api.feedback import feedback_routes
from mintage.api.metrics import audits_text
from mintage.api.middleware import Envelope
from mintage.api.oip import infer_routes, oip_routes
from mintage.api.openai.routes import language_routes, model_routes
from mintage.api.pages import docs_routes, page_routes
from mintage.api.payments import payment_routes
from mintage.api.routing import ClientGone, Direct, to_nobody
from mintage.api.service import Administration, Refusals, Service
from mintage.api.tracing import Tracer
from mintage.core.clock import Clock
from mintage.core.messages import current
from mintage.core.version import __version__

_DESCRIPTION = "Pictures in, answers out, each with its price and a signed receipt."
_ADMIN_DESCRIPTION = "Customers, keys, plans, usage and invoices, for whoever runs the service."


def customer_app(service: Service) -> ASGIApp:
    """The page and the API that customers reach."""
    app, sold = _customer_routes(service)
    return Direct(app, sold, partial(Envelope, clock=service.clock, tracer=service.tracer))


def _customer_routes(service: Service) -> tuple[FastAPI, list[APIRouter]]:
    """All routes, and those among them that sell answers."""
    app = _bare_app(service, tracer=service.tracer)
    sold = [predict_routes(service), infer_routes(service)]
    own = [customer_routes(service), account_routes(service)]
    if service.gateway is not None:
        sold.append(language_routes(service, service.gateway))
        own.append(model_routes(service, service.gateway))
    if service.feedback is not None:
        own.append(feedback_routes(service, service.feedback))
    for router in (*sold, *own, oip_routes(service), page_routes(service)):
        app.include_router(router)
    if service.payments is not None:
        app.include_router(payment_routes(service.payments))
    return app, sold


def operator_app(service: Service, metrics: Callable[[], bytes] | None = None) -> ASGIApp:
    """Metrics, documentation and admin, for the operator's port.

    ``metrics`` gives the text that Prometheus reads, where it is more than this process's.
    """
    render = metrics or service.metrics.render
    app = _bare_app(service, dull=True)
    described = openapi_document(service)

    @app.get("/metrics")
    async def measured() -> Response:
        text = render()
        if service.audits is not None:
            text += audits_text(await asyncio.to_thread(service.audits))
        return Response(text, media_type=service.metrics.media_type)

    @app.get("/openapi.json")
    async def document() -> JSONResponse:
        headers = {"Content-Language": current(), "Vary": "Accept-Language"}
        return JSONResponse(openapi.told_document(described), headers=headers)

    @app.get("/")
    async def home() -> Response:
        return RedirectResponse("/docs")

    app.include_router(docs_routes())
    if service.admin is not None:
        _add_admin(app, service.admin, service.clock, service.refusals)
    return app


def _add_admin(
    app: FastAPI, admin: Administration, clock: Clock, refusals: Refusals | None
) -> None:
    """The admin routes, and what describes them."""
    routers = admin_routes(Desk(admin, clock, refusals))
    for router in routers:
        app.include_router(router)
    described = admin_document(routers)

    @app.get("/openapi-admin.json", include_in_schema=False)
    async def document() -> JSONResponse:
        headers = {"Content-Language": current(), "Vary": "Accept-Language"}
        return JSONResponse(openapi.told_document(described), headers=headers)


def admin_document(routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The OpenAPI document of what operators reach with their keys."""
    app = FastAPI(title="Mintage", version=__version__, description=_ADMIN_DESCRIPTION)
    for router in routers:
        app.include_router(router)
    return openapi.complete(app.openapi(), BODIES, openapi.OPERATOR_SCHEMES)


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
