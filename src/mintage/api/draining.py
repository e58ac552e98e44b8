"""Reading what is left of a body that nobody wants."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Receive

_IDLE_SECONDS = 2.0
_MOST_SECONDS = 30.0


async def read_on(receive: Receive) -> None:
    """Throw away what the client still sends, until it ends or pauses; 30 seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_MOST_SECONDS):
            while True:
                message = await asyncio.wait_for(receive(), _IDLE_SECONDS)
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
