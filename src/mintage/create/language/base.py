"""The weights that a language model begins from, and its tokenizer, opened without a network."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mintage.bundle.language import Base
from mintage.core.errors import ConfigError, missing_extra
from mintage.core.messages import _
from mintage.create.language import tokens
from mintage.modalities import checkpoint
from mintage.modalities.checkpoint import UNREADABLE, Checkpoint, unusable
from mintage.modalities.hub import transformers


@dataclass
class Opened:
    """A network that writes the next token, its tokenizer, and which weights these are."""

    network: Any
    tokenizer: Any
    base: Base
    context: int
    """The most tokens that the network was made for."""


def check_libraries() -> None:
    """Load what adapts networks, before anything is begun.

    Raises:
        DependencyDown: it is not installed.
    """
    for name in ("peft", "jinja2"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise missing_extra(name, "large") from error


def find(weights: str, say: Callable[[str], None]) -> Checkpoint:
    """The folder of the weights; ``say`` is told before a download.

    Raises:
        ConfigError: no such weights, or weights of another kind of network.
        DependencyDown: the hub does not answer, or a library is not installed.
    """
    found = checkpoint.found(weights, say=say)
    if type(found.configuration) not in transformers().MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(
            _(
                "{weights} is a {architecture} network, which does not write text.",
                weights=weights,
                architecture=found.architecture,
            ),
            remedy=_("Choose a causal language model, such as Qwen/Qwen3-0.6B."),
        )
    return found


def open_base(weights: str, found: Checkpoint) -> Opened:
    """Load network and tokenizer, on the accelerator where there is one.

    Raises:
        ConfigError: they cannot be used, with the reason.
    """
    library = transformers()
    origin = checkpoint.origin_of(found)
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(
            str(found.folder), local_files_only=True, trust_remote_code=False
        )
        network = library.AutoModelForCausalLM.from_pretrained(
            str(found.folder),
            config=found.configuration,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        )
    except UNREADABLE as error:
        raise unusable(weights, error) from error
    if not tokenizer.is_fast:
        raise ConfigError(
            _("{weights} has no tokenizer.json.", weights=weights),
            remedy=_("Choose other weights."),
        )
    tokens.prepare(tokenizer, weights)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    network.config.use_cache = False
    base = Base(
        name=Path(weights).resolve().name if Path(weights).exists() else weights,
        architecture=found.architecture,
        parameters=origin.parameters,
        digest=origin.digest,
        revision=origin.revision,
        licence=origin.licence or "",
    )
    said = getattr(network.config, "max_position_embeddings", None)
    return Opened(network, tokenizer, base, int(said or tokenizer.model_max_length))


def adapted(network: Any, *, rank: int, alpha: int, dropout: float) -> Any:
    """The network with two thin matrices beside every linear layer; they alone learn."""
    peft = importlib.import_module("peft")
    turned = any(type(each).__name__ == "Conv1D" for each in network.modules())
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        fan_in_fan_out=turned,  # GPT-2's layers keep their weights the other way round
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that a later release will drop.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(network, config)
