"""The verbs of data over one workspace: collect, grow, get, inspect, diff."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mintage.app.downloads import Downloads, checked, is_address
from mintage.app.names import instead
from mintage.core.errors import ConfigError, RequestError
from mintage.core.machine import available_cores
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.units import Reference, check_name
from mintage.create import collect, diff, grow, inspect, repository
from mintage.create.collect import Origin
from mintage.create.dataset import Dataset, load_dataset
from mintage.create.grow import Growth
from mintage.create.language import collect as language
from mintage.sources.https import PublicFile
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

Look = Literal["card", "pictures", "labels"]
"""How closely a dataset is inspected."""


@dataclass(frozen=True)
class Got:
    """A public set as a dataset; ``path`` is its file, ``new`` whether it was collected now."""

    dataset: Dataset
    path: Path
    new: bool


class Collecting:
    """From labelled examples to a signed dataset."""

    def __init__(self, workspace: Workspace, keys: KeyRing, downloads: Downloads) -> None:
        self._workspace = workspace
        self._keys = keys
        self.downloads = downloads

    def collect(
        self,
        location: str | Path,
        name: str,
        *,
        label: str = "label",
        strict: bool = False,
        seed: int = 0,
        about: Origin | None = None,
        columns: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Dataset:
        """Read labelled examples into a dataset; the same input gives the same version.

        ``columns`` of a table are kept beside each example.

        Raises:
            DataError: nothing readable, fewer than two classes, or an empty class.
        """
        check_name(name, "dataset")
        path, source_name = self.located(location, progress or Silent())
        return collect.collect(
            self._workspace,
            self._keys,
            path,
            name,
            progress=progress or Silent(),
            label=label,
            strict=strict,
            seed=seed,
            about=about,
            source_name=source_name,
            columns=columns,
        )

    def grow(
        self,
        location: str | Path,
        into: str,
        *,
        label: str = "label",
        strict: bool = False,
        about: Origin | None = None,
        columns: Sequence[str] = (),
        source_name: str | None = None,
        progress: Progress | None = None,
    ) -> Growth:
        """Add labelled examples to ``name`` (its newest version) or ``name#version``.

        ``source_name`` is what the card calls the source, if not by the location.

        Raises:
            RequestError: there is no such dataset (404).
            DataError: nothing readable, or a new class that is empty or too small.
        """
        before = self.classified(into)
        newest = Reference.parse(into, mark="#", kind="dataset").version is None
        path, named = self.located(location, progress or Silent())
        return grow.grow(
            self._workspace,
            self._keys,
            path,
            before,
            progress=progress or Silent(),
            newest=newest,
            label=label,
            strict=strict,
            about=about,
            source_name=source_name or named,
            columns=columns,
        )

    def located(self, location: str | Path, progress: Progress) -> tuple[Path, str | None]:
        """Where examples lie, and what a card calls their source (None: as the path does).

        What lies at an https address is downloaded first.
        """
        if isinstance(location, str) and is_address(location):
            found = self.downloads.located(location, progress)
            return found.path, found.source_name
        return Path(location), None

    def get(
        self,
        file: PublicFile,
        name: str,
        *,
        about: Origin,
        source: Path | None = None,
        progress: Progress | None = None,
    ) -> Got:
        """Collect a public set as the dataset ``name``, from ``source`` or from its addresses.

        A set that was collected is found again, a file that came before is used, and a download
        that was interrupted goes on.

        Raises:
            DataError: ``source`` is not that file, or no address has it.
            SignatureMismatch: the bytes are not the ones that were published.
            DependencyDown: nothing answers.
        """
        check_name(name, "dataset")
        progress = progress or Silent()
        before = self._collected(name, about)
        if source is not None:
            path = checked(source, file, name, progress)
        elif before is not None:
            path = self.downloads.place(file)
        else:
            path = self.downloads.fetched(file, progress)
        if before is not None:
            return Got(before, path, new=False)
        return Got(self.collect(path, name, about=about, progress=progress), path, new=True)

    def _collected(self, name: str, about: Origin) -> Dataset | None:
        """The newest dataset of that name, if it was made of this very file."""
        dataset = self.newest(name)
        if dataset is None or dataset.card["about"]["origin"] != about.origin:
            return None
        return dataset

    def dataset(self, reference: str) -> Dataset:
        """The dataset ``name`` (the newest) or ``name#version``; a version may be shortened.

        Raises:
            RequestError: there is none (404).
        """
        wanted = Reference.parse(reference, mark="#", kind="dataset")
        with self._workspace.database.read() as connection:
            version = repository.dataset_version(connection, wanted.name, wanted.version)
            names = repository.names(connection, "datasets")
        if version is None:
            raise RequestError(
                _("There is no dataset {reference!r}.", reference=reference),
                remedy=instead(
                    wanted.name, names, _("Collect it: mintage collect PATH --name NAME.")
                ),
                http_status=404,
            )
        folder = self._workspace.dataset_folder(wanted.name, version)
        return load_dataset(folder, wanted.name, self._keys)

    def classified(self, reference: str) -> Dataset:
        """The same, of a dataset whose examples have classes.

        Raises:
            ConfigError: it holds conversations.
        """
        dataset = self.dataset(reference)
        if dataset.card["task"] == language.TASK:
            raise ConfigError(
                _("{name} holds conversations, not examples of classes.", name=dataset.name),
                remedy=_(
                    "A language model learns from them: mintage train {name} --recipe hub:WEIGHTS",
                    name=dataset.name,
                ),
            )
        return dataset

    def newest(self, name: str) -> Dataset | None:
        """The newest dataset of that name, if there is one."""
        try:
            return self.dataset(name)
        except RequestError:
            return None

    def inspect(
        self,
        reference: str,
        *,
        look: Look = "card",
        seconds: float | None = None,
        spent: float = 0.0,
        threads: int | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """What is in a dataset, and what collecting found; with a closer look, what is wrong.

        ``card`` reads the manifest and the card alone. ``pictures`` opens every picture too, for
        leaks, shortcuts and faults. ``labels`` trains small networks besides, for ``seconds`` at
        most (by the number of examples, if not given), of which so many are ``spent`` already, to
        find wrong labels and outliers.

        Raises:
            RequestError: there is no such dataset (404).
            DependencyDown: the disk is full.
        """
        dataset = self.dataset(reference)
        if dataset.card["task"] == language.TASK:
            return language.findings(self._workspace, dataset)
        if look == "card":
            return inspect.findings(dataset)
        return inspect.examined(
            self._workspace,
            dataset,
            train=look == "labels",
            seconds=seconds,
            spent=spent,
            threads=threads or available_cores(),
            progress=progress or Silent(),
            should_stop=should_stop,
        )

    def diff(self, before: str, after: str | None = None) -> dict[str, Any]:
        """What ``after`` has that ``before`` has not, and the other way round.

        ``after`` is the newest version of ``before``'s name where it is not given.
        """
        wanted = Reference.parse(before, mark="#", kind="dataset")
        if after is None and wanted.version is None:
            raise ConfigError(
                _("{name} alone is its newest version; compare it with which?", name=wanted.name),
                remedy=_(
                    "Name the older one: mintage diff {name}#VERSION. "
                    "They are listed by: mintage list datasets",
                    name=wanted.name,
                ),
            )
        newest = wanted.name
        return diff.difference(self.dataset(before), self.dataset(after or newest))


def check_target(name: str | None, into: str | None) -> None:
    """Whether it is said, once, where collected examples go.

    Raises:
        ConfigError: neither a name nor a dataset to add to is given, or both.
    """
    if bool(name) == bool(into):
        raise ConfigError(
            _("A new name and a dataset to add to exclude one another.")
            if name
            else _("It is not said where the examples go."),
            remedy=_("Give --name NAME for a new dataset, or --into NAME to add to one."),
        )
