"""What a language model's bundle can be made of, where nobody asks it anything."""

from __future__ import annotations

import json
from typing import Final

from mintage.bundle.language import Base, LanguageManifest


def weights(data: bytes = bytes(range(256)) * 40) -> bytes:
    """A file of weights in safetensors that holds these bytes."""
    said = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"weight": said}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


FILES: Final = {
    "model.safetensors": weights(),
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "card.md": b"# chats\n",
    "evaluation.json": b'{"loss":1.5}',
}
MANIFEST: Final = LanguageManifest(
    base=Base("tiny", "gpt2", 1_000_000, "0" * 64, None, "mit"),
    dataset={"name": "chats", "version": "1" * 64},
    recipe={"rank": 16},
    metrics={"loss": 1.5},
    seed=0,
    libraries={"torch": "2.9"},
)
