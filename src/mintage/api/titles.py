"""What each kind of problem is called; its ``code`` is the same in every language."""

from __future__ import annotations

from mintage.core.errors import MintageError
from mintage.core.messages import Message, _

TITLES: dict[str, Message] = {
    "mintage_error": _("This did not work"),
    "input_error": _("The input cannot be used"),
    "data_error": _("The data cannot be used"),
    "config_error": _("A setting is wrong"),
    "request_error": _("The request cannot be answered as it is"),
    "still_running": _("The first call is still running"),
    "answer_broke": _("The answer broke off"),
    "answered_elsewhere": _("Another process answered it first"),
    "answer_expired": _("The answer is no longer kept"),
    "idempotency_key_reused": _("The Idempotency-Key was used for another call"),
    "duplicate_event": _("This call is recorded already"),
    "upstream_refused": _("The model does not take this request"),
    "upstream_timeout": _("The model did not answer in time"),
    "trust_error": _("What was promised cannot be confirmed"),
    "signature_mismatch": _("A signature does not match"),
    "seal_broken": _("Something encrypted does not open"),
    "log_forked": _("The audit log contradicts itself"),
    "books_broken": _("Money or usage does not add up"),
    "account_error": _("The account does not allow this"),
    "unauthenticated": _("No valid key"),
    "not_allowed": _("The key may not do this"),
    "quota_reached": _("A limit is reached"),
    "payment_due": _("A payment is due"),
    "service_error": _("The service cannot answer now"),
    "not_ready": _("The service is not ready yet"),
    "overloaded": _("Too many calls at this moment"),
    "dependency_down": _("Something that the service needs does not answer"),
    "bug": _("Something went wrong on our side"),
}


def title_of(error: MintageError) -> Message:
    """The title of the error's own kind, or of the nearest kind that has one."""
    kinds = (kind for kind in type(error).__mro__ if issubclass(kind, MintageError))
    return next(TITLES[kind.code] for kind in kinds if kind.code in TITLES)
