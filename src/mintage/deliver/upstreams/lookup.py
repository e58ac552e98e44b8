"""Where the names of upstreams lead: to the operator's own networks too, but to no cloud's secrets.

An upstream may well stand on a private address, or on this machine: the operator says where it is,
no customer does. What no operator means is the address at which a cloud gives its machines their
keys, and a name can come to lead there after it was declared.
"""

from __future__ import annotations

import ipaddress
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mintage.sources.guard import is_metadata

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver


def careful(resolver: AbstractResolver) -> AbstractResolver:
    """The same resolver, for which names that lead to such an address are not known."""
    base: Any = import_module("aiohttp.abc").AbstractResolver

    class Careful(base):  # type: ignore[misc]
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[Any]:
            found = list(await resolver.resolve(host, port, family))
            if any(
                is_metadata(ipaddress.ip_address(each["host"].partition("%")[0])) for each in found
            ):
                raise OSError(socket.EAI_NONAME, "it leads to where a cloud keeps secrets")
            return found

        async def close(self) -> None:
            await resolver.close()

    made: AbstractResolver = Careful()
    return made
