"""Pictures of nothing, by which a novelty detector learns what its training data are not.

No photograph is shipped for it. ``scenes`` have what photographs have in common whatever they
show: things of all sizes in front of each other ("dead leaves"), textures of 1/f amplitude, soft
edges, dull colours (Baradad et al. 2021, arXiv 2106.05963, learn to see from such pictures).
``drawings`` have what drawings have, flat bright areas with outlines; ``gradients`` have nothing
but a slow change of colour, and ``noises`` nothing but noise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]  # [N, S, S, 3]

_TEXTURES = 40
_LAYERS = 100
_CORNERS = 24


def strangers(side: int, count: int = 240, seed: int = 0) -> tuple[Pixels, ...]:
    """``count`` scenes, half as many drawings, gradients, noises: ``uint8[N, side, side, 3]`` each.

    2 s at side 112 on one core.
    """
    few = count // 2
    return (
        scenes(side, count, seed),
        drawings(side, few, seed),
        gradients(side, few, seed),
        noises(side, few, seed),
    )


def scenes(side: int, count: int, seed: int = 0) -> Pixels:
    """Pictures with the statistics of photographs."""
    rng = np.random.default_rng([seed, 0])
    textures = _textures(rng, 2 * side)
    layers = [_layer(rng, textures) for _ in range(_LAYERS)]
    return np.stack([_scene(rng, side, layers) for _ in range(count)])


def drawings(side: int, count: int, seed: int = 0) -> Pixels:
    """Pictures with the statistics of drawings."""
    rng = np.random.default_rng([seed, 1])
    return np.stack([_drawing(rng, side) for _ in range(count)])


def gradients(side: int, count: int, seed: int = 0) -> Pixels:
    """Pictures that change slowly from one colour to others."""
    rng = np.random.default_rng([seed, 2])
    found = np.empty((count, side, side, 3), np.uint8)
    for picture in found:
        few = rng.integers(0, 256, (*rng.integers(2, 4, 2), 3), dtype=np.uint8)
        picture[:] = np.asarray(Image.fromarray(few).resize((side, side), Image.Resampling.BICUBIC))
    return found


def noises(side: int, count: int, seed: int = 0) -> Pixels:
    """Pictures of noise on one colour, each point for itself."""
    rng = np.random.default_rng([seed, 3])
    found = np.empty((count, side, side, 3), np.uint8)
    for picture in found:
        grain = rng.normal(0, rng.uniform(20, 100), (side, side, rng.choice((1, 3))))
        picture[:] = np.asarray(_image(rng.uniform(60, 195, 3) + grain))
    return found


def _textures(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """float32[_TEXTURES, side, side]: noise of amplitude 1/f^a, mostly along one direction."""
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    found = np.empty((_TEXTURES, side, side), np.float32)
    for texture in found:
        turn, stretch = rng.uniform(0, math.pi), math.exp(rng.normal(0, 0.35))
        along = across * math.cos(turn) + down * math.sin(turn)
        athwart = down * math.cos(turn) - across * math.sin(turn)
        frequency = np.hypot(along * stretch, athwart / stretch) + rng.choice((0.0, 0.03))
        frequency[0, 0] = np.inf  # no mean
        phases = np.exp(2j * math.pi * rng.random(frequency.shape))
        waves = np.fft.irfft2(frequency ** -rng.uniform(0.7, 1.7) * phases, s=(side, side))
        texture[:] = waves / waves.std()
    return found


def _layer(rng: np.random.Generator, textures: NDArray[np.float32]) -> Image.Image:
    """One material: a dull colour, two textures of it, and light from one side."""
    side = textures.shape[1]
    bright = rng.uniform(20, 235)
    vivid = 0.4 * rng.normal(0, 0.5, 3) if rng.random() < 0.15 else 0.0
    colour = bright * (1 + rng.normal(0, 0.12, 3) + vivid) + rng.normal(0, 12, 3)
    contrast = math.exp(rng.normal(2.6, 0.7))
    first, second = textures[rng.integers(_TEXTURES, size=2)]
    ramp = np.linspace(-2, 2, side)
    down, across = rng.normal(0, 20, 2)
    light = contrast * first + down * ramp[:, None] + across * ramp
    stained = contrast * rng.choice((0.0, 0.2)) * second
    values = colour + light[..., None] * (1 + rng.normal(0, 0.12, 3))
    values += stained[..., None] * rng.normal(0, 1, 3)
    return _image(values)


def _scene(rng: np.random.Generator, side: int, layers: list[Image.Image]) -> Pixels:
    """Leaves before a background, from few and large to many and small; nearer is sharper."""
    picture = _piece(rng, layers, side)
    leaves = int(math.exp(rng.uniform(math.log(2), math.log(40))))
    blurred_at = int(rng.integers(2 * leaves))  # half of them have no blurred background
    for number in range(leaves):
        if number == blurred_at:
            picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4) * side / 112))
        radius = rng.uniform(0.1, 0.45) if leaves < 7 else min(0.6, 0.04 * rng.pareto(1.2) + 0.04)
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).polygon(_outline(rng, side, radius * side), fill=255)
        soft = max(0.3, abs(rng.normal(0, 1.5))) * side / 112
        mask = mask.filter(ImageFilter.GaussianBlur(soft))
        picture.paste(_piece(rng, layers, side), mask=mask)
    values = np.asarray(picture, np.float64)
    values = (values - values.mean()) * rng.uniform(0.7, 1.6) + values.mean() + rng.normal(0, 20)
    if rng.random() < 0.4:
        values += rng.normal(0, rng.uniform(1, 6), (side, side, 1))
    if rng.random() < 0.08:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    return np.asarray(_image(values))


def _drawing(rng: np.random.Generator, side: int) -> Pixels:
    """Flat shapes with outlines, drawn large and made small, lit from one side."""
    large = 2 * side
    background, *palette = (tuple(colour) for colour in rng.integers(0, 256, (7, 3)).tolist())
    picture = Image.new("RGB", (large, large), background)
    pen = ImageDraw.Draw(picture)
    width = int(rng.integers(1, 1 + max(2, large // 40)))
    line = tuple(rng.integers(0, 90, 3).tolist()) if rng.random() < 0.7 else None
    for _ in range(int(rng.integers(4, 24))):
        outline = _outline(rng, large, large * rng.uniform(0.03, 0.35))
        pen.polygon(outline, fill=palette[rng.integers(len(palette))])
        if line is not None:
            pen.line([*outline, outline[0]], fill=line, width=width, joint="curve")
    ramp = np.linspace(-1, 1, side)
    down, across = rng.normal(0, 0.1, 2)
    light = 1 + down * ramp[:, None] + across * ramp
    values = np.asarray(picture.reduce(2), np.float64) * light[..., None]
    values += rng.choice((0.0, 2.0, 4.0)) * rng.normal(0, 1, (side, side, 1))
    return np.asarray(_image(values))


def _piece(rng: np.random.Generator, layers: list[Image.Image], side: int) -> Image.Image:
    """Some place of some layer."""
    left, top = rng.integers(0, side + 1, 2).tolist()
    return layers[rng.integers(len(layers))].crop((left, top, left + side, top + side))


def _outline(rng: np.random.Generator, side: int, radius: float) -> list[tuple[float, float]]:
    """The corners of a rounded, stretched, dented shape somewhere in the picture."""
    angles = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    waves = np.arange(1, 5)
    dents = rng.normal(0, 0.25, 4) / waves
    reach = 1 + np.cos(np.outer(angles, waves) + rng.uniform(0, 2 * math.pi, 4)) @ dents
    stretch = math.exp(rng.normal(0, 0.5))
    points = reach * (np.cos(angles) * stretch + 1j * np.sin(angles) / stretch)
    points = points * radius * np.exp(1j * rng.uniform(0, math.pi))
    points += complex(*rng.uniform(0, side, 2))
    return list(zip(points.real.tolist(), points.imag.tolist(), strict=True))


def _image(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
