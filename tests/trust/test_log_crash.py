"""A process that logs and signs is killed at any moment: what it said holds; nothing is ahead."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import text

from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, SignedHead, verify_note
from mintage.trust.keys import KeyRing

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))
LOGGER = Path(__file__).with_name("killed_logger.py")
ORIGIN = "killed.example/log"


def test_a_killed_process_lost_no_act_that_it_acknowledged_and_no_head_is_ahead_of_the_data(
    workspace: Workspace,
) -> None:
    keys = KeyRing(workspace.key_folder)
    key = keys.signer("log").public
    log = AuditLog(workspace.database, keys, ORIGIN)
    acknowledged: dict[int, str] = {}
    heads: list[SignedHead] = []
    for number in range(ROUNDS):
        done, notes = _log_and_kill(workspace, number)
        assert acknowledged.keys().isdisjoint(done), "a position was given twice"
        acknowledged |= done
        heads += [verify_note(note, key, ORIGIN) for note in notes]
        logged = _leaves(workspace)
        assert done.items() <= logged.items()
        latest = log.latest()
        assert latest is None or latest.size <= len(logged)
    assert len(log.logs()) == 1, "a kill is no damage"
    assert len(heads) >= ROUNDS
    logged = _leaves(workspace)
    assert acknowledged.items() <= logged.items()
    assert sorted(logged) == list(range(len(logged)))
    given = {head.size: head for head in heads}
    assert log.check(*given.values()) == len(logged)
    assert log.tree_head().size == len(logged)


def test_two_processes_that_log_and_sign_at_once_disturb_one_another_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    key = KeyRing(workspace.key_folder).signer("log").public
    before = _backends(workspace)
    files = [tmp_path / f"{number}.txt" for number in range(2)]
    children = []
    for number, path in enumerate(files):
        command = [sys.executable, str(LOGGER), str(workspace.home), str(number)]
        with path.open("wb") as out:
            children.append(subprocess.Popen(command, stdout=out))

    def said(word: str) -> list[list[str]]:
        return [
            [line.partition(" ")[2] for line in each.splitlines()[:-1] if line.startswith(word)]
            for each in (path.read_text() for path in files)
        ]

    deadline = time.monotonic() + 120
    while min(map(len, [*said("done"), *said("head")])) < 40:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for child in children:
        child.send_signal(signal.SIGKILL)
    for child in children:
        child.wait()
    _until_gone(workspace, before)
    log = AuditLog(workspace.database, KeyRing(workspace.key_folder), ORIGIN)
    given = [verify_note(json.loads(note), key, ORIGIN) for each in said("head") for note in each]
    roots: dict[int, bytes] = {}
    for head in given:
        assert roots.setdefault(head.size, head.root) == head.root, "a fork"
    acknowledged = [line.split() for each in said("done") for line in each]
    logged = _leaves(workspace)
    assert all(logged[int(position)] == leaf for position, leaf in acknowledged)
    assert len(log.logs()) == 1
    assert log.check(*{head.size: head for head in given}.values()) == len(logged)


def _log_and_kill(workspace: Workspace, number: int) -> tuple[dict[int, str], list[str]]:
    enough = random.Random(number).randrange(1, 300)
    before = _backends(workspace)
    done: dict[int, str] = {}
    notes: list[str] = []
    command = [sys.executable, str(LOGGER), str(workspace.home), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, __, said = line.decode().partition(" ")
            if word == "done":
                position, __, leaf = said.strip().partition(" ")
                done[int(position)] = leaf
            else:
                notes.append(json.loads(said))
            if len(done) + len(notes) == enough:
                child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    _until_gone(workspace, before)
    return done, notes


def _until_gone(workspace: Workspace, before: set[int]) -> None:
    """What a killed process had asked PostgreSQL to commit is committed yet, however late."""
    deadline = time.monotonic() + 60
    while _backends(workspace) - before:
        assert time.monotonic() < deadline, "a server process never noticed"
        time.sleep(0.02)


def _leaves(workspace: Workspace) -> dict[int, str]:
    with workspace.database.read() as connection:
        rows = connection.execute(text("SELECT position, leaf_hash FROM log_leaves"))
        return {position: bytes(leaf).hex() for position, leaf in rows}


def _backends(workspace: Workspace) -> set[int]:
    """The server's processes that work on this database; none where there is no server."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    with workspace.database.read() as connection:
        if connection.dialect.name != "postgresql":
            return set()
        return set(connection.execute(text(asked)).scalars())
