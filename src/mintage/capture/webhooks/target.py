"""Where a webhook may go: https to public addresses; http to this machine alone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.sources.guard import Guard, Network, WebAddress, is_metadata, is_public

_HTTP = 80
_LOCAL = "localhost"
_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
_EVERYWHERE: tuple[Network, ...] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)
_WRITE = _("Write it as https://HOST/PATH; http is for this machine alone.")


@dataclass(frozen=True)
class Target:
    """An address, and to which networks it may lead; ``plain`` is http."""

    address: WebAddress
    plain: bool
    allow: tuple[Network, ...] = field(default=())

    @classmethod
    def parse(cls, url: str, *, private: bool = False) -> Self:
        """Read an address; ``private`` says that its network is the operator's own.

        Raises:
            ConfigError: none that can be read, http to another machine, or to an address that is
                not public. Where a name leads is known when it is called: ``guard``.
        """
        scheme, mark, rest = url.partition("://")
        plain = scheme.lower() == "http" and bool(mark)
        try:
            address = WebAddress.parse(f"https://{rest}" if plain else url)
        except ConfigError as error:
            raise ConfigError(error.message, remedy=_WRITE) from error
        if plain and urlsplit(url).port is None:
            address = replace(address, port=_HTTP)
        local = _is_local(address.host)
        if plain and not local:
            raise ConfigError(_("http is not taken for {host}.", host=address.host), remedy=_WRITE)
        allow = _LOOPBACK if local else _EVERYWHERE if private else ()
        _check(address.host, allow)
        return cls(address, plain, allow)

    def guard(self, guard: Guard) -> Guard:
        """The guard that lets it through to its own networks."""
        return replace(guard, allow=(*guard.allow, *self.allow))

    @property
    def authority(self) -> str:
        """As the header ``Host`` has it."""
        return self.address.authority


def _is_local(host: str) -> bool:
    if host == _LOCAL:
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(found in network for network in _LOOPBACK)


def _check(host: str, allow: tuple[Network, ...]) -> None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return
    allowed = any(found in network for network in allow) and not is_metadata(found)
    if not is_public(found) and not allowed:
        raise ConfigError(
            _("{host} is not a public address.", host=host),
            remedy=_("If it is of your own network, say so with --private."),
        )
