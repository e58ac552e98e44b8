"""Successive halving: many candidates for a short time each, the better half for longer.

Jamieson and Talwalkar 2016. Each round trains anew with a whole schedule of its own, so that
every learning rate has run down when candidates are compared; the one that is left gets what
remains of the time, which is most of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.messages import _
from mintage.core.units import format_duration
from mintage.create.recipe import Candidate
from mintage.create.trials import Trained, Trials

ROUNDS_SHARE = 1 / 4
"""Of the time, for all rounds together."""
_PASSES_A_ROUND = 8
"""After fewer a comparison says which candidate learns fast, not which becomes good."""
_TELLING_PASSES = 4
"""After fewer it says nothing at all."""


@dataclass
class Search:
    """The rounds of one run: ``table`` says what each candidate reached in each of them.

    ``too_slow`` says that the machine did not get far enough in a round to tell candidates apart.
    """

    trials: Trials
    table: list[dict[str, Any]] = field(default_factory=list)
    too_slow: bool = False

    def train(self) -> list[Trained]:
        """Halve the candidates until one is left, and train that one for the rest.

        Raises:
            ConfigError: none could be trained.
        """
        trials = self.trials
        total = None if trials.budget is None else trials.share(trials.recipe.candidates[:1])
        left = self._as_many_as_fit(total)
        rounds = _rounds(len(left)) if len(left) > 1 else 0
        if trials.skipped:  # which, and why, stands beside the result
            trials.progress.say(
                _(
                    "{count} candidates are compared, for {others} more the time is too short.",
                    count=len(left),
                    others=len(trials.skipped),
                )
                if rounds
                else _("The time is too short for a search: one candidate is trained.")
            )
        reached: list[Trained] = []
        for number in range(1, rounds + 1):
            seconds = None if total is None else ROUNDS_SHARE * total / rounds / len(left)
            reached = trials.some(self._round(number, rounds, left, seconds) or reached)
            self.too_slow = any(map(_hardly_begun, reached)) and not trials.should_stop()
            reached = self._ranked(reached)
            going_on = 1 if self.too_slow else max(1, len(reached) // 2)
            left = [each.candidate for each in reached[:going_on]]
            for row in self.table:
                if row["round"] == number:
                    row["kept"] = row["name"] in {each.name for each in left}
            if len(left) == 1 or trials.should_stop():
                break
        if reached and trials.should_stop():  # what the rounds taught is more than a new beginning
            return reached
        winner = left[0]
        trials.progress.say(_("{name} is trained for the rest of the time.", name=winner.name))
        final = trials.attempt(winner, lambda: trials.share([winner]))
        return trials.some(reached if final is None else [final])

    def _preferred(self) -> list[Candidate]:
        """The likeliest to be good first: as the recipe has them, but the yardstick last.

        Pretrained weights come before all, then the table's choice, which was measured at its
        full length, then its neighbours.
        """
        places = {"hub": 0, "seed-cnn": 2}
        return sorted(self.trials.recipe.candidates, key=lambda each: places.get(each.network, 1))

    def _ranked(self, reached: list[Trained]) -> list[Trained]:
        """The best first; of those that chance may have put in order, the likeliest to be good.

        Short rounds favour what learns fast.
        """
        best = max(each.score for each in reached)
        as_good = best - _standard_error(best, reached[0].fitted.validation_labels)
        order = [each.name for each in self._preferred()]

        def key(each: Trained) -> tuple[bool, float, float]:
            if each.score < as_good and not self.too_slow:
                return True, -each.score, each.fitted.validation_loss
            return False, order.index(each.candidate.name), 0.0

        return sorted(reached, key=key)

    def _round(
        self, number: int, rounds: int, candidates: list[Candidate], seconds: float | None
    ) -> list[Trained]:
        trials = self.trials
        epochs = None
        if seconds is None and trials.recipe.epochs is not None:
            epochs = max(1, trials.recipe.epochs // 2 ** (rounds - number + 1))
        found: list[Trained] = []
        for candidate in candidates:
            if found and trials.should_stop():
                break
            if found and trials.is_too_late_for(candidate):
                continue
            trained = trials.attempt(
                candidate, lambda: seconds, epochs=epochs, stage=f"round-{number}"
            )
            if trained is None:
                continue
            found.append(trained)
            self.table.append(
                {
                    "round": number,
                    "name": candidate.name,
                    "score": trained.score,
                    "validation_loss": trained.fitted.validation_loss,
                    "epochs": trained.fitted.epochs,
                    "seconds": round(trained.fitted.seconds, 3),
                    "kept": False,
                }
            )
        return found

    def _as_many_as_fit(self, seconds: float | None) -> list[Candidate]:
        """The candidates of the first round, each of which gets time enough to be compared.

        The least likely are skipped first, with their reason; one is left.
        """
        left = self._preferred()
        costs = {each.name: self.trials.seconds_a_pass(each) or 0.0 for each in left}
        while seconds is not None and len(left) > 1:
            share = ROUNDS_SHARE * seconds / _rounds(len(left)) / len(left)
            if _PASSES_A_ROUND * max(costs[each.name] for each in left) <= share:
                break
            last = left.pop()
            self.trials.note_skipped(
                last,
                _(
                    "in {time} no more candidates can be compared, of which each needs {passes} "
                    "passes over the data; those that are likelier to be good come first.",
                    time=format_duration(ROUNDS_SHARE * seconds),
                    passes=_PASSES_A_ROUND,
                ),
            )
        return left


def _rounds(candidates: int) -> int:
    """How often so many can be halved."""
    return max(1, candidates.bit_length() - 1)


def _hardly_begun(each: Trained) -> bool:
    """Whether other work on the machine left it far fewer passes than were planned.

    Of pretrained weights no passes are planned: they know something from the start.
    """
    cut_short = each.fitted.stopped_because == "time" and each.candidate.network != "hub"
    return cut_short and each.fitted.epochs < _TELLING_PASSES


def _standard_error(score: float, labels: NDArray[np.int64]) -> float:
    """Of a mean over the classes of what was right of each; that of accuracy, where all are even.

    ``labels`` are int64[V] of the validation data.
    """
    counts = np.unique_counts(labels).counts
    return float(sqrt(score * (1 - score) * (1 / counts).sum()) / len(counts))
