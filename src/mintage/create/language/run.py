"""A fine-tuning from the conversations to the signed model; it can be interrupted and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mintage.bundle.language import LanguageManifest
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, missing_extra
from mintage.core.files import write_atomic
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Split
from mintage.create import repository
from mintage.create.dataset import Dataset
from mintage.create.language.collect import TASK, in_split
from mintage.create.language.recipe import KIND, LanguageRecipe
from mintage.create.language.tokens import Encoded, encode
from mintage.create.request import Request
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file
from mintage.store.workspace import Workspace
from mintage.tasks import language
from mintage.trust.keys import KeyRing

try:
    import torch

    from mintage.create.forward import machine
    from mintage.create.language import minting
    from mintage.create.language.base import Opened, adapted, check_libraries, find, open_base
    from mintage.create.language.tuning import STATE_FILE, Course, Tuning, measured, token_losses
    from mintage.create.record import libraries
except ImportError as error:
    raise missing_extra("PyTorch", "large") from error

_LOOKING_SHARE = 0.25
"""Of the time, what measuring on validation and test data may take."""
_MOST_VALIDATION = 200
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
        train, validation, test, left_out = self._encoded(opened)
        measuring = self._measuring(opened, validation, test, padding)
        validation, test = validation[: measuring.validation], test[: measuring.test]
        self.used = {"train": len(train), "validation": len(validation), "test": len(test)}
        base = self._evaluated(opened.network, test, padding, _("Measuring the first weights"))
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
        course = self._tuned(network, train, validation, padding, measuring.end_seconds)
        self.progress.start(_("Merging"))
        shown = sorted(validation, key=lambda each: len(each.ids))[:4]
        opened.network = minting.merged(network, shown, padding)
        self.progress.finish()
        evaluation = {
            "format": 1,
            "task": TASK,
            **self._evaluated(opened.network, test, padding, _("Measuring what was learned")),
            "base": base,
            "data": {"dataset": self.dataset.reference, "split": "test"},
        }
        minting.tell_where_to_stop(opened, train[:100])
        self.progress.start(_("Writing and signing"))
        minted = self._signed_by_mint(opened, evaluation, course)
        self.progress.finish()
        record = self._record(opened, course, evaluation, minted, left_out)
        write_atomic(self.folder / RECORD_FILE, json.dumps(record, indent=1).encode())
        self._end("finished")
        return LanguageResult(self.id, record["model"], self.folder, record)

    def _encoded(
        self, opened: Opened
    ) -> tuple[list[Encoded], list[Encoded], list[Encoded], dict[Split, int]]:
        """The three splits as tokens, and how many of each were too long, or refused."""
        longest = min(self.recipe.longest, opened.context)
        found: list[list[Encoded]] = []
        left_out: dict[Split, int] = {}
        refused: list[str] = []
        splits: tuple[Split, ...] = ("train", "validation", "test")
        self.progress.start(_("Reading the conversations"))
        for split in splits:
            held = in_split(self.workspace, self.dataset, split)
            kept: list[Encoded] = []
            for each in held:
                try:
                    encoded = encode(opened.tokenizer, each)
                except DataError as error:
                    refused.append(error.message)
                    continue
                if len(encoded.ids) <= longest:
                    kept.append(encoded)
            found.append(kept)
            left_out[split] = len(held) - len(kept)
            if not kept and refused:
                raise DataError(
                    _(
                        "The template of these weights refuses conversations: {reason}.",
                        reason=refused[0],
                    ),
                    remedy=_("Leave out what it refuses, or choose other weights."),
                )
            if not kept:
                raise DataError(
                    _(
                        "No conversation of the {split} data has at most {longest:,} tokens.",
                        split=split,
                        longest=longest,
                    ),
                    remedy=_("Shorten them, or choose weights with a longer context."),
                )
        self.progress.finish()
        if refused:
            self.progress.say(
                _(
                    "{count:,} conversations are left out, which the weights' template refuses: "
                    "{reason}.",
                    count=len(refused),
                    reason=refused[0],
                )
            )
        if sum(left_out.values()) > len(refused):
            self.progress.say(
                _(
                    "{count:,} conversations of more than {longest:,} tokens are left out.",
                    count=sum(left_out.values()) - len(refused),
                    longest=longest,
                )
            )
        train, validation, test = found
        return train, validation, test, left_out

    def _measuring(
        self,
        opened: Opened,
        validation: Sequence[Encoded],
        test: Sequence[Encoded],
        padding: int,
    ) -> _Measuring:
        """How much is measured: all of it, or what a part of the time suffices for.

        Test data is measured twice (before and after), validation data at every look.
        """
        saving = 2.0 + 4 * opened.base.parameters / _WRITTEN_A_SECOND
        most = min(len(validation), _MOST_VALIDATION)
        if self.recipe.seconds is None:
            return self._told(_Measuring(most, len(test), 0.0), validation, test)
        speed = self._tokens_a_second(opened, validation, padding)
        means = [np.mean([len(each.ids) for each in held]) for held in (validation, test)]
        room = _LOOKING_SHARE * self.recipe.seconds * speed
        looked = int(0.5 * room / (means[0] * (self.recipe.looks + 1)))
        tested = int(0.25 * room / means[1])
        counts = max(1, min(most, looked)), max(1, min(len(test), tested))
        end = saving + 1.3 * counts[1] * means[1] / speed + 0.02 * self.recipe.seconds
        return self._told(_Measuring(*counts, float(end)), validation, test)

    def _told(
        self, measuring: _Measuring, validation: Sequence[Encoded], test: Sequence[Encoded]
    ) -> _Measuring:
        """Say where not everything is measured on."""
        if (measuring.validation, measuring.test) != (len(validation), len(test)):
            self.progress.say(
                _(
                    "It is measured on {validation:,} validation and {test:,} test conversations.",
                    validation=measuring.validation,
                    test=measuring.test,
                )
            )
        return measuring

    def _tokens_a_second(self, opened: Opened, examples: Sequence[Encoded], padding: int) -> float:
        """How fast the network reads, once it is warm."""
        device = next(opened.network.parameters()).device
        one = list(examples[:1])
        clock = self.workspace.clock.monotonic
        with torch.inference_mode():
            token_losses(opened.network, one, padding, device)
            began = clock()
            token_losses(opened.network, one, padding, device)
        return len(one[0].ids) / max(clock() - began, 1e-4)

    def _evaluated(
        self, network: Any, test: Sequence[Encoded], padding: int, title: str
    ) -> dict[str, Any]:
        self.progress.start(title, len(test))
        losses, counts, groups = measured(network, test, _MEASURED_TOKENS, padding, self.progress)
        self.progress.finish()
        return language.evaluate(losses, counts, groups)

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


@dataclass(frozen=True)
class _Measuring:
    """How many conversations are measured on, and how long the end takes, in seconds."""

    validation: int
    test: int
    end_seconds: float


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
