"""ResNet-18 as an ordinary PyTorch script trains it, from scratch, for so many seconds.

He et al. 2015, table 1, at 128 px; Pillow and a DataLoader with workers; random resized crop and
flip; SGD with Nesterov momentum and one cycle, which goes by the clock: kinder than a number of
epochs fixed beforehand, since all of the time is used; float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.stopwatch import Stopwatch, answer, arguments, class_files

SIDE = 128
BATCH = 64
HIGHEST_RATE = 0.05
TIMED_STEPS = 6
FORWARD_SHARE = 0.45
"""Of a step's time: to evaluate a batch; a step goes forward once and back, which is twice."""
START_SECONDS = 3.0
"""For the workers that read the held-out files to start."""
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Block(nn.Module):
    """Two convolutions and the way round them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """``float[N, channels, H / stride, W / stride]``."""
        changed = torch.relu(self.first_norm(self.first(maps)))
        changed = self.second_norm(self.second(changed))
        return torch.relu(changed + self.shortcut(maps))


def resnet18(classes: int) -> nn.Sequential:
    """Eighteen layers with weights."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels_in = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels_in, channels, stride), Block(channels, channels, 1)]
        channels_in = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


class Pictures(Dataset[tuple[Tensor, int]]):
    """Files, decoded and changed each time they are asked for."""

    def __init__(self, files: Sequence[tuple[Path, int]], *, augmented: bool) -> None:
        self.files, self.augmented = files, augmented

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        path, label = self.files[position]
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image = random_part(image) if self.augmented else middle(image)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(SIDE, SIDE, 3).permute(2, 0, 1).float() / 255
        return (pixels - MEAN) / DEVIATION, label


def random_part(image: Image.Image) -> Image.Image:
    """8 to 100 % of the area, 3:4 to 4:3, then perhaps mirrored (Szegedy et al. 2014)."""
    area = image.width * image.height
    for __ in range(10):
        share = float(torch.empty(1).uniform_(0.08, 1.0))
        ratio = math.exp(float(torch.empty(1).uniform_(math.log(3 / 4), math.log(4 / 3))))
        width = round(math.sqrt(area * share * ratio))
        height = round(math.sqrt(area * share / ratio))
        if 0 < width <= image.width and 0 < height <= image.height:
            left = int(torch.randint(0, image.width - width + 1, (1,)))
            top = int(torch.randint(0, image.height - height + 1, (1,)))
            box = (left, top, left + width, top + height)
            part = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
            break
    else:
        part = middle(image)
    mirrored = bool(torch.rand(1) < 0.5)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part


def middle(image: Image.Image) -> Image.Image:
    """Seven eighths of the shorter side, from the middle."""
    size = min(image.size) * 7 / 8
    left, top = (image.width - size) / 2, (image.height - size) / 2
    box = (left, top, left + size, top + size)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)


@torch.no_grad()
def accuracy(network: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> float:
    """The share of right answers."""
    network.eval()
    right = total = 0
    for pixels, labels in loader:
        right += int((network(pixels).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


class Trainer:
    """The usual loop, and a schedule that ends when time does."""

    def __init__(
        self, network: nn.Module, watch: Stopwatch, seconds: float, held_out_batches: int
    ) -> None:
        self.network, self.watch, self.deadline = network, watch, seconds - START_SECONDS
        self.held_out_batches = held_out_batches
        self.optimiser = torch.optim.SGD(
            network.parameters(), HIGHEST_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self.loss = nn.CrossEntropyLoss()
        self.step = 0

    def train_on(self, pixels: Tensor, labels: Tensor, rate: float) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        torch.autograd.backward(self.loss(self.network(pixels), labels))
        self.optimiser.step()
        self.step += 1

    def train(self, loader: DataLoader[tuple[Tensor, int]]) -> None:
        """Epoch after epoch; the first steps, at a low rate, say what evaluating will take."""
        self.network.train()
        begun: float | None = None
        while True:
            for pixels, labels in loader:
                now = self.watch.elapsed
                if self.step == 1:  # the first builds kernels as well
                    timed_from = now
                if self.step == TIMED_STEPS + 1:
                    each = (now - timed_from) / TIMED_STEPS
                    self.deadline -= FORWARD_SHARE * each * self.held_out_batches
                    begun = now
                if now >= self.deadline:
                    return
                done = 0.0 if begun is None else (now - begun) / (self.deadline - begun)
                self.train_on(pixels, labels, one_cycle(done))


def one_cycle(done: float) -> float:
    """The rate when this share is done (0 before): up for three tenths, then down, by cosines.

    From a 25th of the highest to a 250,000th, as PyTorch's ``OneCycleLR`` has it.
    """
    first, last = HIGHEST_RATE / 25, HIGHEST_RATE / 25e4
    if done <= 0:
        return first
    lowest, way = (first, 1 - done / 0.3) if done < 0.3 else (last, (done - 0.3) / 0.7)
    return lowest + (HIGHEST_RATE - lowest) * (1 + math.cos(math.pi * way)) / 2


def main() -> None:
    asked = arguments(__doc__, "train", "held_out", seconds=300.0)
    watch = Stopwatch(asked.started)
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    watch.lap("import")
    files, held_out = class_files(asked.train), class_files(asked.held_out)
    network = resnet18(len({label for __, label in files}))
    training = DataLoader(
        Pictures(files, augmented=True),
        BATCH,
        shuffle=True,
        drop_last=len(files) >= BATCH,
        num_workers=asked.threads,
        persistent_workers=True,
    )
    measuring = DataLoader(Pictures(held_out, augmented=False), BATCH, num_workers=asked.threads)
    watch.lap("prepare")
    trainer = Trainer(network, watch, asked.seconds, len(measuring))
    trainer.train(training)
    watch.lap("fit")
    found = accuracy(network, measuring)
    watch.lap("evaluate")
    answer(
        watch,
        ("torch", "pillow"),
        accuracy=found,
        steps=trainer.step,
        epochs=round(trainer.step * BATCH / len(files), 2),
    )


if __name__ == "__main__":
    main()
