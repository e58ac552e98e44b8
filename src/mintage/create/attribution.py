"""What of a picture a network's answer is made of: integrated gradients, by Captum.

The map adds up (Sundararajan, Taly, Yan 2017): the sum over all pixels is how much more the network
is for the class than where it sees nothing. What it shows and what it does not:
``docs/explanation/explanations.md``.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mintage.bundle.occlusion import where
from mintage.bundle.overlay import in_proportion, overlay
from mintage.core.errors import missing_extra
from mintage.core.types import Example
from mintage.create.forward import gather, scaled
from mintage.create.gallery import data_uri
from mintage.create.recipe import Candidate
from mintage.modalities.image.networks import PictureNetwork

if find_spec("captum") is None:  # said before a training, not after it
    raise missing_extra("Captum", "train")

BASELINES = (0.0, 255.0)
"""Where the network sees nothing: all black and all white, averaged. What has the baseline's own
colour gets nothing (Sturmfels, Lundberg, Lee 2020), and with both nothing has. On 30 photographs
(compact at 64 px) the rank correlation with the falls of the log-odds when patches of other
photographs hide a place was 0.35; with one baseline, whether black, white, grey, mean or blurred,
0.24 to 0.30."""

SHOWN = 8
"""Pictures that a report explains."""

_BATCH, _MOST_AT_ONCE = 16, 64
"""Steps at a time: a large backbone keeps 100 MB of each at 224 px for the way back."""

_MORE_STEPS = 128
_LOADING_SECONDS = 2.0
_SIDE = 224
_SMOOTHED = 1 / 16
_DECIMALS = 6


@dataclass(frozen=True)
class Attribution:
    """``maps`` float32[N, S, S] in log-odds of the target, positive where they speak for it.

    ``completeness_error`` float64[N] is how far each map's sum is from what it ought to be: the
    target's log-odds less their mean over the baselines.
    """

    maps: NDArray[np.float32]
    completeness_error: NDArray[np.float64]


def integrated_gradients(
    network: PictureNetwork,
    candidate: Candidate,
    images: NDArray[np.uint8],
    targets: NDArray[np.int64],
    *,
    steps: int = 32,
) -> Attribution:
    """Attribute the log-odds of ``targets`` int[N] to the pixels of uint8[N, S, S, 3].

    In float32, without dropout; the network is left as it was. Each picture takes 2 x ``steps``
    passes forward and back.
    """
    location = next(network.parameters()).device

    def odds(pixels: Tensor, chosen: Tensor) -> Tensor:
        return log_odds(network(pixels), chosen)

    maps, errors = [np.empty((0, *images.shape[1:3]))], [np.empty(0)]
    with _answering(network):
        for index in np.arange(len(images))[:, np.newaxis]:
            pixels = gather(images, index, location)
            chosen = torch.from_numpy(targets[index]).to(location)
            each = [_from(value, odds, pixels, chosen, candidate, steps) for value in BASELINES]
            found, difference = (sum(part) / len(each) for part in zip(*each, strict=True))
            maps.append(found)
            errors.append(np.abs(found.sum(axis=(1, 2)) - difference))
    return Attribution(np.concatenate(maps).astype(np.float32), np.concatenate(errors))


def _from(
    value: float,
    odds: Callable[[Tensor, Tensor], Tensor],
    pixels: Tensor,
    chosen: Tensor,
    candidate: Candidate,
    steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maps float64[N, S, S] from one baseline, and what each ought to sum up to."""
    from captum.attr import IntegratedGradients  # noqa: PLC0415 - with pyplot it takes a second

    end = scaled(pixels, candidate)
    begin = scaled(torch.full_like(pixels, value), candidate)
    found = IntegratedGradients(odds).attribute(
        end,
        begin,
        additional_forward_args=(chosen,),
        n_steps=steps,
        internal_batch_size=min(_MOST_AT_ONCE, _BATCH * max(1, (224 // candidate.input_size) ** 2)),
    )
    with torch.no_grad():
        difference = odds(end, chosen) - odds(begin, chosen)
    return found.detach().double().sum(dim=1).cpu().numpy(), difference.double().cpu().numpy()


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """``float[N]``: log p / (1 - p) of each row's target, from logits [N, 1] or [N, k].

    For two classes that is the logit itself, with the sign of the class; for more it is the logit
    less the others' log-sum-exp, since what is added to all of them alike changes no answer.
    """
    if logits.shape[1] == 1:
        return logits[:, 0] * (2 * targets - 1)
    own = torch.nn.functional.one_hot(targets, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(dim=1)


@contextmanager
def _answering(network: PictureNetwork) -> Iterator[None]:
    """The network as it answers; afterwards each of its modules is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def explain_examples(
    network: PictureNetwork,
    candidate: Candidate,
    images: NDArray[np.uint8],
    examples: Sequence[Example],
    positions: NDArray[np.intp],
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    *,
    seconds: float,
    shown: int = SHOWN,
    clock: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """A few validation pictures with maps of what speaks for the network's answer, as JSON.

    ``images`` uint8[all, S, S, 3] and ``examples`` are in the manifest's order; ``positions``
    int[M] are the validation examples', ``probabilities`` float64[M, classes] what the network
    says of them. No picture is begun that would not be done within ``seconds``.
    """
    begun, longest = clock(), 0.0 if "captum.attr" in sys.modules else _LOADING_SECONDS
    answered = probabilities.argmax(axis=1)
    truth = np.array([labels.index(examples[place].label) for place in positions.tolist()])
    explained: list[dict[str, Any]] = []
    for number in _chosen(probabilities.max(axis=1), answered, truth, shown):
        started = clock()
        if started - begun + longest >= seconds:
            break
        place = int(positions[number])
        picture = images[place : place + 1]
        found = _near_enough(network, candidate, picture, answered[number : number + 1])
        explained.append(
            {
                "path": examples[place].path,
                "label": examples[place].label,
                "answer": labels[int(answered[number])],
                "probability": round(float(probabilities[number].max()), _DECIMALS),
                "completeness_error": round(float(found.completeness_error[0]), _DECIMALS),
                **_drawn(picture[0], smoothed(found.maps[0]), examples[place]),
            }
        )
        longest = max(longest, clock() - started)
    return explained


def _near_enough(
    network: PictureNetwork,
    candidate: Candidate,
    picture: NDArray[np.uint8],
    target: NDArray[np.int64],
) -> Attribution:
    """With four times the steps where a tenth of the sum, or of one, is missing.

    Log-odds that change by tens on the way, as a badly calibrated network's do, need them.
    """
    found = integrated_gradients(network, candidate, picture, target)
    total = abs(float(found.maps.sum()))
    if float(found.completeness_error[0]) > 0.1 * max(1.0, total):
        return integrated_gradients(network, candidate, picture, target, steps=_MORE_STEPS)
    return found


def _chosen(
    confidence: NDArray[np.float64],
    answered: NDArray[np.int64],
    truth: NDArray[np.int64],
    shown: int,
) -> list[int]:
    """The surest mistakes, in turn with what is right: of each class the one of middling sureness.

    Where there are fewer of the one, there are more of the other.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = [int(n) for n in order if answered[n] != truth[n]]
    right: dict[int, list[int]] = defaultdict(list)
    for n in order.tolist():
        if answered[n] == truth[n]:
            right[int(truth[n])].append(n)
    ordinary = [_from_the_middle(right[label]) for label in sorted(right)]
    by_class = [n for row in zip_longest(*ordinary) for n in row if n is not None]
    turns = chain.from_iterable(zip_longest(by_class, wrong))
    return [n for n in turns if n is not None][:shown]


def _from_the_middle(ordered: Sequence[int]) -> list[int]:
    middle = len(ordered) // 2
    return [n for __, n in sorted((abs(at - middle), n) for at, n in enumerate(ordered))]


def smoothed(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[S, S]: each pixel the mean of those around it; single ones say little to the eye."""
    radius = max(1, round(_SMOOTHED * len(found)))
    maps = torch.from_numpy(found)[None, None]
    means = torch.nn.functional.avg_pool2d(
        maps, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    return means[0, 0].numpy()


def _drawn(
    square: NDArray[np.uint8], found: NDArray[np.float32], example: Example
) -> dict[str, Any]:
    """Picture and map as data URIs; the colours' scale is the picture's own."""
    size = example.size if example.orientation < 5 else example.size[::-1]
    pixels = in_proportion(square, size, _SIDE)
    strongest = float(np.abs(found).max()) or 1.0
    return {
        "picture": data_uri(Image.fromarray(pixels)),
        "map": data_uri(overlay(pixels, found, strongest)),
        "where": where(found, least=0.0),
    }
