"""After a signing key was revoked: what it signed is signed again by the present one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mintage.app.names import INVOICE_NUMBER
from mintage.app.stopped import Stopped, stopped
from mintage.capture.books.invoices import Invoices
from mintage.core.errors import DataError, RequestError, SignatureMismatch
from mintage.core.messages import _
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing, Role
from mintage.trust.renewing import Renewing


@dataclass(frozen=True)
class _Thing:
    """A dataset or a model of the workspace."""

    kind: Literal["datasets", "models"]
    name: str
    version: str
    folder: Path

    @property
    def subject(self) -> str:
        return f"{self.name}{'#' if self.kind == 'datasets' else '@'}{self.version}"


class SigningAgain:
    """Signs with the present key what a revoked one signed."""

    def __init__(self, workspace: Workspace, keys: KeyRing, invoices: Invoices) -> None:
        self._workspace = workspace
        self._keys = keys
        self._invoices = invoices
        self._renewing = Renewing(workspace.database, keys, workspace.now)

    def believed(self) -> list[str]:
        """Sign again every dataset and model that the log had before its key was revoked.

        It gives their names. Documents are signed again when they are asked for.
        """
        renewed = []
        for thing in self._things():
            try:
                if self._renewed(thing, asked=False):
                    renewed.append(thing.subject)
            except (SignatureMismatch, DataError):
                continue  # damaged, somebody else's, or not believed: `verify` says which
        return renewed

    def named(self, reference: str) -> bool:
        """Sign one thing again, on somebody's word, where the log has it; False: no need.

        Raises:
            RequestError: there is no such thing (404).
            SignatureMismatch: it is not what was signed, or the log never had it.
        """
        if INVOICE_NUMBER.fullmatch(reference):
            return self._invoices.signed(self._invoices.find(reference), asked=True).is_renewed
        if "/" in reference:
            return self._renewing.document(reference, asked=True).is_renewed
        mark = "#" if "#" in reference else "@"
        name, __, version = reference.partition(mark)
        wanted = f"{name}{mark}{'' if version == 'latest' else version}"
        is_whole = mark == "@" and version not in ("", "latest")
        found = [
            each
            for each in self._things()
            if (each.subject == wanted if is_whole else each.subject.startswith(wanted))
        ]
        if not found:
            raise RequestError(
                _("There is no {reference} here.", reference=reference),
                remedy=_("Name a model (pets@3), a dataset (pets#1f9c) or an invoice's number."),
                http_status=404,
            )
        return self._renewed(found[-1], asked=True)

    def stopped(self) -> list[Stopped]:
        """What is on sale and signed with a key that is not believed."""
        with self._workspace.database.read() as connection:
            selling = inventory.on_sale(connection)
        return [*stopped(self._keys, selling, self._workspace.model_folder)]

    def _renewed(self, thing: _Thing, *, asked: bool) -> bool:
        role: Role = "data" if thing.kind == "datasets" else "bundle"
        with self._workspace.name_lock(thing.kind, thing.name):
            return self._renewing.folder(thing.folder, thing.subject, role, asked=asked)

    def _things(self) -> Iterator[_Thing]:
        """Every one that stands, the oldest of a name first."""
        with self._workspace.database.read() as connection:
            datasets = inventory.all_datasets(connection)
            models = inventory.all_models(connection)
        for row in datasets:
            name, version = row["name"], row["version"]
            folder = self._workspace.dataset_folder(name, version)
            yield _Thing("datasets", name, version, folder)
        for row in models:
            name, version = row["name"], row["version"]
            folder = self._workspace.model_folder(name, version)
            yield _Thing("models", name, str(version), folder)
