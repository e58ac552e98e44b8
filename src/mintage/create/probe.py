"""How fast this machine trains: asked of it for a moment before a network is chosen for it."""

from __future__ import annotations

import time

import torch

from mintage.create.allocation import keep_freed_memory
from mintage.create.cost import example_ms
from mintage.create.design import Size, sized
from mintage.create.forward import device, precision, scaled
from mintage.create.losses import loss_function
from mintage.create.optimise import optimiser_for
from mintage.create.pace import ThreadKeeper
from mintage.modalities.image.augment import augment
from mintage.modalities.image.networks import build, channels_last, initialise

PROBE_SECONDS = 1.5
_SIDE = 64
_BATCH = 128
_MOST = 2  # times what it is given, for one step more
_CANDIDATE = sized(Size(_SIDE, 1.0, 1, 0), _BATCH * 20, 1)


def seconds_for(budget: float) -> float:
    """How long it may take where everything together may take ``budget``."""
    return min(PROBE_SECONDS, 0.03 * budget)


def measure(threads: int, seconds: float = PROBE_SECONDS) -> float:
    """How long this machine takes for what the table's takes a second for.

    Trains ``compact`` at 64 px on noise, by the same steps as a real training; the fastest step
    counts, since whatever else the machine does only ever makes it slower. One thread is tried
    first, and alone where it has to wait for others: several may wait for one another twenty times
    as long, and by the clock training drops to one as well (``pace.ThreadKeeper``).
    """
    keep_freed_memory()
    before = torch.get_num_threads()
    counts = sorted({1, threads})
    try:
        with torch.random.fork_rng():
            found: list[float] = []
            for count in counts:
                torch.set_num_threads(count)
                began, worked = time.monotonic(), time.thread_time()
                found.append(_fastest_step(began, seconds / len(counts)))
                waited = time.monotonic() - began
                if waited > _MOST * seconds:
                    break  # more threads would take what is needed to train
                if time.thread_time() - worked < ThreadKeeper.BUSY_ENOUGH * waited:
                    break
    finally:
        torch.set_num_threads(before)
    return 1000 * min(found) / _BATCH / example_ms(_SIDE, _BATCH)


def _fastest_step(began: float, seconds: float) -> float:
    chance = torch.Generator().manual_seed(0)
    where = device()
    network = build("compact", 2, _SIDE)
    initialise(network, "he_normal", 0)
    channels_last(network.to(where))
    optimiser, loss = optimiser_for(_CANDIDATE, network), loss_function("cross_entropy")
    pixels = (torch.rand(_BATCH, 3, _SIDE, _SIDE, generator=chance) * 255).to(where)
    labels = torch.randint(2, (_BATCH,), generator=chance).to(where)
    fastest = float("inf")
    steps = 0
    while steps < 2 or time.monotonic() - began < seconds:
        start = time.monotonic()
        if steps and start - began > _MOST * seconds:
            break  # what this machine takes for a step is known well enough, and time is short
        changed = scaled(augment(pixels, _CANDIDATE.augmentation, chance), _CANDIDATE)
        with precision(_CANDIDATE.precision):
            logits = network(changed)
        value = loss(logits, labels)
        torch.autograd.backward(value)
        optimiser.step(1e-3)
        value.item()  # waits, as training does, for an accelerator that computes meanwhile
        steps += 1
        taken = time.monotonic() - start
        # The first builds the kernels, and counts only where there is no other.
        fastest = taken if steps <= 2 else min(fastest, taken)
    return fastest
