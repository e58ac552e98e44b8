"""Networks that begin with weights which others trained, through transformers.

Of a checkpoint all is used but its last layer: what that one read is what ours reads. So each
architecture is pooled as its authors pooled it (a mean of maps, a class token, both), and what was
trained before the last layer, such as a normalisation, stays.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.modalities.checkpoint import UNREADABLE, Checkpoint, unusable
from mintage.modalities.hub import transformers
from mintage.modalities.image.networks import PictureNetwork, means, outputs
from mintage.modalities.image.weights import Pretrained, describe, described, kinds, opened

__all__ = ["Pretrained", "PretrainedNetwork", "build", "describe"]

MOST_FEATURES = 384


class PretrainedNetwork(PictureNetwork):
    """A backbone with pretrained weights, and a new linear layer.

    ``body`` takes ``pixel_values`` and answers an object with ``logits`` (its last layer is the
    identity) or ``feature_maps``. The new layer begins at zero, so that it depends on no seed.
    """

    projection: Tensor | None

    def __init__(
        self, body: nn.Module, pretrained: Pretrained, classes: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.body = body
        self.pretrained = pretrained
        width = self._width()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, outputs(classes))
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("projection", projection(width) if width > MOST_FEATURES else None)

    def layers(self, pixels: Tensor) -> list[Tensor]:
        """What the backbone makes of each picture: ``[float[N, D]]``."""
        if self.pretrained.blue_first:
            pixels = pixels.flip(1)
        answer = self.body(pixel_values=pixels)
        if "feature_maps" in answer:
            return [means(answer["feature_maps"][-1])]
        return [answer["logits"].flatten(1)]

    def logits(self, layers: list[Tensor]) -> Tensor:
        """``float32[N, 1 or k]``."""
        answer: Tensor = self.output(self.dropout(layers[-1]))
        return answer.float()

    def features(self, layers: list[Tensor]) -> Tensor:
        """The pooled features, those of wide backbones projected to 384."""
        pooled = layers[-1].float()
        return pooled if self.projection is None else pooled @ self.projection

    def rate_groups(self, share: float) -> list[tuple[list[nn.Parameter], float]]:
        """All parameters, from the first layers to the new one, each with its share of the rate.

        ``share`` is that of the first layers, the new layer's is 1, and those between rise by the
        same factor from block to block (Howard and Ruder 2018, "discriminative fine-tuning"). With
        0 the new layer alone learns.
        """
        groups = [*blocks(self.body), list(self.output.parameters())]
        last = len(groups) - 1
        return [(group, share ** (1 - at / last)) for at, group in enumerate(groups)]

    @torch.no_grad()
    def _width(self) -> int:
        """How many features a picture gives; asked of a black one."""
        training = self.body.training
        self.body.eval()
        side = self.pretrained.input_size
        (pooled,) = self.layers(torch.zeros(1, 3, side, side))
        self.body.train(training)
        return pooled.shape[1]


def build(weights: str, classes: int, dropout: float = 0.0) -> PretrainedNetwork:
    """A network that begins with ``weights``: a local folder, or a name on the hub.

    Raises:
        ConfigError: no such weights, or weights that cannot be used, with the reason.
        DependencyDown: the hub does not answer, or transformers is not installed.
    """
    checkpoint = opened(weights)
    pretrained = described(weights, checkpoint)
    # PyTorch draws initial weights from its global generator: leave that as it was.
    with torch.random.fork_rng(devices=[]):
        try:
            body = _loaded(weights, checkpoint)
            return PretrainedNetwork(body, pretrained, classes, dropout)
        except UNREADABLE as error:
            raise unusable(weights, error) from error


def _loaded(weights: str, checkpoint: Checkpoint) -> nn.Module:
    """The checkpoint without its last layer, every other weight its own.

    AutoBackbone's class is the second choice: for checkpoints that classify, those of some
    architectures (ConvNeXt, Swin) put an untrained normalisation in place of the trained one.
    """
    missing: list[str] = []
    for kind in kinds(transformers(), checkpoint.configuration):
        body, report = kind.from_pretrained(
            str(checkpoint.folder),
            config=checkpoint.configuration,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation="eager",  # the exporter knows its operations
            dtype=torch.float32,
            output_loading_info=True,
        )
        network: nn.Module = body
        head = getattr(network, "classifier", None)
        headed = isinstance(head, nn.Module) and not isinstance(head, nn.ModuleList)
        if headed:
            network.classifier = nn.Identity()
        lacks = [
            name
            for name in sorted(report["missing_keys"])
            if not (headed and name.startswith("classifier."))
        ]
        if not lacks and (headed or hasattr(network, "out_features")):
            _without_dropout_before_the_head(network)
            return network
        missing = missing or lacks
    raise ConfigError(
        _(
            "Of the weights {weights} some are missing: {names}.",
            weights=weights,
            names=", ".join(missing[:3]) or "classifier",
        ),
        remedy=_("Download them again, or choose others."),
    )


def _without_dropout_before_the_head(network: nn.Module) -> None:
    """The candidate says how much there is, as for every other network."""
    for child in network.children():
        if isinstance(child, nn.Dropout):
            child.p = 0.0


def blocks(body: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a backbone, from its first layers to its last, block by block.

    Blocks are the members of the outermost list of modules; what stands before it goes with none,
    what stands after it with the last.
    """
    parameters = list(body.parameters())
    inside = [[*each.parameters()] for each in _outermost_list(body)]
    owner = {id(each): at for at, block in enumerate(inside, start=1) for each in block}
    groups: list[list[nn.Parameter]] = [[] for __ in range(len(inside) + 1)]
    at = 0
    for each in parameters:
        at = owner.get(id(each), at)
        groups[at].append(each)
    return [group for group in groups if group]


def _outermost_list(body: nn.Module) -> list[nn.Module]:
    """The first list of two modules or more, nearest to the top."""
    level = [body]
    while level:
        for each in level:
            if isinstance(each, nn.ModuleList) and len(each) > 1:
                return list(each)
        level = [child for each in level for child in each.children()]
    return []


def projection(width: int) -> Tensor:
    """``float32[width, 384]`` of random signs, which keeps distances (Achlioptas 2003).

    Neighbouring channels of a network have nothing in common that a mean of them would keep. The
    signs come from NumPy's PCG64 with seed 0, and are part of the graph.
    """
    bits = np.random.default_rng(0).integers(0, 2, (width, MOST_FEATURES), dtype=np.int8)
    return torch.from_numpy(bits).float().mul_(2).sub_(1).div_(MOST_FEATURES**0.5)
