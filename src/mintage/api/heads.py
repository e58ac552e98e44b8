"""A request's headers, looked for where they lie: each call that is sold looks for seven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mintage.core.messages import weight_of


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The header of this name, in lower case; several are one (RFC 9110 §5.3)."""
    return header_of(scope["headers"], name)


def header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """``header`` in a list that is no scope's."""
    found = [value for key, value in headers if key == name]
    return b", ".join(found).decode("latin-1") if found else None


def prefers(accept: str, media_type: str) -> bool:
    """Whether an ``Accept`` header names a type, and none above it (RFC 9110 §12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        weights[name.lower()] = weight_of(parameters)
    wanted = weights.get(media_type, 0.0)
    return wanted > 0 and wanted >= max(weights.values())
