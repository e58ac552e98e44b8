"""A command line in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.terminal import Terminal


@pytest.fixture
def mintage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINTAGE_THREADS", "1")
    return Terminal(capsys, monkeypatch)
