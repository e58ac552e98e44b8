"""Step 1 again, grow: a version of a dataset and what a source adds give the next version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mintage.core import registry
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.ports import BlobStore, Modality
from mintage.core.progress import Progress
from mintage.core.types import Example, Skipped
from mintage.create import splits
from mintage.create.collect import (
    Origin,
    Pairs,
    algorithms,
    check_classes,
    check_groups,
    described,
    example_line,
    near_duplicates,
    quality,
)
from mintage.create.dataset import Dataset, keep_dataset, load_kept
from mintage.create.examples import Kept, Sorted, by_content, check_columns, store_all
from mintage.sources.location import list_source
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@dataclass(frozen=True)
class Growth:
    """What became of a dataset; ``dataset`` is ``before`` itself where nothing was new.

    ``quality`` is what reading the source found, in the shape of the card's.
    """

    before: Dataset
    dataset: Dataset
    quality: Mapping[str, Any]


def grow(
    workspace: Workspace,
    keys: KeyRing,
    location: Path,
    before: Dataset,
    *,
    progress: Progress,
    newest: bool,
    label: str = "label",
    strict: bool = False,
    about: Origin | None = None,
    source_name: str | None = None,
    columns: Collection[str] = (),
) -> Growth:
    """Add what the location holds; examples that are there already keep their side for ever.

    ``newest`` asks that ``before`` is still the newest version when the new one is kept.
    ``columns`` of a table are kept beside those that the dataset has.

    Raises:
        DataError: nothing readable, a new class that is empty or too small, (strict) any example
            that cannot be read, or somebody else made a version meanwhile.
    """
    kind = registry.modalities().get(before.card["modality"])
    source, listing = list_source(location, kind, label)
    check_classes(
        [*before.labels, *(found.label for found in listing.examples)], listing.empty_classes
    )
    check_columns(listing, columns)
    known = {name for example in before.examples for name in example.columns}
    blobs = workspace.blobs_of(before.name)
    kept, skipped = store_all(
        blobs, kind, listing, progress, strict=strict, columns={*columns, *known}
    )
    if not kept:
        raise DataError(
            _("Nothing readable was found in {location}.", location=source_name or location),
            remedy=_("Check the path."),
        )
    check_classes(
        [*before.labels, *(each.label for each in kept)], {f.label for f in listing.examples}
    )
    found = _with_known_conflicts(by_content([*map(_known, before.examples), *kept]), before)
    pairs: Pairs = []
    if any(each.before is None for each in found.unique):
        found = _fingerprinted(blobs, kind, found, progress)
        pairs = [
            pair
            for pair in near_duplicates(kind, found.unique, progress)
            if any(found.unique[position].before is None for position in pair)
        ]
    groups, straddling = _groups(found.unique, pairs)
    pairs = [pair for pair in pairs if not straddling.keys() & set(pair)]
    read = quality(listing, [*skipped, *straddling.values()], found, pairs)
    staying = [position for position in range(len(groups)) if position not in straddling]
    if [found.unique[position].before for position in staying] == list(before.examples):
        return Growth(before, before, read)
    check_classes([found.unique[position].label for position in staying], before.labels)
    examples = _examples(found.unique, staying, groups, pairs, before.card["seed"])
    origin = described(source, location, source_name)
    card = {
        "modality": before.card["modality"],
        "task": before.card["task"],
        "source": origin,
        "sources": [*before.sources, origin],
        "grown_from": before.version,
        "seed": before.card["seed"],
        "algorithms": algorithms(kind),
        "about": _both_said(before.card["about"], vars(about or Origin())),
        "quality": _both_found(before.card["quality"], read),
    }
    expected = before.version if newest else None
    folder = keep_dataset(workspace, keys, before.name, examples, card, newest=expected)
    del kept, found, examples, groups  # before the dataset is read again
    return Growth(before, load_kept(workspace, folder, before.name, keys), read)


def _known(example: Example) -> Kept:
    """An example of the version that grows; its fingerprint is taken only if it is needed."""
    return Kept(
        example.sha256,
        example.path,
        example.label,
        example.size,
        example.orientation,
        b"",
        example,
        example.columns,
    )


def _with_known_conflicts(found: Sorted, before: Dataset) -> Sorted:
    """What had two labels once stays out, whichever of them is given again."""
    known = {each["sha256"] for each in before.card["quality"]["conflicts"]}
    listed = [
        {"sha256": each.sha256, "examples": [{"path": each.path, "label": each.label}]}
        for each in found.unique
        if each.sha256 in known and each.before is None
    ]
    again = {each["sha256"] for each in listed}
    unique = [each for each in found.unique if each.sha256 not in again]
    return Sorted(unique, found.duplicates, _united([*found.conflicts, *listed]))


def _fingerprinted(blobs: BlobStore, kind: Modality, found: Sorted, progress: Progress) -> Sorted:
    """The known examples read again for what near duplicates share."""

    def one(example: Kept) -> Kept:
        if example.before is None:
            return example
        data = blobs.get(example.sha256)
        # The blob has no metadata that would say how the picture was held.
        mark = kind.fingerprint(data, orientation=example.before.orientation)
        return replace(example, fingerprint=mark)

    read = in_order(_("Reading what is there already"), found.unique, one, progress)
    return replace(found, unique=list(read))


def _sides(unique: Sequence[Kept]) -> list[splits.Side | None]:
    """Where the known examples stand in a version of this size; None for the new."""
    before = [
        None if each.before is None else splits.Side(each.before.split, each.before.fold)
        for each in unique
    ]
    return splits.carried(before, len(unique))


def _groups(unique: Sequence[Kept], pairs: Pairs) -> tuple[list[str], dict[int, Skipped]]:
    """The group of each example, and the new examples that belong on two sides at once.

    A new example that is nearly the same as known ones joins their group. One that ties examples
    on two sides of the split together cannot be on both, and those must stay: it is left out.
    """
    sides = _sides(unique)
    groups = [each.before.group if each.before else each.sha256 for each in unique]
    first: dict[str, int] = {}
    links = [(first.setdefault(group, position), position) for position, group in enumerate(groups)]
    tied = splits.groups_of([each.sha256 for each in unique], [*links, *pairs])
    members: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(tied):
        members[name].append(position)
    straddling: dict[int, Skipped] = {}
    for name, positions in members.items():
        known = {sides[position]: position for position in positions if sides[position]}
        new = [position for position in positions if sides[position] is None]
        if len(known) > 1:
            one, other, *__ = sorted(unique[position].path for position in known.values())
            reason = _(
                "nearly the same as {one} and {other}, which are on two sides of the split",
                one=one,
                other=other,
            )
            straddling |= {position: Skipped(unique[position].path, reason) for position in new}
        elif new:
            kept = min((groups[p] for p in positions if sides[p]), default=name)
            for position in positions:
                groups[position] = kept
    return groups, straddling


def _examples(
    unique: Sequence[Kept],
    staying: Sequence[int],
    groups: Sequence[str],
    pairs: Pairs,
    seed: int,
) -> list[Example]:
    kept = [unique[position] for position in staying]
    own = [groups[position] for position in staying]
    labels = [each.label for each in kept]
    check_groups(own, labels)
    before = _sides(unique)
    sides = splits.extend(own, labels, seed, [before[position] for position in staying])
    near = {position for pair in pairs for position in pair}
    examples = []
    for position, each, group, side in zip(staying, kept, own, sides, strict=True):
        line = example_line(each, side.split, side.fold, group, near=position in near)
        flags = {*line.flags, *(each.before.flags if each.before else ())}
        examples.append(replace(line, flags=tuple(sorted(flags))))
    return examples


def _both_said(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What was said of the data, and what is said of the added data where it is something else."""
    said = {key: [*before[key].split("; "), now[key]] for key in before}
    return {key: "; ".join(filter(None, dict.fromkeys(parts))) for key, parts in said.items()}


def _both_found(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The findings of the version that grew and of what was added."""
    return {
        **{key: _once(before[key], now[key]) for key in ("skipped", "duplicates")},
        "near_duplicates": _once(before["near_duplicates"], now["near_duplicates"]),
        "conflicts": _united([*before["conflicts"], *now["conflicts"]]),
        "hidden": before["hidden"] + now["hidden"],
        "stray": before["stray"] + now["stray"],
    }


def _once(before: Sequence[Any], now: Sequence[Any]) -> list[Any]:
    return list({canonical_json(each): each for each in (*before, *now)}.values())


def _united(conflicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One conflict a content, with every example that was given for it."""
    by_digest: dict[str, list[Any]] = {}
    for each in conflicts:
        listed = by_digest.setdefault(each["sha256"], [])
        listed += [example for example in each["examples"] if example not in listed]
    return [{"sha256": digest, "examples": listed} for digest, listed in sorted(by_digest.items())]
