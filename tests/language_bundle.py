"""What a language model's bundle can be made of, where nobody asks it anything."""

from __future__ import annotations

from typing import Final

from mintage.bundle.language import Base, LanguageManifest

FILES: Final = {
    "model.safetensors": bytes(range(256)) * 40,
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
