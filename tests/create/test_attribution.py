"""Integrated gradients and occlusion on trained networks: sums, sanity, and planted cues."""

from __future__ import annotations

import base64
import copy
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr
from tests.pictures import noise

from mintage.bundle.occlusion import occlusion
from mintage.core.types import Example
from mintage.create.attribution import (
    explain_examples,
    integrated_gradients,
    log_odds,
    smoothed,
)
from mintage.create.design import compact, seed_cnn
from mintage.create.forward import evaluate
from mintage.create.losses import probabilities
from mintage.create.recipe import Candidate
from mintage.create.train import fit
from mintage.modalities.image.networks import PictureNetwork, initialise

CUE = 8
"""Side of the coloured square that alone says the class."""


def planted(
    count: int, side: int, seed: int, classes: int = 2
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Smooth grey random pictures with a red, blue or green square; their classes, its corners."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = np.stack(
        [np.asarray(noise(n, (side, side)).convert("L").convert("RGB")) for n in range(count)]
    )
    corners = chance.integers(0, side - CUE + 1, (count, 2))
    colours = np.array([[220, 60, 60], [60, 60, 220], [60, 220, 60]], np.uint8)
    for picture, label, (top, left) in zip(images, labels, corners, strict=True):
        picture[top : top + CUE, left : left + CUE] = colours[label]
    return images, labels, corners


@dataclass(frozen=True)
class Learned:
    """A network that finds the square, the recipe it was trained by, and pictures it never saw."""

    network: PictureNetwork
    candidate: Candidate
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    corners: NDArray[np.int64]

    def occluded(self, number: int, network: PictureNetwork | None = None) -> NDArray[np.float32]:
        """The map of one picture for its true class."""

        def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
            index = np.arange(len(inputs))
            logits, __ = evaluate(network or self.network, self.candidate, inputs, index)
            return probabilities(logits)[:, self.labels[number]].double().numpy()

        return occlusion(probability_of, self.images[number])

    def attributed(self, number: int, network: PictureNetwork | None = None) -> NDArray[np.float32]:
        """The same by integrated gradients."""
        one = slice(number, number + 1)
        found = integrated_gradients(
            network or self.network, self.candidate, self.images[one], self.labels[one]
        )
        return smoothed(found.maps[0])

    def odds(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """log p / (1 - p) of the true classes, from probabilities in double precision."""
        logits, __ = evaluate(self.network, self.candidate, images, np.arange(len(images)))
        chances = probabilities(logits.double()).numpy()
        p = chances[np.arange(len(images)), self.labels[: len(images)]]
        return np.asarray(np.log(p) - np.log1p(-p))


SMALL = replace(
    compact(examples=200, typical_side=48),
    batch_size=16,
    training_sides=(40,),
    input_size=40,
    width=0.5,
)


@pytest.fixture(scope="module", params=["seed-cnn", "compact of three classes"])
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    candidate = seed_cnn() if request.param == "seed-cnn" else SMALL
    classes = 3 if "three" in request.param else 2
    images, labels, corners = planted(288, candidate.input_size, 1, classes)
    result = fit(
        candidate,
        images,
        labels,
        np.arange(240),
        np.arange(240, 288),
        epochs=10,
        seed=0,
        threads=1,
        checkpoint_folder=tmp_path_factory.mktemp("checkpoints"),
    )
    assert result.validation_accuracy > 0.95
    return Learned(result.network, candidate, images[240:], labels[240:], corners[240:])


def test_the_maps_sum_to_the_log_odds_less_those_of_black_and_white(learned: Learned) -> None:
    images = learned.images[:6]
    found = integrated_gradients(learned.network, learned.candidate, images, learned.labels[:6])
    assert found.maps.dtype == np.float32
    assert found.maps.shape == images.shape[:3]
    nothing = [learned.odds(np.full_like(images, value)) for value in (0, 255)]
    wanted = learned.odds(images) - np.mean(nothing, axis=0)
    off = np.abs(found.maps.sum(axis=(1, 2), dtype=np.float64) - wanted)
    np.testing.assert_allclose(found.completeness_error, off, atol=1e-3)
    share = off / np.maximum(1, np.abs(wanted))
    assert share.mean() < 0.05
    assert share.max() < 0.15
    # The error is that of the sum over steps: it goes as they become more.
    fewer, more = (
        integrated_gradients(
            learned.network, learned.candidate, images, learned.labels[:6], steps=steps
        ).completeness_error.mean()
        for steps in (2, 100)
    )
    assert more < off.mean() < fewer


Maps = Callable[[Learned, int, PictureNetwork | None], NDArray[np.float32]]
BOTH = pytest.mark.parametrize("maps", [Learned.occluded, Learned.attributed])


@BOTH
def test_the_map_lies_on_the_square_that_alone_says_the_class(learned: Learned, maps: Maps) -> None:
    shares = []
    side = learned.candidate.input_size
    for number in range(6):
        found = np.maximum(maps(learned, number, None), 0)
        found[found < found.max() / 2] = 0
        (top, left), edge = learned.corners[number], 3
        near = np.s_[max(0, top - edge) : top + CUE + edge, max(0, left - edge) : left + CUE + edge]
        shares.append(found[near].sum() / found.sum())
    by_chance = (CUE + 6) ** 2 / side**2
    assert np.mean(shares) > 0.7
    assert np.mean(shares) > 2.5 * by_chance


@BOTH
def test_the_map_of_random_weights_is_another(learned: Learned, maps: Maps) -> None:
    # Adebayo et al. 2018: a map that does not change with the weights shows the picture alone.
    alike, self_alike = [], []
    for number in range(3):
        trained = maps(learned, number, None).ravel()
        for seed in range(1, 6):
            random = copy.deepcopy(learned.network)
            initialise(random, learned.candidate.initialisation, seed)
            alike.append(spearmanr(trained, maps(learned, number, random).ravel()).statistic)
        self_alike.append(spearmanr(trained, maps(learned, number, None).ravel()).statistic)
    assert abs(np.mean(alike)) < 0.3
    assert max(alike) < 0.9
    assert np.mean(self_alike) > 0.99


class Linear(PictureNetwork):
    """One logit, linear in the pixels."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(
            torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
        )

    def layers(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [(pixels * self.weight).sum(dim=(1, 2, 3))[:, None]]

    def logits(self, layers: list[torch.Tensor]) -> torch.Tensor:
        return layers[0]

    def features(self, layers: list[torch.Tensor]) -> torch.Tensor:
        return layers[0]


def test_of_a_linear_network_the_map_is_weight_times_distance_from_the_baseline() -> None:
    network = Linear(28)
    candidate = replace(seed_cnn(), mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.4))
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)
    found = integrated_gradients(network, candidate, images, np.array([1, 0, 1, 0, 1]), steps=3)
    # The mean of what black and white give: the distance from the middle of the scale.
    weight = network.weight.detach().numpy().transpose(1, 2, 0) / (255 * np.array([0.2, 0.3, 0.4]))
    wanted = ((images - 127.5) * weight).sum(axis=3)
    wanted[[1, 3]] *= -1
    np.testing.assert_allclose(found.maps, wanted, rtol=1e-4, atol=1e-4)
    assert found.completeness_error.max() < 1e-2


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_log_odds_are_those_of_the_probability(classes: int) -> None:
    chance = torch.Generator().manual_seed(classes)
    logits = torch.randn(20, 1 if classes == 2 else classes, generator=chance).double()
    targets = torch.arange(20) % classes
    p = probabilities(logits)[torch.arange(20), targets]
    torch.testing.assert_close(log_odds(logits, targets), torch.log(p / (1 - p)))


def test_the_network_is_left_as_it_was(learned: Learned) -> None:
    network = copy.deepcopy(learned.network).train()
    frozen = next(module for module in network.modules() if not [*module.children()])
    frozen.eval()
    network.requires_grad_()
    next(network.parameters()).requires_grad_(False)
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    integrated_gradients(network, learned.candidate, learned.images[:2], learned.labels[:2])
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in network.modules()] == modes
    assert [each.requires_grad for each in network.parameters()].count(False) == 1
    assert all(each.grad is None for each in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_no_pictures_give_no_maps(learned: Learned) -> None:
    found = integrated_gradients(
        learned.network, learned.candidate, learned.images[:0], learned.labels[:0]
    )
    assert found.maps.shape == learned.images[:0].shape[:3]
    assert found.completeness_error.shape == (0,)


LABELS = ("blue", "green", "red")


def explained(learned: Learned, chances: list[list[float]], **options: Any) -> list[dict[str, Any]]:
    """``chances`` are of validation examples 3, 5, 7 …, whose labels are blue and green in turn."""
    examples = [
        Example(f"{n:064x}", f"{n}.jpg", LABELS[n // 2 % 2], "train", None, str(n), (60, 30), 6)
        for n in range(len(learned.images))
    ]
    positions = np.arange(3, 3 + 2 * len(chances), 2)
    return explain_examples(
        learned.network,
        learned.candidate,
        learned.images,
        examples,
        positions,
        np.array(chances),
        LABELS,
        **{"seconds": 60.0} | options,
    )


RIGHT_AND_WRONG = [
    [0.1, 0.9, 0.0],  # 3, green: right, surest
    [0.6, 0.4, 0.0],  # 5, blue: right
    [0.3, 0.7, 0.0],  # 7, green: right, middling
    [0.2, 0.8, 0.0],  # 9, blue: wrong, sure
    [0.4, 0.6, 0.0],  # 11, green: right, least sure
    [0.45, 0.55, 0.0],  # 13, blue: wrong, hardly
]


@pytest.mark.parametrize("learned", ["compact of three classes"], indirect=True)
def test_a_report_explains_ordinary_right_answers_and_the_surest_mistakes(
    learned: Learned,
) -> None:
    found = explained(learned, RIGHT_AND_WRONG)
    assert [each["path"] for each in found] == [
        "5.jpg", "9.jpg", "7.jpg", "13.jpg", "3.jpg", "11.jpg",
    ]  # fmt: skip
    assert [each["label"] == each["answer"] for each in found] == [True, False] * 2 + [True] * 2
    assert found[1]["probability"] == 0.8
    for each in found:
        for name in ("picture", "map"):
            kind, __, data = each[name].partition(",")
            assert kind == "data:image/jpeg;base64"
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert image.size == (112, 224)  # 60 by 30, turned by a quarter
        assert isinstance(each["where"], str)
    assert len(explained(learned, RIGHT_AND_WRONG, shown=3)) == 3


@pytest.mark.parametrize("learned", ["compact of three classes"], indirect=True)
def test_explaining_ends_in_its_time(learned: Learned) -> None:
    ticks = iter(range(1000))
    # Each look at the clock is a second later: a picture takes one, and one passes between two.
    found = explained(learned, RIGHT_AND_WRONG, seconds=6.0, clock=lambda: float(next(ticks)))
    assert 1 <= len(found) <= 2
    assert next(ticks) <= 8
    assert explained(learned, RIGHT_AND_WRONG, seconds=0.0) == []


@pytest.mark.parametrize("learned", ["seed-cnn"], indirect=True)
def test_a_map_that_does_not_add_up_is_made_with_more_steps(
    learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mintage.create import attribution

    asked: list[int] = []

    def rough(*given: Any, steps: int = 32) -> attribution.Attribution:
        asked.append(steps)
        found = integrated_gradients(*given, steps=steps)
        return replace(found, completeness_error=np.array([error / steps]))

    monkeypatch.setattr(attribution, "integrated_gradients", rough)
    for error, wanted in ((1e9, [32, 128]), (0.1, [32])):
        asked.clear()
        (found,) = explained(learned, [[0.1, 0.9, 0.0]])
        assert asked == wanted
        assert found["completeness_error"] == pytest.approx(error / wanted[-1], abs=1e-6)


def test_without_captum_the_line_that_installs_it_is_said_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib
    import importlib.util

    from mintage.core.errors import DependencyDown
    from mintage.create import attribution

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyDown, match=r"mintage\[train\]"):
        importlib.reload(attribution)
    monkeypatch.undo()
    importlib.reload(attribution)


def test_loading_the_module_loads_no_captum_which_takes_a_second_of_the_budget() -> None:
    code = "import sys, mintage.create.attribution; print('captum.attr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
