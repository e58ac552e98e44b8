"""Everything known of one thing: its row, its files as they verify, and what is joined to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintage.app.bundles import not_signed_here
from mintage.app.listing import Listing
from mintage.app.stock import Stock, Thing, data_of
from mintage.bundle import loader
from mintage.bundle.language import is_language, load_language, small_file
from mintage.capture.plans import Plan
from mintage.core.errors import DataError, MintageError
from mintage.create import inspect
from mintage.create.bom import BOM_FILE, bill_in_short
from mintage.create.dataset import load_dataset
from mintage.create.language import collect as language
from mintage.create.repository import audits_of
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing, Role, TrustedFile
from mintage.trust.signing import verify_folder


class Showing:
    """What a reference names, in full."""

    def __init__(self, workspace: Workspace, keys: KeyRing) -> None:
        self._workspace = workspace
        self._keys = keys
        self._stock = Stock.of(workspace)
        self._listing = Listing(workspace)

    def of(self, reference: str) -> list[dict[str, Any]]:
        """One document for each thing of that name, with ``kind``; ``problem`` if it is damaged.

        Raises:
            RequestError: there is nothing of that name (404).
        """
        return [self._document(thing) for thing in self._stock.find(reference)]

    def _document(self, thing: Thing) -> dict[str, Any]:
        row, details = {
            "dataset": (self._listing.dataset, self._dataset),
            "model": (self._listing.model, self._model),
            "run": (self._listing.run, self._run),
            "product": (self._listing.product, self._product),
        }[thing.kind]
        document = {"kind": thing.kind, **row(thing)}
        if thing.kind != "product":
            document["folder"] = str(thing.folder)
        try:
            return document | details(thing)
        except MintageError as error:
            described = {"code": error.code, "message": error.message, "remedy": error.remedy}
            return document | {"problem": described}

    def _dataset(self, thing: Thing) -> dict[str, Any]:
        dataset = load_dataset(thing.folder, thing.row["name"], self._keys)
        if dataset.card["task"] == language.TASK:
            found = language.findings(self._workspace, dataset)
            counts: dict[str, Any] = {"splits": found["splits"]}
        else:
            found = inspect.findings(dataset)
            counts = {"classes": found["classes"], "folds": found["folds"]}
        return {
            "about": found["about"],
            "source": found["source"],
            **counts,
            "skipped": len(found["skipped"]),
            "signed_by": self._signer(thing, "data"),
        }

    def _model(self, thing: Thing) -> dict[str, Any]:
        if is_language(thing.folder):
            return self._language_model(thing)
        bundle = loader.load(thing.folder, self._keys, subject=thing.reference)
        if bundle.digest != thing.row["bundle_digest"]:
            raise not_signed_here(thing.reference)
        manifest = bundle.manifest
        return {
            "modality": manifest.modality,
            "task": manifest.task,
            "labels": list(manifest.labels),
            "side": manifest.input.side,
            "recipe": dict(manifest.recipe),
            "metrics": dict(manifest.metrics),
            "libraries": dict(manifest.libraries),
            "bill_of_materials": bill_in_short(bundle.files.get(BOM_FILE)),
            "plans": {
                each.reference: self._plan(each)
                for each in self._stock.products
                if each.reference in self._stock.products_of(thing)
            },
            "audit": self._audit(bundle.digest),
            "signed_by": self._signer(thing, "bundle"),
        }

    def _audit(self, digest: str) -> dict[str, Any] | None:
        """When a bundle was looked over last, and whether it passed; None: it never was."""
        with self._workspace.database.read() as connection:
            found = audits_of(connection, digest)
        names = ("id", "audited_at", "due_at", "passed")
        return {name: found[-1][name] for name in names} if found else None

    def _language_model(self, thing: Thing) -> dict[str, Any]:
        bundle = load_language(thing.folder, self._keys, subject=thing.reference)
        if bundle.digest != thing.row["bundle_digest"]:
            raise not_signed_here(thing.reference)
        manifest = bundle.manifest
        return {
            "modality": "text",
            "task": language.TASK,
            "base": vars(manifest.base),
            "recipe": dict(manifest.recipe),
            "metrics": dict(manifest.metrics),
            "libraries": dict(manifest.libraries),
            "bill_of_materials": bill_in_short(small_file(bundle, BOM_FILE)),
            "signed_by": {"key_id": bundle.key_id, "name": self._named(bundle.key_id)},
        }

    def _run(self, thing: Thing) -> dict[str, Any]:
        recipe = _read(thing.folder, RECIPE_FILE)
        record = _read(thing.folder, RECORD_FILE)
        report = thing.folder / "report.html"
        return {
            "models": self._stock.models_by(thing),
            "recipe": recipe or None,
            "candidate": record.get("candidate"),
            "why_kept": record.get("why_kept"),
            "metrics": record.get("metrics"),
            "machine": record.get("machine"),
            "report": str(report) if report.exists() else None,
        }

    def _product(self, thing: Thing) -> dict[str, Any]:
        with self._workspace.database.read() as connection:
            calls = inventory.calls_of(connection, thing.reference)
        models = {each.reference: each for each in self._stock.models}
        pointing = self._listing.product(thing)["aliases"]
        return {
            "calls": calls,
            "plan": self._plan(thing),
            "datasets": {
                alias: data_of(models[model]) if model in models else None
                for alias, model in pointing.items()
            },
        }

    def _plan(self, product: Thing) -> dict[str, Any] | None:
        with self._workspace.database.read() as connection:
            row = inventory.plan_of(connection, product.row["plan"])
        return None if row is None else Plan.from_row(row).offer(product.reference)

    def _signer(self, thing: Thing, role: Role) -> dict[str, str]:
        """The key that signed a folder, and whose it is: ``own``, or the name it is trusted by."""
        trusted = self._keys.public_keys(role)
        key_id = verify_folder(thing.folder, trusted, subject=thing.reference).key_id
        return {"key_id": key_id, "name": self._named(key_id)}

    def _named(self, key_id: str) -> str:
        files, __ = self._keys.trusted()
        names = {each.key.key_id: _named(each) for each in files}
        for root, keys in self._keys.lists():
            for listed in keys.keys:
                names.setdefault(listed.key.key_id, _named(root))
        return names.get(key_id, "own")


def _named(file: TrustedFile) -> str:
    return file.path.stem.removesuffix(f".{file.role}")


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A run's file as it was written; nothing where it is gone or was cut short."""
    try:
        return read_run_file(folder, name)
    except DataError:
        return {}
