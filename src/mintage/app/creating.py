"""The verbs of creation over one workspace. Torch is loaded by ``train`` and by nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintage.app.names import instead
from mintage.app.reporting import Reporting
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.units import check_name
from mintage.create import repository
from mintage.create.dataset import Dataset
from mintage.create.request import check_seconds
from mintage.create.run_files import RECIPE_FILE, read_run_file, seconds_used

if TYPE_CHECKING:
    from mintage.create.recipe import Recipe
    from mintage.create.run import Run, RunResult
    from mintage.create.trials import Budget


class Creating(Reporting):
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
        search: bool | None = None,
        drop_suspect: bool = False,
        int8: bool = False,
        sure: float | None = None,
        ablate: bool = False,
        report: bool = True,
        model: str | None = None,
        started: float | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Train, keep the best candidate, sign it as the model's next version.

        ``recipe`` is a name (``auto``, ``seed-cnn``, ``compact``, ``hub:`` and a folder or an id,
        or several with commas) or a recipe file (TOML, or JSON written by an earlier run).
        ``seconds`` are from ``started``, by the workspace's monotonic clock (now, if not given),
        to the signed bundle. ``search`` finds the candidate by successive halving (left open: from
        15 minutes on); ``drop_suspect`` leaves doubtful labels out; ``int8`` quantises the graph;
        ``sure`` withholds labels that would be right less often than that; ``ablate`` tries each
        cure against overfitting by itself. Without ``report`` there is none until it is asked for.

        Raises:
            ConfigError: a recipe or budget that cannot be.
            DependencyDown: PyTorch is not installed.
        """
        if seconds is not None and epochs is not None:
            raise ConfigError(_("Give a time or a number of epochs, not both."))
        if ablate and search:
            raise ConfigError(
                _("--ablate tries the cures of one candidate, --search compares many."),
                remedy=_("Leave one of the two out."),
            )
        if sure is not None and not 0.5 < sure < 1:
            raise ConfigError(
                _("--sure is a share between 50 % and 100 %, not {sure:.0%}.", sure=sure)
            )
        from mintage.create.ablation import TRAININGS  # noqa: PLC0415 - loads torch
        from mintage.create.request import Request  # noqa: PLC0415
        from mintage.create.run import SUSPECTS_SHARE, Run  # noqa: PLC0415

        shown = progress or Silent()
        dataset = self.classified(reference)
        name = check_name(model or dataset.name, "model")
        budget = self._budget(seconds, started, looks=report)
        found, speed = self._recipe(
            dataset,
            recipe,
            budget,
            epochs=epochs,
            seed=seed,
            search=False if ablate else search,
            int8=int8,
            share=(1 - SUSPECTS_SHARE if drop_suspect else 1) / (TRAININGS if ablate else 1),
            progress=shown,
        )
        if loss is not None:
            candidates = tuple(replace(candidate, loss=loss) for candidate in found.candidates)
            found = replace(found, candidates=candidates)
        if ablate and len(found.candidates) > 1:
            found = _one_of(found, recipe, shown)
        if budget is None:  # a recipe file may name a time as well
            budget = self._budget(found.seconds, started, looks=report)
        request = Request(
            dataset.reference,
            name,
            seconds=found.seconds,
            drop_suspect=drop_suspect,
            int8=int8,
            sure=sure,
            ablate=ablate,
            speed=speed,
            report=report,
        )
        run = Run(
            self._workspace,
            self._keys,
            dataset,
            found,
            request,
            shown,
            should_stop,
            budget,
            speed,
        )
        return self._finish(run)

    def resume(
        self,
        run: str,
        *,
        started: float | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Go on with a training that was interrupted, from its last whole epoch.

        By epochs its weights are those of a training that was never interrupted; by the clock it
        has the time that it had not used. Of one that had finished, this is the result again.

        Raises:
            RequestError: there is no such run (404).
            ConfigError: another process is training it.
            DataError: what it had learned cannot be read.
        """
        from mintage.create.recipe import Recipe  # noqa: PLC0415 - loads torch
        from mintage.create.request import Request  # noqa: PLC0415
        from mintage.create.run import Run, RunResult  # noqa: PLC0415
        from mintage.create.trials import SHORTEST_SECONDS  # noqa: PLC0415

        row = self.run_row(run)
        folder = self._workspace.run_folder(row["id"])
        shown = progress or Silent()
        if row["status"] == "finished":
            shown.say(_("The run {run} had finished; this is what it made.", run=run))
            return self._reported(RunResult.read(folder))
        request = Request.read(folder)
        recipe = Recipe.from_json(read_run_file(folder, RECIPE_FILE))
        used = request.used_seconds + seconds_used(folder)
        request = replace(request, used_seconds=used)
        budget = None
        if request.seconds is not None:
            left = max(request.seconds - used, SHORTEST_SECONDS)
            budget = self._budget(left, started, looks=request.report)
        resumed = Run(
            self._workspace,
            self._keys,
            self.dataset(request.dataset),
            recipe,
            request,
            shown,
            should_stop,
            budget,
            request.speed,
            id=row["id"],
        )
        return self._finish(resumed)

    def run_row(self, run: str) -> Mapping[str, Any]:
        """What the workspace knows of a run; raises RequestError where there is none (404)."""
        with self._workspace.database.read() as connection:
            row = repository.find_run(connection, run)
            others = repository.unfinished_runs(connection)
        if row is None:
            raise RequestError(
                _("There is no run {run!r}.", run=run),
                remedy=instead(run, others, _("See: mintage list runs")),
                http_status=404,
            )
        return row

    def recipe(
        self,
        reference: str,
        *,
        recipe: str = "auto",
        seconds: float | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        search: bool | None = None,
        progress: Progress | None = None,
    ) -> Recipe:
        """The recipe that ``train`` with the same options would run now, on this machine.

        Raises:
            ConfigError: a recipe or budget that cannot be.
        """
        dataset, budget = self.classified(reference), self._budget(seconds, None)
        shown = progress or Silent()
        return self._recipe(
            dataset, recipe, budget, epochs=epochs, seed=seed, search=search, progress=shown
        )[0]

    def _budget(
        self, seconds: float | None, started: float | None, *, looks: bool = True
    ) -> Budget | None:
        from mintage.create.trials import SHORTEST_SECONDS, Budget  # noqa: PLC0415 - loads torch

        if seconds is None:
            return None
        check_seconds(seconds, SHORTEST_SECONDS)
        clock = self._workspace.clock
        now = clock.monotonic()
        if started is None:
            return Budget(seconds, now, clock.monotonic, looks)
        work = min(time.process_time(), now - started)
        return Budget(seconds, started, clock.monotonic, looks, now - started, work)

    def _recipe(
        self,
        dataset: Dataset,
        recipe: str,
        budget: Budget | None,
        *,
        epochs: int | None,
        seed: int | None,
        search: bool | None,
        progress: Progress,
        int8: bool = False,
        share: float = 1.0,
    ) -> tuple[Recipe, float | None]:
        """The recipe, and this machine's speed where it was measured.

        ``share`` is what one training gets of the time for all that is asked for.
        """
        from mintage.create.design import (  # noqa: PLC0415 - loads torch
            SEARCH_FROM_SECONDS,
            data_of,
            default_epochs,
            design,
            why_epochs,
        )
        from mintage.create.recipe_file import is_file, read  # noqa: PLC0415

        if is_file(recipe):
            found = read(Path(recipe))
            if budget is not None:
                found = replace(found, seconds=budget.seconds, epochs=None)
            if epochs is not None:
                found = replace(found, seconds=None, epochs=epochs)
            if search is not None:
                found = replace(found, search=search)
            if found.seconds is None and found.epochs is None:
                size = data_of(dataset).examples
                longest = max(default_epochs(each.network, size) for each in found.candidates)
                found = replace(found, epochs=longest)
            found = _searching(found, found.search, progress)
            speed = self._speed(found.seconds, progress) if found.search else None
            return (found if seed is None else replace(found, seed=seed)), speed
        data = data_of(dataset)
        if search is None and budget is not None:  # of the time that was said, not what is left
            search = recipe == "auto" and budget.seconds >= SEARCH_FROM_SECONDS
        speed = self._speed(None if budget is None else budget.seconds, progress)
        found = design(
            recipe,
            data=data,
            seconds=None if budget is None else max(1.0, share * budget.for_training(int8=int8)),
            epochs=epochs,
            seed=seed or 0,
            threads=self.threads,
            speed=speed or 1.0,
            search=search,
            backbone=self._settings.backbone,
            say=progress.say,
        )
        if budget is None and epochs is None:
            progress.say(why_epochs(found, data))
        found = _searching(found, search, progress)
        return (found if budget is None else replace(found, seconds=budget.seconds)), speed

    def _speed(self, seconds: float | None, progress: Progress) -> float | None:
        """How fast this machine trains, where time is what there is so much of."""
        from mintage.create import probe  # noqa: PLC0415 - loads torch

        if seconds is None:
            return None
        progress.start(_("Measuring how fast this machine trains"))
        try:
            return probe.measure(self.threads, probe.seconds_for(seconds))
        finally:
            progress.finish()

    def _finish(self, run: Run) -> RunResult:
        return self._reported(run.execute())

    def _reported(self, result: RunResult) -> RunResult:
        if result.record["report"] is not None:
            self.write_report(result.folder)
        return result


def _searching(found: Recipe, asked: bool | None, progress: Progress) -> Recipe:
    """The recipe without a search, where there is nothing to search among; it is said."""
    if not asked or len(found.candidates) > 1:
        return found
    name = found.candidates[0].name
    progress.say(_("There is nothing to search among: {name} is the only candidate.", name=name))
    return replace(found, search=False)


def _one_of(found: Recipe, asked: str, progress: Progress) -> Recipe:
    """The recipe with the one candidate whose cures are to be tried: of ``auto``'s the largest.

    Raises:
        ConfigError: several were asked for by name.
    """
    if asked != "auto":
        raise ConfigError(
            _("An ablation takes one candidate, not {count}.", count=len(found.candidates)),
            remedy=_("Name it: --recipe compact, or --recipe seed-cnn; of a file leave one in it."),
        )
    chosen = next(
        (each for each in found.candidates if each.network != "seed-cnn"), found.candidates[0]
    )
    progress.say(_("The cures of {name} are tried one by one.", name=chosen.name))
    return replace(found, candidates=(chosen,), search=False)
