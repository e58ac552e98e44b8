"""Fixed words of the data, such as an outcome or a unit, as a person reads them."""

from __future__ import annotations

from mintage.core.messages import Message, _

_WORDS: dict[str, Message] = {
    str(word): word
    for word in (
        _("image"),  # what is counted
        _("explanation"),
        _("input_token"),
        _("cached_input_token"),
        _("output_token"),
        _("request"),
        _("ok"),  # how a call ended
        _("error"),
        _("timeout"),
        _("cancelled"),
        _("partial"),
        _("abstain"),
        _("graduated"),  # how a price is meant
        _("volume"),
        _("package"),
        _("draft"),  # how an invoice stands
        _("issued"),
        _("paid"),
        _("void"),
        _("credited"),
        _("replaced"),
        _("given"),  # how credit came
        _("returned"),
        _("surplus"),
        _("legal_name"),  # what invoices say of a customer
        _("address"),
        _("country"),
        _("tax_number"),
        _("bank"),
        _("bank_account"),
        _("phone"),
        _("email"),
        _("language"),
        _("taxes"),
        _("waiting"),  # how a notice stands
        _("delivered"),
        _("failed"),
        _("change"),  # why a plan ended
        _("cancel"),
    )
}


def word(name: str) -> str:
    """The word to show; what is not one of ours is shown as it is."""
    return _WORDS.get(name, name)
