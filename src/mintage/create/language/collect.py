"""Step 1 for conversations: from a file of them to an immutable, signed, versioned dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.core.ports import BlobStore
from mintage.core.progress import Progress
from mintage.core.types import Example, Skipped, Split
from mintage.create import splits
from mintage.create.collect import Origin
from mintage.create.dataset import Dataset, keep_dataset, load_kept
from mintage.modalities.text import conversation
from mintage.modalities.text.conversation import Conversation
from mintage.sources import conversations
from mintage.sources.listing import well_formed
from mintage.store.workspace import Workspace
from mintage.trust.deidentify.placeholders import Placeholders
from mintage.trust.keys import KeyRing

TASK, MODALITY = "text", "text"
FEWEST = splits.FEWEST_GROUPS
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def holds_conversations(location: Path) -> bool:
    """Whether a file holds conversations, by the first of its lines that can be read."""
    row = conversations.first_row(location)
    return row is not None and conversation.is_conversation(row)


def collect(
    workspace: Workspace,
    keys: KeyRing,
    location: Path,
    name: str,
    *,
    progress: Progress,
    strict: bool = False,
    seed: int = 0,
    about: Origin | None = None,
    source_name: str | None = None,
    deidentify: Sequence[str] = (),
) -> Dataset:
    """Keep every conversation that can be learned from, and say which could not.

    Those with the same opening, and other answers to it, are on one side of the split. Personal
    data of the kinds ``deidentify`` is replaced before anything is kept.

    Raises:
        DataError: fewer than ``FEWEST`` openings, or (strict) any line that cannot be used.
    """
    replacing = _Replacing(deidentify)
    kept, skipped, copies = _read(
        workspace.blobs_of(name), location, progress, replacing, strict=strict
    )
    openings = {each.opening for each, __ in kept.values()}
    if len(openings) < FEWEST:
        raise DataError(
            _(
                "{location} has too few conversations: {count}, copies not counted; {fewest} are "
                "the least.",
                location=location,
                count=len(openings),
                fewest=FEWEST,
            ),
            remedy=_("Add more: some hundreds teach a manner, thousands teach facts.")
            if not skipped
            else _(
                "{place}: {reason}. See docs/how-to/own-language-model.md for what can be read.",
                place=skipped[0].path,
                reason=skipped[0].reason,
            ),
        )
    card: dict[str, Any] = {
        "modality": MODALITY,
        "task": TASK,
        "source": {"kind": "conversations", "name": source_name or well_formed(location.name)},
        "seed": seed,
        "algorithms": {"near_duplicates": "same-opening-1"},
        "about": vars(about or Origin()),
        "quality": {
            "skipped": [each.to_json() for each in skipped],
            "hidden": 0,
            "stray": 0,
            "duplicates": copies,
            "conflicts": [],
            "near_duplicates": [],
        },
    }
    if deidentify:
        card["deidentified"] = {"kinds": list(deidentify), "replaced": dict(replacing.counts)}
    folder = keep_dataset(workspace, keys, name, _examples(kept, seed), card)
    return load_kept(workspace, folder, name, keys)


@dataclass
class _Replacing:
    """Puts placeholders in place of personal data, and counts the values of each kind."""

    kinds: Sequence[str]
    counts: Counter[str] = field(default_factory=Counter)

    def replaced(self, said: Conversation) -> Conversation:
        """The conversation without it; within one the same value has the same placeholder."""
        if not self.kinds:
            return said
        placeholders = Placeholders(self.kinds)
        for each in said.messages:
            placeholders.keep(each.content)
        messages = [
            replace(each, content=placeholders.replaced(each.content)) for each in said.messages
        ]
        self.counts.update(placeholders.counts)
        return Conversation(tuple(messages))


def _read(
    blobs: BlobStore, location: Path, progress: Progress, replacing: _Replacing, *, strict: bool
) -> tuple[dict[str, tuple[Conversation, str]], list[Skipped], list[dict[str, Any]]]:
    """Conversations with their places by SHA-256, what was left out, and copies."""
    kept: dict[str, tuple[Conversation, str]] = {}
    skipped: list[Skipped] = []
    copies: dict[str, list[str]] = {}
    progress.start(_("Reading"))
    for count, line in enumerate(conversations.lines(location), start=1):
        found = conversations.attempt(line, conversation.read)
        if isinstance(found, Skipped):
            if strict:
                raise DataError(
                    _("{path}: {reason}.", path=found.path, reason=found.reason),
                    remedy=_("Mend or remove it, or leave --strict out to go on without it."),
                )
            skipped.append(found)
            continue
        found = replacing.replaced(found)
        data, place = found.to_bytes(), _place(line)
        digest = sha256_hex(data)
        if digest in kept:
            copies.setdefault(digest, []).append(place)
            continue
        blobs.put(digest, data)
        kept[digest] = found, place
        if count % 1000 == 0:
            progress.advance(count)
    progress.finish()
    told = [{"kept": kept[digest][1], "left_out": places} for digest, places in copies.items()]
    return kept, skipped, told


def _place(line: object) -> str:
    return line.place if isinstance(line, conversations.Line) else ""


def _examples(kept: Mapping[str, tuple[Conversation, str]], seed: int) -> list[Example]:
    digests = sorted(kept)
    groups = [kept[digest][0].opening for digest in digests]
    drawn = splits.hold_out(groups, seed)
    return [
        Example(
            sha256=digest,
            path=kept[digest][1],
            label="",
            split=split,
            fold=None,
            group=group,
        )
        for digest, split, group in zip(digests, drawn, groups, strict=True)
    ]


def check_language(dataset: Dataset) -> None:
    """Refuse a dataset that holds something else.

    Raises:
        ConfigError: it does not hold conversations.
    """
    if dataset.card["task"] != TASK:
        raise ConfigError(
            _("{name} does not hold conversations.", name=dataset.name),
            remedy=_("Collect some: mintage collect chats.jsonl --name {name}", name="chats"),
        )


def in_split(workspace: Workspace, dataset: Dataset, split: Split) -> list[Conversation]:
    """The conversations of a split, in the manifest's order."""
    blobs = workspace.blobs_of(dataset.name)
    return [
        Conversation.from_bytes(blobs.get(each.sha256))
        for each in dataset.examples
        if each.split == split
    ]


def findings(workspace: Workspace, dataset: Dataset) -> dict[str, Any]:
    """What is in it and what collecting found, as JSON."""
    quality = dataset.card["quality"]
    found = {split: in_split(workspace, dataset, split) for split in _SPLITS}
    everything = [each for held in found.values() for each in held]
    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "modality": dataset.card["modality"],
        "task": dataset.card["task"],
        "examples": len(dataset.examples),
        "splits": {split: len(held) for split, held in found.items()},
        "openings": len({each.group for each in dataset.examples}),
        "answers": sum(each.answers for each in everything),
        "characters": _spread([each.characters for each in everything]),
        "skipped": quality["skipped"],
        "duplicates": quality["duplicates"],
        "about": dataset.card["about"],
        "source": dataset.card["source"],
        "deidentified": dataset.card.get("deidentified"),
    }


def _spread(values: Sequence[int]) -> dict[str, int]:
    low, middle, high = np.quantile(values, [0, 0.5, 1], method="lower")
    return {"smallest": int(low), "median": int(middle), "largest": int(high)}
