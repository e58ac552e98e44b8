"""What a key may do, for which products, from which networks and until when."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Self

from mintage.core.canonical import canonical_json
from mintage.core.clock import timestamp
from mintage.core.errors import ConfigError, NotAllowed
from mintage.core.messages import _
from mintage.core.money import Money, said_money
from mintage.core.types import SCOPES, Scope
from mintage.core.units import parse_duration

_LONGEST_ADDRESS = 64
_MOST_OF_A_KIND = 100  # networks are gone through on every call
# RFC 3339: a full date, or one with a time and its offset.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?", re.IGNORECASE)


@dataclass(frozen=True)
class KeyLimits:
    """What a key is bound to; None binds it to nothing.

    ``networks`` are in CIDR notation, ``expires_at`` is a ``timestamp``, and ``budget`` is what its
    calls may come to in a month of UTC.
    """

    scopes: tuple[Scope, ...] = SCOPES
    products: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    expires_at: str | None = None
    budget: Money | None = None

    @classmethod
    def asked(
        cls,
        now: datetime,
        *,
        scopes: Sequence[str] = (),
        products: Sequence[str] = (),
        networks: Sequence[str] = (),
        expires: str | None = None,
        budget: str | None = None,
    ) -> Self:
        """The limits in a person's words; an empty list is no limit of that kind.

        Raises:
            ConfigError: a scope, a network, an end or a budget that is none, or more than 100 of a
                kind.
        """
        named = _each(scopes, _scope)
        return cls(
            scopes=tuple(scope for scope in SCOPES if scope in named) or SCOPES,
            products=_each(products, str) or None,
            networks=_each(networks, _network) or None,
            expires_at=None if expires is None else end_of(expires, now),
            budget=None if budget is None else _budget(budget),
        )

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Read the columns of a key's row."""

        def listed(text: str | None) -> Any:
            return None if text is None else tuple(json.loads(text))

        return cls(
            listed(row["scopes"]),
            listed(row["products"]),
            listed(row["networks"]),
            row["expires_at"],
            None if row["budget"] is None else _budget(row["budget"]),
        )

    def to_row(self) -> dict[str, str | None]:
        """The limits as a key's row holds them."""
        columns = self.to_json()
        lists = {name: columns[name] for name in ("scopes", "products", "networks")}
        return columns | {
            name: None if found is None else canonical_json(found).decode()
            for name, found in lists.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The limits as lists of keys show them."""

        def listed(values: tuple[str, ...] | None) -> list[str] | None:
            return None if values is None else list(values)

        return {
            "scopes": listed(self.scopes),
            "products": listed(self.products),
            "networks": listed(self.networks),
            "expires_at": self.expires_at,
            "budget": None if self.budget is None else str(self.budget),
        }

    @cached_property
    def bind_each_call(self) -> bool:
        """Whether the moment or the caller's address can change what the key may."""
        return self.expires_at is not None or self.networks is not None

    def have_ended(self, now: datetime) -> bool:
        """Whether the key has expired."""
        return self._end is not None and now >= self._end

    def check_address(self, address: str | None) -> None:
        """Let a call pass from here; None is an address that nobody knows.

        Raises:
            NotAllowed: it is in none of the key's networks.
        """
        if self.networks is None:
            return
        # What a proxy forwards may be anything, and is not to be kept.
        found = None if len(address or "") > _LONGEST_ADDRESS else _address(address)
        if found is not None:
            for version, first, last in self._ranges:
                if found.version == version and first <= found.number <= last:
                    return
        raise NotAllowed(
            _(
                "This key may not be used from {address}.",
                address=_("an unknown address") if found is None else found.text,
            ),
            remedy=_("Call from a network that it is for, or ask for another key."),
        )

    def check_scope(self, scope: Scope) -> None:
        """Let a key do this.

        Raises:
            NotAllowed: the key lacks the scope.
        """
        if scope not in self.scopes:
            raise NotAllowed(
                _("This key lacks the scope {scope!r}.", scope=scope),
                remedy=_("Ask whoever runs this service for a key that has it."),
            )

    def check_product(self, product: str) -> None:
        """Let a key call this product.

        Raises:
            NotAllowed: the key is for others.
        """
        if self.products is not None and product not in self.products:
            raise not_for(product)

    @cached_property
    def _end(self) -> datetime | None:
        return None if self.expires_at is None else datetime.fromisoformat(self.expires_at)

    @cached_property
    def _ranges(self) -> tuple[tuple[int, int, int], ...]:
        networks = map(ip_network, self.networks or ())
        return tuple(
            (each.version, int(each.network_address), int(each.broadcast_address))
            for each in networks
        )


UNLIMITED = KeyLimits()
"""A key that may do everything, everywhere and for ever."""


def not_for(product: str) -> NotAllowed:
    """The key is for other products; whether this one exists is not said."""
    return NotAllowed(
        _("This key is not for the product {product!r}.", product=product),
        remedy=_("Ask whoever runs this service for a key that is."),
    )


def end_of(text: str, now: datetime) -> str:
    """The ``timestamp`` that ``90d``, ``2027-01-31`` or ``2027-01-31T12:00:00Z`` means.

    Raises:
        ConfigError: neither a duration nor a date of RFC 3339, or one that is not ahead.
    """
    text = text.strip()
    try:
        if _MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            # A date alone is its first moment in UTC.
            end = (moment.replace(tzinfo=UTC) if len(text) == 10 else moment).astimezone(UTC)
        else:
            end = now + timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError, ConfigError) as error:
        raise ConfigError(
            _("Not a time to expire at: {text!r}.", text=text[:50]),
            remedy=_("Write it as 90d, 2027-01-31 or 2027-01-31T12:00:00Z."),
        ) from error
    if end <= now:
        raise ConfigError(
            _("What expires at {text} would never be valid.", text=text[:50]),
            remedy=_("Name a time that is ahead."),
        )
    return timestamp(end)


def _each(values: Sequence[str], check: Callable[[str], Any]) -> tuple[Any, ...]:
    """Each of them once, in order."""
    kept = tuple(dict.fromkeys(check(value.strip()) for value in values))
    if len(kept) > _MOST_OF_A_KIND:
        raise ConfigError(
            _(
                "A key can have {most} limits of one kind, not {count}.",
                most=_MOST_OF_A_KIND,
                count=len(kept),
            ),
            remedy=_("Name fewer of them."),
        )
    return kept


def _scope(text: str) -> Scope:
    for scope in SCOPES:
        if scope == text:
            return scope
    raise ConfigError(
        _("There is no scope {scope!r}.", scope=text[:50]),
        remedy=_("Name some of {scopes}.", scopes=", ".join(SCOPES)),
    )


def _budget(text: str) -> Money:
    budget = said_money(text)
    if budget.nanos <= 0:
        raise ConfigError(
            _("A budget is above zero, not {budget}.", budget=budget),
            remedy=_("Revoke a key that is not to be used."),
        )
    return budget


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ConfigError(
            _("Not a network: {text!r}.", text=text[:50]),
            remedy=_("Write it as 10.0.0.0/8 or 2001:db8::/32, or one address as 203.0.113.9."),
        ) from error


@dataclass(frozen=True)
class _Address:
    text: str
    version: int
    number: int


@lru_cache(maxsize=4096)  # 1.5 µs otherwise, and most callers call again
def _address(text: str | None) -> _Address | None:
    try:
        found = ip_address(text or "")
    except ValueError:
        return None
    # An IPv4 caller at a socket of IPv6.
    found = getattr(found, "ipv4_mapped", None) or found
    return _Address(str(found), found.version, int(found))
