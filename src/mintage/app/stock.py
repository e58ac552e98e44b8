"""What stands in a workspace at one moment, and finding things in it by their name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.deliver.products import STABLE
from mintage.deliver.upstreams.declared import BundleAt
from mintage.store import inventory
from mintage.store.workspace import Workspace

Kind = Literal["dataset", "model", "run", "product"]


@dataclass(frozen=True)
class Thing:
    """A version of a dataset or model, a run, or a product; ``folder`` is where it lies.

    A product lies in the database alone: its folder is the workspace's own.
    """

    kind: Kind
    reference: str
    row: inventory.Row
    folder: Path


class Stock:
    """Everything that was not removed, in one consistent snapshot."""

    def __init__(self, workspace: Workspace, connection: inventory.Connection) -> None:
        self._workspace = workspace
        self.datasets = [self._dataset(row) for row in inventory.all_datasets(connection)]
        self.models = [self._model(row) for row in inventory.all_models(connection)]
        self.runs = [self._run(row) for row in inventory.all_runs(connection)]
        self.products = [self._product(row) for row in inventory.all_products(connection)]

    @classmethod
    def of(cls, workspace: Workspace) -> Self:
        """The stock as it now is."""
        with workspace.database.read() as connection:
            return cls(workspace, connection)

    def find(self, reference: str) -> list[Thing]:
        """What a reference names: ``pets#1f9c``, ``pets@3``, a run, or a name.

        A name alone may be a product, a model and a dataset at once: the newest of each.

        Raises:
            RequestError: there is nothing of that name (404).
        """
        name, mark, version = reference.partition("#")
        if mark:
            found = self._datasets_named(name, version)
        else:
            name, mark, version = reference.partition("@")
            found = self._models_named(name, version)
        if not mark:
            named = [
                each
                for each in (*self.runs, *self.products)
                if name in (each.reference, each.row.get("name"))
            ]
            found = [*named, *found[-1:], *self._datasets_named(name, "")[-1:]]
        if not found:
            raise RequestError(
                _("There is no {reference!r} in this workspace.", reference=reference),
                remedy=self._instead(name),
                http_status=404,
            )
        return found

    def products_of(self, model: Thing) -> list[str]:
        """The products that have an alias at this version of a model."""
        same = (model.row["name"], model.row["version"])
        return [
            product.reference
            for product in self.products
            if any((each["model"], each["version"]) == same for each in product.row["aliases"])
        ]

    def models_of(self, dataset: Thing) -> list[str]:
        """The models that were trained on this version of a dataset."""
        return [each.reference for each in self.models if data_of(each) == dataset.reference]

    def is_current(self, dataset: Thing) -> bool:
        """Whether the name alone means this version: the one that was collected last."""
        return self._datasets_named(dataset.row["name"], "") == [dataset]

    def is_here(self, model: str) -> bool:
        """Whether this version of a model was not removed."""
        return any(each.reference == model for each in self.models)

    def models_by(self, run: Thing) -> list[str]:
        """The models that this run made."""
        return [each.reference for each in self.models if each.row["run"] == run.reference]

    def runs_on(self, dataset: Thing) -> list[str]:
        """The runs that are training on this version of a dataset."""
        return [
            run.reference
            for run in self.runs
            if run.row["status"] == "running" and data_of(run) == dataset.reference
        ]

    def _datasets_named(self, name: str, version: str) -> list[Thing]:
        found = [each for each in self.datasets if each.row["name"] == name]
        if version in ("", "latest"):
            return found[-1:]
        return [each for each in found if each.row["version"].startswith(version)]

    def _models_named(self, name: str, version: str) -> list[Thing]:
        found = [each for each in self.models if each.row["name"] == name]
        if version in ("", "latest"):
            return found[-1:]
        return [each for each in found if str(each.row["version"]) == version]

    def _instead(self, name: str) -> str:
        names = self._names()
        if name in names:
            return _("{name} exists, but not in that version: mintage show {name}", name=name)
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return _("Did you mean {name}?", name=near[0])
        return _("mintage list shows what there is.")

    def _names(self) -> Sequence[str]:
        named = (*self.datasets, *self.models, *self.products)
        return sorted({each.row["name"] for each in named} | {run.reference for run in self.runs})

    def _dataset(self, row: inventory.Row) -> Thing:
        folder = self._workspace.dataset_folder(row["name"], row["version"])
        return Thing("dataset", f"{row['name']}#{row['version']}", row, folder)

    def _model(self, row: inventory.Row) -> Thing:
        folder = self._workspace.model_folder(row["name"], row["version"])
        return Thing("model", f"{row['name']}@{row['version']}", row, folder)

    def _run(self, row: inventory.Row) -> Thing:
        return Thing("run", row["id"], row, self._workspace.run_folder(row["id"]))

    def _product(self, row: inventory.Row) -> Thing:
        own = filter(None, map(BundleAt.read, row["urls"]))
        found = [{"alias": STABLE, "model": at.model, "version": at.version} for at in own]
        row = {**row, "aliases": [*row["aliases"], *found]}
        return Thing("product", row["name"], row, self._workspace.home)


def data_of(thing: Thing) -> str:
    """The dataset that a model or run stands on."""
    return f"{thing.row['dataset']}#{thing.row['dataset_version']}"
