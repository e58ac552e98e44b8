"""The command ``mintage``, which is also ``python -m mintage``."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Load the verbs and run the one that was asked for.

    What is loaded stays: nobody looks for garbage among it, neither while it is loaded nor at the
    end, which is a quarter of the time of a short command (``gc.freeze``).
    """
    gc.disable()
    try:
        from mintage.cli.main import run as run_verb  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(130)
    gc.freeze()
    gc.enable()
    try:
        run_verb()
    finally:
        gc.freeze()


if __name__ == "__main__":
    run()
