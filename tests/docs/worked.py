"""The numbers that the documents work out, computed by the code that they speak of.

A page writes ``<!-- worked: name(arguments) = results -->`` beside the visible numbers; ``name`` is
looked up in ``FUNCTIONS``. Each function here only shapes arguments and results: what computes is
Mintage's own code.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mintage.bundle.novelty import Detector
from mintage.capture import keys
from mintage.core.money import Money, Price
from mintage.core.registry import tasks
from mintage.create import design, losses, optimise, splits
from mintage.create.forward import scaled
from mintage.create.recipe import Candidate
from mintage.modalities.image import networks, similarity
from mintage.modalities.image.networks import Compact, SeedCNN
from mintage.tasks import metrics
from mintage.trust import merkle
from mintage.trust.tiles import Tiles

CLASS = tasks().get("class")


def split_rank(group: str, seed: int) -> str:
    """The first digits of what a group is ranked by."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:4]


def held_out_groups(groups: str, seed: int) -> tuple[str, ...]:
    drawn, __ = splits.draw(list(groups), ["one"] * len(groups), seed)
    return tuple(group for group, split in zip(groups, drawn, strict=True) if split == "test")


def near_duplicate_chance(different_bits: int) -> float:
    """That at least one band of the hash agrees; a band samples bits without replacement."""
    same = 256 - different_bits
    agrees = math.prod((same - k) / (256 - k) for k in range(similarity._BITS_A_BAND))
    return 1 - (1 - agrees) ** similarity._BANDS


def normalised(pixel: int, channel: int) -> float:
    candidate = design.compact(examples=4000, typical_side=112)
    pixels = torch.full((1, 3, 1, 1), float(pixel))
    return float(scaled(pixels, candidate)[0, channel, 0, 0])


def seed_shapes() -> tuple[int, int, int]:
    """Side after the convolution, side after pooling, numbers that reach the dense layer."""
    maps = SeedCNN(2).convolution(torch.zeros(1, 3, SeedCNN.SIDE, SeedCNN.SIDE))
    pooled = nn.functional.max_pool2d(maps, 2)
    return maps.shape[-1], pooled.shape[-1], pooled[0].numel()


def compact_stem_sides(side: int) -> tuple[int, int]:
    stem = Compact(2).stem
    maps = stem[0](torch.zeros(1, 3, side, side))
    return maps.shape[-1], stem[1](maps).shape[-1]


def seed_parameters(classes: int) -> tuple[int, ...]:
    """Of convolution, hidden and output layer, and all together."""
    network = SeedCNN(classes)
    parts = [_parameters(part) for part in (network.convolution, network.hidden, network.output)]
    assert sum(parts) == _parameters(network)
    return *parts, sum(parts)


def compact_parameters(classes: int) -> int:
    return _parameters(Compact(classes))


def _parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def compact_side(examples: int, seconds: float) -> int:
    return design.compact(examples=examples, typical_side=500, seconds=seconds).input_size


def training_sides(side: int) -> tuple[int, ...]:
    found = design.compact(examples=4000, typical_side=side)
    assert found.input_size == side
    return found.training_sides


def mean_of_looks(plain: float, mirrored: float) -> float:
    network = Compact(2).eval()
    network.mirrored_along = 3
    return float(network.mean_of_looks(torch.tensor([[plain], [mirrored]])))


def he_deviation() -> float:
    """Measured on the widest stage's filters, as they were drawn."""
    network = Compact(2)
    networks.initialise(network, "he_normal", seed=0)
    return float(network.stages[3][0].weight.detach().std())


def glorot_limit() -> float:
    """The largest of the seed network's hidden weights, as they were drawn."""
    network = SeedCNN(2)
    networks.initialise(network, "glorot_uniform", seed=0)
    return float(network.hidden.weight.detach().abs().max())


def sigmoid(logit: float) -> float:
    return float(losses.probabilities(torch.tensor([[logit]]))[0, 1])


def softmax(*logits: float) -> tuple[float, ...]:
    return tuple(losses.probabilities(torch.tensor([logits]))[0].tolist())


def cross_entropy(logits: Sequence[float], label: int, smoothing: float = 0.0) -> float:
    return float(
        losses.cross_entropy(torch.tensor([logits]), torch.tensor([label]), smoothing).mean()
    )


def squared_error(logits: Sequence[float], label: int) -> float:
    return float(losses.squared_error(torch.tensor([logits]), torch.tensor([label])).mean())


def gradient(name: str, logit: float, label: int) -> float:
    logits = torch.tensor([[logit]], requires_grad=True)
    losses.loss_function(name)(logits, torch.tensor([label])).backward()
    assert logits.grad is not None
    return float(logits.grad)


class _OneWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1))

    def rate_groups(self, share: float) -> list[tuple[list[nn.Parameter], float]]:
        return [([self.weight], 1.0)]


def optimiser_steps(name: str, rate: float, *gradients: float) -> tuple[float, ...]:
    """Where a weight that begins at 1 stands after each step."""
    network = _OneWeight()
    candidate = Candidate("x", "seed-cnn", 28, "he_normal", optimiser=name, learning_rate=rate)
    optimiser = optimise.optimiser_for(candidate, network)
    found = []
    for each in gradients:
        network.weight.grad = torch.full((1, 1), each)
        optimiser.step(1.0)
        found.append(float(network.weight.detach()))
    return tuple(found)


def weight_decay(rate: float, decay: float) -> float:
    """A weight of 1 after one step of Adam whose gradient is zero."""
    network = _OneWeight()
    candidate = Candidate("x", "seed-cnn", 28, "he_normal", learning_rate=rate, weight_decay=decay)
    network.weight.grad = torch.zeros(1, 1)
    optimise.optimiser_for(candidate, network).step(1.0)
    return float(network.weight.detach())


def orthogonal(*diagonal: float) -> tuple[float, ...]:
    return tuple(optimise.orthogonal(torch.diag(torch.tensor(diagonal))).diagonal().tolist())


def rate_share(done: float) -> float:
    return optimise.rate_share(design.compact(examples=4000, typical_side=112), done)


def tempered(logit: float, temperature: float) -> float:
    return float(CLASS.probabilities(np.array([[logit]], np.float32), temperature)[0, 1])


def fit_temperature(logit: float, right: int, wrong: int) -> float:
    targets = np.array([1] * right + [0] * wrong)
    return CLASS.fit_temperature(np.full((right + wrong, 1), logit, np.float32), targets)


def calibration_error(confidence: Sequence[float], correct: Sequence[int], bins: int) -> float:
    return metrics.expected_calibration_error(np.array(confidence), np.array(correct, bool), bins)


def roc_auc(scores: Sequence[float], positive: Sequence[int]) -> float:
    found = metrics.roc_auc(np.array(scores), np.array(positive, bool))
    assert found is not None
    return found


def precision_recall_f1(first: Sequence[int], second: Sequence[int]) -> tuple[float, ...]:
    """Of the first class, from the confusion matrix's rows."""
    return tuple(float(each[0]) for each in metrics.precision_recall_f1(np.array([first, second])))


def mahalanobis(features: Sequence[float], variances: Sequence[float], residual: float) -> float:
    """With the first principal components along the first axes, and features as they are."""
    width, kept = len(features), len(variances)
    detector = Detector(
        mean=np.zeros(width, np.float32),
        deviation=np.ones(width, np.float32),
        components=np.eye(width, dtype=np.float32)[:kept],
        variances=np.array(variances, np.float32),
        residual=residual,
        directions=np.empty((0, width), np.float32),
        offsets=np.zeros(1, np.float32),
        limits=np.ones(1, np.float32),
    )
    return float(detector.parts(np.array([features], np.float32))[0, 0])


def leaf_hash(data: str) -> str:
    return merkle.leaf_hash(data.encode()).hex()[:8]


def inclusion_proof_hashes(entries: int) -> int:
    """The longest path of all: the first leaf's."""
    return len(Tiles(lambda _level, _first, count: [bytes(32)] * count).inclusion(0, entries))


def price(amount: str, per: int, quantity: int) -> tuple[str, int]:
    """As a decimal string, and as the count of 10⁻⁹ that is held."""
    text = Price(amount, "EUR", per).text_for(quantity)
    return text, Money.parse(text, "EUR").nanos


def key_bits() -> float:
    return keys._RANDOM_LENGTH * math.log2(len(keys._BASE62))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        calibration_error,
        compact_parameters,
        compact_side,
        compact_stem_sides,
        cross_entropy,
        fit_temperature,
        glorot_limit,
        gradient,
        he_deviation,
        mean_of_looks,
        inclusion_proof_hashes,
        key_bits,
        leaf_hash,
        mahalanobis,
        near_duplicate_chance,
        normalised,
        optimiser_steps,
        orthogonal,
        precision_recall_f1,
        price,
        rate_share,
        roc_auc,
        seed_parameters,
        seed_shapes,
        sigmoid,
        softmax,
        split_rank,
        squared_error,
        tempered,
        held_out_groups,
        training_sides,
        weight_decay,
    )
} | {
    "held_out_share": splits.held_out_share,
    "mcnemar_exact": metrics.mcnemar_exact,
    "wilson_interval": metrics.wilson_interval,
}
