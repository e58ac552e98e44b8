"""What an audit's figures say, and what they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mintage.core.messages import Message, _, speaking, told

NAMES: Mapping[str, Message] = {
    "signature": _("signature"),
    "graph": _("graph"),
    "dataset": _("dataset"),
    "canaries": _("canary inputs"),
    "robustness": _("robustness"),
    "membership": _("membership"),
}
STATES: Mapping[str, Message] = {
    "ok": _("fine"),
    "warning": _("warning"),
    "failed": _("failed"),
    "skipped": _("not asked"),
}
STATISTICS: Mapping[str, Message] = {
    "loss": _("a threshold on the loss"),
    "calibrated": _("a threshold calibrated by class"),
}


def robustness_in_words(figures: Mapping[str, Any]) -> Message:
    """Accuracy as it is, under noise and under attack."""
    attacked, noise = figures["under_attack"], figures["under_noise"]
    return _(
        "at eps {eps}/255 with {queries:,} queries a picture, {attacked:.1%} of {examples:,} test "
        "pictures are answered right ({low:.1%} to {high:.1%}); {clean:.1%} as they are, "
        "{noise:.1%} under random noise of the same size",
        eps=figures["eps_255ths"],
        queries=figures["queries"],
        attacked=attacked["share"],
        examples=figures["examples"],
        low=attacked["interval"][0],
        high=attacked["interval"][1],
        clean=figures["accuracy"]["share"],
        noise=noise["share"],
    )


def membership_in_words(figures: Mapping[str, Any]) -> Message:
    """The rates of the statistic that finds most, or that there are too few to tell of."""
    attacks = figures["attacks"]
    best = max(attacks, key=lambda name: _strength(attacks[name]))
    rates = attacks[best]["rates"]
    if not rates:
        return _(
            "a training picture is surer than another {auc:.1%} of the time (chance: 50 %); at "
            "low false positive rates nothing is told, since {others:,} pictures that did not "
            "train it are too few",
            auc=attacks[best]["auc"],
            others=figures["non_members"],
        )
    row = rates[-1]
    return _(
        "by {statistic}, {tpr:.2%} of {members:,} training pictures are found at a false positive "
        "rate of {fpr:.1%} ({low:.2%} to {high:.2%})",
        statistic=STATISTICS[best],
        tpr=row["tpr"],
        members=figures["members"],
        fpr=row["fpr"],
        low=row["interval"][0],
        high=row["interval"][1],
    )


def _strength(found: Mapping[str, Any]) -> tuple[float, float]:
    rates = found["rates"]
    return (rates[-1]["tpr"] if rates else 0.0, found["auc"] or 0.0)


def controls_in_words(controls: Mapping[str, Any] | None) -> Message:
    """Whether the measure can be believed."""
    if controls is None:
        return _(
            "No control could be measured: there are too few pictures that did not train it, so "
            "that these figures show little."
        )
    planted, unplanted = controls["planted"], controls["unplanted"]
    values = {
        "canaries": controls["canaries"],
        "planted": planted["tpr"],
        "fpr": planted["fpr"],
        "unplanted": unplanted["tpr"],
    }
    if planted["holds"] and unplanted["holds"]:
        return _(
            "The measure finds what is there and nothing else: of {canaries:,} canaries with wrong "
            "labels it finds {planted:.1%} where the model has them by heart, and {unplanted:.1%} "
            "where it never heard of them (false positive rate {fpr:.1%}).",
            **values,
        )
    return _(
        "The measure is not to be believed here: of {canaries:,} canaries it finds {planted:.1%} "
        "where the model has them by heart, and {unplanted:.1%} where it never heard of them "
        "(false positive rate {fpr:.1%}).",
        **values,
    )


MORE = _(
    "This is what these attacks did. A stronger attack, such as one with shadow models or with "
    "more queries, may do more."
)


def leaks_in_words(document: Mapping[str, Any]) -> Iterator[Message]:
    """What a card says of the model's own leaks, a sentence each."""
    found = document.get("membership")
    if found is not None:
        for name, attack in found["attacks"].items():
            for row in attack["rates"]:
                yield _(
                    "Membership, by {statistic}: {tpr:.2%} of {members:,} training pictures are "
                    "found at a false positive rate of {fpr:.1%} (95 % interval {low:.2%} to "
                    "{high:.2%}, {others:,} pictures that did not train it).",
                    statistic=STATISTICS[name],
                    tpr=row["tpr"],
                    members=found["members"],
                    fpr=row["fpr"],
                    low=row["interval"][0],
                    high=row["interval"][1],
                    others=found["non_members"],
                )
            if attack["auc"] is not None:
                yield _(
                    "Over all thresholds, by {statistic}, a training picture is surer than another "
                    "{auc:.1%} of the time (95 % interval {low:.1%} to {high:.1%}; chance: 50 %).",
                    statistic=STATISTICS[name],
                    auc=attack["auc"],
                    low=attack["auc_interval"][0],
                    high=attack["auc_interval"][1],
                )
        for row in found["not_reported"]:
            yield _(
                "At a false positive rate of {fpr:.1%} nothing is told: it takes {needs:,} "
                "pictures that did not train it, and {others:,} were asked.",
                fpr=row["fpr"],
                needs=row["needs"],
                others=found["non_members"],
            )
        yield controls_in_words(found["controls"])
    if document.get("robustness") is not None:
        yield _("Square Attack: {found}.", found=robustness_in_words(document["robustness"]))
    if found is not None or document.get("robustness") is not None:
        yield MORE


def card_with_leaks(card: str, document: Mapping[str, Any]) -> str:
    """The bundle's own card, in English, with what the audit found of its leaks."""
    with speaking("en"):
        lines = [f"- {told(each)}" for each in leaks_in_words(document)]
        head = told(_("What it gives away, as audited on {day}", day=document["audited_at"][:10]))
    if not lines:
        return card
    return "\n".join([card.rstrip(), "", f"## {head}", "", *lines]) + "\n"
