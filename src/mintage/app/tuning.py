"""The verbs of language models: collect conversations, fine-tune weights, see how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintage.app.bundles import Bundles
from mintage.bundle.language import CARD_FILE
from mintage.core.errors import ConfigError
from mintage.core.files import write_atomic
from mintage.core.machine import available_cores
from mintage.core.messages import _, current
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.core.units import check_name
from mintage.create.collect import Origin
from mintage.create.dataset import Dataset
from mintage.create.language import collect
from mintage.create.language.recipe import DEFAULT_EPOCHS, HUB, KIND, LanguageRecipe
from mintage.create.request import Request, check_seconds
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file, seconds_used
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

if TYPE_CHECKING:
    from mintage.create.language.run import LanguageResult

SHORTEST_SECONDS = 20.0


class Tuning:
    """Language models of one's own. Torch is loaded by ``train`` and by nothing else."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        settings: Settings,
        bundles: Bundles,
        dataset: Callable[[str], Dataset],
    ) -> None:
        """``dataset`` finds one by its name, verified."""
        self._workspace, self._keys, self._settings = workspace, keys, settings
        self._bundles, self._dataset = bundles, dataset

    def collect(
        self,
        path: Path,
        name: str,
        *,
        strict: bool = False,
        seed: int = 0,
        about: Origin | None = None,
        deidentify: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Dataset:
        """Read a file of conversations into a dataset; the same input gives the same version.

        Personal data of the kinds ``deidentify`` is replaced before anything is kept.

        Raises:
            DataError: too few that can be learned from.
        """
        check_name(name, "dataset")
        return collect.collect(
            self._workspace,
            self._keys,
            path,
            name,
            progress=progress or Silent(),
            strict=strict,
            seed=seed,
            about=about,
            deidentify=deidentify,
        )

    def train(
        self,
        reference: str,
        *,
        recipe: str,
        seconds: float | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        report: bool = True,
        model: str | None = None,
        started: float | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> LanguageResult:
        """Fine-tune weights on conversations, and sign what they became.

        ``recipe`` is ``hub:`` and a folder or a name on the hub, or a TOML file. ``seconds`` are
        from ``started``, by the workspace's monotonic clock, to the signed model; without them and
        without ``epochs`` there are ``DEFAULT_EPOCHS``.

        Raises:
            ConfigError: a dataset, recipe or budget that cannot be.
            DependencyDown: PyTorch, transformers or peft is not installed.
        """
        if self._workspace.sealing is not None:
            raise ConfigError(
                _("Language models of your own are not trained in a sealed workspace."),
                remedy=_(
                    "Their weights are served from files: use a workspace that is not sealed."
                ),
            )
        dataset = self._dataset(reference)
        collect.check_language(dataset)
        shown = progress or Silent()
        asked = self._recipe(recipe, seconds, epochs, seed, shown)
        name = check_name(model or dataset.name, "model")
        request = Request(dataset.reference, name, seconds=asked.seconds, report=report)
        return self._run(dataset, asked, request, shown, should_stop, started)

    def resume(
        self,
        run: Mapping[str, Any],
        *,
        started: float | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> LanguageResult:
        """Go on with an interrupted fine-tuning, from its last look at validation data.

        By epochs its weights are those of one that was never interrupted, on a processor. ``run``
        is its row.

        Raises:
            ConfigError: another process is training it.
            DataError: what it had learned cannot be read.
        """
        from mintage.create.language.run import LanguageResult  # noqa: PLC0415 - loads torch

        folder, shown = self._workspace.run_folder(run["id"]), progress or Silent()
        if (folder / RECORD_FILE).exists():  # also of one that was asked to stop, and signed
            shown.say(_("The run {run} had finished; this is what it made.", run=run["id"]))
            return LanguageResult.read(folder)
        said = read_run_file(folder, RECIPE_FILE)
        recipe = LanguageRecipe.from_json({k: v for k, v in said.items() if k != "kind"})
        request = Request.read(folder)
        request = replace(request, used_seconds=request.used_seconds + seconds_used(folder))
        dataset = self._dataset(request.dataset)
        return self._run(dataset, recipe, request, shown, should_stop, started, run["id"])

    def is_run(self, run: str) -> bool:
        """Whether a run is a fine-tuning of a language model."""
        folder = self._workspace.run_folder(run)
        return (folder / RECIPE_FILE).exists() and (
            read_run_file(folder, RECIPE_FILE).get("kind") == KIND
        )

    def report(self, reference: str) -> Path:
        """The report of the run that made a model, written anew in the reader's language.

        Raises:
            DataError: the run's record is gone (the model came from elsewhere) or damaged.
        """
        return self._write_report(self._bundles.run_folder(reference))

    def card(self, reference: str) -> Path:
        """Where a model's card is."""
        row = self._bundles.row(reference)
        return self._workspace.model_folder(row["name"], row["version"]) / CARD_FILE

    def _write_report(self, folder: Path) -> Path:
        from mintage.create.language.report import render  # noqa: PLC0415 - loads Matplotlib

        path = folder / "report.html"
        record = read_run_file(folder, RECORD_FILE)
        write_atomic(path, render(record, current()).encode())
        return path

    def evaluation(self, reference: str) -> dict[str, Any]:
        """What a signed language model was measured at.

        Raises:
            SignatureMismatch: it is not what was signed.
        """
        bundle = self._bundles.find_language(reference)
        return {"model": bundle.subject, **bundle.evaluation}

    def _recipe(
        self,
        recipe: str,
        seconds: float | None,
        epochs: int | None,
        seed: int | None,
        progress: Progress,
    ) -> LanguageRecipe:
        """What is asked for: weights by name with all else by default, or a recipe's file."""
        if recipe.endswith(".toml") and not recipe.startswith(HUB):
            found = LanguageRecipe.read(Path(recipe))
        elif recipe.startswith(HUB):
            found = LanguageRecipe(recipe.removeprefix(HUB))
        else:
            raise ConfigError(
                _("A language model begins from weights that others trained."),
                remedy=_("Name them: --recipe hub:Qwen/Qwen3-0.6B, or hub: and a folder."),
            )
        if seconds is not None or epochs is not None:
            found = replace(found, seconds=seconds, epochs=epochs)
        _check_time(found.seconds, found.epochs)
        if found.seconds is None and found.epochs is None:
            found = replace(found, epochs=DEFAULT_EPOCHS)
            progress.say(
                _("Without --time it is {epochs} passes over the data.", epochs=DEFAULT_EPOCHS)
            )
        return replace(
            found,
            base=_resolved(found.base.removeprefix(HUB)),
            seed=found.seed if seed is None else seed,
            threads=self._settings.threads or available_cores(),
        )

    def _run(
        self,
        dataset: Dataset,
        recipe: LanguageRecipe,
        request: Request,
        progress: Progress,
        should_stop: Callable[[], bool],
        started: float | None,
        run: str = "",
    ) -> LanguageResult:
        from mintage.create.language.run import LanguageRun  # noqa: PLC0415 - loads torch

        clock = self._workspace.clock.monotonic
        result = LanguageRun(
            self._workspace,
            self._keys,
            dataset,
            recipe,
            request,
            progress=progress,
            should_stop=should_stop,
            started=clock() if started is None else started,
            run=run,
        ).execute()
        if request.report:
            self._write_report(result.folder)
        return result


def _resolved(base: str) -> str:
    """A folder by its whole path, so that a run can go on from anywhere; a name as it is."""
    folder = Path(base).expanduser()
    return str(folder.resolve()) if folder.is_dir() else base


def _check_time(seconds: float | None, epochs: int | None) -> None:
    if seconds is not None and epochs is not None:
        raise ConfigError(_("Give a time or a number of epochs, not both."))
    if seconds is not None:
        check_seconds(seconds, SHORTEST_SECONDS)
