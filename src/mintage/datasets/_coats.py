"""The fur of a drawn animal: its colours and pattern, chosen alike for cats and dogs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from mintage.datasets._drawing import Colour, Points, blob, mix

Pattern: TypeAlias = Literal["plain", "stripes", "patches", "bicolour", "mask"]
_PATTERNS: tuple[Pattern, ...] = (
    "plain", "stripes", "stripes", "patches", "patches", "bicolour", "mask",
)  # fmt: skip
T = TypeVar("T")

WHITE: Colour = (250, 247, 240)
INK: Colour = (40, 30, 38)
PINK: Colour = (236, 150, 150)
_FURS: tuple[Colour, ...] = (
    (232, 150, 76),  # ginger
    (240, 216, 176),  # cream
    (245, 241, 233),  # white
    (158, 160, 168),  # grey
    (86, 84, 94),  # charcoal
    (148, 102, 66),  # brown
    (104, 72, 54),  # chocolate
    (208, 164, 112),  # tan
    (122, 136, 156),  # blue
    (222, 188, 138),  # sand
    (64, 58, 66),  # black
)
_IRISES: tuple[Colour, ...] = (
    (222, 168, 52),  # amber
    (126, 170, 78),  # green
    (92, 158, 206),  # blue
    (146, 94, 48),  # brown
    (196, 196, 92),  # olive
)
_NOSES: tuple[Colour, ...] = ((54, 42, 48), (226, 132, 136), (126, 78, 66))
_CLOTH: tuple[Colour, ...] = (
    (214, 68, 66),
    (60, 122, 196),
    (242, 190, 66),
    (84, 158, 104),
    (150, 92, 170),
    (240, 130, 150),
)


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, evenly."""
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True)
class Coat:
    """Colours and pattern of the fur; drawn alike for cats and dogs."""

    base: Colour
    dark: Colour
    light: Colour
    rim: Colour
    inner: Colour
    pattern: Pattern
    nose: Colour
    iris: Colour
    cloth: Colour | None

    @property
    def is_dim(self) -> bool:
        """Whether dark lines would be lost on it."""
        return sum(self.base) < 330

    @classmethod
    def drawn_from(cls, rng: np.random.Generator) -> Coat:
        base = pick(rng, _FURS)
        dark = mix(base, (58, 36, 30), rng.uniform(0.35, 0.6))
        if sum(base) < 330:
            dark = mix(base, (226, 176, 120), rng.uniform(0.35, 0.7))
        pattern = pick(rng, _PATTERNS)
        if pattern == "patches":
            dark = mix(pick(rng, _FURS), dark, 0.25)
        return cls(
            base=base,
            dark=dark,
            light=mix(base, WHITE, rng.uniform(0.55, 0.9)),
            rim=mix(base, INK, 0.78),
            inner=mix(PINK, base, 0.25),
            pattern=pattern,
            nose=pick(rng, _NOSES),
            iris=pick(rng, _IRISES),
            cloth=pick(rng, _CLOTH) if rng.random() < 0.4 else None,
        )


def patch(rng: np.random.Generator, centre: complex, radius: float) -> Points:
    """An irregular spot of fur."""
    spokes = np.exp(2j * np.pi * (np.arange(7) + rng.uniform(0, 1)) / 7)
    return blob(*(centre + radius * rng.uniform(0.7, 1.2, 7) * spokes))
