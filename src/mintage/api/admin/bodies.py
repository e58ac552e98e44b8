"""Bodies of admin routes: a small JSON or TOML document, read once it is known who sends it."""

from __future__ import annotations

import asyncio
import tomllib
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from mintage.api.heads import header
from mintage.api.problems import malformed
from mintage.api.routing import ClientGone
from mintage.core.canonical import read_json
from mintage.core.errors import RequestError
from mintage.core.messages import _

M = TypeVar("M", bound=BaseModel)

MOST_BYTES = 262_144
"""The terms of a plan with a thousand tiers are a quarter of it."""
TOML = "application/toml"
_JSON = ("application/json", "application/octet-stream", "")
_READ_SECONDS = 30.0


def body_of(model: type[BaseModel], *, toml: bool) -> dict[str, Any]:
    """The body as OpenAPI describes it."""
    content: dict[str, Any] = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    }
    if toml:
        content[TOML] = {"schema": {"type": "string"}}
    return {
        "required": any(each.is_required() for each in model.model_fields.values()),
        "content": content,
    }


async def read(request: Request, model: type[M]) -> M:
    """The body as a model; without one, what the model has by default.

    Raises:
        RequestError: another content type (415), too large (413), too slow (408), or not as the
            model has it (400).
    """
    try:
        return model.model_validate(await document(request))
    except ValidationError as error:
        raise malformed(error.errors(include_input=False, include_url=False)[0]) from error


async def document(request: Request, *, toml: bool = False) -> dict[str, Any]:
    """The body's one object.

    Raises:
        RequestError: as ``read``.
    """
    kind = _kind(request)
    if kind not in _JSON and not (toml and kind == TOML):
        raise RequestError(
            _("A body of type {media_type!r} is not read.", media_type=kind[:80]),
            remedy=_("Send it with 'Content-Type: {kinds}'.", kinds=_read_here(toml=toml)),
            http_status=415,
        )
    body = await _bytes(request)
    try:
        found = tomllib.loads(body.decode()) if kind == TOML else read_json(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(
            _("The body is not {kind}.", kind="TOML" if kind == TOML else "JSON"),
            remedy=_("Send one object, in UTF-8."),
        ) from error
    if not isinstance(found, dict):
        raise RequestError(
            _("The body is JSON, but not an object."), remedy=_("Send one object, in UTF-8.")
        )
    return found


def _read_here(*, toml: bool) -> str:
    return f"{_JSON[0]}' or '{TOML}" if toml else _JSON[0]


def _kind(request: Request) -> str:
    coding = (header(request.scope, b"content-encoding") or "identity").lower()
    if coding != "identity":
        raise RequestError(
            _("A body compressed with {encoding!r} is not read.", encoding=coding[:20]),
            remedy=_("Send it as it is."),
            http_status=415,
        )
    found, __ = parse_options_header(header(request.scope, b"content-type") or "")
    return found.decode("latin-1").lower()


async def _bytes(request: Request) -> bytes:
    announced = header(request.scope, b"content-length") or ""
    if announced.isdecimal() and int(announced) > MOST_BYTES:
        raise _too_large()
    parts, size = [], 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise _too_large()
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(
            _("The body took longer than {seconds:g} seconds.", seconds=_READ_SECONDS),
            remedy=_("Send it again, over a faster line."),
            http_status=408,
        ) from error
    except ClientDisconnect as gone:
        raise ClientGone from gone
    return b"".join(parts)


def _too_large() -> RequestError:
    return RequestError(
        _("The body is larger than {most_bytes:,} bytes.", most_bytes=MOST_BYTES),
        remedy=_("Send less at once."),
        http_status=413,
    )
