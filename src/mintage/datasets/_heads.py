"""The head of a drawn cat or dog, in units of half its width; here the two kinds differ most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mintage.datasets._coats import INK, PINK, Coat, patch, pick
from mintage.datasets._drawing import (
    Brush,
    Colour,
    Mark,
    Points,
    blob,
    curve,
    ellipse,
    hull,
    mirrored,
    mix,
    stroke,
)

Label: TypeAlias = Literal["cat", "dog"]


@dataclass(frozen=True)
class Head:
    """A head turned by `yaw` (to the right) and `pitch` (downwards), centred on its brush."""

    brush: Brush
    coat: Coat
    rng: np.random.Generator
    yaw: float
    pitch: float
    wide: float
    tall: float
    depth: float = 0.9

    def solid(self, points: Points, z: NDArray[np.float64] | float) -> Points:
        """Where points at depth `z` (towards the viewer) come to lie once the head is turned."""
        x = points.real * math.cos(self.yaw) + z * math.sin(self.yaw)
        y = points.imag * math.cos(self.pitch) + z * math.sin(self.pitch)
        placed: Points = x + 1j * y
        return placed

    def face(self, points: Points, lift: float = 0.0) -> Points:
        """Where points of the face, seen from the front, come to lie once the head is turned."""
        inside = 1 - (points.real / self.wide) ** 2 - (points.imag / self.tall) ** 2
        return self.solid(points, self.depth * np.sqrt(np.maximum(inside, 0.0)) + lift)

    def beside(self, points: Points, side: int, z: float) -> Points:
        """Where points given for a right ear come to lie on the left (-1) or right (1) side."""
        return self.solid(self.wide * points.real * side + 1j * self.tall * points.imag, z)

    def draw(self, label: Label) -> None:
        """Ears, skull with its markings, eyes, muzzle."""
        ears = (_CatEars if label == "cat" else _DogEars).drawn_from(self.rng)
        if ears.behind:
            ears.draw(self)
        self._skull(label)
        if not ears.behind:
            ears.draw(self)
        if label == "cat":
            _cat_face(self)
        else:
            _dog_face(self)

    def _skull(self, label: Label) -> None:
        w, h, rng = self.wide, self.tall, self.rng
        if label == "cat":
            jowl = rng.uniform(0.92, 1.06)
            half = (0 - 0.97j * h, 0.46 * w - 0.86j * h, 0.9 * w - 0.45j * h, w + 0.08j * h,
                    0.8 * jowl * w + 0.62j * h, 0.4 * w + 0.92j * h, 0 + 1.0j * h)  # fmt: skip
        else:
            jowl = rng.uniform(0.86, 1.04)
            half = (0 - 1.0j * h, 0.46 * w - 0.89j * h, 0.88 * w - 0.48j * h, 0.97 * w + 0.05j * h,
                    0.82 * jowl * w + 0.58j * h, 0.44 * w + 0.95j * h, 0 + 1.04j * h)  # fmt: skip
        skull = blob(*mirrored(*half))
        if label == "cat":
            cheek = np.abs(skull.imag - 0.42 * h) < 0.3 * h
            skull[cheek & (np.arange(len(skull)) % 3 == 0)] *= 1.12  # hairs that stick out
        skull = skull + 0.1 * math.sin(self.yaw) * (1 + skull.imag)
        marks = [*self._rosy_cheeks(), *self._markings()]
        self.brush.shape(skull, self.coat.base, self.coat.rim, marks, corners=True)

    def _rosy_cheeks(self) -> list[Mark]:
        if self.rng.random() < 0.6:
            return []
        colour = mix(self.coat.base, PINK, 0.4)
        spots = (ellipse(side * 0.68 * self.wide + 0.26j, 0.2, 0.14) for side in (-1, 1))
        return [(self.face(spot), colour) for spot in spots]

    def _markings(self) -> list[Mark]:
        coat, rng = self.coat, self.rng
        marks: list[Mark] = []
        if coat.pattern == "stripes":
            for x in (-0.24, 0.0, 0.24):
                stripe = curve(complex(x, -1.0), complex(0.8 * x, -0.72), complex(0.62 * x, -0.45))
                marks.append((self.face(stroke(stripe, 0.15)), coat.dark))
            for side in (-1, 1):
                for y in (0.08, 0.34):
                    stripe = curve(side * 1.05 + 1j * y, side * 0.8 + 1j * (y + 0.06),
                                   side * 0.6 + 1j * y)  # fmt: skip
                    marks.append((self.face(stroke(stripe, 0.14)), coat.dark))
        elif coat.pattern == "patches":
            side = pick(rng, (-1, 1))
            marks.append((self.face(patch(rng, side * 0.42 - 0.1j, 0.46)), coat.dark))
            if rng.random() < 0.5:
                marks.append((self.face(patch(rng, -side * 0.6 - 0.7j, 0.4)), coat.dark))
        elif coat.pattern == "bicolour":
            blaze = blob(0 - 1.0j, 0.14 - 0.5j, 0.2 + 0j, 0.62 + 0.5j, 0 + 1.0j, -0.62 + 0.5j,
                         -0.2 + 0j, -0.14 - 0.5j)  # fmt: skip
            marks.append((self.face(blaze), coat.light))
        elif coat.pattern == "mask":
            marks.append((self.face(patch(rng, 0 + 0.3j, 0.66)), coat.dark))
        return marks

    @property
    def muzzle_colour(self) -> Colour:
        return self.coat.dark if self.coat.pattern == "mask" else self.coat.light

    def eye(self, centre: complex, outline: Points, pupil: Points) -> None:
        """One open eye: iris, pupil, two catch-lights, and the lid's line."""
        lid = mix(self.coat.rim, INK, 0.6)
        marks: list[Mark] = [(self.face(centre + pupil), INK)]
        self.brush.shape(
            self.face(centre + outline), self.coat.iris, lid, marks, shade=0, rim_width=1.1
        )
        for size, place in ((0.055, -0.05 - 0.07j), (0.028, 0.05 + 0.05j)):
            glint = ellipse(centre + place, size, size, count=14)
            self.brush.fill(self.face(glint), (255, 255, 255))

    def closed_eye(self, centre: complex, width: float) -> None:
        """An eye shut with pleasure."""
        lid = curve(centre - width, centre - 0.13j, centre + width)
        colour = self.coat.light if self.coat.is_dim else INK
        self.brush.trace(self.face(lid), colour, 1.4)


@dataclass(frozen=True)
class _CatEars:
    """Upright triangles, now and then turned outwards."""

    height: float
    spread: float
    turned: float
    behind: ClassVar[bool] = True

    @classmethod
    def drawn_from(cls, rng: np.random.Generator) -> _CatEars:
        return cls(
            height=rng.uniform(0.72, 1.05),
            spread=rng.uniform(-0.06, 0.12),
            turned=rng.uniform(0.3, 0.75) if rng.random() < 0.2 else rng.uniform(-0.1, 0.15),
        )

    def draw(self, head: Head) -> None:
        inner, outer = 0.2 + self.spread - 0.8j, 0.97 - 0.28j
        tip = 0.74 + self.spread - 0.72j
        tip += self.height * complex(math.sin(self.turned), -math.cos(self.turned))
        shell = np.concatenate([
            curve(inner, 0.5 * (inner + tip) - 0.06 - 0.02j, tip),
            curve(tip, 0.5 * (tip + outer) + 0.08 - 0.02j, outer),
        ])  # fmt: skip
        root = 0.5 * (inner + outer) + 0.12j
        coat = head.coat
        colour = coat.dark if coat.pattern == "mask" else coat.base
        for side in (-1, 1):
            ear = head.beside(shell, side, -0.12)
            hollow = head.beside(root + 0.68 * (shell - root), side, -0.12)
            head.brush.shape(np.append(ear, 0.6 * ear.mean()), colour, None, [(hollow, coat.inner)])
            head.brush.trace(ear, coat.rim, corners=True)


@dataclass(frozen=True)
class _DogEars:
    """Hanging, folded over, or pricked."""

    kind: Literal["hanging", "button", "pricked"]
    length: float
    swing: float
    dark: bool

    @property
    def behind(self) -> bool:
        return self.kind != "hanging"

    @classmethod
    def drawn_from(cls, rng: np.random.Generator) -> _DogEars:
        kinds: tuple[Literal["hanging", "button", "pricked"], ...]
        kinds = ("hanging",) * 6 + ("button", "pricked")
        kind = pick(rng, kinds)
        return cls(
            kind=kind,
            length=rng.uniform(0.75, 1.25),
            swing=rng.uniform(0.1, 0.4) if kind == "button" else rng.uniform(-0.15, 0.35),
            dark=rng.random() < 0.55,
        )

    def draw(self, head: Head) -> None:
        coat = head.coat
        colour = coat.dark if self.dark or coat.pattern == "mask" else mix(coat.base, INK, 0.12)
        for side in (-1, 1):
            if self.kind == "hanging":
                self._hanging(head, side, colour)
            else:
                self._upright(head, side, colour)

    def _hanging(self, head: Head, side: int, colour: Colour) -> None:
        drop, out = self.length, self.swing
        ear = blob(0.5 - 0.86j, 0.86 - 0.84j, 1.1 + out - 0.35j * drop, 1.16 + out + 0.25j * drop,
                   0.98 + 0.8 * out + 0.56j * drop, 0.76 + 0.5 * out + 0.2j * drop,
                   0.74 - 0.42j)  # fmt: skip
        head.brush.shape(head.beside(ear, side, 0.05), colour, head.coat.rim)

    def _upright(self, head: Head, side: int, colour: Colour) -> None:
        inner, outer = 0.3 - 0.82j, 0.97 - 0.3j
        top = 0.72 + 0.4 * self.swing - (0.95 + 0.5 * self.length) * 1j
        if self.kind == "button":
            top = 0.72 + 0.3 * self.swing - 1.12j
        shell = np.concatenate([
            curve(inner, 0.5 * (inner + top) - 0.12 - 0.04j, top - 0.09),
            curve(top + 0.09, 0.5 * (top + outer) + 0.12 - 0.04j, outer),
        ])  # fmt: skip
        root = 0.5 * (inner + outer) + 0.12j
        ear = head.beside(shell, side, -0.1)
        hollow = head.beside(root + 0.6 * (shell - root), side, -0.1)
        marks = [(hollow, mix(head.coat.inner, colour, 0.35))] if self.kind == "pricked" else []
        head.brush.shape(np.append(ear, 0.6 * ear.mean()), colour, None, marks)
        head.brush.trace(ear, head.coat.rim, corners=True)
        if self.kind == "button":
            tip = 1.1 + 0.8 * self.swing - 0.36j
            left, right = top - 0.3 + 0.1j, top + 0.24 + 0.04j
            fold = np.concatenate([
                curve(left, top - 0.05j, right),
                curve(right, 0.5 * (right + tip) + 0.07, tip),
                curve(tip, 0.5 * (left + tip) - 0.02 + 0.06j, left),
            ])  # fmt: skip
            folded = head.beside(fold, side, -0.1)
            head.brush.shape(folded, mix(colour, INK, 0.1), head.coat.rim, corners=True)


def _cat_face(head: Head) -> None:
    rng, b, coat = head.rng, head.brush, head.coat
    gap, width, height = rng.uniform(0.4, 0.48), rng.uniform(0.2, 0.27), rng.uniform(0.16, 0.24)
    slit = rng.uniform(0.035, 0.12)
    closed = rng.random() < 0.1
    for side in (-1, 1):
        centre = complex(side * gap, -0.08)
        if closed:
            head.closed_eye(centre, width)
            continue
        turned = complex(math.cos(0.22), -side * math.sin(0.22))
        almond = turned * blob(-width, -0.55 * width - 0.8j * height, 0.35 * width - 1j * height,
                               width - 0.25j * height, 0.45 * width + 0.8j * height,
                               -0.5 * width + 0.75j * height)  # fmt: skip
        head.eye(centre, almond, ellipse(0, slit, 0.92 * height))
    nose_y = rng.uniform(0.24, 0.34)
    puff = rng.uniform(0.24, 0.32)
    for side in (-1, 1):
        pad = ellipse(side * 0.2 + 1j * (nose_y + 0.2), puff, 0.8 * puff)
        b.shape(head.face(pad, 0.06), head.muzzle_colour, shade=0.12)
    chin = ellipse(1j * (nose_y + 0.4), 0.17, 0.12)
    b.fill(head.face(chin, 0.04), mix(head.muzzle_colour, coat.rim, 0.12))
    if rng.random() < 0.12:
        tongue = blob(-0.08 + 0.26j, 0.08 + 0.26j, 0.09 + 0.42j, 0.5j, -0.09 + 0.42j)
        b.shape(head.face(tongue + 1j * nose_y, 0.1), PINK, coat.rim, rim_width=0.6)
    ink = mix(coat.rim, INK, 0.5)
    for side in (-1, 1):
        lip = 1j * nose_y + curve(0.1j, side * 0.06 + 0.27j, side * 0.2 + 0.27j, side * 0.3 + 0.18j)
        b.trace(head.face(lip, 0.1), ink, 0.8)
    nose = blob(-0.13 - 0.05j, -0.05j, 0.13 - 0.05j, 0.05 + 0.07j, 0.1j, -0.05 + 0.07j)
    b.shape(head.face(nose + 1j * nose_y, 0.12), coat.nose, ink, shade=0, rim_width=0.6)
    _whiskers(head, nose_y, rng.uniform(0.9, 1.3))


def _whiskers(head: Head, nose_y: float, length: float) -> None:
    coat = head.coat
    colour = (240, 238, 232) if coat.is_dim else mix(INK, coat.base, 0.15)
    for side in (-1, 1):
        for droop in (-0.2, 0.02, 0.24):
            root = head.face(np.array([side * 0.3 + 1j * (nose_y + 0.16 + 0.25 * droop)]), 0.1)[0]
            reach = length * (side * math.cos(head.yaw) + 0.35 * math.sin(head.yaw))
            tip = root + complex(reach, droop + 0.06)
            bend = 0.5 * (root + tip) - 0.08j
            head.brush.trace(curve(complex(root), complex(bend), complex(tip)), colour, 0.5)


def _dog_face(head: Head) -> None:
    rng, b, coat = head.rng, head.brush, head.coat
    gap, size = rng.uniform(0.34, 0.42), rng.uniform(0.14, 0.19)
    closed = rng.random() < 0.1
    brow = rng.random() < 0.35
    for side in (-1, 1):
        centre = complex(side * gap, -0.16)
        if brow:
            spot = ellipse(centre - 0.32j, 0.14, 0.09, turn=0.3 * side)
            b.fill(head.face(spot), coat.light)
        if closed:
            head.closed_eye(centre, 0.19)
            continue
        head.eye(centre, ellipse(0, size, 1.08 * size), ellipse(0, 0.72 * size, 0.8 * size))
    _snout(head)


def _snout(head: Head) -> None:
    rng, b, coat = head.rng, head.brush, head.coat
    length, width = rng.uniform(0.35, 0.75), rng.uniform(0.38, 0.5)
    ink = mix(coat.rim, INK, 0.5)
    root = head.face(ellipse(0.36j, width, 0.46))
    zed = head.depth + length
    low = rng.uniform(0.36, 0.46)
    tip = head.solid(ellipse(1j * low, 0.84 * width, 0.33), zed)
    edge = mix(head.muzzle_colour, coat.rim, 0.55)
    chin = np.concatenate([
        head.solid(ellipse(1j * (low + 0.24), 0.45 * width, 0.2), zed - 0.25),
        head.face(ellipse(0.5j, 0.5 * width, 0.3)),
    ])  # fmt: skip
    b.shape(hull(chin), mix(head.muzzle_colour, coat.rim, 0.2), edge, shade=0.2, rim_width=0.8)
    if rng.random() < 0.4:
        tongue = blob(-0.15 + 0.1j, 0.15 + 0.1j, 0.17 + 0.42j, 0.0 + 0.58j, -0.17 + 0.42j)
        placed = head.solid(tongue + 1j * (low + 0.1), zed - 0.1)
        b.shape(placed, PINK, coat.rim, shade=0.15, rim_width=0.7)
    b.shape(hull(np.concatenate([root, tip])), head.muzzle_colour, edge, shade=0.15, rim_width=0.6)
    nose_at = 1j * (low - 0.2)
    for side in (-1, 1):
        lip = 1j * low + curve(0.02j, side * 0.1 + 0.24j, side * 0.67 * width + 0.26j,
                               side * 0.8 * width + 0.1j)  # fmt: skip
        b.trace(head.solid(lip, zed - 0.05), ink, 0.9)
    b.trace(head.solid(np.array([nose_at, 1j * (low + 0.04)]), zed + 0.04), ink, 0.8)
    wide = rng.uniform(0.18, 0.25)
    cheek = 0.6 * wide + 0.12j
    nose = nose_at + blob(-wide - 0.04j, -0.16j, wide - 0.04j, cheek, 0.17j, -cheek.conjugate())
    b.shape(head.solid(nose, zed + 0.06), coat.nose, ink, shade=0, rim_width=0.8)
    shine = ellipse(nose_at - 0.3 * wide - 0.07j, 0.3 * wide, 0.03, count=12)
    b.fill(head.solid(shine, zed + 0.06), mix(coat.nose, (255, 255, 255), 0.6))
