"""A process that seals, rotates or erases until it is killed.

Usage: killed_sealer.py seal|rotate|erase WORKSPACE KEY. Prints ``here`` when the work begins.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mintage.app import sealing
from mintage.app.root import App
from mintage.capture.erasing import erasing
from mintage.core.settings import load_settings


def main(what: str, home: str, key: str) -> None:
    settings = load_settings(home=Path(home))
    os.write(1, b"here\n")
    if what == "seal":
        sealing.seal_workspace(settings, key)
        return
    with App(settings, make=False) as app:
        if what == "rotate":
            sealing.rotate(app.workspace)
        else:
            erasing.erase(app.workspace, "Ada")


if __name__ == "__main__":
    main(*sys.argv[1:])
