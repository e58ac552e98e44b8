"""The desk: what providers are asked to collect, and what is written of what they took."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mintage.capture.books import rendering
from mintage.capture.books.invoice import Invoice, found_invoice, not_now
from mintage.capture.payments import repository
from mintage.capture.payments.booking import Found, book, provider_named, set_right
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, MintageError, RequestError
from mintage.core.messages import _, speaking, told
from mintage.core.money import Money
from mintage.core.redaction import can_be_shown
from mintage.core.types import Bill, Payment, Requested
from mintage.store.engine import Database
from mintage.trust import audit

_LONGEST_REASON = 200
_ASKED_FOR = timedelta(days=90)  # after it was closed by other means, an invoice's page
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """What a provider was asked for, and where it can be paid."""

    number: str
    provider: str
    reference: str
    url: str | None
    asked: Money

    def to_json(self) -> dict[str, Any]:
        """As ``invoice push --json`` says it."""
        return vars(self) | {"asked": self.asked.amount, "currency": self.asked.currency}


class Desk:
    """Payments by providers, over one workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def push(self, reference: str, provider: str) -> Pushed:
        """Have a provider collect what is left of an invoice; again is the same request.

        Raises:
            RequestError: no such invoice or provider (404), one that is not to be paid (409), or
                the provider does not take it.
            ConfigError: the provider is not set up.
            DependencyDown: it does not answer, or its library is not installed.
        """
        with_ = provider_named(provider)
        with self._database.read() as connection:
            found = found_invoice(connection, reference)
            if found.status != "issued":
                raise not_now(found, _("only an issued invoice is to be paid"))
            payer = repository.payer_of(connection, provider, found.customer)
            bill = _bill(found, found.to_pay, payer)
        asked = with_.asks(bill.owed)
        requested = with_.push(bill)
        self._database.write(
            lambda connection: self._keep(connection, bill, provider, requested, asked)
        )
        return Pushed(bill.number, provider, requested.reference, requested.url, asked)

    def _keep(
        self,
        connection: repository.Connection,
        bill: Bill,
        provider: str,
        requested: Requested,
        asked: Money,
    ) -> None:
        known = repository.find_request(connection, provider, bill.id)
        row = {
            "provider": provider,
            "invoice": bill.id,
            "reference": requested.reference,
            "payer": requested.payer,
            "url": requested.url,
            "currency": asked.currency,
            "nanos": asked.nanos,
            "pushed_at": timestamp(self._clock.now()),
        }
        if known is not None and {**row, "pushed_at": known["pushed_at"]} == known:
            return
        repository.keep_request(connection, row)
        said = {"invoice": bill.id, "number": bill.number, "provider": provider}
        audit.append(
            connection,
            "payment.requested",
            said | {"reference": requested.reference, "amount": str(asked)},
        )

    def notified(self, provider: str, body: bytes, headers: Mapping[str, str]) -> Found | None:
        """Take a provider's message; None where it tells of no payment of an invoice.

        Raises:
            RequestError: no such provider (404), or the message is not the provider's (400).
            NotReady: messages cannot be verified here.
        """
        payment = provider_named(provider).notified(body, headers)
        return None if payment is None else self.received(provider, payment)

    @staticmethod
    def acknowledgement(provider: str) -> str:
        """What a message that was taken is answered with."""
        return provider_named(provider).acknowledgement

    def received(self, provider: str, payment: Payment) -> Found:
        """Put a payment into the books, in one transaction; the same one counts once.

        What is more than is owed is the customer's credit. What the books cannot say is kept apart
        and told, and pays nothing.
        """
        now = timestamp(self._clock.now())
        found = self._database.write(lambda connection: book(connection, provider, payment, now))
        if found.status == "mismatch":
            _log.error(
                "%s took %s for %s: %s", provider, payment.amount, payment.number, found.reason
            )
        return found

    def sync(
        self, provider: str | None = None
    ) -> tuple[list[Found], list[tuple[str, MintageError]]]:
        """Ask providers what was paid of that which is open; and of what they did not answer.

        What was closed lately by other means is asked about too: its page may be paid all the same.

        Raises:
            RequestError: no such provider (404).
        """
        if provider is not None:
            provider_named(provider)
        lately = timestamp(self._clock.now() - _ASKED_FOR)
        with self._database.read() as connection:
            waiting = repository.open_requests(connection, provider, lately)
        found: list[Found] = []
        failed: list[tuple[str, MintageError]] = []
        for row in waiting:
            try:
                payment = provider_named(row["provider"]).look(row["reference"])
            except MintageError as error:
                failed.append((row["number"], error))
                continue
            if payment is not None:
                found.append(self.received(row["provider"], payment))
        return found, failed

    def mismatches(self) -> list[dict[str, Any]]:
        """Payments that are in nobody's books, because those cannot say them.

        Those that were dismissed are not among them.
        """
        with self._database.read() as connection:
            return [*map(_shown, repository.mismatches(connection))]

    def dismiss(self, reference: str, reason: str, provider: str | None = None) -> dict[str, Any]:
        """Note how a payment that is in nobody's books was set right, such as sent back.

        It is listed no more; one that was dismissed already stays as it was.

        Raises:
            RequestError: there is none (404).
            ConfigError: several providers have one, or the reason cannot be printed.
        """
        reason, now = reason.strip(), timestamp(self._clock.now())
        if not can_be_shown(reason, _LONGEST_REASON):
            raise ConfigError(
                _("This is no reason that can be noted."),
                remedy=_("Use 1 to {most} printable characters, no API key.", most=_LONGEST_REASON),
            )

        def work(connection: repository.Connection) -> dict[str, Any]:
            named = [
                row
                for row in repository.mismatches(connection, reference)
                if provider in (None, row["provider"])
            ]
            if not named:
                raise RequestError(
                    _("No payment {name!r} waits to be set right.", name=reference),
                    remedy=_("See what they took: mintage invoice sync"),
                    http_status=404,
                )
            if len(named) > 1:
                raise ConfigError(
                    _("Several providers took money as {name!r}.", name=reference),
                    remedy=_("Say which with --provider."),
                )
            (row,) = named
            if row["dismissed_at"] is None:
                set_right(connection, row["provider"], reference, reason, now)
                row |= {"dismissed_at": now, "dismissed_reason": reason}
            return _shown(row)

        return self._database.write(work)


def synced(
    found: Iterable[Found],
    failed: Iterable[tuple[str, MintageError]],
    mismatches: Iterable[dict[str, Any]],
) -> dict[str, Any]:
    """What asking providers came to, as ``invoice sync --json`` says it."""
    errors = [
        {"number": number, "code": error.code, "message": error.message, "remedy": error.remedy}
        for number, error in failed
    ]
    payments = [each.to_json() for each in found]
    return {"payments": payments, "failed": errors, "mismatches": list(mismatches)}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A payment that is in nobody's books, as it is told."""
    told_of = {name: value for name, value in row.items() if name != "nanos"}
    return told_of | {"amount": Money(row["nanos"], row["currency"]).amount}


def _bill(found: Invoice, owed: Money, payer: str | None) -> Bill:
    document, customer = found.document, found.document["customer"]
    currency = found.currency
    with speaking("zh" if customer.get("language") == "zh" else "en"):
        words = [told(rendering.described(line)) for line in document["lines"]]
        rest = told(_("Paid already, and rounding"))
    words += [f"{each['name']} {each['percent']} %" for each in document["taxes"]]
    amounts = [
        Money.parse(each["amount"], currency) for each in [*document["lines"], *document["taxes"]]
    ]
    return Bill(
        id=found.id,
        number=found.number or found.id,
        customer=found.customer,
        name=customer.get("legal_name") or customer["name"],
        email=customer.get("email", ""),
        owed=owed,
        lines=tuple(zip(words, amounts, strict=True)),
        rest=rest,
        due_at=found.due_at or "",
        payer=payer,
    )
