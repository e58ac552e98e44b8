"""Steps 5 to 7 in one run: train, evaluate, choose the best, export, sign."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.canonical import canonical_json
from mintage.core.errors import missing_extra
from mintage.core.files import write_atomic
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.create import repository
from mintage.create.dataset import Dataset
from mintage.create.diagnose import NO_TIME, NOT_ASKED, diagnose
from mintage.create.inspect import findings
from mintage.create.request import Request
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

try:
    from mintage.create.ablation import Ablation
    from mintage.create.attribution import explain_examples
    from mintage.create.forward import machine
    from mintage.create.minting import Mint, Minted
    from mintage.create.recipe import Recipe
    from mintage.create.record import best_of, candidate_record, flips_record, why_kept
    from mintage.create.search import Search
    from mintage.create.trials import Budget, Trained, Trials
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

SUSPECTS_SHARE = 0.3
_SHORTEST_SUSPECTS = 5.0
_EXPLAINING_SECONDS, _DIAGNOSING_SECONDS = 20.0, 120.0
_SUSPECTS = 50
_STATES = "checkpoints/**/state.safetensors"
_DOUBTED_BELOW = 0.35


@dataclass(frozen=True)
class RunResult:
    """A finished run; ``record`` is ``run.json``."""

    id: str
    model: str
    version: int
    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> RunResult:
        """What a finished run left in its folder."""
        record = read_run_file(folder, RECORD_FILE)
        model, __, version = record["model"].rpartition("@")
        return cls(record["run"], model, int(version), folder, record)

    def to_json(self) -> dict[str, Any]:
        """What ``train --json`` says."""
        return {
            "run": self.id,
            "model": f"{self.model}@{self.version}",
            "seconds": self.record["seconds"],
            "candidate": self.record["candidate"],
            "metrics": self.record["metrics"],
            "interrupted": self.record["interrupted"],
            "int8": self.record["int8"],
            "bundle": self.record["bundle"],
            "report": self.record["report"],
        }


@dataclass
class Run:
    """One training, from the recipe to the bundle; ``id`` names the run that is resumed."""

    workspace: Workspace
    keys: KeyRing
    dataset: Dataset
    recipe: Recipe
    request: Request
    progress: Progress
    should_stop: Callable[[], bool]
    budget: Budget | None
    speed: float | None = None
    id: str = ""

    def __post_init__(self) -> None:
        """Name the run."""
        self.resumed = self.id != ""
        self.id = self.id or new_id("run")
        self._signed: int | None = None  # the model's version, once it stands
        self._none_left_out: Message | None = None  # why, where doubtful labels were to be
        self.folder = self.workspace.run_folder(self.id)
        self.task = registry.tasks().get(self.dataset.card["task"])
        self.started = self.workspace.clock.monotonic()
        self.used_before = self.request.used_seconds

    def execute(self) -> RunResult:
        """Train every candidate, keep the best, deliver it; a failure is recorded as one.

        Raises:
            ConfigError: another process is training this run.
        """
        with self.workspace.run_lock(self.id):
            self.workspace.database.write(self._begin)
            write_atomic(self.folder / RECIPE_FILE, canonical_json(self.recipe.to_json()))
            # What the start took is gone too, should it be killed.
            self.request = replace(self.request, used_seconds=self._seconds())
            self.request.write(self.folder)
            try:
                return self._deliver(self._train())
            except BaseException as error:
                if self._signed is None and any(self.folder.glob(_STATES)):
                    self.progress.say(
                        _(
                            "What was learned is kept; go on with: mintage train --resume {run}",
                            run=self.id,
                        )
                    )
                # Last, since a disk that is full may refuse this too.
                self._end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
                raise

    def _begin(self, connection: repository.Connection) -> None:
        trained_on, moment = (self.dataset.name, self.dataset.version), self.workspace.now()
        repository.begin_run(connection, self.id, trained_on, moment, resumed=self.resumed)

    def _train(self) -> list[Trained]:
        """Leave out what is suspect, train, and try the cures one by one, as far as asked for."""
        if self.request.drop_suspect and self.request.dropped is None:
            dropped = self._suspect_digests()
            if dropped is not None:
                self.request = replace(self.request, dropped=dropped)
                self.request.write(self.folder)
        self.trials = Trials(
            self.workspace,
            self.dataset,
            self.recipe,
            self.folder,
            self.progress,
            self.should_stop,
            self.budget,
            resume=self.resumed,
            dropped=frozenset(self.request.dropped or ()),
            int8=self.request.int8,
            speed=self.speed,
        )
        self.search = Search(self.trials) if self.recipe.search else None
        ablation = Ablation(self.trials) if self.request.ablate else None
        if ablation is None:
            trained = self.trials.train_all() if self.search is None else self.search.train()
        else:
            trained = ablation.train()
        self.ablation = None if ablation is None else ablation.table()
        return trained

    def _deliver(self, trained: Sequence[Trained]) -> RunResult:
        """Keep the best, sign it, look at it from all sides, write all of it down."""
        best = best_of(trained)
        interrupted = self.should_stop()
        self.progress.start(_("Exporting, evaluating and signing"))
        mint = Mint(self.trials, self.request, self.id, self.keys, self._note_signed)
        minted = mint.strike(best, self.folder)
        self.progress.finish()
        images = self.trials.images(best.candidate)
        record = self._record(trained, best, minted)
        record["suspects"] = self._doubted(minted, images)
        record["explanations"] = self._explained(best, minted, images)
        record["diagnosis"] = self._diagnosis(minted)
        record["interrupted"] = interrupted
        record["seconds"] = round(self._seconds(), 3)
        write_atomic(self.folder / RECORD_FILE, json.dumps(record, indent=1).encode())
        self._end("interrupted" if interrupted else "finished")
        return RunResult(self.id, self.request.model, minted.number, self.folder, record)

    def _note_signed(self, number: int) -> None:
        self._signed = number

    def _time_for(self, share: float, most: float) -> float:
        """Seconds for a look at the finished model: a share of what the report leaves.

        None where somebody waits for the end, or wants no report; ``mintage report`` makes up for
        it, but for maps that need the trained network.
        """
        if self.should_stop() or not self.request.report:
            return 0.0
        if self.budget is None:
            return most
        return max(0.0, min(most, share * (self.budget.left - self._end_seconds)))

    @property
    def _end_seconds(self) -> float:
        """What the record and the report take."""
        if self.budget is None:
            return 0.0
        return self.budget.slowness(self.trials.waiting) + 0.01 * self.budget.seconds

    def _explained(
        self, best: Trained, minted: Minted, images: NDArray[np.uint8]
    ) -> list[dict[str, Any]]:
        """Maps of what speaks for a few answers on validation data, as far as time allows."""
        return explain_examples(
            best.fitted.network,
            best.candidate,
            images,
            self.dataset.examples,
            np.flatnonzero(self.trials.validation()),
            minted.validation[0],
            self.dataset.labels,
            seconds=self._time_for(0.3, _EXPLAINING_SECONDS),
        )

    def _diagnosis(self, minted: Minted) -> dict[str, Any]:
        return diagnose(
            minted.test,
            workspace=self.workspace,
            validation=minted.validation,
            seconds=self._time_for(1.0, _DIAGNOSING_SECONDS),
            progress=self.progress,
            known=minted.found,
            why_not=NO_TIME if self.request.report else NOT_ASKED,
        )

    def _suspect_digests(self) -> tuple[str, ...] | None:
        """Digests of the training examples whose labels other networks contradict.

        None, with the reason said, where that could not be found out.
        """
        from mintage.create import suspects  # noqa: PLC0415 - trains networks of its own

        seconds = None
        if self.budget is not None:  # on a slow machine the end alone needs most of the time
            left = max(0.0, self.budget.for_training(int8=self.request.int8))
            seconds = min(SUSPECTS_SHARE * self.budget.seconds, 0.5 * left)
            shortest = _SHORTEST_SUSPECTS * self.budget.slowness(None)
            if seconds < shortest:  # a pass of each network alone takes longer
                self._leave_none_out(_("no time is left for it"))
                return None
        found = suspects.find(
            self.workspace,
            self.dataset,
            seconds=seconds,
            threads=self.recipe.threads,
            seed=self.recipe.seed,
            progress=self.progress,
            should_stop=self.should_stop,
        )
        if found.why_not is not None:
            self._leave_none_out(found.why_not)
            return None
        positions = suspects.positions_to_drop(found)
        self.progress.say(
            _("{count} examples with a doubtful label are left out.", count=len(positions))
        )
        return tuple(self.dataset.examples[position].sha256 for position in positions)

    def _leave_none_out(self, reason: Message) -> None:
        self._none_left_out = _("No doubtful label is left out: {reason}.", reason=reason)
        self.progress.say(self._none_left_out)

    def _doubted(self, minted: Minted, images: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Examples whose label the kept model doubts most; as many as the time allows."""
        chances: list[NDArray[np.float64]] = []
        began, seconds = self.workspace.clock.monotonic(), self._time_for(0.3, 60.0)
        for start in range(0, len(images), 128):
            if self.workspace.clock.monotonic() - began > seconds:
                break
            logits, __ = minted.test.graph.run(images[start : start + 128])
            chances.append(self.task.probabilities(logits, minted.manifest.temperature))
        if not chances:
            return []
        scored = np.concatenate(chances)
        own = scored[np.arange(len(scored)), self.trials.targets[: len(scored)]]
        return [
            {
                "path": self.dataset.examples[position].path,
                "label": self.dataset.examples[position].label,
                "answer": self.dataset.labels[int(scored[position].argmax())],
                "probability": round(float(own[position]), 6),
            }
            for position in np.argsort(own)[:_SUSPECTS]
            if own[position] < _DOUBTED_BELOW
        ]

    def _record(
        self,
        trained: Sequence[Trained],
        best: Trained,
        minted: Minted,
    ) -> dict[str, Any]:
        return {
            "format": 1,
            "run": self.id,
            "model": f"{self.request.model}@{minted.number}",
            "dataset": self.dataset.reference,
            "bundle": str(self.workspace.model_folder(self.request.model, minted.number)),
            "bundle_digest": minted.digest,
            "report": str(self.folder / "report.html") if self.request.report else None,
            "ended_at": self.workspace.now(),
            "machine": machine(),
            "seed": self.recipe.seed,
            "candidate": best.candidate.name,
            "why_kept": why_kept(trained, best, self.recipe.choose_by, self.search),
            "chosen_by": self.recipe.choose_by,
            "candidates": [candidate_record(each) for each in trained],
            "recipe": self.recipe.to_json(),
            "search": None if self.search is None else self.search.table,
            "skipped": self.trials.skipped,
            "flips": flips_record(best),
            "ablation": self.ablation,
            "dropped": list(self.request.dropped or ()),
            "none_left_out": self._none_left_out,
            "int8": None if minted.int8 is None else minted.int8.to_json(),
            "metrics": dict(minted.manifest.metrics),
            "evaluation": dict(minted.measured),
            "data": findings(self.dataset),
            "libraries": dict(minted.manifest.libraries),
        }

    def _seconds(self) -> float:
        """What the run has taken, all its beginnings together."""
        if self.budget is not None:
            return self.used_before + self.budget.seconds - self.budget.left
        return self.used_before + self.workspace.clock.monotonic() - self.started

    def _end(self, status: str) -> None:
        made = None if self._signed is None else (self.request.model, self._signed)
        moment = self.workspace.now()
        self.workspace.database.write(
            lambda connection: repository.end_run(connection, self.id, status, moment, made)
        )
