"""The command line, run in the test's own process."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from mintage.cli import collecting, create, main


class Terminal:
    """Runs ``mintage WORDS`` and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.capsys, self.patch = capsys, patch
        self.out = self.err = ""

    def __call__(self, *words: object, status: int = 0) -> str:
        self.patch.setattr(sys, "argv", ["mintage", *map(str, words)])
        for command in (collecting, create):  # begins now, not when the tests' process began
            self.patch.setattr(command, "process_age_seconds", lambda: 0.5)
        with pytest.raises(SystemExit) as exited:
            main.run()
        self.out, self.err = self.capsys.readouterr()
        assert exited.value.code == status, self.err
        return self.out

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))
