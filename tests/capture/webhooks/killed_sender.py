"""A process that sends what is due, and is killed while it does. Usage: killed_sender.py HOME."""

from __future__ import annotations

import sys
from pathlib import Path

from mintage.capture.webhooks.deliveries import Deliveries
from mintage.core.clock import SystemClock
from mintage.core.settings import load_settings
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


def main(home: str) -> None:
    workspace = Workspace(Path(home), database_url=load_settings().database_url)
    keys = KeyRing(workspace.key_folder)
    Deliveries(workspace.database, keys, SystemClock()).deliver()


if __name__ == "__main__":
    main(*sys.argv[1:])
