"""Bank transfers and cash: nobody is asked, and the operator notes what came."""

from __future__ import annotations

from collections.abc import Mapping

from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import Money
from mintage.core.types import Bill, Payment, Requested


class Manual:
    """Implements ``core.ports.PaymentProvider`` for ``mintage invoice pay``."""

    name = "manual"
    acknowledgement = ""

    def asks(self, owed: Money) -> Money:
        """All of it."""
        return owed

    def push(self, bill: Bill) -> Requested:
        """The invoice says itself what is owed; its number is what a transfer should name."""
        return Requested(bill.number)

    def look(self, reference: str) -> Payment | None:  # noqa: ARG002 - of the port
        """Only the operator knows."""
        return None

    def notified(self, body: bytes, headers: Mapping[str, str]) -> Payment | None:  # noqa: ARG002
        """It sends no messages."""
        raise RequestError(
            _("{provider} sends no messages.", provider=self.name),
            remedy=_("Note what came with: mintage invoice pay NUMBER --reference …"),
            http_status=404,
        )
