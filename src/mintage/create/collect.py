"""Step 1, collect: from a source to an immutable, signed, versioned dataset."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mintage.core import registry
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.files import put_back, write_folder
from mintage.core.machine import available_cores
from mintage.core.messages import _
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.types import Example, Found, Ingested, Skipped, SourceListing
from mintage.create import repository, splits
from mintage.create.dataset import Dataset, load_dataset, manifest_bytes
from mintage.sources.listing import well_formed
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.signing import sign_files


@dataclass(frozen=True)
class Origin:
    """What people say of the data; publishing a model without it warns."""

    licence: str = ""
    consent: str = ""
    origin: str = ""


@dataclass(frozen=True)
class _Kept:
    """An example whose blob is stored."""

    sha256: str
    path: str
    label: str
    ingested: Ingested


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
) -> Dataset:
    """Read every example, keep what can be read, and say what could not.

    Raises:
        DataError: nothing readable, fewer than two classes, an empty or a very small class, or
            (strict) any example that cannot be read.
    """
    kind = registry.modalities().get(modality)
    source, listing = list_source(location, kind, label)
    if strict and listing.skipped:
        _refuse(listing.skipped[0])
    _check_classes(Counter(found.label for found in listing.examples), listing.empty_classes)
    kept, unreadable = _ingest_all(workspace, kind, listing.examples, progress, strict=strict)
    unique, duplicates, conflicts = _by_content(kept)
    _check_classes(
        Counter(example.label for example in unique), {found.label for found in listing.examples}
    )
    progress.start(_("Looking for near duplicates"))
    pairs = kind.near_duplicates([example.ingested.fingerprint for example in unique])
    progress.finish()
    examples = _examples(unique, pairs, seed)
    manifest = manifest_bytes(examples)
    version = sha256_hex(manifest)
    card = {
        "format": 1,
        "name": name,
        "version": version,
        "modality": modality,
        "task": "class",
        "source": {"kind": source, "name": well_formed(location.name)},
        "seed": seed,
        "algorithms": {"near_duplicates": getattr(kind, "duplicate_algorithm", "none")},
        "about": vars(about or Origin()),
        "quality": _quality(listing, unreadable, duplicates, conflicts, unique, pairs),
    }
    return _keep(workspace, keys, name, version, {"manifest.jsonl": manifest}, card)


def list_source(location: Path, kind: Modality, label: str) -> tuple[str, SourceListing]:
    """The name of the source that reads the location, and what it holds there.

    Raises:
        DataError: there is nothing there, or no source reads it.
    """
    if not location.exists():
        raise DataError(
            _("{location} does not exist.", location=location), remedy=_("Check the path.")
        )
    for name in registry.sources():
        source = registry.sources().get(name)
        if source.matches(location):
            listing = source.list(
                location, label=label, endings=kind.endings, unsupported=kind.unsupported
            )
            return name, listing
    raise DataError(
        _(
            "{location} is not a folder of class folders, a zip of one, "
            "or a CSV, TSV or JSONL table.",
            location=location,
        ),
        remedy=_("See: mintage collect --help"),
    )


def ingest(kind: Modality, found: Found) -> Ingested | Skipped:
    """Read and check one example; what cannot be used comes back with its reason."""
    try:
        return kind.ingest(found.read())
    except DataError as error:
        return Skipped(found.path, error.message)
    except OSError as error:
        return Skipped(found.path, _("cannot be read: {reason}", reason=error.strerror or error))


def ingest_in_order(
    kind: Modality, examples: Sequence[Found], progress: Progress, title: str
) -> Iterator[tuple[Found, Ingested | Skipped]]:
    """Ingest on every core; results come in the order of the examples, with bounded memory."""
    workers = available_cores()
    progress.start(title, len(examples))
    with ThreadPoolExecutor(workers) as pool:
        # Chunks bound what is decoded ahead of whoever consumes the results.
        for start in range(0, len(examples), 64 * workers):
            chunk = examples[start : start + 64 * workers]
            yield from zip(chunk, pool.map(lambda found: ingest(kind, found), chunk), strict=True)
            progress.advance(start + len(chunk))
    progress.finish()


def _ingest_all(
    workspace: Workspace,
    kind: Modality,
    examples: Sequence[Found],
    progress: Progress,
    *,
    strict: bool,
) -> tuple[list[_Kept], list[Skipped]]:
    kept: list[_Kept] = []
    skipped: list[Skipped] = []
    for found, result in ingest_in_order(kind, examples, progress, "Reading"):
        if isinstance(result, Skipped):
            if strict:
                _refuse(result)
            skipped.append(result)
            continue
        digest = sha256_hex(result.data)
        workspace.blobs.put(digest, result.data)
        kept.append(_Kept(digest, found.path, found.label, replace(result, data=b"")))
    return kept, skipped


def _refuse(skipped: Skipped) -> None:
    raise DataError(
        f"{skipped.path}: {skipped.reason}.",
        remedy=_("Mend or remove it, or leave --strict out to go on without it."),
    )


def _check_classes(counts: Mapping[str, int], expected: Collection[str]) -> None:
    if not counts:
        raise DataError(
            _("Nothing readable was found."),
            remedy=_("Give a folder of class folders with JPEG, PNG, WebP, BMP or TIFF pictures."),
        )
    empty = [name for name in sorted(expected) if not counts.get(name)]
    if empty:
        raise DataError(
            _("No readable example in the class {empty}.", empty=", ".join(empty)),
            remedy=_("Add examples to it, or remove its folder."),
        )
    if len(counts) < 2:
        raise DataError(
            _("Only one class was found: {counts}.", counts=next(iter(counts))),
            remedy=_("A classifier needs at least two classes."),
        )


def _check_groups(groups: Sequence[str], labels: Sequence[str]) -> None:
    own = splits.groups_by_class(groups, labels)
    for label in sorted(set(labels)):
        count = len(own.get(label, ()))
        if count < splits.FEWEST_GROUPS:
            raise DataError(
                _(
                    "The class {label} has only {count} example{maybe}, copies "
                    "not counted; {fewest_groups} are the least.",
                    label=label,
                    count=count,
                    maybe="" if count == 1 else "s",
                    fewest_groups=splits.FEWEST_GROUPS,
                ),
                remedy=_("Add pictures: 50 a class are a start, hundreds are good."),
            )


def _by_content(
    kept: Sequence[_Kept],
) -> tuple[list[_Kept], list[dict[str, Any]], list[dict[str, Any]]]:
    """Same bytes and label: one example. Same bytes and two labels: none, listed as conflict."""
    by_digest: dict[str, list[_Kept]] = defaultdict(list)
    for example in sorted(kept, key=lambda kept: kept.path):
        by_digest[example.sha256].append(example)
    unique, duplicates, conflicts = [], [], []
    for digest, same in sorted(by_digest.items()):
        if len({example.label for example in same}) > 1:
            listed = [{"path": example.path, "label": example.label} for example in same]
            conflicts.append({"sha256": digest, "examples": listed})
            continue
        unique.append(same[0])
        if len(same) > 1:
            copies = [example.path for example in same[1:]]
            duplicates.append({"kept": same[0].path, "left_out": copies})
    return unique, duplicates, conflicts


def _examples(
    unique: Sequence[_Kept], pairs: Sequence[tuple[int, int]], seed: int
) -> list[Example]:
    groups = splits.groups_of([example.sha256 for example in unique], pairs)
    labels = [example.label for example in unique]
    _check_groups(groups, labels)
    drawn, folds = splits.draw(groups, labels, seed)
    near = {position for pair in pairs for position in pair}
    return [
        Example(
            sha256=example.sha256,
            path=example.path,
            label=example.label,
            split=drawn[position],
            fold=folds[position],
            group=groups[position],
            size=(example.ingested.properties["width"], example.ingested.properties["height"]),
            orientation=example.ingested.properties["orientation"],
            flags=("near_duplicate",) if position in near else (),
        )
        for position, example in enumerate(unique)
    ]


def _quality(
    listing: SourceListing,
    unreadable: Sequence[Skipped],
    duplicates: Sequence[Mapping[str, Any]],
    conflicts: Sequence[Mapping[str, Any]],
    unique: Sequence[_Kept],
    pairs: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    return {
        "skipped": [skipped.to_json() for skipped in (*listing.skipped, *unreadable)],
        "hidden": listing.hidden,
        "stray": listing.stray,
        "duplicates": list(duplicates),
        "conflicts": list(conflicts),
        "near_duplicates": [
            {
                "paths": [unique[left].path, unique[right].path],
                "labels": [unique[left].label, unique[right].label],
            }
            for left, right in pairs
        ],
    }


def _keep(
    workspace: Workspace,
    keys: KeyRing,
    name: str,
    version: str,
    files: dict[str, bytes],
    card: Mapping[str, Any],
) -> Dataset:
    """Files first, flushed and renamed; then one transaction makes the row and the leaf.

    A version that stands here already is left alone unless its card says something else.
    """
    workspace.flush_blobs()
    with workspace.name_lock("datasets", name):
        folder = workspace.dataset_folder(name, version)
        before = _card_before(folder, name, keys)
        said = before.get("about", {})
        about = {key: value or said.get(key, "") for key, value in card["about"].items()}
        files["card.json"] = canonical_json({**card, "about": about})
        if files["card.json"] != canonical_json(before):
            signature = sign_files(files, f"{name}#{version}", keys.signer("data"))
            write_folder(folder, {**files, "signature.json": signature})
        record = {
            "name": name,
            "version": version,
            "modality": card["modality"],
            "task": card["task"],
            "examples": files["manifest.jsonl"].count(b"\n"),
            "card_sha256": sha256_hex(files["card.json"]),
            "created_at": workspace.now(),
        }
        workspace.database.write(lambda connection: repository.add_dataset(connection, record))
        return load_dataset(folder, name, keys)


def _card_before(folder: Path, name: str, keys: KeyRing) -> Mapping[str, Any]:
    """The card of this version as it stands; empty where there is none that verifies."""
    if folder.parent.is_dir():
        put_back(folder.parent)
    try:
        return load_dataset(folder, name, keys).card
    except (DataError, SignatureMismatch):
        return {}
