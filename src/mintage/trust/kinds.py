"""The kinds of what is logged; docs/formats/audit-log.md says what each is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from mintage.core.errors import ConfigError
from mintage.core.messages import _

KINDS: Final = (
    "calls.counted",
    "calls.refused",
    "credit.added",
    "credit.ended",
    "customer.added",
    "customer.changed",
    "customer.erased",
    "data.erased",
    "data.read",
    "dataset.collected",
    "dataset.removed",
    "evaluation.measured",
    "feedback.collected",
    "feedback.kept",
    "feedback.withdrawn",
    "head.cosigned",
    "head.witnessed",
    "invoice.issued",
    "invoice.voided",
    "key.distrusted",
    "key.issued",
    "key.revoked",
    "key.rotated",
    "key.trusted",
    "keys.published",
    "keys.updated",
    "ledger.posted",
    "limit.reached",
    "log.begun",
    "model.audited",
    "model.imported",
    "model.removed",
    "model.restored",
    "model.signed",
    "operator.added",
    "operator.changed",
    "operator.entered",
    "operator.key_issued",
    "operator.refused",
    "operator.revoked",
    "payment.dismissed",
    "payment.mismatch",
    "payment.requested",
    "plan.set",
    "product.published",
    "product.rolled_back",
    "run.removed",
    "seal.renewed",
    "seal.rotated",
    "security.mended",
    "signature.renewed",
    "signing_key.abandoned",
    "signing_key.made",
    "signing_key.revoked",
    "signing_key.rotated",
    "subscription.begun",
    "subscription.ended",
    "upstream.declared",
    "upstream.removed",
    "usage",
    "webhook.added",
    "webhook.removed",
    "webhook.rotated",
    "workspace.sealed",
)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse what is no kind, rather than to find nothing.

    Raises:
        ConfigError: one is none; the message names those that are near.
    """
    for kind in kinds:
        if kind in KINDS:
            continue
        group = kind.partition(".")[0]
        near = [each for each in KINDS if each.partition(".")[0] == group]
        near = near or difflib.get_close_matches(kind, KINDS, n=3, cutoff=0.5)
        remedy = _("All are listed in docs/formats/audit-log.md.")
        if near:
            remedy = _("Did you mean one of these: {kinds}?", kinds=", ".join(near))
        raise ConfigError(
            _("Nothing of the kind {kind!r} is ever logged.", kind=kind), remedy=remedy
        )
