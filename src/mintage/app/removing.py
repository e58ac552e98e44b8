"""Removing one thing: refused where something stands on it, and never half done."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.app.stock import Stock, Thing
from mintage.core.errors import ConfigError
from mintage.core.files import readable_failures, size_on_disk
from mintage.core.messages import Message, _
from mintage.create import repository
from mintage.store.workspace import Workspace

_PRODUCT = _(
    "No verb takes a product off sale yet. Publish another version under its name, or revoke the "
    "keys of its customers: mintage key revoke KEY"
)


@dataclass(frozen=True)
class Removal:
    """What would be removed, and what can no longer be done then."""

    kind: str
    reference: str
    folder: Path
    size_bytes: int
    consequences: tuple[Message, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``remove --json`` says."""
        return {
            "removed": self.reference,
            "kind": self.kind,
            "size_bytes": self.size_bytes,
            "consequences": [str(each) for each in self.consequences],
        }


def removal(workspace: Workspace, reference: str, *, force: bool = False) -> Removal:
    """What ``remove`` would do.

    Raises:
        RequestError: there is no such thing (404).
        ConfigError: it names no one version, or something stands on it.
    """
    return _removal(_one(stock := Stock.of(workspace), reference), stock, force=force)


def remove(workspace: Workspace, reference: str, *, force: bool = False) -> Removal:
    """Remove a model's version, a dataset's version or a run.

    The row is marked first, together with the audit log's leaf; then the folder goes. What a
    crash leaves of it goes at the next start. Nobody makes the same version meanwhile.

    Raises:
        as ``removal``
    """
    thing = _one(Stock.of(workspace), reference)

    def work(connection: repository.Connection) -> Removal:
        stock = Stock(workspace, connection)
        found = _one(stock, thing.reference)
        planned = _removal(found, stock, force=force)
        repository.remove(connection, found.kind, found.row, workspace.now())
        return planned

    with _held(workspace, thing):
        done = workspace.database.write(work)
        with readable_failures(done.folder), suppress(FileNotFoundError):
            shutil.rmtree(done.folder)
    return done


def _held(workspace: Workspace, thing: Thing) -> AbstractContextManager[None]:
    if thing.kind == "dataset":
        return workspace.name_lock("datasets", thing.row["name"])
    if thing.kind == "model":
        return workspace.name_lock("models", thing.row["name"])
    return nullcontext()


def _one(stock: Stock, reference: str) -> Thing:
    """The one thing that a reference names; a name without a version is not enough to remove."""
    found = stock.find(reference)
    first = found[0]
    if {each.kind for each in found} == {"product"}:
        raise ConfigError(
            _("{reference} is a product, and products are not removed.", reference=reference),
            remedy=_PRODUCT,
        )
    if first.kind == "product" or (first.kind != "run" and not {"#", "@"} & set(reference)):
        which = _("Say which: a model as pets@3, a dataset as pets#1f9c, a run as run_…")
        if first.kind == "product":
            which = _("{which}; a product is not removed. {product}", which=which, product=_PRODUCT)
        raise ConfigError(
            _("{reference} names no version.", reference=reference),
            remedy=which,
        )
    if len(found) > 1:
        versions = ", ".join(each.reference[: len(reference) + 12] for each in found)
        raise ConfigError(
            _("{reference} may be any of {versions}.", reference=reference, versions=versions),
            remedy=_("Write more of the version."),
        )
    return first


def _removal(thing: Thing, stock: Stock, *, force: bool) -> Removal:
    consequences = _CHECKS[thing.kind](thing, stock, force)
    size = size_on_disk(thing.folder)
    return Removal(thing.kind, thing.reference, thing.folder, size, consequences)


def _check_model(model: Thing, stock: Stock, _force: bool) -> tuple[Message, ...]:
    if products := stock.products_of(model):
        raise ConfigError(
            _(
                "{model} answers for what is sold as {products}.",
                model=model.reference,
                products=", ".join(products),
            ),
            remedy=_("Publish another version first: mintage publish MODEL@VERSION --product NAME"),
        )
    return ()


def _check_dataset(dataset: Thing, stock: Stock, force: bool) -> tuple[Message, ...]:
    if runs := stock.runs_on(dataset):
        raise ConfigError(
            _("{runs} is training on it.", runs=", ".join(runs)),
            remedy=_("Wait until it has ended, or stop it with Ctrl-C."),
        )
    models = stock.models_of(dataset)
    if not models:
        return ()
    named = ", ".join(models)
    if not force:
        raise ConfigError(
            _("Trained on it, and still here: {models}.", models=named),
            remedy=_("Remove those first, or say --force."),
        )
    return (
        _(
            "{models} will answer as before, but mintage evaluate --data can no longer tell "
            "which examples trained it.",
            models=named,
        ),
    )


def _check_run(run: Thing, stock: Stock, force: bool) -> tuple[Message, ...]:
    if run.row["status"] == "running":
        raise ConfigError(
            _("{run} is still training.", run=run.reference),
            remedy=_("Wait until it has ended, or stop it with Ctrl-C."),
        )
    models = stock.models_by(run)
    if not models:
        return ()
    named = ", ".join(models)
    if not force:
        raise ConfigError(
            _("It made what is still here: {models}.", models=named),
            remedy=_("Remove that first, or say --force."),
        )
    return (_("mintage report can no longer write the report of {models}.", models=named),)


_CHECKS = {"model": _check_model, "dataset": _check_dataset, "run": _check_run}
