"""A fine-tuning from the conversations to the signed model; it can be interrupted and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.bundle.language import LanguageManifest
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, missing_extra
from mintage.core.files import write_atomic
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Split
from mintage.create import repository
from mintage.create.dataset import Dataset
from mintage.create.language.collect import TASK
from mintage.create.language.reading import read
from mintage.create.language.recipe import KIND, LanguageRecipe
from mintage.create.language.tokens import Encoded
from mintage.create.request import Request
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

try:
    import torch

    from mintage.create.forward import machine
    from mintage.create.language import measuring, minting
    from mintage.create.language.base import Opened, adapted, check_libraries, find, open_base
    from mintage.create.language.tuning import STATE_FILE, Course, Tuning
    from mintage.create.record import libraries
except ImportError as error:
    raise missing_extra("PyTorch", "large") from error

_BASE_FILE = "base.json"
_MEASURED_TOKENS = 4096
_WRITTEN_A_SECOND = 150e6
"""Bytes of weights that are saved, hashed, copied and flushed in a second: 400 MB took 2.7 s on two
cores, which made them too."""


@dataclass(frozen=True)
class LanguageResult:
    """A finished run; ``record`` is ``run.json``."""

    id: str
    model: str
    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> LanguageResult:
        """What a finished run left in its folder."""
        record = read_run_file(folder, RECORD_FILE)
        return cls(record["run"], record["model"], folder, record)

    def to_json(self) -> dict[str, Any]:
        """What ``train --json`` says."""
        names = ("seconds", "evaluation", "interrupted", "stopped_because", "bundle", "report")
        return {"run": self.id, "model": self.model} | {name: self.record[name] for name in names}


class LanguageRun:
    """One fine-tuning; ``run`` names the one that is resumed.

    ``started`` is the workspace's clock at the start of all that ``recipe.seconds`` is for.
    """

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        dataset: Dataset,
        recipe: LanguageRecipe,
        request: Request,
        *,
        progress: Progress,
        should_stop: Callable[[], bool],
        started: float,
        run: str = "",
    ) -> None:
        self.workspace, self.keys, self.dataset = workspace, keys, dataset
        self.recipe, self.request = recipe, request
        self.progress, self.should_stop, self.started = progress, should_stop, started
        self.resumed = run != ""
        self.id = run or new_id("run")
        self.folder = workspace.run_folder(self.id)
        self.used: dict[str, int] = {}
        self._signed: int | None = None

    def execute(self) -> LanguageResult:
        """Train, measure, sign; a failure is recorded as one.

        Raises:
            ConfigError: weights or conversations that cannot be used, or another process is
                training this run.
            DependencyDown: a library is not installed, or the disk is full.
        """
        # Before there is a run: what cannot be begun with leaves nothing behind.
        check_libraries()
        found = find(self.recipe.base, self.progress.say)
        with self.workspace.run_lock(self.id), _seeded(self.recipe):
            self.workspace.database.write(self._begin)
            write_atomic(
                self.folder / RECIPE_FILE,
                canonical_json({"kind": KIND, **self.recipe.to_json()}),
            )
            self.request.write(self.folder)
            try:
                self.progress.start(_("Opening the weights"))
                opened = open_base(self.recipe.base, found)
                minting.tell_where_to_stop(opened, ())
                minting.check_writable(opened, self.folder)
                self._check_same(opened)
                self.progress.finish()
                return self._train(opened)
            except BaseException as error:
                self._end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
                if self._signed is None and (self.folder / STATE_FILE).exists():
                    self.progress.say(
                        _(
                            "What was learned is kept; go on with: mintage train --resume {run}",
                            run=self.id,
                        )
                    )
                raise

    def _train(self, opened: Opened) -> LanguageResult:
        padding = opened.tokenizer.pad_token_id
        longest = min(self.recipe.longest, opened.context)
        encodings = read(self.workspace, self.dataset, opened.tokenizer, longest, self.progress)
        clock = self.workspace.clock.monotonic
        plan = measuring.planned(opened, encodings, self.recipe, clock, self.progress)
        train, validation, test = encodings.train, plan.validation, plan.test
        self.used = {"train": len(train), "validation": len(validation), "test": len(test)}
        base = self._evaluated(opened, test, _("Measuring the first weights"))
        if not math.isfinite(base["loss"]):
            raise ConfigError(
                _("The weights {base} are damaged: they say nothing.", base=self.recipe.base),
                remedy=_("Download them again, or choose others."),
            )
        network = adapted(
            opened.network,
            rank=self.recipe.rank,
            alpha=self.recipe.alpha,
            dropout=self.recipe.dropout,
        )
        self.recipe = self.recipe.for_data(sum(len(each.ids) for each in train))
        course = self._tuned(network, train, validation, padding, plan.end_seconds)
        self.progress.start(_("Merging"))
        shown = sorted(validation, key=lambda each: len(each.ids))[:4]
        opened.network = minting.merged(network, shown, padding)
        self.progress.finish()
        evaluation = {
            "format": 1,
            "task": TASK,
            **self._evaluated(opened, test, _("Measuring what was learned")),
            "base": base,
            "data": {"dataset": self.dataset.reference, "split": "test"},
        }
        minting.tell_where_to_stop(opened, train[:100])
        self.progress.start(_("Writing and signing"))
        minted = self._signed_by_mint(opened, evaluation, course)
        self.progress.finish()
        record = self._record(opened, course, evaluation, minted, encodings.left_out)
        write_atomic(self.folder / RECORD_FILE, json.dumps(record, indent=1).encode())
        self._end("finished")
        return LanguageResult(self.id, record["model"], self.folder, record)

    def _evaluated(self, opened: Opened, test: Sequence[Encoded], title: str) -> dict[str, Any]:
        padding = opened.tokenizer.pad_token_id
        return measuring.evaluated(opened.network, test, padding, title, self.progress)

    def _tuned(
        self,
        network: Any,
        train: Sequence[Encoded],
        validation: Sequence[Encoded],
        padding: int,
        end_seconds: float,
    ) -> Course:
        tuning = Tuning(
            network,
            self.recipe,
            train,
            validation,
            padding,
            folder=self.folder,
            progress=self.progress,
            share=None if self.recipe.seconds is None else self._share(end_seconds),
            should_stop=self.should_stop,
        )
        if self.resumed:
            tuning.resume()
        return tuning.run()

    def _share(self, end_seconds: float) -> Callable[[], float]:
        """How much of the training's time is gone; a resumed run's earlier time counts."""
        clock = self.workspace.clock.monotonic
        used = self.request.used_seconds
        began = clock() - self.started
        whole = max(1e-3, (self.recipe.seconds or 0.0) - used - began - end_seconds)
        earlier = used / (used + whole) if used else 0.0

        def share() -> float:
            gone = (clock() - self.started - began) / whole
            return earlier + (1 - earlier) * gone

        return share

    def _signed_by_mint(
        self, opened: Opened, evaluation: Mapping[str, Any], course: Course
    ) -> minting.Minted:
        mint = minting.LanguageMint(
            self.workspace,
            self.keys,
            self.dataset,
            model=self.request.model,
            run=self.id,
            folder=self.folder,
            signed=self._note_signed,
        )
        manifest = LanguageManifest(
            base=opened.base,
            dataset={"name": self.dataset.name, "version": self.dataset.version},
            recipe={**self.recipe.to_json(), "base": opened.base.name},
            metrics={},
            seed=self.recipe.seed,
            libraries=libraries(),
        )
        notes = [
            _(
                "Low-rank adaptation of rank {rank}, {epochs:.1f} passes over {examples:,} "
                "conversations; it ended because {reason}",
                rank=self.recipe.rank,
                epochs=course.history[-1]["epoch"],
                examples=self.used["train"],
                reason=course.stopped_because or _("the epochs were over"),
            )
        ]
        return mint.strike(opened, manifest, evaluation, notes)

    def _check_same(self, opened: Opened) -> None:
        """Keep which weights these are, or see that they are those that the run began from.

        Raises:
            ConfigError: they are others.
        """
        path = self.folder / _BASE_FILE
        if not (self.resumed and path.exists()):
            write_atomic(path, canonical_json(vars(opened.base)))
        elif json.loads(path.read_bytes())["digest"] != opened.base.digest:
            raise ConfigError(
                _("{base} are not the weights that this run began from.", base=self.recipe.base),
                remedy=_("Bring those back, or train anew."),
            )

    def _record(
        self,
        opened: Opened,
        course: Course,
        evaluation: Mapping[str, Any],
        minted: minting.Minted,
        left_out: Mapping[Split, int],
    ) -> dict[str, Any]:
        return {
            "format": 1,
            "kind": KIND,
            "run": self.id,
            "model": f"{self.request.model}@{minted.number}",
            "dataset": self.dataset.reference,
            "bundle": str(minted.folder),
            "bundle_digest": minted.digest,
            "report": str(self.folder / "report.html") if self.request.report else None,
            "ended_at": self.workspace.now(),
            "machine": machine(),
            "base": vars(opened.base),
            "recipe": self.recipe.to_json(),
            "examples": self.used,
            "left_out": dict(left_out),
            "history": course.history,
            "best_step": course.best_step,
            "stopped_because": course.stopped_because or _("the epochs were over"),
            "evaluation": dict(evaluation),
            "interrupted": course.was_interrupted,
            "seconds": round(
                self.request.used_seconds + self.workspace.clock.monotonic() - self.started, 3
            ),
            "libraries": libraries(),
        }

    def _note_signed(self, number: int) -> None:
        self._signed = number

    def _begin(self, connection: repository.Connection) -> None:
        trained_on, moment = (self.dataset.name, self.dataset.version), self.workspace.now()
        repository.begin_run(connection, self.id, trained_on, moment, resumed=self.resumed)

    def _end(self, status: str) -> None:
        made = None if self._signed is None else (self.request.model, self._signed)
        moment = self.workspace.now()
        self.workspace.database.write(
            lambda connection: repository.end_run(connection, self.id, status, moment, made)
        )


@contextmanager
def _seeded(recipe: LanguageRecipe) -> Iterator[None]:
    """Chance and threads as the recipe says, and as they were afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
