"""The signed models of one workspace, found by name and verified each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mintage.app.names import instead
from mintage.bundle.language import LanguageBundle, is_language, load_language
from mintage.bundle.loader import LoadedBundle, load
from mintage.core.errors import ConfigError, DataError, RequestError, SignatureMismatch
from mintage.core.messages import _
from mintage.core.units import Reference
from mintage.create import repository
from mintage.create.run_files import RECORD_FILE
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


class Bundles:
    """Finds and verifies them. None is opened, and no numerics are loaded."""

    def __init__(self, workspace: Workspace, keys: KeyRing) -> None:
        self._workspace = workspace
        self._keys = keys

    def find(self, reference: str) -> LoadedBundle:
        """The verified bundle of ``name`` or ``name@version``, or of a path with a ``/`` in it.

        Raises:
            RequestError: there is none (404).
            SignatureMismatch: any byte, name or file of it is not what was signed.
        """
        if os.sep in reference:
            return load(Path(reference), self._keys)
        row = self.row(reference)
        name, version = row["name"], row["version"]
        if self.is_language(f"{name}@{version}"):
            raise ConfigError(
                _(
                    "{name}@{version} is a language model, for which this is not made.",
                    name=name,
                    version=version,
                ),
                remedy=_(
                    "See what it is: mintage show {name}@{version}", name=name, version=version
                ),
            )
        folder = self._workspace.model_folder(name, version)
        bundle = load(folder, self._keys, subject=f"{name}@{version}")
        if bundle.digest != row["bundle_digest"]:
            raise not_signed_here(bundle.subject)
        return bundle

    def find_language(self, reference: str) -> LanguageBundle:
        """The same of a language model, whose files are checked where they lie.

        Raises:
            RequestError: there is none (404).
            ConfigError: it is of another kind.
            SignatureMismatch: any byte, name or file of it is not what was signed.
        """
        if os.sep in reference:
            return load_language(Path(reference), self._keys)
        row = self.row(reference)
        subject = f"{row['name']}@{row['version']}"
        folder = self._workspace.model_folder(row["name"], row["version"])
        if not is_language(folder) and folder.is_dir():
            load(folder, self._keys, subject=subject)  # or why it is no model at all
            raise ConfigError(_("{model} is not a language model.", model=subject))
        bundle = load_language(folder, self._keys, subject=subject)
        if bundle.digest != row["bundle_digest"]:
            raise not_signed_here(subject)
        return bundle

    def is_language(self, reference: str) -> bool:
        """Whether a model of this workspace says that it is a language model."""
        if os.sep in reference:
            return is_language(Path(reference))
        row = self.row(reference)
        return is_language(self._workspace.model_folder(row["name"], row["version"]))

    def published(self, name: str, version: int, digest: str) -> LoadedBundle:
        """The verified bundle of ``name@version``, if it is the one that was published.

        Raises:
            SignatureMismatch: it is not.
        """
        bundle = self.find(f"{name}@{version}")
        if bundle.digest != digest:
            raise SignatureMismatch(
                _(
                    "{name}@{version} is not the bundle that was published.",
                    name=name,
                    version=version,
                ),
                remedy=_("Publish it again, if you trust what is there now."),
            )
        return bundle

    def run_folder(self, reference: str) -> Path:
        """Where the run that made a model left its files.

        Raises:
            RequestError: there is no such model (404).
            DataError: it ran elsewhere, or its record was removed.
        """
        folder = self._workspace.run_folder(self.row(reference)["run"])
        if not (folder / RECORD_FILE).exists():
            raise DataError(
                _("The run of {reference} is not in this workspace.", reference=reference)
            )
        return folder

    def row(self, reference: str) -> Mapping[str, Any]:
        """What the workspace knows of a model.

        Raises:
            RequestError: there is none (404).
        """
        wanted = Reference.parse(reference, mark="@", kind="model")
        if wanted.version is not None and not wanted.version.isdecimal():
            raise ConfigError(
                _("Not a model's version: {version!r}.", version=wanted.version),
                remedy=_("Write it as pets@3 or pets@latest."),
            )
        number = None if wanted.version is None else int(wanted.version)
        with self._workspace.database.read() as connection:
            row = repository.find_model(connection, wanted.name, number)
            names = repository.names(connection, "models")
        if row is None:
            raise RequestError(
                _("There is no model {reference!r}.", reference=reference),
                remedy=instead(wanted.name, names, _("Train one: mintage train DATASET.")),
                http_status=404,
            )
        return row


def not_signed_here(subject: str) -> SignatureMismatch:
    """A bundle that verifies, but is another than the workspace's row says."""
    return SignatureMismatch(
        _("{model} is not the bundle that was signed here.", model=subject),
        remedy=_("Restore it from a backup, or train it again."),
    )
