"""Where payment providers tell of payments; each message proves by its signature whose it is."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from mintage.api.routing import ClientGone
from mintage.api.service import Payments
from mintage.core.errors import RequestError
from mintage.core.messages import _

_MOST_BYTES = 1_000_000
_READ_SECONDS = 15.0


def payment_routes(payments: Payments) -> APIRouter:
    """For providers, who know the address from the operator: not among what customers are told."""
    router = APIRouter(prefix="/v1/payments", include_in_schema=False)

    @router.post("/{provider}/webhook")
    async def notified(provider: str, request: Request) -> Response:
        """Take a message; 204 says that it is written down, or about something else."""
        body = await _body(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        await asyncio.to_thread(payments.notified, provider, body, headers)
        said = payments.acknowledgement(provider)
        if said:
            return Response(said, media_type="text/plain")
        return Response(status_code=204)

    return router


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > _MOST_BYTES:
                    raise RequestError(
                        _("A message has at most {most} bytes.", most=_MOST_BYTES),
                        remedy=_("This address takes messages of payment providers alone."),
                        http_status=413,
                    )
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(
            _("The message took longer than {seconds:g} seconds.", seconds=_READ_SECONDS),
            remedy=_("Send it again."),
            http_status=408,
        ) from error
    except ClientDisconnect as gone:
        raise ClientGone from gone
    return b"".join(parts)
