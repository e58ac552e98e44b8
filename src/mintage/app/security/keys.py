"""Keys that are no longer good: revoked and still in use, old, out of place, past their end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import get_args

from mintage.app.finding import Finding
from mintage.app.key_check import doubts_of
from mintage.app.security.weakness import Mend, Weakness
from mintage.capture.customers import Customers
from mintage.core.clock import Clock
from mintage.core.errors import TrustError
from mintage.core.messages import Message, _
from mintage.trust.keys import KeyRing, SigningRole


def examine_signing_keys(keys: KeyRing, clock: Clock) -> Iterator[Weakness]:
    """Signing keys, ours and those that are trusted."""
    yield from of_findings(doubts_of(keys, clock))
    for role in get_args(SigningRole):
        # A file that cannot be read as a key is a weakness of its own, and found as one.
        with suppress(TrustError):
            own, record = keys.own(role), keys.record()
            listed = record.keys.of(role) if own and record else ()
            if any(each.revoked_at and own and each.key.key_id == own.key_id for each in listed):
                yield Weakness(
                    "key.revoked_in_use",
                    "critical",
                    _("the key of the role {role} was revoked, and lies here to sign", role=role),
                    _("Have another made: mintage signing-key rotate {role}", role=role),
                )


def of_findings(findings: Iterable[Finding]) -> Iterator[Weakness]:
    """Those of a diagnosis that are weaknesses."""
    for each in findings:
        if each.weakness is not None:
            code, severity = each.weakness
            yield Weakness(code, severity, each.found, each.remedy)


def examine_api_keys(customers: Customers) -> Iterator[Weakness]:
    """Customers' keys that nobody revoked when their time was over; they are refused as it is."""
    for key in customers.expired_keys():
        yield Weakness(
            "api_key.expired",
            "low",
            _("the API key {key} has expired and was not revoked", key=key.id),
            _("Revoke it: mintage key revoke {key}", key=key.id),
            Mend(
                Message("mintage key revoke {key}", key=key.id),
                partial(customers.revoke_key, key.id),
            ),
        )
