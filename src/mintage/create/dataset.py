"""A dataset that was collected: its manifest is the truth, its version the manifest's digest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.messages import _
from mintage.core.types import Example
from mintage.trust.keys import KeyRing
from mintage.trust.signing import verify_folder


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


def manifest_bytes(examples: Sequence[Example]) -> bytes:
    """``manifest.jsonl``: canonical JSON, one example a line, by SHA-256 then path."""
    ordered = sorted(examples, key=lambda example: (example.sha256, example.path))
    return b"".join(canonical_json(example.to_json()) + b"\n" for example in ordered)


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
    verified = verify_folder(folder, keys.public_keys("data"), subject=f"{name}#{version}")
    manifest = verified.files["manifest.jsonl"]
    if sha256_hex(manifest) != version:
        raise SignatureMismatch(
            _(
                "The manifest of {name}#{value}… is not that version's.",
                name=name,
                value=version[:12],
            )
        )
    examples = tuple(Example.from_json(json.loads(line)) for line in manifest.splitlines())
    return Dataset(name, version, examples, json.loads(verified.files["card.json"]), folder)
