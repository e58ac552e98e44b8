"""A dataset's conversations as tokens, and which of them the weights cannot take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Split
from mintage.create.dataset import Dataset
from mintage.create.language.collect import in_split
from mintage.create.language.tokens import Encoded, encode
from mintage.store.workspace import Workspace

_SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


@dataclass(frozen=True)
class Encodings:
    """The three splits as tokens; ``left_out`` is how many of each were too long, or refused."""

    train: list[Encoded]
    validation: list[Encoded]
    test: list[Encoded]
    left_out: Mapping[Split, int]


def read(
    workspace: Workspace, dataset: Dataset, tokenizer: Any, longest: int, progress: Progress
) -> Encodings:
    """Encode all conversations, and say which are left out: those of over ``longest`` tokens.

    Raises:
        DataError: nothing is left of a split.
    """
    found: dict[Split, list[Encoded]] = {}
    left_out: dict[Split, int] = {}
    refused: list[str] = []
    progress.start(_("Reading the conversations"))
    for split in _SPLITS:
        held = in_split(workspace, dataset, split)
        kept: list[Encoded] = []
        for each in held:
            try:
                encoded = encode(tokenizer, each)
            except DataError as error:
                refused.append(error.message)
                continue
            if len(encoded.ids) <= longest:
                kept.append(encoded)
        found[split], left_out[split] = kept, len(held) - len(kept)
    progress.finish()
    for split, kept in found.items():
        if not kept:
            raise _nothing_left(split, longest, refused)
    _tell(sum(left_out.values()) - len(refused), longest, refused, progress)
    return Encodings(found["train"], found["validation"], found["test"], left_out)


def _nothing_left(split: Split, longest: int, refused: list[str]) -> DataError:
    if refused:
        return DataError(
            _(
                "The template of these weights refuses conversations: {reason}.",
                reason=refused[0],
            ),
            remedy=_("Leave out what it refuses, or choose other weights."),
        )
    return DataError(
        _(
            "No conversation of the {split} data has at most {longest:,} tokens.",
            split=split,
            longest=longest,
        ),
        remedy=_("Shorten them, or choose weights with a longer context."),
    )


def _tell(too_long: int, longest: int, refused: list[str], progress: Progress) -> None:
    if refused:
        progress.say(
            _(
                "{count:,} conversations are left out, which the weights' template refuses: "
                "{reason}.",
                count=len(refused),
                reason=refused[0],
            )
        )
    if too_long:
        progress.say(
            _(
                "{count:,} conversations of more than {longest:,} tokens are left out.",
                count=too_long,
                longest=longest,
            )
        )
