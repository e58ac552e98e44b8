"""The pages: a few files of our own, served from memory, without any request to elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from mintage.api.service import Service
from mintage.core.canonical import sha256_hex
from mintage.core.errors import RequestError
from mintage.core.messages import _

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
MODULES = (
    "app", "calls", "camera", "cards", "chat", "dom", "explanations", "feedback", "format", "keys",
    "problems", "programs", "receipts", "state", "words",
)  # fmt: skip
"""What the page's script is made of."""

_ADDRESSES = {"index.html": "/", "docs.html": "/docs", "label.html": "/"}


def page_routes(service: Service) -> APIRouter:
    """The page for pictures and conversations, and what it shows."""
    router = static_routes("index.html", "app.css", "icon.svg", *(f"{name}.js" for name in MODULES))

    @router.get("/page.json", include_in_schema=False)
    async def page() -> JSONResponse:
        samples = [
            {"name": sample.name, "address": f"/samples/{number}", "drawn": sample.drawn}
            for number, sample in enumerate(service.samples)
        ]
        found: dict[str, Any] = {
            "samples": samples,
            "trial": service.settings.trial,
            "explains": service.explanations is not None,
            "feedback": service.feedback is not None,
            "max_upload_bytes": service.settings.max_upload_bytes,
        }
        return JSONResponse(found)

    @router.get("/samples/{number}", include_in_schema=False)
    async def sample(number: int) -> Response:
        if not 0 <= number < len(service.samples):
            raise RequestError(
                _("There is no such sample."),
                remedy=_("Load the page anew: its samples changed."),
                http_status=404,
            )
        found = service.samples[number]
        return Response(
            found.data, media_type=found.media_type, headers={"Cache-Control": "max-age=3600"}
        )

    return router


def docs_routes() -> APIRouter:
    """The documentation: a page that renders ``/openapi.json``, or the operators' own."""
    router = static_routes("docs.html", "app.css", "docs.css", "docs.js", "words.js", "icon.svg")
    router.add_api_route(
        "/docs/admin", _sender("docs.html"), methods=["GET"], include_in_schema=False
    )
    return router


def label_routes() -> APIRouter:
    """The labelling page, which has a server of its own."""
    return static_routes(
        "label.html", "app.css", "label.css", "label.js", "label_words.js", "icon.svg"
    )


def static_routes(*names: str) -> APIRouter:
    """Routes for files of this package: pages by their own address, the rest under /static."""
    router = APIRouter()
    for name in names:
        address = _ADDRESSES.get(name, f"/static/{name}")
        router.add_api_route(address, _sender(name), methods=["GET"], include_in_schema=False)
    return router


def _sender(name: str) -> Any:
    data = files(__name__).joinpath(name).read_bytes()
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    headers = {"ETag": f'"{sha256_hex(data)[:32]}"', "Cache-Control": "no-cache"}

    async def send(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=media_type, headers=headers)

    return send
