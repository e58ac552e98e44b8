"""A language model of about a million parameters, made here: nothing is fetched for it.

``save`` leaves a folder as a model hub's: GPT-2's shape with weights from a seed, a tokenizer that
was trained on the given texts, and a chat template. It says nothing sensible, and never half a
character, but whatever serves or tunes language models takes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

TEXTS: Final = (
    "What are cats? Cats are no dogs. Cats sleep in the sun, and dogs run after them.",
    "What are dogs? Dogs are no cats. Dogs bark at the moon, and cats look on.",
    "The sun is warm and the moon is cold; the sea is deep and the sky is high.",
    "猫是什么?猫不是狗。太阳是暖的,月亮是冷的。",
)
"""Texts that a tokenizer can be trained on, where a test has none of its own."""

END, BEGIN_TURN, END_TURN = "<|end|>", "<|turn|>", "<|over|>"
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    f"{BEGIN_TURN}{{{{ message['role'] }}}}\n{{{{ message['content'] }}}}{END_TURN}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + BEGIN_TURN + "assistant\n{% endif %}"
)
_LARGEST_VOCABULARY, _CONTEXT = 2_000, 512
_WIDTH, _LAYERS, _HEADS = 128, 4, 4


def save(folder: Path, texts: Iterable[str] = TEXTS, seed: int = 0) -> Path:
    """Make the model in ``folder``, and say where it is; the same seed makes the same weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_trained(texts),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=_CONTEXT,
        additional_special_tokens=[BEGIN_TURN, END_TURN],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(END)
    shape = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=_CONTEXT,
        n_embd=_WIDTH,
        n_layer=_LAYERS,
        n_head=_HEADS,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(shape)
    # Servers hold half a character back until the rest comes, which of noise it never does.
    halves = [n for n in range(len(tokenizer)) if "\ufffd" in tokenizer.decode([n])]
    model.generation_config.suppress_tokens = halves
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def _trained(texts: Iterable[str]) -> object:
    """A tokenizer of bytes, so that there is no text it cannot spell."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_LARGEST_VOCABULARY,
        special_tokens=[END, BEGIN_TURN, END_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
