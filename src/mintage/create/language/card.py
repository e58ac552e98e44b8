"""A language model's card: what it began from, what it learned, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.bundle.language import Base
from mintage.core.messages import Message, _, speaking, told

ABOUT = _("A language model, fine-tuned on conversations.")
LIMITS = _(
    "It writes what people's answers in its data make likely, which is not always true. It has "
    "all that its first weights had learned, what is wrong and unfair among it. Perplexity "
    "says how well it expects such answers, not whether they are right. Where an answer "
    "matters to a person, a person decides."
)
"""What it is not for; its card and its bill of materials say so."""


def model_card(
    name: str,
    dataset: Mapping[str, Any],
    base: Base,
    evaluation: Mapping[str, Any],
    notes: Sequence[str],
) -> str:
    """``card.md`` in English, whoever trains: it is signed."""
    with speaking("en"):
        return "\n\n".join(_sections(name, dataset, base, evaluation, notes)) + "\n"


def better_in_words(evaluation: Mapping[str, Any]) -> Message:
    """What fine-tuning did to the test data's loss; said of every model, also of worse ones."""
    before, after = evaluation["base"]["loss"], evaluation["loss"]
    values = {
        "perplexity": evaluation["perplexity"],
        "before": evaluation["base"]["perplexity"],
        "examples": evaluation["examples"],
    }
    if evaluation["interval"][1] < before:
        return _(
            "On {examples:,} test conversations, which neither trained nor chose it, its "
            "perplexity is {perplexity:.2f}; before fine-tuning it was {before:.2f}.",
            **values,
        )
    if after < before:
        return _(
            "On {examples:,} test conversations, which neither trained nor chose it, its "
            "perplexity is {perplexity:.2f}, against {before:.2f} before fine-tuning: that may be "
            "chance.",
            **values,
        )
    return _(
        "Fine-tuning did not help: on {examples:,} test conversations the perplexity is "
        "{perplexity:.2f}, and was {before:.2f}.",
        **values,
    )


def _sections(
    name: str,
    dataset: Mapping[str, Any],
    base: Base,
    evaluation: Mapping[str, Any],
    notes: Sequence[str],
) -> list[str]:
    about = {key: text or _("not stated") for key, text in dataset["about"].items()}
    low, high = evaluation["interval"]
    made = [
        _(
            "Began from: {name} ({architecture}, {parameters:,} parameters), SHA-256 {digest}, "
            "licence {licence}",
            name=base.name,
            architecture=base.architecture,
            parameters=base.parameters,
            digest=base.digest,
            licence=base.licence or _("not stated"),
        ),
        _("Data: {name}#{version}", name=dataset["name"], version=dataset["version"]),
        _("Licence of the data: {text}", text=about["licence"]),
        _("Consent: {text}", text=about["consent"]),
        _("Origin: {text}", text=about["origin"]),
        *notes,
    ]
    return [
        f"# {name}",
        told(ABOUT),
        f"## {told(_('Measured quality'))}",
        told(better_in_words(evaluation)),
        told(
            _(
                "Loss: {loss:.4f} nats a token of the answers, 95 % interval {low:.4f} to "
                "{high:.4f}, over {tokens:,} tokens.",
                loss=evaluation["loss"],
                low=low,
                high=high,
                tokens=evaluation["tokens"],
            )
        ),
        f"## {told(_('How it was made'))}",
        "\n".join(f"- {told(each) if isinstance(each, Message) else each}" for each in made),
        f"## {told(_('Intended use and limits'))}",
        told(LIMITS),
        f"## {told(_('Oversight and contact'))}",
        told(_("To be filled in by whoever sells this model.")),
    ]
