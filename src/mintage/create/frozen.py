"""A linear head on a pretrained backbone whose weights stay as they are.

Each picture goes through the backbone once. What comes out, its pooled features, is kept in memory
and in a cache, so that fitting the head takes seconds and a second training hardly anything. The
head is logistic regression: the loss has one minimum, so that nothing depends on a seed where
there was time for all examples.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.files import opened_file, write_atomic
from mintage.core.messages import Message, _
from mintage.create.forward import Index, Labels, Pixels, accuracy, gather, precision, scaled
from mintage.create.pace import ThreadKeeper
from mintage.create.recipe import Candidate
from mintage.modalities.image.pretrained import PretrainedNetwork

Features = npt.NDArray[np.float32]  # [N, D]; a row of NaN is not computed

_VERSION = "v1"
# Always the same, whatever the clock says: features depend on it in their last bit.
_BATCH = 32
# Of the time, for the backbone; the rest is the head's.
_BACKBONE_SHARE = 0.85
# Of L2, for the mean loss over standardised features. Each begins where the one before it ended.
_STRENGTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4)
_ROUNDS, _STEPS = 10, 25
_FINGERPRINT = 64


@dataclass(frozen=True)
class FrozenResult:
    """How good the head is, and what it was fitted to.

    ``validation_loss`` is that by which ``strength`` (of L2) was chosen, weighted if classes are.
    ``computed`` is how many pictures went through the backbone; others came from the cache.
    """

    validation_accuracy: float
    validation_loss: float
    strength: float
    examples: int
    left_out: int
    validation_examples: int
    computed: int
    seconds: float

    @property
    def note(self) -> Message | None:
        """What to tell people where the time was too short for all examples."""
        if not self.left_out:
            return None
        return _(
            "The new layer was fitted to {used} of {all} training examples: there was no time for "
            "more.",
            used=self.examples,
            all=self.examples + self.left_out,
        )


def fit_head(
    network: PretrainedNetwork,
    candidate: Candidate,
    images: Pixels,
    labels: Labels,
    train_index: Index,
    validation_index: Index,
    *,
    seed: int,
    threads: int | None = None,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda __: None,
    should_stop: Callable[[], bool] = lambda: False,
    class_weights: npt.NDArray[np.float32] | None = None,
    cache: Path | None = None,
) -> FrozenResult:
    """Fit the network's output layer to what its backbone makes of the training pictures.

    ``images`` are ``uint8[N, S, S, 3]`` with S the candidate's input size; ``seconds`` is all that
    this call may take, ``progress`` is told the share of the pictures that are done, and
    ``class_weights`` are ``float32[k]``. ``cache`` is a folder of this dataset's own.

    Where the time is too short (or ``should_stop`` says so), the head is fitted to those examples
    that fit into it, evenly by class; ``seed`` says which.

    Raises:
        DataError: the backbone's answers are not all numbers.
    """
    started = time.monotonic()
    until = None if seconds is None else started + seconds
    with _threads(threads), _evaluating(network):
        bank = _Bank(network, candidate, images, cache)
        wanted = _order(labels, train_index, validation_index, seed)
        computed = bank.fill(
            wanted,
            None if seconds is None else started + _BACKBONE_SHARE * seconds,
            progress,
            should_stop,
        )
        train, validation = bank.known(train_index), bank.known(validation_index)
        head = _Head(network.output.out_features, class_weights, until)
        head.fit(bank.examples(train, labels), bank.examples(validation, labels))
        head.put_into(network)
        features, targets = bank.examples(validation, labels)
        found = functional.linear(features, head.weight, head.bias)
        return FrozenResult(
            validation_accuracy=accuracy(found, targets),
            validation_loss=head.loss,
            strength=head.strength,
            examples=len(train),
            left_out=len(train_index) - len(train),
            validation_examples=len(validation),
            computed=computed,
            seconds=time.monotonic() - started,
        )


def _order(labels: Labels, train: Index, validation: Index, seed: int) -> Index:
    """All examples, so that every beginning has its share of both and of each class."""
    chance = np.random.default_rng(seed)
    train, validation = chance.permutation(train), chance.permutation(validation)
    # The first of each class, then the second of each: a short beginning has all classes.
    turn = np.zeros(len(train), dtype=np.int64)
    for label in np.unique(labels[train]):
        members = np.flatnonzero(labels[train] == label)
        turn[members] = np.arange(len(members))
    train = train[np.argsort(turn, kind="stable")]
    place = [np.arange(len(part)) / max(len(part), 1) for part in (train, validation)]
    order = np.argsort(np.concatenate(place), kind="stable")
    return np.concatenate([train, validation])[order]


class _Bank:
    """The pooled features of pictures, by their position among ``images``."""

    def __init__(
        self,
        network: PretrainedNetwork,
        candidate: Candidate,
        images: Pixels,
        cache: Path | None,
    ) -> None:
        self.network, self.candidate, self.images = network, candidate, images
        self.path = None if cache is None else cache / f"pooled-{self._key()}-{_VERSION}.npy"
        self.features = self._load()

    def _key(self) -> str:
        """What features depend on: the backbone's weights, the pictures, how they are scaled."""
        digest = hashlib.sha256()
        for name, tensor in self.network.body.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        how = (self.candidate.mean, self.candidate.deviation, self.candidate.precision)
        digest.update(canonical_json([*how, self.network.pretrained.blue_first]))
        digest.update(repr(self.images.shape).encode())
        some = np.linspace(0, len(self.images) - 1, min(_FINGERPRINT, len(self.images)))
        digest.update(np.ascontiguousarray(self.images[some.astype(np.int64)]).tobytes())
        return digest.hexdigest()[:32]

    def _load(self) -> Features:
        shape = (len(self.images), self.network.output.in_features)
        if self.path is not None and self.path.is_file():
            try:
                with opened_file(self.path) as stream:
                    kept = np.load(stream, allow_pickle=False)
            except (OSError, ValueError, EOFError):
                kept = np.empty(0)  # a damaged cache is computed again
            if kept.shape == shape and kept.dtype == np.float32:
                return np.asarray(kept, dtype=np.float32)
        return np.full(shape, np.nan, dtype=np.float32)

    def known(self, index: Index) -> Index:
        """Those of which there are features."""
        known: Index = index[~np.isnan(self.features[index, 0])]
        return known

    def examples(self, index: Index, labels: Labels) -> tuple[Tensor, Tensor]:
        """Features ``float32[M, D]`` and labels ``int64[M]``."""
        return torch.from_numpy(self.features[index]), torch.from_numpy(
            np.asarray(labels[index], dtype=np.int64)
        )

    def fill(
        self,
        wanted: Index,
        until: float | None,
        progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> int:
        """Compute what is not known yet, in this order, at least one batch; say how many it was."""
        rest = wanted[np.isnan(self.features[wanted, 0])]
        # Without a clock the same threads throughout, since features depend on their number.
        keeper = ThreadKeeper(1 if until is None else torch.get_num_threads())
        done = 0
        while done < len(rest):
            began = time.monotonic()
            batch = rest[done : done + _BATCH]
            self.features[batch] = self._pooled(batch)
            done += len(batch)
            keeper.after_step()
            progress(1 - (len(rest) - done) / len(wanted))
            now = time.monotonic()
            if should_stop() or (until is not None and 2 * now - began > until):
                break
        if done:
            self._save()
        return done

    @torch.inference_mode()
    def _pooled(self, index: Index) -> Features:
        where = next(self.network.parameters()).device
        pixels = scaled(gather(self.images, index, where), self.candidate)
        with precision(self.candidate.precision):
            (pooled,) = self.network.layers(pixels)
        found: Features = pooled.float().cpu().numpy()
        if not np.isfinite(found).all():
            raise DataError(
                _(
                    "The pretrained weights {weights} do not give numbers for these pictures.",
                    weights=self.network.pretrained.weights,
                ),
                remedy=_("Choose other weights."),
            )
        return found

    def _save(self) -> None:
        """Write the cache aside and rename it: it is there wholly or not at all."""
        if self.path is None:
            return
        stream = io.BytesIO()
        np.save(stream, self.features, allow_pickle=False)
        write_atomic(self.path, stream.getvalue())


class _Head:
    """Logistic regression with L2 on standardised features, as one linear layer on plain ones."""

    def __init__(
        self, outputs: int, class_weights: npt.NDArray[np.float32] | None, until: float | None
    ) -> None:
        self.outputs, self.until = outputs, until
        self.class_weights = None if class_weights is None else torch.tensor(class_weights).float()
        self.weight = self.bias = torch.zeros(0)
        self.loss, self.strength = float("inf"), _STRENGTHS[0]

    def fit(self, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> None:
        """From the strongest L2 to weaker ones, while validation data like it better."""
        features, labels = train
        mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        # A channel that never changes says nothing, and is not to be divided by nothing.
        deviation = torch.where(deviation > 1e-6, deviation, torch.ones(()))
        features = (features - mean) / deviation
        weight = torch.zeros(self.outputs, features.shape[1], requires_grad=True)
        bias = torch.zeros(self.outputs, requires_grad=True)
        for strength in _STRENGTHS:
            self._descend(weight, bias, features, labels, strength)
            plain = weight.detach() / deviation
            shifted = bias.detach() - plain @ mean
            loss = self._loss(functional.linear(validation[0], plain, shifted), validation[1])
            if strength < _STRENGTHS[0] and not loss.item() < self.loss:
                break
            self.loss, self.strength = loss.item(), strength
            self.weight, self.bias = plain, shifted
            if self._late():
                break

    def put_into(self, network: PretrainedNetwork) -> None:
        """Make it the network's last layer."""
        with torch.no_grad():
            network.output.weight.copy_(self.weight)
            network.output.bias.copy_(self.bias)

    def _descend(
        self, weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor, strength: float
    ) -> None:
        """L-BFGS over all examples at once, until it stands still or time is up."""
        optimiser = torch.optim.LBFGS(
            [weight, bias],
            max_iter=_STEPS,
            history_size=10,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = self._loss(functional.linear(features, weight, bias), labels)
            loss = loss + strength / 2 * weight.square().sum()
            torch.autograd.backward(loss)
            return loss

        before = float("inf")
        for __ in range(_ROUNDS):
            now = optimiser.step(closure).item()  # type: ignore[no-untyped-call]
            if before - now < 1e-6 or self._late():
                return
            before = now

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy by the classes' weights; one logit stands against a zero."""
        if self.outputs == 1:
            logits = functional.pad(logits, (1, 0))
        return functional.cross_entropy(logits, labels, weight=self.class_weights)

    def _late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _evaluating(network: PretrainedNetwork) -> Iterator[None]:
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
