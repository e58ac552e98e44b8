"""Sealed workspaces for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintage.trust.sealing.opening import WorkspaceSealing
from mintage.trust.sealing.wrapping import make_key_file


def sealed_with(key: Path) -> dict[str, Any]:
    """What ``Workspace`` is given to be a sealed one, with a key file that is made if need be."""
    if not key.exists():
        make_key_file(key)
    return {"opens_sealed": WorkspaceSealing, "seal_key": f"file:{key}"}
