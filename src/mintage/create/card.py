"""The model's card: what it is for, what it was measured at, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(
    name: str, dataset: Mapping[str, Any], evaluation: Mapping[str, Any], candidate: str
) -> str:
    """``card.md``: Markdown that stands by itself; holds nothing that a clock measured.

    It is English whoever trains: it is signed, and a bundle's digest must not depend on the
    language of a reader.
    """
    low, high = evaluation["interval"]
    about = dataset["about"]
    rows = "\n".join(
        f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} "
        f"| {row['examples']} |"
        for label, row in evaluation["per_class"].items()
    )
    return f"""# {name}

A classifier of {dataset["modality"]}s into {len(evaluation["labels"])} classes: \
{", ".join(evaluation["labels"])}.

## Measured quality

On {evaluation["examples"]} test examples that neither trained nor chose the model: \
**{evaluation["accuracy"]:.1%}** right, 95 % interval {low:.1%} to {high:.1%}. \
Always answering the most frequent class would be right {evaluation["majority_accuracy"]:.1%} \
of the time.

| class | precision | recall | F1 | examples |
|---|---|---|---|---|
{rows}

## How it was made

- Candidate: {candidate}
- Data: {dataset["name"]}#{dataset["version"]}
- Licence of the data: {about["licence"] or "not stated"}
- Consent: {about["consent"] or "not stated"}
- Origin: {about["origin"] or "not stated"}

## Intended use and limits

It answers for pictures like those it was trained on. What is unlike them is answered as \
"unlike anything this model was shown" and not with a label. Its probabilities were calibrated on \
validation data of the same kind; on other data they may be wrong. Where an answer matters to a \
person, a person decides.

## Oversight and contact

To be filled in by whoever sells this model.
"""
