"""What answers are made of: maps that training drew of a few validation pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.core.messages import Message, _, told
from mintage.create.report.page import captioned, paragraph, picture, title
from mintage.create.words import RESTS_ON, answer_in_words


def explained(answers: Sequence[Mapping[str, Any]]) -> str:
    """Right and wrong answers, each with its map of integrated gradients."""
    if not answers:
        return title(_("What its answers rest on")) + paragraph(
            _(
                "No maps were drawn: there was no time for them, which need the network as it was "
                "trained. A longer --time has some; mintage predict --explain draws others."
            ),
            kind="small",
        )
    note = _(
        "A few validation examples, and on the right what in each spoke for the answer (orange) or "
        "against it (blue), by integrated gradients over the trained network. Where that is not "
        "the thing itself, look for what else tells the classes apart in the training data."
    )
    shown = "".join(
        captioned(
            picture(each["picture"], each["path"]) + picture(each["map"], told(RESTS_ON)),
            answer_in_words(each),
            _("rests on: {where}", where=Message(each["where"])),
            each["path"],
        )
        for each in answers
    )
    return (
        title(_("What its answers rest on"))
        + paragraph(note, kind="small")
        + f"<div class=gallery>{shown}</div>"
    )
