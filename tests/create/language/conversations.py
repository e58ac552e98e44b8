"""Conversations that a model of a million parameters learns something from in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

ANIMALS = ("cat", "dog", "hen", "owl", "fox", "bee", "ant", "bat")
COLOURS = ("red", "blue", "green", "black", "white")


def rows(count: int = 120, seed: int = 0) -> list[dict[str, Any]]:
    """So many questions with their answers, no two alike."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        animal, colour = chance.choice(ANIMALS), chance.choice(COLOURS)
        question = f"What colour is the {colour} {animal} number {number}?"
        found.append({"prompt": question, "answer": f"The {animal} is {colour}."})
    return found


def write(path: Path, said: list[dict[str, Any]]) -> Path:
    """A JSON Lines file of them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    return path


def texts(said: list[dict[str, Any]]) -> list[str]:
    """What a tokenizer is trained on."""
    return [f"{row['prompt']} {row['answer']}" for row in said]
