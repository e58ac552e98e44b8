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

FLIPS = ("measure", "none", "horizontal", "vertical", "both")
"""``measure`` lets training find out on validation data what mirroring leaves alone."""
MIRRORED = ("horizontal", "vertical", "both")
_MIDDLE = 117.0  # what photographs average, so that contrast leaves brightness alone


@dataclass(frozen=True)
class Augmentation:
    """How much each picture may change; zero everywhere changes nothing.

    ``crop``, ``scale`` and ``aspect`` are the largest natural logarithms by which the part that
    is seen gets smaller, larger or stretched; ``translation`` is in fractions of the side;
    ``brightness`` in fractions of a quarter of the range, ``contrast`` and ``colour`` (saturation
    twice as much, white balance) of themselves; ``erasing`` is the share of pictures of which a
    rectangle is hidden.
    """

    flips: str = "measure"
    rotation_degrees: float = 8.0
    crop: float = 0.35
    scale: float = 0.1
    aspect: float = 0.15
    translation: float = 0.025
    brightness: float = 0.15
    contrast: float = 0.15
    colour: float = 0.15
    erasing: float = 0.0

    @classmethod
    def none(cls) -> Augmentation:
        """Pictures as they are."""
        return cls("none", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def moves(self) -> bool:
        """Whether pictures must be resampled for more than a mirror image."""
        return any((self.rotation_degrees, self.crop, self.scale, self.aspect, self.translation))


def augment(
    pixels: Tensor, augmentation: Augmentation, generator: torch.Generator, side: int | None = None
) -> Tensor:
    """Change every picture of a batch at random.

    Args:
        pixels: ``float[N, 3, H, W]`` from 0 to 255.
        augmentation: how much; ``measure`` flips nothing here.
        generator: the only source of chance.
        side: height and width of the result; by default those of ``pixels``.

    Returns:
        ``float[N, 3, side, side]``, where colour may leave 0 to 255 a little.
    """
    count, _, height, width = pixels.shape
    target = (height, width) if side is None else (side, side)
    if augmentation.moves or target != (height, width):
        maps = affine_maps(count, augmentation, generator).to(pixels.device)
        grid = affine_grid(maps, target)
        # Reflection invents no border that only training pictures would have.
        pixels = functional.grid_sample(
            pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
    elif augmentation.flips in MIRRORED:
        for axis, chosen in zip((3, 2), mirrored(count, augmentation, generator), strict=True):
            pixels = torch.where(
                (chosen < 0)[:, None, None, None].to(pixels.device), pixels.flip(axis), pixels
            )
    if augmentation.brightness or augmentation.contrast or augmentation.colour:
        pixels = change_colour(pixels, augmentation, generator)
    if augmentation.erasing:
        pixels = erase(pixels, augmentation.erasing, generator)
    return pixels


def affine_grid(maps: Tensor, target: tuple[int, int]) -> Tensor:
    """``float[N, height, width, 2]``: where in the picture each pixel of the result is taken from.

    What ``functional.affine_grid`` gives, by sums of rows and columns in place of a product of
    matrices for each picture: a quarter of its time.
    """
    across, down = (
        (torch.arange(side, device=maps.device) * 2 + 1) / side - 1 for side in reversed(target)
    )
    by_column = maps[:, None, :, 0] * across[:, None]  # [N, width, 2]
    by_row = maps[:, None, :, 1] * down[:, None] + maps[:, None, :, 2]  # [N, height, 2]
    return by_row[:, :, None] + by_column[:, None]


def mirrored(
    count: int, augmentation: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``float[count]`` of 1 and -1 across and down: which pictures are mirrored."""

    def drawn(wanted: bool) -> Tensor:
        if not wanted:
            return torch.ones(count)
        return torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)

    flips = augmentation.flips
    return drawn(flips in {"horizontal", "both"}), drawn(flips in {"vertical", "both"})


def affine_maps(count: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """``float[count, 2, 3]``: where in the picture each point of the result is taken from."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    reach = augmentation.crop + augmentation.scale
    size = torch.exp(torch.rand(count, generator=generator) * reach - augmentation.crop)
    stretch = torch.exp(uniform(augmentation.aspect))
    angle = uniform(math.radians(augmentation.rotation_degrees))
    # Coordinates run from -1 to 1, so a whole side is 2. What a crop leaves over is room to
    # move in as well.
    room = (1 - size).clamp(min=0) + 2 * augmentation.translation
    x, y = uniform(1.0) * room, uniform(1.0) * room
    across_sign, down_sign = mirrored(count, augmentation, generator)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    across, down = size * stretch * across_sign, size / stretch * down_sign
    rows = [cosine * across, -sine * down, x, sine * across, cosine * down, y]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def change_colour(pixels: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Change contrast, saturation, brightness and white balance of each picture at random."""
    count = len(pixels)

    def uniform(limit: float, channels: int = 1) -> Tensor:
        chance = torch.rand(count, channels, 1, 1, generator=generator)
        return ((chance * 2 - 1) * limit).to(pixels.device)

    saturation = 1 + uniform(2 * augmentation.colour)
    contrast = 1 + uniform(augmentation.contrast)
    offset = uniform(augmentation.brightness) + uniform(augmentation.colour / 2, channels=3)
    # All of it is one linear map of a pixel's colours: contrast times (saturation times the pixel
    # and what is left of its grey), about the middle. Two passes through memory in place of five.
    grey = pixels.mean(dim=1, keepdim=True) * ((1 - saturation) * contrast)
    middle = _MIDDLE * (1 - contrast) + 64 * offset
    return torch.addcmul(middle, pixels, saturation * contrast).add_(grey)


def erase(pixels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Hide a rectangle of 2 to 20 % of a picture's area, in ``share`` of the pictures, in grey.

    Zhong et al. 2020, "Random Erasing Data Augmentation".
    """
    count, _, height, width = pixels.shape

    def uniform() -> Tensor:
        return torch.rand(count, 1, generator=generator)

    area, stretch = 0.02 + 0.18 * uniform(), torch.exp(2 * uniform() - 1)
    tall, wide = (area * stretch).sqrt() * height, (area / stretch).sqrt() * width
    top, left = uniform() * (height - tall), uniform() * (width - wide)
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    down = (rows > top) & (rows < top + tall)
    across = (columns > left) & (columns < left + wide)
    hidden = (uniform() < share)[:, :, None] & down[:, :, None] & across[:, None, :]
    return pixels.masked_fill(hidden[:, None].to(pixels.device), _MIDDLE)


@dataclass(frozen=True)
class Mixed:
    """A batch in which each picture has a part of another.

    ``share`` is its own, the rest that of ``partner`` (``int64[N]``, positions in the batch).
    """

    pixels: Tensor
    partner: Tensor
    share: float


def mix(pixels: Tensor, generator: torch.Generator, *, mixup: float, cutmix: float) -> Mixed | None:
    """Mix a batch's pictures with each other; None for the batches that stay as they are.

    Args:
        pixels: ``float[N, 3, S, S]``.
        generator: the only source of chance.
        mixup: the share of batches that are blended (Zhang et al. 2018, alpha 0.2).
        cutmix: the share of batches in which a rectangle is exchanged (Yun et al. 2019, alpha 1).
    """
    chance = float(torch.rand((), generator=generator))
    if chance >= mixup + cutmix:
        return None
    partner = torch.randperm(len(pixels), generator=generator)
    other = pixels[partner.to(pixels.device)]
    if chance < mixup:
        share = _beta(0.2, generator)
        return Mixed(other.lerp(pixels, share), partner, share)
    height, width = pixels.shape[2:]
    kept = float(torch.rand((), generator=generator))
    tall, wide = round(height * math.sqrt(1 - kept)), round(width * math.sqrt(1 - kept))
    top = int(torch.randint(height - tall + 1, (), generator=generator))
    left = int(torch.randint(width - wide + 1, (), generator=generator))
    mixed = pixels.clone()
    mixed[:, :, top : top + tall, left : left + wide] = other[
        :, :, top : top + tall, left : left + wide
    ]
    return Mixed(mixed, partner, 1 - tall * wide / (height * width))


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A number from 0 to 1 of the distribution Beta(alpha, alpha), by Jöhnk's method (1964)."""
    while True:
        first, second = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        x, y = first ** (1 / alpha), second ** (1 / alpha)
        if 0 < x + y <= 1:
            return float(x / (x + y))
