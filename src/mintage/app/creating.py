"""The verbs of creation over one workspace. Torch is loaded by ``train`` and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mintage.app.evaluating import Evaluating
from mintage.core.errors import ConfigError, DataError
from mintage.core.files import write_atomic
from mintage.core.messages import _, current
from mintage.core.progress import Progress, Silent
from mintage.core.units import check_name, format_duration
from mintage.create.dataset import Dataset

if TYPE_CHECKING:
    from mintage.create.run import RunResult


class Creating(Evaluating):
    """From labelled examples to a signed model."""

    def train(
        self,
        reference: str,
        *,
        recipe: str = "auto",
        seconds: float | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        loss: str | None = None,
        model: str | None = None,
        started: float | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Train, keep the best candidate, sign it as the model's next version.

        ``recipe`` is a name (``auto``, ``seed-cnn``, ``compact``, or several with commas) or a
        JSON file written by an earlier run. ``started`` is when the time began, by the
        workspace's monotonic clock (now, if not given).

        Raises:
            ConfigError: a recipe or budget that cannot be.
            DependencyDown: PyTorch is not installed.
        """
        from mintage.create.run import Run  # noqa: PLC0415 - loads torch
        from mintage.create.trials import SHORTEST_SECONDS, Budget  # noqa: PLC0415

        clock = self._workspace.clock
        if seconds is not None and seconds < SHORTEST_SECONDS:
            raise ConfigError(
                _(
                    "{seconds} is too short to train, evaluate and sign a model.",
                    seconds=format_duration(seconds),
                ),
                remedy=_(
                    "The shortest that works is --time {shortest_seconds:.0f}s.",
                    shortest_seconds=SHORTEST_SECONDS,
                ),
            )
        if seconds is not None and epochs is not None:
            raise ConfigError(_("Give a time or a number of epochs, not both."))
        budget = None
        if seconds is not None:
            began = clock.monotonic() if started is None else started
            budget = Budget(seconds, began, clock.monotonic)
        dataset = self.dataset(reference)
        run = Run(
            self._workspace,
            self._keys,
            dataset,
            self._recipe(dataset, recipe, budget, epochs=epochs, seed=seed, loss=loss),
            check_name(model or dataset.name, "model"),
            progress or Silent(),
            should_stop,
            budget,
        )
        result = run.execute()
        self._write_report(result.folder)
        return result

    def _recipe(
        self,
        dataset: Dataset,
        recipe: str,
        budget: Any,
        *,
        epochs: int | None,
        seed: int | None,
        loss: str | None,
    ) -> Any:
        from mintage.create.design import Recipe, design  # noqa: PLC0415 - loads torch

        examples = [e for e in dataset.examples if e.split == "train"]
        if recipe.endswith(".json"):
            try:
                found = Recipe.from_json(json.loads(Path(recipe).read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise ConfigError(
                    _("The recipe {recipe} cannot be read: {error}.", recipe=recipe, error=error)
                ) from error
            if budget is not None:
                found = replace(found, seconds=budget.for_training(), epochs=None)
            if epochs is not None:
                found = replace(found, seconds=None, epochs=epochs)
            if seed is not None:
                found = replace(found, seed=seed)
        else:
            found = design(
                recipe,
                classes=len(dataset.labels),
                examples=len(examples),
                typical_side=int(np.median([min(example.size) for example in examples])),
                seconds=None if budget is None else budget.for_training(),
                epochs=epochs,
                seed=seed or 0,
                threads=self.threads,
            )
        if loss is None:
            return found
        candidates = tuple(replace(candidate, loss=loss) for candidate in found.candidates)
        return replace(found, candidates=candidates)

    def _write_report(self, folder: Path) -> Path:
        """In the reader's language: whoever asks for it again gets it in theirs."""
        from mintage.create.report import render  # noqa: PLC0415 - loads Matplotlib

        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        path = folder / "report.html"
        write_atomic(path, render(record, current()).encode())
        return path

    def report(self, reference: str) -> Path:
        """The report of the run that made a model, written anew.

        Raises:
            DataError: the run's record is gone (the model came from elsewhere).
        """
        folder = self._workspace.run_folder(self.model_row(reference)["run"])
        if not (folder / "run.json").exists():
            raise DataError(
                _("The run of {reference} is not in this workspace.", reference=reference)
            )
        return self._write_report(folder)
