"""Lists of what stands in a workspace: what points at what, and how much room it takes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mintage.app.stock import Stock, Thing, data_of
from mintage.core.canonical import sha256_hex
from mintage.core.errors import SealBroken
from mintage.core.files import read_whole, size_on_disk
from mintage.store.workspace import Workspace

KINDS = ("datasets", "models", "runs", "products")


class Listing:
    """One look at a workspace; sizes are bytes on disk."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stock = Stock.of(workspace)
        self._read: dict[str, frozenset[Path] | None] = {}

    def to_json(self, kinds: Collection[str] = KINDS) -> dict[str, Any]:
        """The kinds that were asked for, and the sizes of everything."""
        listed = {
            "datasets": (self._stock.datasets, self.dataset),
            "models": (self._stock.models, self.model),
            "runs": (self._stock.runs, self.run),
            "products": (self._stock.products, self.product),
        }
        document: dict[str, Any] = {
            kind: [describe(each) for each in things]
            for kind, (things, describe) in listed.items()
            if kind in kinds
        }
        return document | {"sizes": self.sizes()}

    def dataset(self, thing: Thing) -> dict[str, Any]:
        """One version of a dataset; its size has its blobs in it, shared or not."""
        row = thing.row
        return {
            "dataset": thing.reference,
            "name": row["name"],
            "version": row["version"],
            "current": self._stock.is_current(thing),
            "examples": row["examples"],
            "modality": row["modality"],
            "task": row["task"],
            "created_at": row["created_at"],
            "size_bytes": size_on_disk(thing.folder) + self._blobs_of(thing),
            "models": self._stock.models_of(thing),
        }

    def model(self, thing: Thing) -> dict[str, Any]:
        """One version of a model, and the products that sell it; ``imported`` has no run here."""
        row = thing.row
        return {
            "model": thing.reference,
            "name": row["name"],
            "version": row["version"],
            "dataset": data_of(thing),
            "run": row["run"],
            "imported": not row["run"],
            "bundle_digest": row["bundle_digest"],
            "created_at": row["created_at"],
            "size_bytes": size_on_disk(thing.folder),
            "products": self._stock.products_of(thing),
        }

    def run(self, thing: Thing) -> dict[str, Any]:
        """One run: how it ended, and how long it took."""
        row = thing.row
        made = row["model"] and f"{row['model']}@{row['model_version']}"
        return {
            "run": thing.reference,
            "dataset": data_of(thing),
            "status": row["status"],
            "model": made,
            "model_removed": made is not None and not self._stock.is_here(made),
            "started_at": row["started_at"],
            "ended_at": row["ended_at"],
            "seconds": _seconds(row),
            "size_bytes": size_on_disk(thing.folder),
        }

    def product(self, thing: Thing) -> dict[str, Any]:
        """One product, and what its aliases point at."""
        row = thing.row
        return {
            "product": thing.reference,
            "plan": row["plan"],
            "aliases": {
                each["alias"]: f"{each['model']}@{each['version']}" for each in row["aliases"]
            },
            "created_at": row["created_at"],
        }

    def sizes(self) -> dict[str, int]:
        """Bytes by kind; a blob that several datasets share is counted once.

        ``shared`` is what those datasets' own sizes, added up, count more than once.
        """
        home = self._workspace.home
        by_kind = {kind: size_on_disk(home / kind) for kind in ("datasets", "models", "runs")}
        by_kind["datasets"] += sum(self._blob_sizes.values())
        by_kind["cache"] = size_on_disk(self._workspace.cache_folder)
        by_kind["downloads"] = size_on_disk(self._workspace.download_folder)
        total = size_on_disk(home)
        by_kind["other"] = max(0, total - sum(by_kind.values()))
        named = [names for each in self._stock.datasets if (names := self._paths_of(each))]
        each_alone = sum(self._bytes(names) for names in named)
        shared = each_alone - self._bytes(frozenset[Path]().union(*named))
        return {**by_kind, "total": total, "shared": shared}

    def _blobs_of(self, dataset: Thing) -> int:
        return self._bytes(self._paths_of(dataset) or frozenset())

    def _bytes(self, paths: Collection[Path]) -> int:
        return sum(self._blob_sizes.get(path, 0) for path in paths)

    def _paths_of(self, dataset: Thing) -> frozenset[Path] | None:
        if dataset.reference not in self._read:
            self._read[dataset.reference] = blob_paths(self._workspace, dataset)
        return self._read[dataset.reference]

    @cached_property
    def _blob_sizes(self) -> Mapping[Path, int]:
        return self._workspace.stored("blobs")


def blob_paths(workspace: Workspace, dataset: Thing) -> frozenset[Path] | None:
    """Where the blobs of a dataset's manifest lie; None where it is not this version's manifest."""
    path = dataset.folder / "manifest.jsonl"
    try:
        manifest = read_whole(path)
    except (OSError, SealBroken):
        return None
    if sha256_hex(manifest) != dataset.row["version"]:
        return None
    blobs = workspace.blobs_of(dataset.row["name"])
    return frozenset(blobs.path(json.loads(line)["sha256"]) for line in manifest.splitlines())


def _seconds(row: Mapping[str, Any]) -> float | None:
    if row["ended_at"] is None:
        return None
    started, ended = (datetime.fromisoformat(row[name]) for name in ("started_at", "ended_at"))
    return round((ended - started).total_seconds(), 3)
