"""The networks that learn pictures: the seed network and the compact residual one.

All take ``float32[N, 3, H, W]``, already scaled, and answer logits: ``[N, 1]`` for two classes
(sigmoid), ``[N, k]`` for more (softmax). Beside them they give *features*: what a detector of
novelty needs to know a picture unlike all that were shown, from what the network made of it and
from statistics of the picture itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mintage.core.errors import ConfigError
from mintage.core.messages import _


def outputs(classes: int) -> int:
    """How many logits: one for two classes, else one each."""
    return 1 if classes == 2 else classes


def means(maps: Tensor) -> Tensor:
    """``float32[N, C]``: the mean of each channel of ``maps[N, C, H, W]``."""
    return maps.float().mean(dim=(2, 3))


def statistics(maps: Tensor) -> Tensor:
    """``float[N, 2C]``: mean and standard deviation of each channel of ``maps[N, C, H, W]``."""
    maps = maps.float()
    mean = maps.mean(dim=(2, 3))
    variance = (maps - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)


def fewer(features: Tensor, share: int) -> Tensor:
    """``float[N, ceil(D / share)]``: every ``share`` neighbours of ``features[N, D]`` averaged."""
    if share == 1:
        return features
    return nn.functional.avg_pool1d(features[:, None], share, ceil_mode=True)[:, 0]


def picture_statistics(pixels: Tensor) -> Tensor:
    """``float32[N, 40]``: how colours and edges are distributed in ``pixels[N, 3, H, W]``.

    A network trained on drawings learns what tells their classes apart, not what tells drawings
    from photographs; that is here: colours and how they go together, and at three scales how
    strong, how rare and how evenly spread edges are. Colours and their edges are taken at half
    the size: the cost is that of memory passed through. Logarithms, and small constants of about
    one grey level, make them near Gaussian.
    """
    pixels = pixels.float()
    red, green, blue = nn.functional.avg_pool2d(pixels, 2).unbind(1)
    maps = torch.stack([(red + green + blue) / 3, red - blue, green - (red + blue) / 2], dim=1)
    mean = maps.mean(dim=(2, 3))
    centred = maps - mean[:, :, None, None]
    square = centred * centred
    variance = square.mean(dim=(2, 3)) + 1e-3
    skew = (square * centred).mean(dim=(2, 3)) / (variance * variance.sqrt())
    together = (centred * centred.roll(1, 1)).mean(dim=(2, 3))
    together = together / (variance * variance.roll(1, 1)).sqrt()
    found = [mean, variance.log(), skew, together]
    luminance = (pixels[:, :1] + pixels[:, 1:2] + pixels[:, 2:]) / 3
    for each in (luminance, maps, nn.functional.avg_pool2d(maps, 2)):
        found.extend(edge_statistics(each))
    return torch.cat(found, dim=1)


def edge_statistics(maps: Tensor) -> list[Tensor]:
    """How strong edges are, how rare (two moments), how unevenly spread; ``float32[N, C]`` each."""
    corner = maps[:, :, :-1, :-1]
    edges = (maps[:, :, 1:, :-1] - corner).abs() + (maps[:, :, :-1, 1:] - corner).abs()
    strength = (edges.mean(dim=(2, 3)) + 1e-2).log()
    root = (edges + 1e-4).sqrt().mean(dim=(2, 3)).log()
    square = ((edges * edges).mean(dim=(2, 3)) + 1e-4).log()
    activity = (nn.functional.avg_pool2d(edges, 3) + 1e-2).log()
    spread = activity - activity.mean(dim=(2, 3), keepdim=True)
    spread = ((spread * spread).mean(dim=(2, 3)) + 1e-4).sqrt()
    return [strength, 2 * root - strength, square / 2 - strength, spread]


class PictureNetwork(nn.Module, ABC):
    """What every network of pictures offers.

    A subclass defines ``layers``, what it computes on the way, and what is made of that.
    Training asks for logits alone: statistics take 6 % of a step of compact.

    ``mirrored_along`` is the axis of ``[N, C, H, W]`` along which a picture is looked at a second
    time when it is answered, mirrored; the answer is the mean of both looks. None looks once.
    """

    mirrored_along: int | None = None

    @abstractmethod
    def layers(self, pixels: Tensor) -> list[Tensor]:
        """What later parts of the network, and the features, are made of."""
        ...

    @abstractmethod
    def logits(self, layers: list[Tensor]) -> Tensor:
        """``float32[N, 1 or k]``."""
        ...

    @abstractmethod
    def features(self, layers: list[Tensor]) -> Tensor:
        """``float32[N, D]`` with D at most 400, before statistics of the picture are added."""
        ...

    def rate_groups(self, share: float) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters by the share of the learning rate they get; ``share`` is the first layers'.

        A network that was trained before learns slower below; one from scratch everywhere alike.
        """
        del share
        return [(list(self.parameters()), 1.0)]

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits alone."""
        return self.mean_of_looks(self.logits(self.layers(self.looks(pixels))))

    def forward_with_features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features: the network's, then statistics of the picture itself."""
        layers = self.layers(self.looks(pixels))
        features = self.mean_of_looks(self.features(layers))
        logits = self.mean_of_looks(self.logits(layers))
        return logits, torch.cat([features, picture_statistics(pixels)], dim=1)

    def looks(self, pixels: Tensor) -> Tensor:
        """``float[N or 2N, C, H, W]``: the pictures, and their mirror images where it answers."""
        if self.mirrored_along is None or self.training:
            return pixels
        return torch.cat([pixels, pixels.flip(self.mirrored_along)])

    def mean_of_looks(self, rows: Tensor) -> Tensor:
        """``float[N, D]`` of what the looks at N pictures gave."""
        if self.mirrored_along is None or self.training:
            return rows
        return rows.view(2, -1, rows.shape[1]).mean(dim=0)


class SeedCNN(PictureNetwork):
    """28×28×3 → 32 filters of 3×3, ReLU → max-pool 2×2 → dense 128, ReLU → dense."""

    SIDE = 28

    def __init__(self, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 32, 3)  # no padding, as is Keras' default: 26×26
        self.hidden = nn.Linear(32 * 13 * 13, 128)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(128, outputs(classes))

    def layers(self, pixels: Tensor) -> list[Tensor]:
        """The pooled filters' maps, and the hidden units."""
        # The same as pooling after ReLU, for a third less time: a quarter of the maps is left.
        maps = torch.relu(nn.functional.max_pool2d(self.convolution(pixels), 2))
        # Channels last, as they lie in memory (and as Keras has them): nothing is copied.
        return [maps, torch.relu(self.hidden(maps.permute(0, 2, 3, 1).flatten(1)))]

    def logits(self, layers: list[Tensor]) -> Tensor:
        """``float32[N, 1 or k]``."""
        answer: Tensor = self.output(self.dropout(layers[1]))
        return answer.float()

    def features(self, layers: list[Tensor]) -> Tensor:
        """192 of them: the filters' means and deviations, and the hidden units."""
        return torch.cat([statistics(layers[0]), layers[1].float()], dim=1)


class Residual(nn.Module):
    """Two convolutions, added to what went in (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels, 3),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels, 3),
        )
        self.last = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """``float[N, channels, H, W]`` from the same."""
        return torch.relu(maps + self.last(self.body(maps)))


def stage(channels_in: int, channels: int, depth: int = 1) -> nn.Sequential:
    """A convolution, halved by max-pooling, then ``depth`` residuals.

    The first convolution stands outside the residual, so that depth counts from the first step
    on. With strided residual blocks and a strided stem pets stood at 73 % after 8 epochs
    where this stood at 84 % after 6, in the same time.
    """
    return nn.Sequential(
        convolution(channels_in, channels, 3),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        *(Residual(channels) for __ in range(depth)),
    )


class Compact(PictureNetwork):
    """A small residual network for pictures of any side from 32 up."""

    WIDTHS = (32, 64, 128, 256)
    LEAST = 32  # halved five times, one pixel is left

    def __init__(
        self, classes: int, dropout: float = 0.0, width: float = 1.0, depth: int = 1
    ) -> None:
        super().__init__()
        # Multiples of 8: what vector units and tensor cores take at a time.
        widths = [max(8, round(width * channels / 8) * 8) for channels in self.WIDTHS]
        self.stem = nn.Sequential(
            convolution(3, widths[0], 5, stride=2),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.shares = [
            -(-count // most)
            for count, most in ((2 * widths[0], 64), (widths[1], 64), (widths[-1], 256))
        ]
        halving = (stage(before, after, depth) for before, after in pairwise(widths))
        self.stages = nn.ModuleList([Residual(widths[0]), *halving])
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(widths[-1], outputs(classes))

    def layers(self, pixels: Tensor) -> list[Tensor]:
        """The maps after each stage, and the last one's means."""
        passed = [self.stem(pixels)]
        for part in self.stages:
            passed.append(part(passed[-1]))
        return [*passed[1:], means(passed[-1])]

    def logits(self, layers: list[Tensor]) -> Tensor:
        """``float32[N, 1 or k]``."""
        answer: Tensor = self.output(self.dropout(layers[-1]))
        return answer.float()

    def features(self, layers: list[Tensor]) -> Tensor:
        """At most 384: early means and deviations, a middle and the last stage's means.

        Of wider networks neighbouring channels are averaged: a detector has to learn how they go
        together from a few hundred examples.
        """
        parts = (statistics(layers[0]), means(layers[1]), layers[-1])
        found = [fewer(part, share) for part, share in zip(parts, self.shares, strict=True)]
        return torch.cat(found, dim=1)


def convolution(channels_in: int, channels: int, side: int, stride: int = 1) -> nn.Conv2d:
    """A padded convolution without bias: the batch normalisation that follows has one."""
    return nn.Conv2d(channels_in, channels, side, stride, padding=side // 2, bias=False)


NAMES = ("seed-cnn", "compact")


def build(
    name: str,
    classes: int,
    input_size: int,
    dropout: float = 0.0,
    width: float = 1.0,
    depth: int = 1,
) -> PictureNetwork:
    """A network by its name; its weights mean nothing before ``initialise``.

    Raises:
        ConfigError: an unknown name, or a side that the network cannot take.
    """
    if name not in NAMES:
        raise ConfigError(
            _("No network is called {name!r}.", name=name),
            remedy=_("Use {names}.", names=" or ".join(NAMES)),
        )
    if name == "seed-cnn" and input_size != SeedCNN.SIDE:
        raise ConfigError(
            _(
                "seed-cnn takes pictures of side {side}, not {input_size}.",
                side=SeedCNN.SIDE,
                input_size=input_size,
            ),
            remedy=_("Leave the size out, or choose compact."),
        )
    if input_size < (SeedCNN.SIDE if name == "seed-cnn" else Compact.LEAST):
        raise ConfigError(
            _("A side of {input_size} pixels is too small.", input_size=input_size),
            remedy=_("Use 32 or more."),
        )
    # PyTorch draws initial weights from its global generator: leave that as it was.
    with torch.random.fork_rng(devices=[]):
        if name == "seed-cnn":
            return SeedCNN(classes, dropout)
        return Compact(classes, dropout, width, depth)


SCHEMES = ("glorot_uniform", "he_normal")


@torch.no_grad()
def initialise(network: nn.Module, scheme: str, seed: int) -> None:
    """Give every weight its first value, from ``seed`` alone; every bias becomes zero.

    ``glorot_uniform`` (Glorot and Bengio 2010) is Keras' default; ``he_normal`` (He et al. 2015,
    filters by fan-out) suits ReLU. The last scale of each residual begins at zero, so that at
    first it passes its input on unchanged (Goyal et al. 2017).

    Raises:
        ConfigError: an unknown scheme.
    """
    if scheme not in SCHEMES:
        known = " or ".join(SCHEMES)
        raise ConfigError(
            _("No initialisation is called {scheme!r}.", scheme=scheme),
            remedy=_("Use {known}.", known=known),
        )
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if scheme == "glorot_uniform":
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(
                    module.weight,
                    mode="fan_out" if isinstance(module, nn.Conv2d) else "fan_in",
                    nonlinearity="relu",
                    generator=generator,
                )
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    for residual in (module for module in network.modules() if isinstance(module, Residual)):
        residual.last.weight.zero_()


def channels_last(network: nn.Module) -> None:
    """Lay filters out as the processor's fastest convolutions want them."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


class ServingGraph(nn.Module):
    """What is exported: it begins at pixels, so scaling cannot differ between two callers.

    ``mean`` and ``deviation`` are per channel, on a scale from 0 to 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: PictureNetwork, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(list(mean)).view(1, 3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(list(deviation)).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of ``uint8[N, H, W, 3]``."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        logits, features = self.network.forward_with_features(scaled)
        return logits, features
