"""The lines of a labels file: what is asked of the labellers, and what one of them decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from mintage.sources.listing import label_of, name_fault

VERSION = 1

Action = Literal["label", "skip", "undo", "resolve"]
_Text = Annotated[str, Field(min_length=1, max_length=4096)]


@dataclass(frozen=True)
class Header:
    """What is asked of the labellers; the last one in a file counts.

    ``overlap`` is the share of pictures that every labeller gets, ``folder`` where the pictures
    lie if not beside the file.
    """

    classes: Annotated[tuple[_Text, ...], Field(min_length=1)]
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    folder: _Text | None = None

    def to_line(self) -> bytes:
        """The line of the file."""
        described = {"mintage": "labels", "version": VERSION, **vars(self)}
        return _line(described)


@dataclass(frozen=True)
class Decision:
    """One line: who did what about which bytes, when (the server's time), in how many seconds."""

    action: Action
    path: _Text
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    labeller: Annotated[str, Field(min_length=1, max_length=100)]
    time: str
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    label: _Text | None = None

    def to_line(self) -> bytes:
        """The line of the file; ``label`` only where one is given."""
        return _line(vars(self))


def _line(described: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in described.items() if value is not None}
    return json.dumps(given, ensure_ascii=False).encode() + b"\n"


_HEADER = TypeAdapter(Header)
_DECISION = TypeAdapter(Decision)


def json_object(line: bytes) -> dict[str, Any]:
    """The JSON object on a line, or an empty one where it holds none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def header_version(found: Mapping[str, Any]) -> int | None:
    """The version of the format that a header names, or None where it is no header."""
    version = found.get("version")
    return version if found.get("mintage") == "labels" and isinstance(version, int) else None


def parse_line(line: bytes) -> Decision | Header | None:
    """What a line says, or None where it says nothing that is understood."""
    found = json_object(line)
    try:
        if "mintage" in found:
            return _HEADER.validate_python(found) if header_version(found) == VERSION else None
        decision = _DECISION.validate_python(found)
    except ValidationError:
        return None
    if (decision.label is None) is (decision.action in ("label", "resolve")):
        return None
    if decision.label is not None and not is_class_name(decision.label):
        return None
    return decision


def is_class_name(name: str) -> bool:
    """Whether a class may be called so: composed, no spaces around it, no control characters."""
    return bool(name) and not name_fault(name) and label_of(name) == name
