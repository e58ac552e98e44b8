"""Step 1, collect: from a source to an immutable, signed, versioned dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mintage.core import registry
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.types import Example, Skipped, SourceListing, Split
from mintage.create import splits
from mintage.create.allocation import give_back
from mintage.create.dataset import Dataset, keep_dataset, load_kept
from mintage.create.examples import Kept, Sorted, by_content, check_columns, store_all
from mintage.sources.listing import well_formed
from mintage.sources.location import list_source
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Origin:
    """What people say of the data; publishing a model without it warns."""

    licence: str = ""
    consent: str = ""
    origin: str = ""


def collect(
    workspace: Workspace,
    keys: KeyRing,
    location: Path,
    name: str,
    *,
    progress: Progress,
    label: str = "label",
    strict: bool = False,
    seed: int = 0,
    modality: str = "image",
    about: Origin | None = None,
    source_name: str | None = None,
    columns: Collection[str] = (),
) -> Dataset:
    """Read every example, keep what can be read, and say what could not.

    ``source_name`` stands on the card in place of the location's own name; ``columns`` are those
    of a table that stand beside each example, so that a report can tell where a model is weak.

    Raises:
        DataError: nothing readable, fewer than two classes, an empty or a very small class, or
            (strict) any example that cannot be read.
    """
    kind = registry.modalities().get(modality)
    source, listing = list_source(location, kind, label)
    check_classes([found.label for found in listing.examples], listing.empty_classes)
    check_columns(listing, columns)
    kept, skipped = store_all(
        workspace.blobs_of(name), kind, listing, progress, strict=strict, columns=columns
    )
    expected = {found.label for found in listing.examples}
    listing = replace(listing, examples=())  # of millions, what is no longer needed goes at once
    found = by_content(kept)
    check_classes([each.label for each in found.unique], expected)
    pairs = near_duplicates(kind, found.unique, progress)
    card = {
        "modality": modality,
        "task": "class",
        "source": described(source, location, source_name),
        "seed": seed,
        "algorithms": algorithms(kind),
        "about": vars(about or Origin()),
        "quality": quality(listing, skipped, found, pairs),
    }
    folder = keep_dataset(workspace, keys, name, _examples(found.unique, pairs, seed), card)
    del kept, found, pairs  # before the dataset is read again
    give_back()
    return load_kept(workspace, folder, name, keys)


def described(source: str, location: Path, name: str | None) -> dict[str, str]:
    """Where examples came from, as it stands on the card."""
    return {"kind": source, "name": name or well_formed(location.name)}


def algorithms(kind: Modality) -> dict[str, str]:
    """What decided on groups, with its version."""
    return {"near_duplicates": getattr(kind, "duplicate_algorithm", "none")}


def near_duplicates(kind: Modality, unique: Sequence[Kept], progress: Progress) -> Pairs:
    """Pairs of positions of examples that are nearly the same."""
    progress.start(_("Looking for near duplicates"))
    pairs = kind.near_duplicates([example.fingerprint for example in unique])
    progress.finish()
    return pairs


def check_classes(labels: Sequence[str], expected: Collection[str]) -> None:
    """Refuse what cannot become a classifier.

    Raises:
        DataError: nothing, one class alone, or an expected class of which nothing is here.
    """
    if not labels:
        raise DataError(
            _("Nothing readable was found."),
            remedy=_("Give a folder of class folders with JPEG, PNG, WebP, BMP or TIFF pictures."),
        )
    empty = sorted(set(expected) - set(labels))
    if empty:
        raise DataError(
            _("No readable example in the class {empty}.", empty=", ".join(empty)),
            remedy=_("Add examples to it, or remove its folder."),
        )
    if len(set(labels)) < 2:
        raise DataError(
            _("Only one class was found: {label}.", label=labels[0]),
            remedy=_("A classifier needs at least two classes."),
        )


def check_groups(groups: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse a class that cannot be on every side of the split.

    Raises:
        DataError: a class of fewer than ``FEWEST_GROUPS`` groups.
    """
    own = splits.groups_by_class(groups, labels)
    for label in sorted(set(labels)):
        count = len(own.get(label, ()))
        if count < splits.FEWEST_GROUPS:
            raise DataError(
                _(
                    "The class {label} has too few examples: {count}, copies not counted; "
                    "{fewest} are the least.",
                    label=label,
                    count=count,
                    fewest=splits.FEWEST_GROUPS,
                ),
                remedy=_("Add pictures: 50 a class are a start, hundreds are good."),
            )


def _examples(unique: Sequence[Kept], pairs: Pairs, seed: int) -> Iterator[Example]:
    groups = splits.groups_of([example.sha256 for example in unique], pairs)
    labels = [example.label for example in unique]
    check_groups(groups, labels)
    drawn, folds = splits.draw(groups, labels, seed)
    near = {position for pair in pairs for position in pair}
    return (
        example_line(
            example, drawn[position], folds[position], groups[position], near=position in near
        )
        for position, example in enumerate(unique)
    )


def example_line(kept: Kept, split: Split, fold: int | None, group: str, *, near: bool) -> Example:
    """The manifest's line of an example."""
    return Example(
        sha256=kept.sha256,
        path=kept.path,
        label=kept.label,
        split=split,
        fold=fold,
        group=group,
        size=kept.size,
        orientation=kept.orientation,
        flags=("near_duplicate",) if near else (),
        columns=kept.columns,
    )


def quality(
    listing: SourceListing, skipped: Sequence[Skipped], found: Sorted, pairs: Pairs
) -> dict[str, Any]:
    """What reading a source found, as it stands on the card."""
    unique = found.unique
    return {
        "skipped": [each.to_json() for each in skipped],
        "hidden": listing.hidden,
        "stray": listing.stray,
        "duplicates": found.duplicates,
        "conflicts": found.conflicts,
        "near_duplicates": [
            {
                "paths": [unique[left].path, unique[right].path],
                "labels": [unique[left].label, unique[right].label],
            }
            for left, right in pairs
        ],
    }
