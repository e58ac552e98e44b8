"""The Python face: the command line's verbs, as functions over the default workspace.

>>> import mintage
>>> data = mintage.collect("photos/", name="pets")
>>> run = mintage.train(data, time="5m")
>>> run.model.evaluate(data.test)["accuracy"]
>>> run.model.predict("cat.jpg")["output"]["label"]
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintage.app.collecting import Look, check_target
from mintage.app.root import App
from mintage.core.errors import InputError
from mintage.core.settings import load_settings
from mintage.core.types import Split
from mintage.core.units import parse_duration
from mintage.create import dataset as datasets
from mintage.create.collect import Origin

if TYPE_CHECKING:
    from mintage.create.run import RunResult


def open_workspace(home: str | Path | None = None) -> App:
    """The workspace at ``home`` (default: ``MINTAGE_HOME`` or ``./.mintage``), opened once."""
    path = load_settings().home if home is None else Path(home)
    return _opened(path.expanduser().absolute())


@cache
def _opened(home: Path) -> App:
    app = App(load_settings(home=home))
    atexit.register(app.close)
    return app


@dataclass(frozen=True)
class Subset:
    """One split of a dataset: what ``Model.evaluate`` takes."""

    dataset: Dataset
    split: Split

    def __len__(self) -> int:
        return sum(example.split == self.split for example in self.dataset.kept.examples)


@dataclass(frozen=True)
class Dataset:
    """An immutable, signed snapshot of labelled examples."""

    kept: datasets.Dataset
    app: App = field(repr=False)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.kept.name

    @property
    def version(self) -> str:
        """The digest of the manifest: same input, same version."""
        return self.kept.version

    @property
    def reference(self) -> str:
        """``name#version``."""
        return self.kept.reference

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.kept.labels

    @property
    def quality(self) -> dict[str, Any]:
        """Counts, sizes and what collecting found; what ``mintage inspect --json`` prints."""
        return self.app.create.inspect(self.reference)

    @property
    def train(self) -> Subset:
        """What networks learn from."""
        return Subset(self, "train")

    @property
    def validation(self) -> Subset:
        """What chooses among networks; empty where folds choose."""
        return Subset(self, "validation")

    @property
    def test(self) -> Subset:
        """What neither trains nor chooses."""
        return Subset(self, "test")

    def __len__(self) -> int:
        return len(self.kept.examples)


@dataclass(frozen=True)
class Model:
    """A signed model; every use of it verifies its bundle first."""

    reference: str
    app: App = field(repr=False)

    def predict(self, path: str | Path) -> dict[str, Any]:
        """The answer for one file, as ``mintage predict --json`` gives it.

        Raises:
            DataError: the file cannot be read.
        """
        (answer,) = self.app.create.predict(self.reference, [Path(path)])
        if "error" in answer:
            raise InputError(answer["error"]["message"], remedy=answer["error"]["remedy"])
        return answer

    def explain(self, path: str | Path, folder: str | Path) -> dict[str, Any]:
        """The answer for one file, and where it looked: a picture in ``folder`` with a heat map.

        Raises:
            DataError: the file cannot be read.
        """
        (answer,) = self.app.create.predict(self.reference, [Path(path)], explain=Path(folder))
        if "error" in answer:
            raise InputError(answer["error"]["message"], remedy=answer["error"]["remedy"])
        return answer

    def score(
        self,
        source: str | Path,
        out: str | Path,
        *,
        label: str | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """A row for each picture of a source in the table ``out``, as ``mintage.score`` does."""
        return self.app.deliver.score(source, self.reference, Path(out), label=label, force=force)

    def evaluate_against(
        self, people: str | Path, data: str | Path | None = None
    ) -> dict[str, Any]:
        """The model beside people's answers to the same examples, from a table of them."""
        where = None if data is None else Path(data)
        return self.app.create.evaluate_against(self.reference, Path(people), data=where)

    def evaluate(self, data: Subset | str | Path | None = None) -> dict[str, Any]:
        """Quality on a split, on another folder, or on the model's own test data."""
        if isinstance(data, Subset):
            return self.app.create.evaluate_split(self.reference, data.dataset.kept, data.split)
        return self.app.create.evaluate(self.reference, data=None if data is None else Path(data))


@dataclass(frozen=True)
class Run:
    """A finished training; ``record`` holds its curves, candidates and findings."""

    id: str
    model: Model
    metrics: Mapping[str, Any]
    record: Mapping[str, Any] = field(repr=False)


def collect(
    path: str | Path,
    *,
    name: str | None = None,
    into: str | None = None,
    label: str = "label",
    strict: bool = False,
    seed: int = 0,
    about: Origin | None = None,
    home: str | Path | None = None,
) -> Dataset:
    """Collect labelled examples from a folder of class folders, a zip of one, or a table.

    They become the dataset ``name``, or the next version of the dataset ``into`` (``pets`` or
    ``pets#1f9c``), whose own examples keep their split; it has a seed already.

    Raises:
        ConfigError: neither ``name`` nor ``into`` is given, or both.
        DataError: nothing readable, fewer than two classes, or an empty class.
    """
    check_target(name, into)
    app = open_workspace(home)
    if into:
        growth = app.create.grow(path, into, label=label, strict=strict, about=about)
        return Dataset(growth.dataset, app)
    kept = app.create.collect(path, name or "", label=label, strict=strict, seed=seed, about=about)
    return Dataset(kept, app)


def dataset(reference: str, *, home: str | Path | None = None) -> Dataset:
    """A dataset that was collected: ``pets`` or ``pets#1f9c``."""
    app = open_workspace(home)
    return Dataset(app.create.dataset(reference), app)


def inspect(
    reference: str, *, look: Look = "card", home: str | Path | None = None
) -> dict[str, Any]:
    """What is in a dataset, and what collecting found; with a closer look, what is wrong with it.

    ``look`` is ``card`` (nothing is opened), ``pictures`` (leaks, shortcuts, faults) or
    ``labels`` (wrong labels and outliers too, by training small networks).
    """
    return open_workspace(home).create.inspect(reference, look=look)


def diff(
    before: str, after: str | None = None, *, home: str | Path | None = None
) -> dict[str, Any]:
    """What one dataset has that another has not; ``after`` is the newest version by default."""
    return open_workspace(home).create.diff(before, after)


def train(
    data: Dataset | str,
    *,
    time: str | None = None,
    epochs: int | None = None,
    recipe: str = "auto",
    search: bool | None = None,
    seed: int = 0,
    drop_suspect: bool = False,
    ablate: bool = False,
    int8: bool = False,
    sure: float | None = None,
    report: bool = True,
    name: str | None = None,
    home: str | Path | None = None,
) -> Run:
    """Train on a dataset, keep the best candidate, sign it.

    ``time`` is a promise from this call to the signed bundle (``"5m"``); ``sure`` is how often an
    answer has to be right for a label to be given (0.98); without ``report`` there is none until
    it is asked for. The others are as for ``mintage train``.

    Raises:
        ConfigError: a recipe or budget that cannot be.
    """
    app = data.app if isinstance(data, Dataset) else open_workspace(home)
    result = app.create.train(
        data.reference if isinstance(data, Dataset) else data,
        recipe=recipe,
        seconds=None if time is None else parse_duration(time),
        epochs=epochs,
        search=search,
        seed=seed,
        drop_suspect=drop_suspect,
        ablate=ablate,
        int8=int8,
        sure=sure,
        report=report,
        model=name,
    )
    return _run(result, app)


def resume(run: str, *, home: str | Path | None = None) -> Run:
    """Go on with a training that was interrupted, from its last whole epoch.

    Raises:
        RequestError: there is no such run (404).
    """
    app = open_workspace(home)
    return _run(app.create.resume(run), app)


def _run(result: RunResult, app: App) -> Run:
    model = Model(f"{result.model}@{result.version}", app)
    return Run(result.id, model, result.record["metrics"], result.record)


def model(reference: str, *, home: str | Path | None = None) -> Model:
    """A model of the workspace: ``pets``, ``pets@latest`` or ``pets@3``; verified."""
    app = open_workspace(home)
    return Model(app.create.model(reference).subject, app)


def compare(
    first: str,
    second: str,
    *,
    data: str | Path | None = None,
    home: str | Path | None = None,
) -> dict[str, Any]:
    """Two models on the same examples, which neither has seen.

    Raises:
        ConfigError: their answers cannot be compared.
        DataError: there are no such examples.
    """
    app = open_workspace(home)
    return app.create.compare(first, second, data=None if data is None else Path(data))


def score(
    source: str | Path,
    *,
    model: str,
    out: str | Path,
    label: str | None = None,
    force: bool = False,
    home: str | Path | None = None,
) -> dict[str, Any]:
    """A row for each picture of a folder, zip or table in ``out``: .csv, .jsonl or .parquet.

    The counts that ``mintage score --json`` prints. A run that was interrupted goes on where it
    was; ``force`` replaces a table that is there.

    Raises:
        ConfigError: a table, or rows of another run, are there already.
        DataError: no picture is there.
    """
    app = open_workspace(home)
    return app.deliver.score(source, model, Path(out), label=label, force=force)


def predict(reference: str, path: str | Path, *, home: str | Path | None = None) -> dict[str, Any]:
    """The answer of a model for one file."""
    return model(reference, home=home).predict(path)
