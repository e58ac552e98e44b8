"""A process that records usage from several threads until it is killed; says what it did.

Usage: killed_recorder.py WORKSPACE KEY,KEY… ROUND. The threads take the keys in turn, and hold what
their plans limit. Prints ``try ID`` before each event is recorded and ``done ID`` once its receipt
is there.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from pathlib import Path

from mintage.capture.gate import KeyGate
from mintage.capture.limits.holds import Holds
from mintage.capture.metering import UsageMeter
from mintage.core.clock import SystemClock
from mintage.core.errors import AccountError
from mintage.core.settings import load_settings
from mintage.core.types import ProviderInfo, Usage
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

THREADS = 8


def say(word: str, event: str) -> None:
    os.write(1, f"{word} {event}\n".encode())  # one unbuffered write a line


def main(home: str, keys: str, number: str) -> None:
    settings = load_settings()
    workspace = Workspace(Path(home), database_url=settings.database_url)
    gate = KeyGate(workspace.database, workspace.clock)
    holds = Holds(workspace.database, SystemClock(), lease_seconds=3600)
    meter = UsageMeter(
        workspace.database,
        KeyRing(workspace.key_folder),
        SystemClock(),
        durability=settings.durability,
    )

    def record(thread: int) -> None:
        names = keys.split(",")
        key = names[thread % len(names)]
        for count in itertools.count():
            event = f"{number}-{thread}-{count}"
            permit = gate.admit(key, "pets")
            try:
                hold = holds.reserve(permit, {"image": 1}).result() if permit.held else None
            except AccountError:
                time.sleep(0.01)
                continue
            usage = Usage(
                permit=permit,
                provider=ProviderInfo("pets", "3", "b" * 64, "class", "image"),
                alias="stable",
                outcome="ok",
                quantities={"image": 1},
                input_sha256="1" * 64,
                output_sha256="2" * 64,
                latency_seconds=0.01,
                compute_seconds=0.007,
                origin="client",
                event_id=event,
                hold=hold,
            )
            say("try", event)
            receipt = meter.record(usage).result()
            say("done", receipt.event_id)

    for thread in range(THREADS):
        threading.Thread(target=record, args=(thread,)).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
