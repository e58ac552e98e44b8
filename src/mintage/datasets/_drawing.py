"""A brush for cartoon shapes: smooth outlines, markings clipped to their shape, soft shading.

Points are complex numbers (x + iy, y pointing down), so that turning and scaling is one
multiplication and a shape goes to Pillow as a flat list of coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Points: TypeAlias = NDArray[np.complexfloating[Any, Any]]
Mark: TypeAlias = tuple[Points, Colour]

_SHADOW: Colour = (46, 30, 60)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Go from `one` towards `other` by `share` of the way."""
    rest = 1 - share
    return (
        round(one[0] * rest + other[0] * share),
        round(one[1] * rest + other[1] * share),
        round(one[2] * rest + other[2] * share),
    )


@lru_cache(maxsize=32)
def _spline_weights(steps: int) -> NDArray[np.float64]:
    """Catmull-Rom weights of the four neighbouring control points, `float64[4, steps]`."""
    t = np.arange(steps) / steps
    return 0.5 * np.array(
        [
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            -(t**2) + t**3,
        ]
    )


def _spline(four: Points, steps: int) -> Points:
    curve: Points = (four @ _spline_weights(steps)).ravel()
    return curve


def blob(*controls: complex, steps: int = 6) -> Points:
    """A smooth closed curve through the control points."""
    c = np.array([controls[-1], *controls, *controls[:2]])
    return _spline(np.stack([c[:-3], c[1:-2], c[2:-1], c[3:]], axis=1), steps)


def mirrored(*right: complex) -> tuple[complex, ...]:
    """Controls of a symmetric closed curve, from its right half (top to bottom)."""
    left = [complex(-p.real, p.imag) for p in reversed(right) if abs(p.real) > 1e-9]
    return (*right, *left)


def curve(*controls: complex, steps: int = 6) -> Points:
    """A smooth open curve through the control points."""
    c = np.array([2 * controls[0] - controls[1], *controls, 2 * controls[-1] - controls[-2]])
    four = np.stack([c[:-3], c[1:-2], c[2:-1], c[3:]], axis=1)
    return np.append(_spline(four, steps), controls[-1])


@lru_cache(maxsize=16)
def _circle(count: int) -> Points:
    circle: Points = np.exp(2j * np.pi * np.arange(count) / count)
    return circle


def ellipse(centre: complex, rx: float, ry: float, turn: float = 0.0, count: int = 28) -> Points:
    """An ellipse; `turn` in radians."""
    c = _circle(count)
    e: Points = centre + (rx * c.real + 1j * ry * c.imag) * complex(math.cos(turn), math.sin(turn))
    return e


def _normals(path: Points) -> Points:
    """Unit vectors across the path, by central differences."""
    along = np.empty_like(path)
    along[1:-1] = path[2:] - path[:-2]
    along[0], along[-1] = path[1] - path[0], path[-1] - path[-2]
    normals: Points = 1j * along / np.maximum(np.abs(along), 1e-9)
    return normals


@lru_cache(maxsize=64)
def _ramp(count: int) -> NDArray[np.float64]:
    return np.linspace(0, 1, count)


@lru_cache(maxsize=64)
def _bow(count: int, power: float) -> NDArray[np.float64]:
    """From 0 up to 1 in the middle and back."""
    bow: NDArray[np.float64] = np.abs(np.sin(np.pi * _ramp(count))) ** power
    return bow


_CAP: Points = np.exp(1j * np.linspace(np.pi / 2, -np.pi / 2, 7)[1:-1])


def tube(path: Points, start: float, end: float, bulge: float = 0.0) -> Points:
    """The outline of a limb: `path` thickened from half-width `start` to `end`, with round ends."""
    normal = _normals(path)
    width = start + (end - start) * _ramp(len(path)) + bulge * _bow(len(path), 1.0)
    side = normal * width
    tip = path[-1] - 1j * side[-1] * _CAP
    root = path[0] + 1j * side[0] * _CAP
    return np.concatenate([path + side, tip, (path - side)[::-1], root])


def stroke(path: Points, width: float) -> Points:
    """A brush stroke: thickest in its middle, pointed at both ends."""
    side = 0.5 * width * _bow(len(path), 0.7) * _normals(path)
    return np.concatenate([path + side, (path - side)[::-1]])


def hull(points: Points) -> Points:
    """The convex hull (Andrew's monotone chain)."""
    ordered = sorted(zip(points.real.tolist(), points.imag.tolist(), strict=True))

    def chain(side: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, y in side:
            while len(kept) > 1 and (
                (kept[-1][0] - kept[-2][0]) * (y - kept[-2][1])
                <= (kept[-1][1] - kept[-2][1]) * (x - kept[-2][0])
            ):
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return np.array([complex(x, y) for x, y in chain(ordered) + chain(reversed(ordered))])


@dataclass(frozen=True)
class Brush:
    """A canvas, and the frame in which shapes are drawn on it: pixel = scale * point + origin."""

    canvas: Image.Image
    pen: ImageDraw.ImageDraw
    scale: complex
    origin: complex
    flipped: bool = False
    light: complex = -0.6 - 0.8j
    line: float = 3.0

    def moved(self, offset: complex, turn: float = 0.0, size: float = 1.0) -> Brush:
        """A brush in a frame inside this one; `turn` in radians."""
        inner = size * complex(math.cos(turn), math.sin(turn))
        if self.flipped:
            offset, inner = complex(-offset.real, offset.imag), inner.conjugate()
        return replace(self, scale=self.scale * inner, origin=self.origin + self.scale * offset)

    def to_pixels(self, points: Points) -> Points:
        return self.scale * (-points.conj() if self.flipped else points) + self.origin

    def fill(self, points: Points, colour: Colour) -> None:
        """One flat polygon."""
        self.pen.polygon(_flat(self.to_pixels(points)), fill=colour)

    def trace(
        self, points: Points, colour: Colour, width: float = 1.0, *, corners: bool = False
    ) -> None:
        """A line of `width` times the brush's line width; `corners` rounds its sharp ones."""
        pixels = self.to_pixels(points)
        thick = max(1, round(self.line * width))
        self.pen.line(_flat(pixels), fill=colour, width=thick)
        if corners:
            steps = np.diff(pixels)
            bends = np.abs(np.angle(steps[1:] * steps[:-1].conj()))
            radius = 0.5 * thick
            for corner in pixels[1:-1][bends > 0.4].tolist():
                x, y = corner.real, corner.imag
                self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def shape(
        self,
        points: Points,
        colour: Colour,
        rim: Colour | None = None,
        marks: Sequence[Mark] = (),
        *,
        shade: float = 0.22,
        rim_width: float = 1.0,
        corners: bool = False,
    ) -> None:
        """A shaded shape: its markings are clipped to it, its far side from the light is darker."""
        pixels = self.to_pixels(points)
        outline = _flat(pixels)
        xs, ys = outline[::2], outline[1::2]
        low_x, low_y, high_x, high_y = min(xs), min(ys), max(xs), max(ys)
        left, top = max(0, int(low_x)), max(0, int(low_y))
        right = min(self.canvas.width, int(high_x) + 2)
        bottom = min(self.canvas.height, int(high_y) + 2)
        if right <= left or bottom <= top:
            return
        size, inside = (right - left, bottom - top), pixels - complex(left, top)
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).polygon(_flat(inside), fill=255)
        if marks:
            tile = Image.new("RGB", size, colour)
            paint = ImageDraw.Draw(tile)
            for mark, mark_colour in marks:
                paint.polygon(_flat(self.to_pixels(mark) - complex(left, top)), fill=mark_colour)
            self.canvas.paste(tile, (left, top), mask)
        else:
            self.pen.polygon(outline, fill=colour)
        if shade:
            depth = 0.16 * math.sqrt((high_x - low_x) * (high_y - low_y))
            dark = Image.new("L", size, round(255 * shade))
            lit = ImageDraw.Draw(dark)
            lit.polygon(_flat(inside + 0.5 * depth * self.light), fill=round(128 * shade))
            lit.polygon(_flat(inside + depth * self.light), fill=0)
            box = (left, top, right, bottom)
            self.canvas.paste(_SHADOW, box, ImageChops.darker(dark, mask))
        if rim is not None:
            closed = np.concatenate([points, points[:2]])
            self.trace(closed, rim, rim_width, corners=corners)


def _flat(pixels: Points) -> list[float]:
    flat: list[float] = np.ascontiguousarray(pixels).view(np.float64).tolist()
    return flat
