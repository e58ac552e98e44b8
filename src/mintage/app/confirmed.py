"""What verifying says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mintage.core.messages import Message


@dataclass(frozen=True)
class Confirmed:
    """What was confirmed: a sentence for people, what else they should know, and a document."""

    said: Message
    document: Mapping[str, Any]
    notes: tuple[Message, ...] = ()
