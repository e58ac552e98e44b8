"""``tools/verify*.py`` in the tests' own process: nothing of them is on the path otherwise."""

from __future__ import annotations

import contextlib
import io
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


def tool(name: str = "verify") -> ModuleType:
    """One of the files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        for each in ("verify", "verify_keys", "verify_log", "verify_prices", "verify_invoice"):
            import_module(each)
    return sys.modules[name]


def verify(*words: object) -> tuple[int, str]:
    """``python verify.py WORDS``: the exit status, and what it says."""
    main, out = tool(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", ["verify.py", *map(str, words)])
        status = main.ended(main.main)
    return status, out.getvalue()
