"""What one call had upstreams do: who was asked, how long each worked for it, what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from mintage.core.types import UNKNOWN_CURRENCY
from mintage.deliver.upstreams.busy import Busy
from mintage.deliver.upstreams.declared import Upstream
from mintage.deliver.upstreams.tokens import NOTHING, Tokens

_MICRO = 6  # decimals of seconds: what is recorded is what was reckoned with


@dataclass
class Work:
    """Filled while a call is asked, try by try; those that failed have worked, too."""

    _tries: list[tuple[Upstream, float]] = field(default_factory=list)
    _running: tuple[Busy, float] | None = None

    def begin(self, upstream: Upstream, busy: Busy) -> None:
        """It is asked from now on."""
        self.end()
        self._tries.append((upstream, 0.0))
        if upstream.is_measured:
            self._running = busy, busy.come()

    def end(self) -> None:
        """Its answer is here, or there will be none."""
        if self._running is None:
            return
        (busy, begun), self._running = self._running, None
        upstream, __ = self._tries[-1]
        self._tries[-1] = upstream, round(busy.leave() - begun, _MICRO)

    @property
    def last(self) -> Upstream | None:
        """Whoever was asked last."""
        return self._tries[-1][0] if self._tries else None

    @property
    def seconds(self) -> float:
        """The call's share of the time in which servers were busy."""
        return round(sum(seconds for __, seconds in self._tries), _MICRO)

    def cost(self, answered: Upstream | None, tokens: Tokens) -> tuple[str, str]:
        """What all of it costs, and in which currency.

        That is what whoever ``answered`` asks for the tokens, and an hour of every measured server
        for its seconds. Where a part is not known, or is in another currency, the sum is not.
        """
        party = answered or self.last
        if party is None:
            return "0", ""  # nobody was asked
        busy: dict[Upstream, float] = {}
        for upstream, seconds in self._tries:
            if upstream.is_measured:
                busy[upstream] = busy.get(upstream, 0.0) + seconds
        parties = [party, *busy]
        costs = [each.costs for each in parties if each.costs is not None]
        if len(costs) < len(parties) or len({each.currency for each in costs}) > 1:
            return "0", UNKNOWN_CURRENCY
        first, *__ = costs
        quantities = {} if tokens is NOTHING else tokens.quantities({})
        hours = [
            (each.costs.hour or "0", seconds)
            for each, seconds in busy.items()
            if each.costs is not None
        ]
        return first.of(quantities, tokens.cached, hours), first.currency
