"""Small checkpoints as transformers writes them, made on the spot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from mintage.modalities.hub import transformers as library

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs a hub but a test's own

ARCHITECTURES: dict[str, tuple[str, dict[str, Any], int]] = {
    # name: the class that was saved, its configuration, the side of its pictures
    "resnet": (
        "ResNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
        64,
    ),
    "vit": (
        "ViTForImageClassification",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "image_size": 32,
            "patch_size": 8,
        },
        32,
    ),
    "convnext": (
        "ConvNextForImageClassification",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
        64,
    ),
    "mobilenet_v2": ("MobileNetV2ForImageClassification", {"depth_multiplier": 0.25}, 64),
    "swin": (
        "SwinForImageClassification",
        {
            "image_size": 64,
            "embed_dim": 16,
            "depths": [1, 2],
            "num_heads": [2, 4],
            "window_size": 4,
        },
        64,
    ),
    # Positions for 42 pixels, used at 56, as DINOv2's are for 518 and used at 224.
    "dinov2": (
        "Dinov2Model",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 42,
            "patch_size": 14,
        },
        56,
    ),
    "dinov3_convnext": (
        "DINOv3ConvNextModel",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
        64,
    ),
}


def configured(name: str) -> Any:
    """A network with random weights, the same each time."""
    transformers = library()
    saved, options, __ = ARCHITECTURES[name]
    kind = getattr(transformers, saved)
    torch.manual_seed(0)
    network = kind(kind.config_class(num_labels=5, **options))
    side = ARCHITECTURES[name][2]
    with torch.no_grad():  # as after training: no layer is what it began as
        for each in network.parameters():
            each.add_(0.1 * torch.randn_like(each))
        for each in network.modules():
            if isinstance(each, torch.nn.BatchNorm2d):
                each.momentum = None  # the statistics of what it sees next
        network.train()(torch.randn(16, 3, side, side))
    return network.eval()


def save(network: Any, folder: Path, side: int, **processor: Any) -> Path:
    """As ``save_pretrained`` of a network and of its picture processor do."""
    network.save_pretrained(folder)
    document = {
        "size": {"height": side, "width": side},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.25, 0.3],
        **processor,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(document))
    return folder


def checkpoint(name: str, folder: Path, **processor: Any) -> Path:
    """A folder with random weights of one of the architectures."""
    return save(configured(name), folder, ARCHITECTURES[name][2], **processor)


SHAPES = ("circle", "square", "triangle", "cross")


def shapes(each: int, seed: int, side: int = 32) -> tuple[Any, Any]:
    """``uint8[N, side, side, 3]`` and ``int64[N]``: shapes of any colour, size and place."""
    chance = np.random.default_rng(seed)
    images, labels = [], []
    for __ in range(each):
        for label, kind in enumerate(SHAPES):
            images.append(_shape(kind, chance, side))
            labels.append(label)
    return np.stack(images), np.array(labels, dtype=np.int64)


def _shape(kind: str, chance: np.random.Generator, side: int) -> Any:
    large = 2 * side
    ground, colour = (tuple(map(int, each)) for each in chance.integers(0, 256, (2, 3)))
    image = Image.new("RGB", (large, large), ground)
    pen = ImageDraw.Draw(image)
    reach = chance.uniform(0.28, 0.42) * large
    x, y = chance.uniform(reach, large - reach, 2)
    box = (x - reach, y - reach, x + reach, y + reach)
    if kind == "circle":
        pen.ellipse(box, colour)
    elif kind == "square":
        pen.rectangle(box, colour)
    elif kind == "triangle":
        pen.polygon([(x, y - reach), (x + reach, y + reach), (x - reach, y + reach)], colour)
    else:
        thick = round(reach / 3)
        pen.line((x - reach, y, x + reach, y), colour, thick)
        pen.line((x, y - reach, x, y + reach), colour, thick)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def learned(folder: Path, *, steps: int = 120, side: int = 32) -> Path:
    """A small residual network that has learned the shapes for so many steps."""
    transformers = library()
    torch.manual_seed(0)
    network = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            layer_type="basic",
            num_labels=len(SHAPES),
        )
    ).train()
    images, labels = shapes(150, seed=1, side=side)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)
    pixels, targets = (pixels / 255 - mean) / deviation, torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for __ in range(steps):
        few = torch.randint(0, len(targets), (32,))
        loss = functional.cross_entropy(network(pixels[few]).logits, targets[few])
        torch.autograd.backward(loss)
        optimiser.step()
        optimiser.zero_grad()
    return save(network.eval(), folder, side)
