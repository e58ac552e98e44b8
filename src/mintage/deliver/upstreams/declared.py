"""One upstream as it was declared: where it is, what it calls its model, what it asks for it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil, lcm
from typing import Any, Final, Self
from urllib.parse import urlsplit

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import parse_exact
from mintage.core.types import (
    CACHED_INPUT_TOKEN,
    INPUT_TOKEN,
    OUTPUT_TOKEN,
    OWN_MODEL,
    PICOS,
    REQUEST,
)
from mintage.deliver.upstreams.secret import Secret
from mintage.sources.guard import is_metadata
from mintage.trust.deidentify.detectors import kinds_of

PER_TOKENS: Final = 1_000_000
"""So many tokens a cost is stated for."""
LONGEST_SECONDS: Final = 600.0
_HOUR_SECONDS: Final = 3600
_MICROS: Final = 1_000_000
_DECIMALS: Final = len(str(PICOS)) - 1
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_LONGEST_MODEL = 120
_MOST_WEIGHT = 1_000_000


@dataclass(frozen=True)
class Costs:
    """What an upstream asks: decimal strings for a million tokens, and for each request.

    Without a price of their own, cached tokens cost what the others do. ``hour`` is what an hour of
    running it costs, of a server of one's own: each call bears its share of the time in which that
    is busy. ``source`` is where prices are published, and ``dated`` the day on which they were so,
    where a price list says it.
    """

    currency: str
    input: str = "0"
    output: str = "0"
    cached_input: str | None = None
    request: str = "0"
    hour: str | None = None
    source: str | None = None
    dated: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no cost can be.

        Raises:
            ConfigError: no currency, or no amount.
        """
        exponent_of(self.currency)
        besides = (self.cached_input or "0", self.hour or "0")
        for amount in (self.input, self.output, self.request, *besides):
            if parse_exact(amount) < 0:
                raise ConfigError(_("A cost cannot be negative: {amount}.", amount=amount))

    def of(
        self,
        quantities: Mapping[str, int],
        cached: int = 0,
        hours: Sequence[tuple[str, float]] = (),
    ) -> str:
        """What a call costs, to 10⁻¹², rounded up.

        ``cached`` of its input tokens were cached. ``hours`` are what an hour of each server that
        worked for it costs, and how many seconds it did, to the microsecond.
        """
        prompt = quantities.get(INPUT_TOKEN, 0) + quantities.get(CACHED_INPUT_TOKEN, 0)
        (fresh, read, output, request), parts = self._each
        exact = (
            fresh * (prompt - cached)
            + read * cached
            + output * quantities.get(OUTPUT_TOKEN, 0)
            + request * quantities.get(REQUEST, 0)
        )
        picos = -(-exact // parts)
        if hours:
            timed = [parse_exact(hour) * round(seconds * _MICROS) for hour, seconds in hours]
            picos = ceil(Fraction(exact, parts) + sum(timed) * PICOS / (_HOUR_SECONDS * _MICROS))
        whole, picos = divmod(picos, PICOS)
        return f"{whole}.{picos:0{_DECIMALS}}".rstrip("0").rstrip(".")

    @cached_property
    def _each(self) -> tuple[Sequence[int], int]:
        """What one of each costs, in so many parts of 10⁻¹²; by fractions a call took 53 µs."""
        cached = self.input if self.cached_input is None else self.cached_input
        tokens = [parse_exact(each) / PER_TOKENS for each in (self.input, cached, self.output)]
        exact = [each * PICOS for each in (*tokens, parse_exact(self.request))]
        parts = lcm(*(each.denominator for each in exact))
        return [int(each * parts) for each in exact], parts

    def to_json(self) -> dict[str, str | None]:
        """As its row holds it."""
        return {
            "currency": self.currency,
            "input": self.input,
            "output": self.output,
            "cached_input": self.cached_input,
            "request": self.request,
            **({} if self.hour is None else {"hour": self.hour}),
            **({} if self.source is None else {"source": self.source, "dated": self.dated}),
        }


@dataclass(frozen=True)
class BundleAt:
    """A language model of one's own: a version of a model of the workspace, and its digest."""

    model: str
    version: int
    digest: str

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.model}@{self.version}"

    @classmethod
    def read(cls, url: str) -> Self | None:
        """What ``url`` wrote; None of an address."""
        if not url.startswith(OWN_MODEL):
            return None
        reference, __, digest = url.removeprefix(OWN_MODEL).partition("#")
        model, __, version = reference.partition("@")
        return cls(model, int(version), digest)

    @property
    def url(self) -> str:
        """What stands in an upstream in the place of an address."""
        return f"{OWN_MODEL}{self.reference}#{self.digest}"


@dataclass(frozen=True)
class Upstream:
    """A server that answers for a product.

    ``url`` is the base of its API, such as ``https://api.example.com/v1``, or ``BundleAt.url`` of
    a model of one's own, whose server ours begins; ``model`` is what it calls the model. Of a
    product's upstreams those with the lowest ``place`` are asked first, each in proportion to its
    ``weight``. An answer has to be whole within ``deadline_seconds``. Without ``costs`` it is not
    known what it asks. ``tokenizer`` is the path of a ``tokenizer.json`` that counts tokens where
    the upstream does not. Personal data of the kinds in ``deidentify`` is replaced before it is
    sent there.
    """

    product: str
    name: str
    url: str
    model: str
    secret: Secret = field(default_factory=Secret)
    place: int = 1
    weight: int = 1
    deadline_seconds: float = 120.0
    most_output: int = 4096
    tokenizer: str = ""
    costs: Costs | None = None
    deidentify: tuple[str, ...] = ()
    since: str = field(default="", compare=False)
    """When it was declared; not part of what was."""

    def __post_init__(self) -> None:
        """Refuse what no upstream can be.

        Raises:
            ConfigError: a name, address or number that cannot be one.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                _("Not a name of an upstream: {name!r}.", name=self.name),
                remedy=_("Use small letters, digits, dots and hyphens, at most 64."),
            )
        if not 1 <= len(self.model) <= _LONGEST_MODEL or not self.model.isprintable():
            raise ConfigError(_("Not a name of a model: {model!r}.", model=self.model[:80]))
        if self.deidentify and self.deidentify != kinds_of(",".join(self.deidentify)):
            raise ConfigError(_("Kinds of personal data stand in their order, each once."))
        for name, number, most in (
            ("place", self.place, 100),
            ("weight", self.weight, _MOST_WEIGHT),
            ("most_output", self.most_output, 10_000_000),
        ):
            if not 1 <= number <= most:
                raise ConfigError(
                    _("{name} is 1 to {most}, not {number}.", name=name, most=most, number=number)
                )
        if not 0 < self.deadline_seconds <= LONGEST_SECONDS:
            raise ConfigError(
                _(
                    "An upstream has at most {most:g} s to answer, not {seconds:g}.",
                    most=LONGEST_SECONDS,
                    seconds=self.deadline_seconds,
                )
            )

    @cached_property
    def digest(self) -> str:
        """What an event says of all that was declared: the SHA-256 of it as canonical JSON."""
        return sha256_hex(canonical_json(self.to_json()))

    @cached_property
    def bundle(self) -> BundleAt | None:
        """The model of one's own that it is; None for servers of others."""
        return BundleAt.read(self.url)

    @cached_property
    def is_measured(self) -> bool:
        """Whether it is known how long it works for a call: it is run by whoever sells."""
        return self.bundle is not None or (self.costs is not None and self.costs.hour is not None)

    def to_json(self) -> dict[str, Any]:
        """All of it; of the secret only where it is."""
        return {
            "product": self.product,
            "name": self.name,
            "url": self.url,
            "model": self.model,
            "secret": self.secret.reference,
            "place": self.place,
            "weight": self.weight,
            "deadline_seconds": self.deadline_seconds,
            "most_output": self.most_output,
            "tokenizer": self.tokenizer,
            "costs": None if self.costs is None else self.costs.to_json(),
            "deidentify": list(self.deidentify),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        costs = value["costs"]
        return cls(
            **{
                **value,
                "secret": Secret(value["secret"]),
                "costs": None if costs is None else Costs(**costs),
                "deidentify": tuple(value["deidentify"]),
            }
        )


def base_of(url: str) -> str:
    """The base of an API, from what was given: an address without a path has its API at ``/v1``.

    Raises:
        ConfigError: no address of a server, or one with a password in it.
    """
    try:
        parts = urlsplit(url)
        host, __ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ConfigError(
            _("Not the address of an upstream: {url!r}.", url=url),
            remedy=_("Write it as https://api.example.com/v1."),
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            _("The address of an upstream has no name and no password in it."),
            remedy=_("Say where its key is: --secret-env VARIABLE, or --secret-file PATH."),
        )
    if _is_closed(host):
        raise ConfigError(
            _("{host} is where a cloud keeps its machines' secrets, not an upstream.", host=host),
            remedy=_("Write it as https://api.example.com/v1."),
        )
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _is_closed(host: str) -> bool:
    try:
        return is_metadata(ipaddress.ip_address(host))
    except ValueError:  # a name: where it leads is looked at when it is called
        return False


def name_of(url: str) -> str:
    """What an upstream is called that was given no name: its host, and its port where it says."""
    parts = urlsplit(url)
    host = (parts.hostname or "").replace(":", "-")
    return host if parts.port is None else f"{host}-{parts.port}"
