"""A dataset that was collected: its manifest is the truth, its version the manifest's digest."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.files import put_back, readable_failures, scratch_file, write_folder
from mintage.core.messages import _
from mintage.core.types import Example
from mintage.create import repository
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.signing import sign_files, verify_folder


@dataclass(frozen=True)
class Dataset:
    """A verified dataset; ``card`` says where it came from and what was found in it."""

    name: str
    version: str
    examples: tuple[Example, ...]
    card: Mapping[str, Any]
    folder: Path

    @property
    def reference(self) -> str:
        """``name#version``."""
        return f"{self.name}#{self.version}"

    @property
    def sources(self) -> list[dict[str, str]]:
        """Where the examples came from, the oldest first: more than one where it was grown."""
        return list(self.card.get("sources", [self.card["source"]]))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the network's outputs."""
        return tuple(sorted({example.label for example in self.examples}))

    @cached_property
    def has_folds(self) -> bool:
        """Whether folds choose, because there are too few examples for a validation split."""
        return any(example.fold is not None for example in self.examples)

    def counts(self) -> dict[str, dict[str, int]]:
        """Examples by class and split."""
        counted = Counter((example.label, example.split) for example in self.examples)
        return {
            label: {split: counted[label, split] for split in ("train", "validation", "test")}
            for label in self.labels
        }


def write_manifest(examples: Iterable[Example], stream: BinaryIO) -> int:
    """Write ``manifest.jsonl``: canonical JSON, one example a line, by SHA-256; how many there are.

    Raises:
        ValueError: they come in another order, or one twice.
    """
    last, count = "", 0
    for example in examples:
        if example.sha256 <= last:
            raise ValueError(f"{example.sha256} after {last}")
        last, count = example.sha256, count + 1
        stream.write(canonical_json(example.to_json()) + b"\n")
    return count


def load_dataset(folder: Path, name: str, keys: KeyRing) -> Dataset:
    """Read a dataset, verified first: its signature, and its version against the manifest.

    Raises:
        SignatureMismatch: a byte of it was changed.
        DataError: there is nothing.
    """
    if not folder.is_dir():
        raise DataError(
            _("The dataset {name} is not in this workspace.", name=name),
            remedy=_("Collect it: mintage collect PATH --name {name}", name=name),
        )
    version = folder.name
    files = _verified(folder, name, keys)
    lines = io.BytesIO(files["manifest.jsonl"])
    examples = tuple(Example.from_json(json.loads(line)) for line in lines)
    return Dataset(name, version, examples, json.loads(files["card.json"]), folder)


def _verified(folder: Path, name: str, keys: KeyRing) -> Mapping[str, bytes]:
    version = folder.name
    files = verify_folder(folder, keys.public_keys("data"), subject=f"{name}#{version}").files
    if sha256_hex(files["manifest.jsonl"]) != version:
        raise SignatureMismatch(
            _(
                "The manifest of {name}#{version}… is not that version's.",
                name=name,
                version=version[:12],
            )
        )
    return files


def keep_dataset(
    workspace: Workspace,
    keys: KeyRing,
    name: str,
    examples: Iterable[Example],
    card: Mapping[str, Any],
    *,
    newest: str | None = None,
) -> Path:
    """Files first, flushed and renamed; then one transaction makes the row and the leaf.

    ``examples`` are in the order of ``write_manifest``. A version that stands here already is left
    alone unless its card says something else. ``newest`` is the version that has to be the newest
    still, where one was grown. It returns the version's folder: whoever has let go of what the
    examples were made of loads it with ``load_kept``.

    Raises:
        DataError: it is not: somebody else made a version meanwhile.
        DependencyDown: the disk is full.
        ValueError: the examples are in another order.
    """
    # Written to a nameless file and mapped: beside all that was collected, a manifest in memory
    # would be the most that collecting takes.
    in_memory = workspace.sealing is not None
    with (
        readable_failures(workspace.home),
        scratch_file(workspace.home, in_memory=in_memory) as stream,
    ):
        count = write_manifest(examples, stream)
        stream.flush()
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as manifest:
            return _keep(workspace, keys, name, manifest, count, card, newest)


def _keep(
    workspace: Workspace,
    keys: KeyRing,
    name: str,
    manifest: mmap,
    count: int,
    card: Mapping[str, Any],
    newest: str | None,
) -> Path:
    workspace.flush_blobs()
    version = sha256_hex(manifest)
    with workspace.name_lock("datasets", name):
        if newest is not None:
            _check_newest(workspace, name, newest)
        folder = workspace.dataset_folder(name, version)
        before = _card_before(folder, name, keys)
        said = before.get("about", {})
        about = {key: value or said.get(key, "") for key, value in card["about"].items()}
        document = canonical_json(
            {"format": 1, "name": name, "version": version, **card, "about": about}
        )
        if document != canonical_json(before):
            files: dict[str, bytes | mmap] = {"manifest.jsonl": manifest, "card.json": document}
            signature = sign_files(files, f"{name}#{version}", keys.signer("data"))
            write_folder(folder, {**files, "signature.json": signature})
        record = {
            "name": name,
            "version": version,
            "modality": card["modality"],
            "task": card["task"],
            "examples": count,
            "card_sha256": sha256_hex(document),
            "created_at": workspace.now(),
        }
        workspace.database.write(lambda connection: repository.add_dataset(connection, record))
    return folder


def load_kept(workspace: Workspace, folder: Path, name: str, keys: KeyRing) -> Dataset:
    """``load_dataset`` while nobody replaces the card of that version.

    Raises:
        SignatureMismatch: a byte of it was changed.
    """
    with workspace.name_lock("datasets", name):
        return load_dataset(folder, name, keys)


def _check_newest(workspace: Workspace, name: str, version: str) -> None:
    with workspace.database.read() as connection:
        found = repository.dataset_version(connection, name, None)
    if found != version:
        raise DataError(
            _("Somebody else made a new version of {name} meanwhile.", name=name),
            remedy=_("Run it again: it will add to that version."),
            http_status=409,
        )


def _card_before(folder: Path, name: str, keys: KeyRing) -> Mapping[str, Any]:
    """The card of this version as it stands; empty where there is none that verifies."""
    if folder.parent.is_dir():
        put_back(folder.parent)
    try:
        found: Mapping[str, Any] = json.loads(_verified(folder, name, keys)["card.json"])
    except (DataError, SignatureMismatch):
        return {}
    return found
