"""The bodies of drawn cats and dogs in five poses, in units of half a head; head at the origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mintage.datasets._coats import INK, Coat, patch
from mintage.datasets._drawing import (
    Brush,
    Mark,
    Points,
    blob,
    curve,
    ellipse,
    mirrored,
    mix,
    stroke,
    tube,
)
from mintage.datasets._heads import Head, Label

Pose: TypeAlias = Literal["portrait", "sitting", "sideways", "standing", "lying"]
POSES: tuple[Pose, ...] = ("portrait", "portrait", "sitting", "sideways", "standing", "lying")

_GROUND: dict[Pose, tuple[complex, float]] = {
    "portrait": (5j, 1.0),
    "sitting": (3.15j, 1.5),
    "sideways": (-0.6 + 3.15j, 1.6),
    "standing": (-1.5 + 3.05j, 2.3),
    "lying": (-1.0 + 1.55j, 2.2),
}


def ground(pose: Pose) -> tuple[complex, float]:
    """Where an animal touches the ground: the middle and the half-width of its shadow."""
    return _GROUND[pose]


@dataclass(frozen=True)
class Body:
    """One animal's body: drawn before its head, its tail first."""

    brush: Brush
    coat: Coat
    rng: np.random.Generator
    label: Label

    def draw(self, pose: Pose) -> None:
        poses: dict[Pose, Callable[[], None]] = {
            "portrait": self._portrait,
            "sitting": self._sitting,
            "sideways": self._sideways,
            "standing": self._standing,
            "lying": self._lying,
        }
        poses[pose]()

    def _tail(self, root: complex, out: complex) -> None:
        """A cat's is long, thin and curled; a dog's is short, strong and raised."""
        rng, coat = self.rng, self.coat
        if self.label == "cat":
            reach, curl = rng.uniform(0.8, 1.15), rng.uniform(-0.5, 0.7)
            path = curve(
                root,
                root + reach * (0.5 * out + 0.1j),
                root + reach * (1.0 * out - 0.15j),
                root + reach * (1.25 * out - 0.8j),
                root + reach * ((1.2 + 0.4 * curl) * out - 1.45j),
                root + reach * ((1.2 + 1.0 * curl) * out - 1.9j),
            )
            shape = tube(path, 0.21, 0.15)
        else:
            reach = rng.uniform(0.75, 1.1)
            path = curve(
                root,
                root + reach * (0.5 * out - 0.25j),
                root + reach * (0.85 * out - 0.65j),
                root + reach * (rng.uniform(0.5, 1.0) * out - 1.1j),
            )
            shape = tube(path, 0.26, 0.07, bulge=rng.uniform(0.0, 0.14))
        marks: list[Mark] = []
        if coat.pattern in {"stripes", "mask"}:
            for i in range(8, len(path), 5):
                across = 1j * (path[i] - path[i - 1]) / max(abs(path[i] - path[i - 1]), 1e-9)
                marks.append(
                    (stroke(path[i] + across * np.linspace(-0.4, 0.4, 5), 0.18), coat.dark)
                )
        elif coat.pattern in {"bicolour", "patches"}:
            marks.append((ellipse(complex(path[-1]), 0.4, 0.4), coat.light))
        self.brush.shape(shape, coat.base, coat.rim, marks)

    def _leg(self, *joints: complex, width: float, far: bool = False, paw: complex = 0.1) -> None:
        coat = self.coat
        colour = mix(coat.base, INK, 0.22) if far else coat.base
        socks = coat.pattern in {"bicolour", "patches"}
        marks: list[Mark] = []
        foot = joints[-1]
        if socks:
            marks.append((ellipse(foot, 0.6, 0.55), mix(coat.light, INK, 0.22 if far else 0.0)))
        elif coat.pattern == "mask":
            marks.append((ellipse(foot, 0.6, 0.6), coat.dark))
        elif coat.pattern == "stripes":
            middle = 0.45 * joints[0] + 0.55 * foot
            for step in (-0.22, 0.12):
                bar = middle + step * (foot - joints[0]) + np.linspace(-0.5, 0.5, 5)
                marks.append((stroke(bar, 0.16), mix(coat.dark, INK, 0.22 if far else 0.0)))
        limb = tube(curve(*joints), width, 0.85 * width)
        self.brush.shape(limb, colour, coat.rim, marks)
        sole = ellipse(foot + paw + 0.02j, 1.25 * width, 0.75 * width)
        tone = colour if not marks or coat.pattern == "stripes" else marks[0][1]
        self.brush.shape(sole, tone, coat.rim, shade=0.15)
        for toe in (-0.35, 0.35):
            at = foot + paw + toe * width
            self.brush.trace(np.array([at + 0.25j * width, at + 0.65j * width]), coat.rim, 0.6)

    def _marks(self, spine: Points, belly: Points | None) -> list[Mark]:
        """Stripes or patches along the back; a light chest or belly."""
        coat, rng = self.coat, self.rng
        marks: list[Mark] = []
        if coat.pattern == "stripes":
            along = np.gradient(spine)
            across = 1j * along / np.maximum(np.abs(along), 1e-9)
            for i in range(3, len(spine) - 1, 4):
                bar = spine[i] + across[i] * np.array([-0.5, 0.2, 0.8]) + 0.15 * along[i]
                marks.append((stroke(curve(*bar.tolist()), 0.26), coat.dark))
        elif coat.pattern == "patches":
            for _ in range(3):
                at = complex(spine[int(rng.integers(len(spine)))]) + complex(*rng.normal(0, 0.3, 2))
                marks.append((patch(rng, at, rng.uniform(0.4, 0.75)), coat.dark))
        if belly is not None and coat.pattern != "mask":
            marks.append((belly, coat.light))
        return marks

    def collar(self, centre: complex, width: float) -> None:
        """A band with a bell, in front of the neck and below the head."""
        if self.coat.cloth is None:
            return
        band = curve(centre - width, centre + 0.25j, centre + width)
        rim = mix(self.coat.cloth, INK, 0.6)
        self.brush.shape(tube(band, 0.15, 0.15), self.coat.cloth, rim, rim_width=0.8)
        self.brush.shape(ellipse(centre + 0.42j, 0.15, 0.15), (246, 206, 84), rim, rim_width=0.7)

    def _portrait(self) -> None:
        wide = self.rng.uniform(0.9, 1.25)
        torso = blob(*mirrored(0 + 0.3j, 0.55 + 0.45j, 0.85 * wide + 1.1j, 1.15 * wide + 2.0j,
                               1.3 * wide + 5j, 0 + 6j))  # fmt: skip
        spine = curve(-0.9 * wide + 0.8j, -1.0 * wide + 1.6j, -1.1 * wide + 2.6j)
        bib = blob(*mirrored(0 + 0.5j, 0.45 + 0.9j, 0.5 + 1.8j, 0 + 2.6j))
        marks = [*self._marks(-spine.conj()[::-1], None), *self._marks(spine, bib)]
        self.brush.shape(torso, self.coat.base, self.coat.rim, marks, shade=0.15)
        self.collar(0 + 0.92j, 0.66)

    def _sitting(self) -> None:
        coat, b, wide = self.coat, self.brush, self.rng.uniform(0.9, 1.12)
        self._tail(0.95 * wide + 2.75j, 0.9 - 0.1j)
        for side in (-1, 1):
            thigh = ellipse(side * 0.88 * wide + 2.5j, 0.55, 0.62)
            b.shape(thigh, coat.base, coat.rim)
            foot = ellipse(side * 1.0 * wide + 3.02j, 0.4, 0.2)
            b.shape(foot, coat.base, coat.rim)
        torso = blob(*mirrored(0 + 0.3j, 0.5 + 0.5j, 0.72 * wide + 1.2j, 0.92 * wide + 2.2j,
                               0.75 * wide + 2.9j, 0 + 3.0j))  # fmt: skip
        spine = curve(-0.75 * wide + 0.9j, -0.85 * wide + 1.8j, -0.9 * wide + 2.7j)
        bib = blob(*mirrored(0 + 0.5j, 0.42 + 0.9j, 0.46 + 1.7j, 0 + 2.3j))
        marks = [*self._marks(-spine.conj()[::-1], None), *self._marks(spine, bib)]
        b.shape(torso, coat.base, coat.rim, marks)
        for side in (-1, 1):
            self._leg(side * 0.3 * wide + 1.7j, side * 0.36 * wide + 2.4j,
                      side * 0.38 * wide + 3.0j, width=0.25, paw=0.03 * side)  # fmt: skip
        self.collar(0 + 0.95j, 0.58)

    def _sideways(self) -> None:
        coat, b, back = self.coat, self.brush, self.rng.uniform(0.9, 1.12)
        self._tail(-1.5 * back + 2.75j, -0.9 - 0.05j)
        self._leg(0.05 + 1.7j, 0.15 + 2.4j, 0.12 + 2.95j, width=0.24, far=True)
        torso = blob(0.5 + 0.5j, 0.62 + 1.3j, 0.4 + 2.2j, -0.1 + 2.95j, -1.2 * back + 3.0j,
                     -1.65 * back + 2.3j, -1.2 * back + 1.2j, -0.55 + 0.4j)  # fmt: skip
        spine = curve(-0.7 + 0.6j, -1.1 * back + 1.3j, -1.5 * back + 2.1j, -1.5 * back + 2.7j)
        chest = blob(0.3 + 0.5j, 0.8 + 1.2j, 0.5 + 2.1j, 0.15 + 1.6j)
        b.shape(torso, coat.base, coat.rim, self._marks(spine[::-1], chest))
        thigh = blob(-0.9 + 1.75j, -0.3 + 2.1j, -0.3 + 2.75j,
                     -0.9 + 3.1j, -1.5 + 2.8j, -1.45 + 2.1j)  # fmt: skip
        b.shape(thigh, coat.base, None, shade=0.2)
        b.trace(curve(-1.0 + 1.8j, -0.4 + 2.05j, -0.28 + 2.7j), coat.rim)
        sole = ellipse(-0.4 + 3.02j, 0.5, 0.19)
        b.shape(sole, coat.light if coat.pattern == "bicolour" else coat.base, coat.rim)
        self._leg(0.32 + 1.7j, 0.38 + 2.4j, 0.36 + 3.0j, width=0.25)
        self.collar(0.05 + 0.9j, 0.58)

    def _standing(self) -> None:
        coat, b, rng = self.coat, self.brush, self.rng
        long, step = rng.uniform(0.85, 1.1), rng.uniform(-0.25, 0.25)
        self._tail(-3.05 * long + 0.9j, -0.8 - 0.2j)
        self._leg(-0.55 + 1.4j, -0.5 - step + 2.2j, -0.5 - 1.4 * step + 2.85j, width=0.24, far=True)
        self._leg(-2.5 * long + 1.3j, -2.7 * long + step + 2.1j, -2.5 * long + 1.4 * step + 2.85j,
                  width=0.26, far=True)  # fmt: skip
        torso = blob(0.3 + 0.6j, 0.42 + 1.2j, -0.1 + 1.75j, -1.4 * long + 1.75j,
                     -2.6 * long + 1.7j, -3.2 * long + 1.2j, -2.95 * long + 0.6j,
                     -1.7 * long + 0.5j, -0.5 + 0.3j)  # fmt: skip
        spine = curve(-0.6 + 0.4j, -1.5 * long + 0.55j, -2.4 * long + 0.6j, -3.1 * long + 1.0j)
        chest = blob(0.2 + 0.6j, 0.6 + 1.2j, 0.1 + 1.9j, -1.4 * long + 1.9j, -0.3 + 1.5j)
        b.shape(torso, coat.base, coat.rim, self._marks(spine[::-1], chest))
        self._leg(-2.75 * long + 1.3j, -2.95 * long - step + 2.1j, -2.75 * long - 1.4 * step + 2.9j,
                  width=0.28)  # fmt: skip
        self._leg(-0.1 + 1.4j, -0.05 + step + 2.2j, -0.05 + 1.4 * step + 2.9j, width=0.26)
        self.collar(0.0 + 0.85j, 0.56)

    def _lying(self) -> None:
        coat, b, long = self.coat, self.brush, self.rng.uniform(0.85, 1.1)
        self._tail(-2.8 * long + 1.1j, -0.6 + 0.05j)
        torso = blob(0.55 + 0.5j, 0.6 + 1.1j, 0.2 + 1.45j, -1.4 * long + 1.5j,
                     -2.7 * long + 1.45j, -3.1 * long + 0.9j, -2.4 * long + 0.15j,
                     -1.3 * long + 0.1j, -0.5 + 0.2j)  # fmt: skip
        spine = curve(-0.6 + 0.2j, -1.4 * long + 0.15j, -2.3 * long + 0.2j, -2.9 * long + 0.7j)
        chest = blob(0.2 + 0.5j, 0.7 + 0.9j, 0.5 + 1.5j, -0.2 + 1.4j)
        b.shape(torso, coat.base, coat.rim, self._marks(spine[::-1], chest))
        thigh = blob(-2.3 * long + 0.6j, -1.75 * long + 0.9j, -1.8 * long + 1.45j,
                     -2.9 * long + 1.45j, -2.9 * long + 0.8j)  # fmt: skip
        b.shape(thigh, coat.base, None, shade=0.2)
        b.trace(curve(-2.3 * long + 0.62j, -1.75 * long + 0.9j, -1.75 * long + 1.4j), coat.rim)
        b.shape(ellipse(-1.75 * long + 1.42j, 0.45, 0.17), coat.base, coat.rim)
        self._leg(-0.2 + 1.3j, 0.3 + 1.4j, 0.75 + 1.4j, width=0.2, far=True, paw=0.1)
        self._leg(-0.2 + 1.42j, 0.4 + 1.5j, 1.0 + 1.48j, width=0.22, paw=0.1)
        self.collar(0.05 + 0.85j, 0.56)


def draw_animal(brush: Brush, label: Label, pose: Pose, rng: np.random.Generator) -> None:
    """One animal, facing right unless the brush is flipped."""
    coat = Coat.drawn_from(rng)
    Body(brush, coat, rng, label).draw(pose)
    side = pose in {"sideways", "standing", "lying"}
    yaw = rng.uniform(-0.2, 0.75) if side else rng.uniform(-0.6, 0.6)
    head = Head(
        brush=brush.moved(0.1 if side else 0.0, turn=rng.normal(0, 0.1)),
        coat=coat,
        rng=rng,
        yaw=yaw,
        pitch=rng.uniform(-0.15, 0.22),
        wide=rng.uniform(0.98, 1.14),
        tall=rng.uniform(0.84, 0.98),
    )
    head.draw(label)
