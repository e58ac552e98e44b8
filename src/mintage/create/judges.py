"""The networks that judge labels: small, soon trained, asked about what they never saw.

The one place where suspects meet training: a candidate, ``fit`` and ``evaluate``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import missing_extra

try:
    import torch

    from mintage.create import probe
    from mintage.create.design import SIZES, compact, compact_ms, sized
    from mintage.create.forward import EVALUATION_BATCH, answers, evaluate
    from mintage.create.losses import probabilities
    from mintage.create.pace import ThreadKeeper, TrainProgress, computing_with
    from mintage.create.recipe import Candidate
    from mintage.create.train import fit
    from mintage.modalities.image.augment import Augmentation
    from mintage.modalities.image.networks import PictureNetwork
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

Pixels = NDArray[np.uint8]
Positions = NDArray[np.int64]

SMALLEST = SIZES[0].side
_FEW = 64
# Whether mirror images are the same thing is found out first, on pictures of half the side. Of
# what that teaches, mirroring may cost this share. Of photographs of cats and dogs it cost -0.3
# to 0.0 left to right and 1.0 to 3.7 upside down, when 7 to 17 % of all there is to learn was
# learned (6 runs of 6 passes).
_TRIAL_EXAMPLES = 1000
_ENOUGH, _MAY_COST = 0.04, 0.3
_ACROSS, _DOWN = 3, 2  # axes of [N, C, H, W]
_EDGE = 14  # the middle leaves this part of the side out, all round


def by_passes(examples: int, passes: int, side: int, *, uneven: bool) -> Candidate:
    """What is trained where there is time for so many passes: pictures of up to this side.

    Narrow, which learns most in little time (``design.SIZES``).
    """
    narrow = [size for size in SIZES if size.width < 1]
    fitting = [size for size in narrow if size.side <= side] or narrow[:1]
    return _judging(sized(fitting[-1], examples, passes), uneven=uneven)


def by_clock(examples: int, seconds: float, speed: float, side: int, *, uneven: bool) -> Candidate:
    """What learns most in so many seconds, on pictures of up to this side."""
    found = compact(examples=examples, typical_side=side, seconds=seconds, speed=speed)
    return _judging(found, uneven=uneven)


def _judging(chosen: Candidate, *, uneven: bool) -> Candidate:
    """The last weights are kept: the best could be told by labels alone that are to be judged."""
    weights = "balanced" if uneven else "none"
    return replace(chosen, name="suspects", restore_best_weights=False, class_weights=weights)


def machine_speed(threads: int, seconds: float) -> float:
    """How long this machine takes for what the table's takes a second for."""
    return probe.measure(threads, probe.seconds_for(seconds))


def milliseconds(chosen: Candidate, speed: float) -> float:
    """For an example trained on."""
    return speed * compact_ms(chosen)


def trial_of(chosen: Candidate) -> Candidate:
    """What is trained to ask about mirror images: it sees none, and half the side where it can.

    It is lightly changed, since a few passes have to teach it something.
    """
    halved = chosen.input_size // 2 if chosen.input_size >= 2 * SMALLEST else chosen.input_size
    return replace(
        chosen,
        input_size=halved,
        training_sides=() if halved < chosen.input_size else chosen.training_sides,
        augmentation=Augmentation(flips="none"),
    )


@dataclass(frozen=True)
class Trainer:
    """Trains networks on ``images`` uint8[N, S, S, 3] and their ``targets`` int64[N]."""

    images: Pixels
    targets: NDArray[np.int64]
    threads: int
    seed: int
    folder: Path
    should_stop: Callable[[], bool]

    def fit(
        self,
        chosen: Candidate,
        learned: Positions,
        name: str,
        *,
        passes: int,
        seconds: float | None,
        until: float | None = None,
        progress: Callable[[TrainProgress], None] = lambda __: None,
    ) -> PictureNetwork:
        """A network trained for so many passes, or by the clock where seconds are given.

        ``until``, by ``time.monotonic()``, ends it before its passes: it may be slower than was
        thought.
        """

        def should_stop() -> bool:
            return self.should_stop() or (until is not None and time.monotonic() >= until)

        return fit(
            chosen,
            self.images,
            self.targets,
            learned,
            _spread(learned, _FEW),  # nothing is chosen by what is validated
            seconds=seconds,
            epochs=None if seconds is not None else passes,
            seed=self.seed,
            threads=self.threads,
            checkpoint_folder=self.folder / name,
            progress=progress,
            should_stop=should_stop,
        ).network

    def ask(
        self, network: PictureNetwork, chosen: Candidate, asked: Positions
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Probabilities float32[M, k] of all views together, and features float32[M, D].

        None where it was stopped.

        Views are the whole picture and its middle, as they are and mirrored where that shows the
        same thing. Photographs of cats and dogs: whole 86.2 % right, mirrored as well 87.1 %, the
        middle as well 87.8 % (one run).
        """
        edge = self.images.shape[1] // _EDGE
        views = (self.images, self.images[:, edge:-edge, edge:-edge])
        chances, features = [], []
        keeper = ThreadKeeper(self.threads)
        with computing_with(self.threads):
            for start in range(0, len(asked), EVALUATION_BATCH):
                if self.should_stop():
                    return None
                few = asked[start : start + EVALUATION_BATCH]
                found = [
                    evaluate(network, chosen, view, few, computed_in=chosen.precision)
                    for view in views
                ]
                logits = torch.stack([each for each, __ in found]).mean(dim=0)
                chances.append(probabilities(logits).numpy())
                features.append(found[0][1].numpy())
                keeper.after_step()
        return np.concatenate(chances), np.concatenate(features)

    def same_mirrored(
        self,
        chosen: Candidate,
        learned: Positions,
        asked: Positions,
        *,
        passes: int,
        seconds: float | None,
        until: float | None = None,
        progress: Callable[[TrainProgress], None] = lambda __: None,
    ) -> str:
        """Which mirror images show the same thing, as recipes name it; none if nobody can tell.

        A network that saw no mirror images is asked about what it did not see, as it is and
        mirrored.
        """
        trial = trial_of(chosen)
        step = chosen.input_size // trial.input_size
        trainer = replace(self, images=self.images[:, ::step, ::step])
        network = trainer.fit(
            trial, learned, "trial", passes=passes, seconds=seconds, until=until, progress=progress
        )
        asked = _spread(asked, _TRIAL_EXAMPLES)
        plain = trainer.loss(network, trial, asked)
        shares = np.bincount(self.targets[asked]) / len(asked)
        ignorant = float(-(shares * np.log(np.maximum(shares, 1e-9))).sum())
        if ignorant - plain < _ENOUGH * ignorant:
            return "none"
        across, down = (
            trainer.loss(network, trial, asked, axis) - plain <= _MAY_COST * (ignorant - plain)
            for axis in (_ACROSS, _DOWN)
        )
        if across:
            return "both" if down else "horizontal"
        return "vertical" if down else "none"

    def loss(
        self, network: PictureNetwork, chosen: Candidate, asked: Positions, *axes: int
    ) -> float:
        """Mean negative log-likelihood in nats of pictures mirrored along these axes."""
        logits = answers(network, chosen, self.images, asked, flip=axes)
        chances = probabilities(logits.float()).numpy()
        own = chances[np.arange(len(asked)), self.targets[asked]]
        return float(-np.log(np.maximum(own, 1e-9)).mean())


def _spread(positions: Positions, count: int) -> Positions:
    """So many of them, evenly."""
    return positions[:: max(1, len(positions) // count)][:count]
