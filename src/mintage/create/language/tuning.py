"""Step 5 for language models: low-rank adaptation, by the clock or by epochs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import cross_entropy

from mintage.core.errors import DataError
from mintage.core.files import write_atomic
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.create import chance
from mintage.create.language.recipe import LanguageRecipe
from mintage.create.language.tokens import Encoded, batches
from mintage.modalities.safe_tensors import check_file

STATE_FILE: Final = "state.safetensors"
_DOCUMENT = "mintage"
_CLIP = 1.0
_UNREADABLE = (
    OSError,
    SafetensorError,
    DataError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
)


@dataclass
class Course:
    """How far a training is, and what it had reached at each look; kept beside its weights."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Of the epoch, the next one."""
    best_step: int = 0
    best_loss: float = math.inf
    since_better: int = 0
    stopped_because: str = ""
    was_interrupted: bool = False
    used_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Tuning:
    """Trains a network's adapters in place.

    ``share`` says how much of the training's time is gone, from 0 to 1, where it goes by the
    clock; None where it goes by epochs. After ``run`` the network has the weights that were best
    on validation data.
    """

    def __init__(
        self,
        network: Any,
        recipe: LanguageRecipe,
        train: Sequence[Encoded],
        validation: Sequence[Encoded],
        padding: int,
        *,
        folder: Path,
        progress: Progress,
        share: Callable[[], float] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.network, self.recipe = network, recipe
        self.train, self.validation, self.padding = train, validation, padding
        self.progress, self.share, self.should_stop = progress, share, should_stop
        self.state = folder / STATE_FILE
        self.batch_tokens = recipe.for_data(sum(len(each.ids) for each in train)).batch_tokens or 1
        self.steps_an_epoch = len(list(batches(train, self.batch_tokens)))
        self.steps = (recipe.epochs or 0) * self.steps_an_epoch
        self.course = Course()
        self.learned = {
            name: each for name, each in network.named_parameters() if each.requires_grad
        }
        self.best = self._weights()
        self.optimiser = torch.optim.AdamW(
            self.learned.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.device = next(iter(self.learned.values())).device

    def resume(self) -> bool:
        """Go on from the last look of an interrupted training; False where there was none.

        Raises:
            DataError: what it had learned cannot be read.
        """
        if not self.state.exists():
            return False
        try:
            check_file(self.state, finite=False)
            with safe_open(self.state, framework="pt") as tensors:
                said = json.loads(tensors.metadata()[_DOCUMENT])
                held = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - no dict
            self.course = Course(**said)
            with torch.no_grad():
                for name, each in self.learned.items():
                    each.copy_(held[f"now.{name}"])
                    self.best[name] = held[f"best.{name}"]
                    self.optimiser.state[each] = {
                        "step": held[f"step.{name}"],
                        "exp_avg": held[f"mean.{name}"].to(self.device),
                        "exp_avg_sq": held[f"square.{name}"].to(self.device),
                    }
            chance.restore(held)
        except _UNREADABLE as error:
            raise DataError(
                _("What the run had learned cannot be read: {file} is damaged.", file=STATE_FILE),
                remedy=_("Train again: what it had learned is lost."),
            ) from error
        return True

    def run(self) -> Course:
        """Train until the time or the epochs are over, or nothing gets better any more."""
        course = self.course
        if not course.history:
            self._look(None)
        self.progress.start(_("Training"), 1.0)
        lost: list[float] = []
        looks = math.floor(self._done() * self.recipe.looks)
        self.network.train()
        # One that was killed after its last look has nothing more to learn.
        for batch in () if course.step and self._is_over() else self._batches():
            lost.append(self._step(batch))
            done = self._done()
            if done >= (looks + 1) / self.recipe.looks or done >= 1 or self.should_stop():
                looks = math.floor(done * self.recipe.looks)
                self._look(float(np.mean(lost)))
                lost = []
                if self._is_over():
                    break
            self.progress.advance(min(1.0, done), self._note())
        self.progress.finish()
        with torch.no_grad():
            for name, each in self.learned.items():
                each.copy_(self.best[name])
        return course

    def _batches(self) -> Iterator[list[Encoded]]:
        """From where the training is, epoch after epoch, without an end where the clock ends it."""
        course = self.course
        while self.share is not None or course.epoch < (self.recipe.epochs or 0):
            # NumPy's and torch's generators are not asked: an epoch's order is its own.
            chance = random.Random(f"{self.recipe.seed}:{course.epoch}")  # noqa: S311
            made = list(batches(self.train, self.batch_tokens, chance))
            for batch in made[course.batch :]:
                course.batch += 1
                if course.batch == len(made):
                    course.epoch, course.batch = course.epoch + 1, 0
                yield batch

    def _step(self, batch: Sequence[Encoded]) -> float:
        """One update; the mean loss of a token before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * self._rate(self._done())
        losses, counts = token_losses(self.network, batch, self.padding, self.device)
        loss = losses.sum() / counts.sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learned.values(), _CLIP)
        self.optimiser.step()
        self.course.step += 1
        return float(loss.detach())

    def _rate(self, done: float) -> float:
        """The share of the learning rate: up in a line, down as half a cosine."""
        if done < self.recipe.warmup:
            return max(0.02, done / self.recipe.warmup)
        gone = (done - self.recipe.warmup) / (1 - self.recipe.warmup)
        return max(0.0, 0.5 * (1 + math.cos(math.pi * min(1.0, gone))))

    def _done(self) -> float:
        """How much of the training is over, from 0 to 1."""
        return self.course.step / self.steps if self.share is None else self.share()

    def _look(self, train_loss: float | None) -> None:
        """See what validation data says; keep the weights if they are the best, and the state."""
        course = self.course
        losses, counts, __ = measured(
            self.network, self.validation, self.batch_tokens, self.padding
        )
        loss = float(losses.sum() / counts.sum())
        course.history.append(
            {
                "step": course.step,
                "epoch": round(course.epoch + course.batch / self.steps_an_epoch, 3),
                "train_loss": train_loss,
                "validation_loss": loss if math.isfinite(loss) else None,
            }
        )
        course.since_better += 1
        if loss < course.best_loss:
            course.best_loss, course.best_step, course.since_better = loss, course.step, 0
            self.best = self._weights()
        if course.step:
            self._keep()
        self.network.train()

    def _is_over(self) -> bool:
        course = self.course
        if self.should_stop():
            course.stopped_because, course.was_interrupted = _("it was interrupted"), True
        elif self._done() >= 1:
            course.stopped_because = (
                _("the epochs were over") if self.share is None else _("the time was over")
            )
        elif course.since_better >= self.recipe.patience:
            course.stopped_because = _("validation data got no better any more")
        return course.stopped_because != ""

    def _keep(self) -> None:
        held = chance.states()
        for name, each in self.learned.items():
            state = self.optimiser.state[each]
            held |= {
                f"now.{name}": each.detach().cpu().contiguous(),
                f"best.{name}": self.best[name].contiguous(),
                f"step.{name}": state["step"],
                f"mean.{name}": state["exp_avg"].cpu(),
                f"square.{name}": state["exp_avg_sq"].cpu(),
            }
        write_atomic(self.state, save(held, {_DOCUMENT: json.dumps(vars(self.course))}))

    def _weights(self) -> dict[str, Tensor]:
        return {name: each.detach().to("cpu", copy=True) for name, each in self.learned.items()}

    def _note(self) -> Message:
        last = self.course.history[-1]["validation_loss"]
        return _(
            "epoch {epoch}  validation loss {loss}",
            epoch=self.course.epoch + 1,
            loss="-" if last is None else f"{last:.3f}",
        )


def token_losses(
    network: Any, batch: Sequence[Encoded], padding: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Each conversation's summed loss over its answers' tokens, and how many those are.

    float[N] in nats and int[N].
    """
    longest = max(len(each.ids) for each in batch)
    ids = torch.full((len(batch), longest), padding)
    learned = torch.zeros((len(batch), longest), dtype=torch.bool)
    mask = torch.zeros((len(batch), longest), dtype=torch.long)
    for row, each in enumerate(batch):
        ids[row, : len(each.ids)] = torch.tensor(each.ids)
        learned[row, : len(each.ids)] = torch.tensor(each.learned)
        mask[row, : len(each.ids)] = 1
    ids, learned, mask = ids.to(device), learned[:, 1:].to(device), mask.to(device)
    logits = network(input_ids=ids, attention_mask=mask).logits[:, :-1]
    # Of the vocabulary's width only where something is learned: most of a prompt is not.
    found = cross_entropy(logits[learned].float(), ids[:, 1:][learned], reduction="none")
    # Spread out and summed by row: adding by index would take its own order on a GPU each time.
    spread = torch.zeros(learned.shape, device=device).masked_scatter(learned, found)
    return spread.sum(dim=1), learned.sum(dim=1)


def measured(
    network: Any,
    examples: Sequence[Encoded],
    batch_tokens: int,
    padding: int,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """``token_losses`` of all examples, without learning: float64[N], int64[N], their groups."""
    network.eval()
    device = next(network.parameters()).device
    sums, counts, groups = [], [], []
    done = 0
    with torch.inference_mode():
        for batch in batches(examples, batch_tokens):
            lost, counted = token_losses(network, batch, padding, device)
            sums.append(lost.double().cpu().numpy())
            counts.append(counted.cpu().numpy())
            groups += [each.group for each in batch]
            done += len(batch)
            if progress is not None:
                progress.advance(done)
    return np.concatenate(sums), np.concatenate(counts), groups
