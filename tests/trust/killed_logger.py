"""A process that logs acts and signs heads until it is killed; says what it did.

Usage: killed_logger.py WORKSPACE ROUND. Prints ``done POSITION LEAF_HASH`` once an act is logged,
and ``head NOTE`` (as JSON) once a head was given.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from pathlib import Path

from mintage.core.settings import load_settings
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, Leaf, append
from mintage.trust.keys import KeyRing
from mintage.trust.repository import Connection

THREADS = 4
SIGNERS = 2


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one unbuffered write a line


def main(home: str, number: str) -> None:
    settings = load_settings()
    workspace = Workspace(Path(home), database_url=settings.database_url)
    database = workspace.database
    # What may be lost with the power is lost by no kill, and its head must not come before it.
    ways = (database, database.passing)

    def act(thread: int) -> None:
        for count in itertools.count():

            def work(connection: Connection, count: int = count) -> list[Leaf]:
                said = {"round": number, "thread": thread, "count": count}
                return [append(connection, "act", said) for __ in range(1 + count % 3)]

            for leaf in ways[thread % len(ways)].write(work):
                say(f"done {leaf.position} {leaf.leaf_hash.hex()}")

    def sign() -> None:
        log = AuditLog(database, KeyRing(workspace.key_folder), "killed.example/log")
        while True:
            say(f"head {json.dumps(log.tree_head().note)}")

    for thread in range(THREADS):
        threading.Thread(target=act, args=(thread,)).start()
    for __ in range(SIGNERS):
        threading.Thread(target=sign).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
