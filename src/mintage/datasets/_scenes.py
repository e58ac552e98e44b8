"""What surrounds a drawn animal: backgrounds, things in front of it, light, blur and noise."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mintage.datasets._coats import pick
from mintage.datasets._drawing import Brush, Colour, blob, curve, ellipse, mix, stroke, tube


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour of any hue, from pale to strong."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.45, 0.97))
    return round(255 * r), round(255 * g), round(255 * b)


def _near(rng: np.random.Generator, colour: Colour, spread: float = 0.35) -> Colour:
    return mix(colour, any_colour(rng), rng.uniform(0.3, 1.0) * spread)


def _leaf_green(rng: np.random.Generator) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(
        rng.uniform(0.2, 0.42), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.8)
    )
    return round(255 * r), round(255 * g), round(255 * b)


# Backgrounds: each paints a canvas whose side is 1 in its brush's units.


def _flat(brush: Brush, rng: np.random.Generator) -> None:
    brush.canvas.paste(any_colour(rng), (0, 0, *brush.canvas.size))


def _gradient(brush: Brush, rng: np.random.Generator) -> None:
    corners = Image.new("RGB", (2, 2))
    first, last = any_colour(rng), any_colour(rng)
    lean = rng.random()
    for at, share in (((0, 0), 0.0), ((1, 0), lean), ((0, 1), 1 - lean), ((1, 1), 1.0)):
        corners.putpixel(at, mix(first, last, share))
    brush.canvas.paste(corners.resize(brush.canvas.size, Image.Resampling.BILINEAR))


def _shapes(brush: Brush, rng: np.random.Generator) -> None:
    _gradient(brush, rng)
    main = any_colour(rng)
    for _ in range(int(rng.integers(6, 15))):
        at, size = complex(*rng.uniform(0, 1, 2)), rng.uniform(0.05, 0.2)
        corners = int(rng.integers(3, 7))
        turn = np.exp(1j * (2 * np.pi * np.arange(corners) / corners + rng.uniform(0, 6)))
        shape = (
            at + size * turn
            if rng.random() < 0.6
            else ellipse(at, size, size * rng.uniform(0.4, 1))
        )
        brush.fill(shape, _near(rng, main, 0.8))


def _wallpaper(brush: Brush, rng: np.random.Generator) -> None:
    paper = any_colour(rng)
    ink = mix(any_colour(rng), paper, 0.4)
    brush.canvas.paste(paper, (0, 0, *brush.canvas.size))
    inner = brush.moved(0.5 + 0.5j, rng.uniform(-0.8, 0.8))
    step = rng.uniform(0.09, 0.2)
    places = np.arange(-0.75, 0.76, step).tolist()
    kind = pick(rng, ("stripes", "dots", "triangles"))
    if kind == "stripes":
        for x in places:
            inner.fill(x + np.array([-0.8j, 0.4 * step - 0.8j, 0.4 * step + 0.8j, 0.8j]), ink)
        return
    dot = ellipse(0, 0.24 * step, 0.24 * step, count=12)
    triangle = 0.33 * step * np.array([-1j, 0.9 + 0.7j, -0.9 + 0.7j])
    for x in places:
        for y in places:
            inner.fill(complex(x, y) + (dot if kind == "dots" else triangle), ink)


def _room(brush: Brush, rng: np.random.Generator) -> None:
    wall, wood = any_colour(rng), any_colour(rng)
    brush.canvas.paste(wall, (0, 0, *brush.canvas.size))
    line = rng.uniform(0.55, 0.8)
    if rng.random() < 0.7:
        x, y, side = rng.uniform(0.0, 0.7), rng.uniform(0.02, 0.2), rng.uniform(0.2, 0.4)
        frame = np.array([0, 1, 1 + 1.1j, 1.1j]) * side + complex(x, y)
        brush.shape(frame, _near(rng, (206, 228, 244)), mix(wall, (60, 40, 40), 0.6), shade=0)
        brush.trace(frame[[0, 1]] + 0.55j * side, mix(wall, (60, 40, 40), 0.6))
    brush.fill(np.array([line * 1j, 1 + line * 1j, 1 + 1j, 1j]), wood)
    brush.trace(np.array([line * 1j, 1 + line * 1j]), mix(wood, (40, 30, 30), 0.4), 1.5)
    if rng.random() < 0.6:
        brush.fill(ellipse(rng.uniform(0.2, 0.8) + (line + 0.2) * 1j, 0.4, 0.11), any_colour(rng))
    if rng.random() < 0.5:
        _plant(brush.moved(rng.uniform(0, 1) + (line + 0.08) * 1j, size=rng.uniform(0.7, 1.2)), rng)


def _plant(brush: Brush, rng: np.random.Generator) -> None:
    green = _leaf_green(rng)
    for lean in rng.uniform(-0.2, 0.2, 6).tolist():
        leaf = curve(-0.12j, 0.6 * lean - 0.25j, 1.3 * lean - rng.uniform(0.3, 0.45) * 1j)
        brush.shape(
            stroke(leaf, 0.09), _near(rng, green), mix(green, (20, 40, 30), 0.6), rim_width=0.6
        )
    pot = np.array([-0.09 - 0.14j, 0.09 - 0.14j, 0.065 + 0.02j, -0.065 + 0.02j])
    brush.shape(pot, _near(rng, (196, 110, 76)), (90, 50, 40))


def _garden(brush: Brush, rng: np.random.Generator) -> None:
    sky = _near(rng, (170, 210, 240), 0.6)
    brush.canvas.paste(sky, (0, 0, *brush.canvas.size))
    line = rng.uniform(0.4, 0.75)
    for _ in range(int(rng.integers(0, 4))):
        at, size = complex(rng.uniform(0, 1), rng.uniform(0, 0.3)), rng.uniform(0.05, 0.1)
        for shift in (-1.0, 0.0, 1.0):
            brush.fill(ellipse(at + shift * size, size, 0.7 * size), mix(sky, (255, 255, 255), 0.6))
    green = _leaf_green(rng)
    hill = ellipse(rng.uniform(0, 1) + (line + 0.35) * 1j, 0.7, 0.45)
    brush.fill(hill, _near(rng, green))
    for x in rng.uniform(0, 1, int(rng.integers(1, 5))).tolist():
        tree, size = x + (line + 0.03) * 1j, rng.uniform(0.1, 0.22)
        brush.fill(tree + size * np.array([-0.12, 0.12, 0.12 - 0.8j, -0.12 - 0.8j]), (116, 84, 64))
        crown = (tree + size * np.array([-0.7 - 0.5j, -2.2j, 0.7 - 0.5j]) if rng.random() < 0.5
                 else ellipse(tree - 1.3j * size, 0.75 * size, 0.9 * size))  # fmt: skip
        brush.fill(crown, _near(rng, green))
    brush.fill(np.array([line * 1j, 1 + line * 1j, 1 + 1j, 1j]), mix(green, (210, 220, 120), 0.25))
    for at in rng.uniform(0, 1, (12, 2)).tolist():
        root = complex(at[0], line + (1 - line) * at[1])
        brush.fill(root + np.array([-0.012, 0.004 - 0.04j, 0.012]), _near(rng, green))


def _texture(brush: Brush, rng: np.random.Generator) -> None:
    coarse = int(rng.integers(4, 22))
    first, last = any_colour(rng), any_colour(rng)
    last = mix(first, last, rng.uniform(0.4, 1.0))
    share = rng.random((coarse, coarse, 1))
    grid = (np.array(first) * (1 - share) + np.array(last) * share).astype(np.uint8)
    brush.canvas.paste(Image.fromarray(grid).resize(brush.canvas.size, Image.Resampling.BILINEAR))


_BACKGROUNDS: tuple[Callable[[Brush, np.random.Generator], None], ...] = (
    _flat, _gradient, _shapes, _wallpaper, _room, _room, _garden, _garden, _texture,
)  # fmt: skip


def paint_background(brush: Brush, rng: np.random.Generator) -> None:
    """Fill the whole canvas; `brush` has its origin at a corner and the canvas's side as unit."""
    pick(rng, _BACKGROUNDS)(brush, rng)


# Things in front: each is drawn around the origin of its brush, about 0.2 in size.


def _ball(brush: Brush, rng: np.random.Generator) -> None:
    colour = any_colour(rng)
    rim = mix(colour, (40, 30, 40), 0.7)
    brush.shape(ellipse(0, 0.12, 0.12), colour, rim)
    if rng.random() < 0.5:  # a ball of wool
        for turn in (0.2, 1.2, 2.3):
            brush.trace(ellipse(0, 0.11, 0.045, turn=turn), rim, 0.6)
    else:
        brush.fill(
            stroke(curve(-0.11 + 0j, -0.03j, 0.11 + 0j), 0.06), mix(colour, (255, 255, 255), 0.7)
        )


def _grass(brush: Brush, rng: np.random.Generator) -> None:
    green = _leaf_green(rng)
    for x in rng.uniform(-0.2, 0.2, 9).tolist():
        top = complex(x + rng.uniform(-0.1, 0.1), -rng.uniform(0.12, 0.34))
        blade = np.array([x - 0.022 + 0.5j, top, x + 0.022 + 0.5j])
        brush.shape(blade, _near(rng, green), mix(green, (20, 40, 30), 0.5), shade=0, rim_width=0.5)


def _flower(brush: Brush, rng: np.random.Generator) -> None:
    colour = any_colour(rng)
    stem = curve(0.5j, 0.03 + 0.25j, 0j)
    brush.shape(tube(stem, 0.014, 0.012), (92, 140, 84), (50, 84, 56), shade=0, rim_width=0.5)
    for turn in np.arange(5) * 2 * np.pi / 5:
        petal = ellipse(
            0.07 * complex(math.cos(turn), math.sin(turn)), 0.055, 0.04, turn=float(turn)
        )
        brush.shape(petal, colour, mix(colour, (60, 30, 50), 0.6), rim_width=0.6)
    brush.fill(ellipse(0, 0.04, 0.04), (246, 206, 90))


def _leaf(brush: Brush, rng: np.random.Generator) -> None:
    green = _leaf_green(rng)
    for lean in rng.uniform(-0.5, 0.5, 3).tolist():
        path = curve(0.3j, 0.3 * lean + 0.1j, lean - 0.2j)
        brush.shape(
            stroke(path, rng.uniform(0.08, 0.14)), _near(rng, green), mix(green, (20, 40, 30), 0.6)
        )


def _cushion(brush: Brush, rng: np.random.Generator) -> None:
    colour = any_colour(rng)
    body = blob(-0.24 - 0.09j, 0 - 0.07j, 0.24 - 0.09j, 0.21 + 0j, 0.24 + 0.12j, 0 + 0.1j,
                -0.24 + 0.12j, -0.21 + 0j)  # fmt: skip
    stripes = [(np.array([x - 0.2j, x + 0.04 - 0.2j, x + 0.04 + 0.2j, x + 0.2j]),
                mix(colour, (255, 255, 255), 0.5)) for x in (-0.15, -0.02, 0.11)]  # fmt: skip
    brush.shape(body, colour, mix(colour, (40, 30, 40), 0.7), stripes if rng.random() < 0.5 else ())


def _fence(brush: Brush, rng: np.random.Generator) -> None:
    wood = _near(rng, (222, 206, 184), 0.7)
    rim = mix(wood, (50, 36, 36), 0.65)
    for i in range(-2, 3):
        x = 0.15 * i
        post = np.array(
            [x - 0.04 + 0.5j, x - 0.04 - 0.06j, x - 0.13j, x + 0.04 - 0.06j, x + 0.04 + 0.5j]
        )
        brush.shape(post, wood, rim, shade=0.15)


def _butterfly(brush: Brush, rng: np.random.Generator) -> None:
    colour = any_colour(rng)
    rim = mix(colour, (40, 30, 50), 0.75)
    for side in (-1, 1):
        brush.shape(ellipse(0.05 * side + 0.045j, 0.045, 0.032, turn=0.7 * side), colour, rim)
        brush.shape(ellipse(0.075 * side - 0.04j, 0.08, 0.052, turn=-0.7 * side), colour, rim)
        brush.fill(
            ellipse(0.085 * side - 0.045j, 0.028, 0.018, turn=-0.7 * side),
            mix(colour, (255, 255, 255), 0.6),
        )
        brush.trace(curve(-0.05j, 0.02 * side - 0.11j, 0.05 * side - 0.12j), rim, 0.5)
    brush.fill(ellipse(0.01j, 0.012, 0.07, count=16), rim)


_LOW: tuple[Callable[[Brush, np.random.Generator], None], ...] = (
    _ball, _grass, _grass, _flower, _leaf, _cushion, _fence,
)  # fmt: skip


def place_in_front(brush: Brush, rng: np.random.Generator) -> None:
    """Put up to three things in front of the animal; they may hide part of it."""
    for _ in range(int(rng.integers(0, 4))):
        where, size = rng.random(), rng.uniform(0.6, 1.25)
        if where < 0.75:
            at = complex(rng.uniform(0, 1), rng.uniform(0.78, 1.0))
            pick(rng, _LOW)(brush.moved(at, rng.normal(0, 0.15), size), rng)
        elif where < 0.88:
            at = complex(rng.uniform(0, 1), rng.uniform(0.05, 0.95))
            _butterfly(brush.moved(at, rng.uniform(-1.0, 1.0), size), rng)
        else:
            side = pick(rng, (-1, 1))
            at = complex(0.5 + 0.6 * side, rng.uniform(0.1, 0.9))
            _leaf(brush.moved(at, -side * rng.uniform(0.8, 2.0), 1.2 * size), rng)


def finish(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light from one side, a colour cast, contrast, blur and grain."""
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    side = picture.width
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    down, across = rng.normal(0, 0.14, 2).astype(np.float32)
    cast = rng.uniform(0.93, 1.07, 3).astype(np.float32)
    light = np.float32(rng.uniform(0.85, 1.1)) + down * ramp[:, None] + across * np.repeat(ramp, 3)
    # Rows of 3 * side numbers: NumPy is slow over an innermost axis of 3.
    pixels = np.asarray(picture, dtype=np.float32).reshape(side, 3 * side)
    pixels = pixels * (light * np.tile(cast, side))
    grain = pick(rng, (0.0, 2.0, 3.5, 5.0))
    if grain:
        noise = rng.standard_normal((side, side), dtype=np.float32)
        pixels += np.repeat(np.float32(grain) * noise, 3, axis=1)
    np.clip(pixels, 0, 255, out=pixels)
    return Image.fromarray(pixels.astype(np.uint8).reshape(side, side, 3))


def shadow_below(brush: Brush, centre: complex, width: float) -> None:
    """A soft-edged dark ellipse on the ground."""
    middle = complex(brush.to_pixels(np.array([centre]))[0])
    rx, ry = abs(brush.scale) * width, abs(brush.scale) * 0.22
    mask = Image.new("L", (max(1, round(2 * rx)), max(1, round(2 * ry))), 0)
    paint = ImageDraw.Draw(mask)
    for inset, alpha in ((0.0, 36), (0.06, 72)):
        dx, dy = inset * (mask.width - 1), 2 * inset * (mask.height - 1)
        paint.ellipse((dx, dy, mask.width - 1 - dx, mask.height - 1 - dy), fill=alpha)
    brush.canvas.paste((30, 24, 40), (int(middle.real - rx), int(middle.imag - ry)), mask)
