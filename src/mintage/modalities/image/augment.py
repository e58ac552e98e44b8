"""Random changes of photographs that leave their class alone, a whole batch at a time.

Geometry is one affine map and one resampling, so that a picture is blurred once, and the
result may have any side: smaller pictures early in training cost less (``train.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How much each picture may change; zero everywhere changes nothing.

    ``zoom_in``, ``zoom_out`` and ``aspect`` are the largest natural logarithms by which the part
    that is seen gets smaller, larger or stretched; ``shift`` is in fractions of the side;
    ``colour`` in fractions of contrast, and of a quarter of the range of brightness.
    """

    flip: bool = True
    rotation_degrees: float = 8.0
    zoom_in: float = 0.35
    zoom_out: float = 0.1
    aspect: float = 0.15
    shift: float = 0.025
    colour: float = 0.15

    @classmethod
    def none(cls) -> Augmentation:
        """Pictures as they are."""
        return cls(
            flip=False,
            rotation_degrees=0.0,
            zoom_in=0.0,
            zoom_out=0.0,
            aspect=0.0,
            shift=0.0,
            colour=0.0,
        )

    @property
    def moves(self) -> bool:
        """Whether pictures must be resampled for more than a mirror image."""
        return any((self.rotation_degrees, self.zoom_in, self.zoom_out, self.aspect, self.shift))


def augment(
    pixels: Tensor, augmentation: Augmentation, generator: torch.Generator, side: int | None = None
) -> Tensor:
    """Change every picture of a batch at random.

    Args:
        pixels: ``float[N, 3, H, W]`` from 0 to 255.
        augmentation: how much.
        generator: the only source of chance.
        side: height and width of the result; by default those of ``pixels``.

    Returns:
        ``float[N, 3, side, side]``, where colour may leave 0 to 255 a little.
    """
    count, _, height, width = pixels.shape
    target = (height, width) if side is None else (side, side)
    if augmentation.moves or target != (height, width):
        maps = affine_maps(count, augmentation, generator)
        grid = functional.affine_grid(maps, [count, 3, *target], align_corners=False)
        # Reflection invents no border that only training pictures would have.
        pixels = functional.grid_sample(
            pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
    elif augmentation.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    if augmentation.colour:
        pixels = change_colour(pixels, augmentation.colour, generator)
    return pixels


def affine_maps(count: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """``float[count, 2, 3]``: where in the picture each point of the result is taken from."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    reach = augmentation.zoom_in + augmentation.zoom_out
    size = torch.exp(torch.rand(count, generator=generator) * reach - augmentation.zoom_in)
    stretch = torch.exp(uniform(augmentation.aspect))
    angle = uniform(math.radians(augmentation.rotation_degrees))
    # Coordinates run from -1 to 1, so a whole side is 2. What zooming in leaves over is room
    # to move in as well.
    room = (1 - size).clamp(min=0) + 2 * augmentation.shift
    x, y = uniform(1.0) * room, uniform(1.0) * room
    mirror = torch.ones(count)
    if augmentation.flip:
        mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -mirror, mirror)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    across, down = size * stretch, size / stretch
    rows = [cosine * across * mirror, -sine * down, x, sine * across * mirror, cosine * down, y]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def change_colour(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change contrast, saturation, brightness and white balance of each picture at random."""
    count = len(pixels)

    def uniform(limit: float, channels: int = 1) -> Tensor:
        chance = torch.rand(count, channels, 1, 1, generator=generator)
        return (chance * 2 - 1) * limit

    grey = pixels.mean(dim=1, keepdim=True)
    saturation, contrast = 1 + uniform(2 * strength), 1 + uniform(strength)
    offset = (uniform(strength) + uniform(strength / 2, channels=3)) * 64
    middle = 117.0  # what photographs average, so that contrast leaves brightness alone
    pixels = grey.lerp(pixels, saturation.expand_as(pixels))
    return (pixels - middle) * contrast + (middle + offset)
