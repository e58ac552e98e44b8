"""Successive halving: many candidates for a short time each, the better half for longer.

Jamieson and Talwalkar 2016. Each round trains anew with a whole schedule of its own, so that
every learning rate has run down when candidates are compared; the one that is left gets what
remains of the time, which is most of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2, sqrt
from typing import Any

from mintage.core.messages import _
from mintage.core.units import format_duration
from mintage.create.recipe import Candidate
from mintage.create.trials import Trained, Trials

ROUNDS_SHARE = 1 / 4
"""Of the time, for all rounds together."""
_PASSES_A_ROUND = 8
"""After fewer a comparison says which candidate learns fast, not which becomes good."""


@dataclass
class Search:
    """The rounds of one run: ``table`` says what each candidate reached in each of them."""

    trials: Trials
    table: list[dict[str, Any]] = field(default_factory=list)

    def train(self) -> list[Trained]:
        """Halve the candidates until one is left, and train that one for the rest.

        Raises:
            ConfigError: none could be trained.
        """
        trials = self.trials
        total = None if trials.budget is None else trials.share(trials.recipe.candidates[:1])
        left = self._as_many_as_fit(total)
        rounds = _rounds(left)
        reached: list[Trained] = []
        for number in range(1, rounds + 1):
            seconds = None if total is None else ROUNDS_SHARE * total / rounds / len(left)
            reached = trials.some(self._round(number, rounds, left, seconds) or reached)
            reached = self._ranked(reached)
            left = [each.candidate for each in reached[: max(1, len(reached) // 2)]]
            for row in self.table:
                if row["round"] == number:
                    row["kept"] = row["name"] in {each.name for each in left}
            if len(left) == 1 or trials.should_stop():
                break
        winner = left[0]
        trials.progress.say(_("{name} is trained for the rest of the time.", name=winner.name))
        final = trials.attempt(winner, lambda: trials.share([winner]))
        return trials.some(reached if final is None else [final])

    def _ranked(self, reached: list[Trained]) -> list[Trained]:
        """The best first; of those that chance may have put in order, as the recipe has them.

        A recipe has the table's choice, which was measured at its full length, before its
        neighbours: short rounds favour what learns fast. The yardstick comes last.
        """
        best = max(each.score for each in reached)
        examples = max(1, len(reached[0].fitted.validation_labels))
        as_good = best - sqrt(best * (1 - best) / examples)
        order = [each.name for each in self.trials.recipe.candidates]

        def key(each: Trained) -> tuple[bool, float, float]:
            if each.score < as_good:
                return True, -each.score, each.fitted.validation_loss
            return False, each.candidate.network == "seed-cnn", order.index(each.candidate.name)

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

        The last of the recipe are skipped first, with their reason; one is left.
        """
        left = list(self.trials.recipe.candidates)
        while seconds is not None and len(left) > 1:
            share = ROUNDS_SHARE * seconds / _rounds(left) / len(left)
            costs = {each.name: self.trials.seconds_a_pass(each) or 0.0 for each in left}
            slow = [each for each in left if costs[each.name] * _PASSES_A_ROUND > share]
            if not slow:
                break
            left.remove(slow[-1])
            self.trials.skip(
                slow[-1],
                _(
                    "its share of a round is {share}, and one pass over the data takes it {cost}.",
                    share=format_duration(share),
                    cost=format_duration(costs[slow[-1].name]),
                ),
            )
        return left


def _rounds(candidates: list[Candidate]) -> int:
    return max(1, ceil(log2(len(candidates))))
