"""A witness cosigns only what continues what it saw, whatever the log's owner shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock

from mintage.core.errors import ConfigError, LogForked, SignatureMismatch
from mintage.store.workspace import Workspace
from mintage.trust import audit
from mintage.trust.audit import AuditLog
from mintage.trust.cosigning import cosigned
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.witness import Witness, proof_from

ORIGIN, NAME = "example.com/log", "witness.example.com/w1"


@pytest.fixture
def log(workspace: Workspace, keys: KeyRing) -> AuditLog:
    return AuditLog(workspace.database, keys, ORIGIN)


@pytest.fixture
def log_key(keys: KeyRing) -> PublicKey:
    return keys.signer("log").public


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path / "elsewhere") as workspace:
        yield workspace


@pytest.fixture
def witness(elsewhere: Workspace, clock: ManualClock) -> Witness:
    return Witness(elsewhere.database, KeyRing(elsewhere.key_folder).signer("witness"), clock)


def add(workspace: Workspace, count: int) -> None:
    def work(connection: Any) -> None:
        for number in range(count):
            audit.append(connection, "test", {"n": number})

    workspace.database.write(work)


def test_newer_heads_are_cosigned_where_a_proof_leads_to_them(
    workspace: Workspace,
    log: AuditLog,
    log_key: PublicKey,
    elsewhere: Workspace,
    witness: Witness,
    clock: ManualClock,
) -> None:
    add(workspace, 5)
    first = log.tree_head()
    signed = witness.cosigned(first.note, log_key, NAME)
    key = KeyRing(elsewhere.key_folder).signer("witness").public
    assert cosigned(signed, NAME, key)[0] == clock.now()
    assert witness.cosigned(first.note, log_key, NAME) == signed  # the same again needs no proof
    add(workspace, 7)
    second = log.tree_head()
    with pytest.raises(ConfigError, match="is not shown"):
        witness.cosigned(second.note, log_key, NAME)
    proof = log.consistency(first.size).to_json()
    assert witness.cosigned(second.note, log_key, NAME, proof).startswith(second.note)
    seen = witness.seen(ORIGIN)
    assert seen is not None
    assert (seen.size, seen.root) == (second.size, second.root)
    kinds = [
        row.kind
        for row in AuditLog(elsewhere.database, KeyRing(elsewhere.key_folder), "w").entries()
    ]
    assert kinds == ["head.witnessed", "head.witnessed"]


def test_an_older_head_a_fork_and_a_proof_of_something_else_are_refused(
    workspace: Workspace,
    log: AuditLog,
    log_key: PublicKey,
    witness: Witness,
    tmp_path: Path,
    keys: KeyRing,
) -> None:
    add(workspace, 4)
    small = log.tree_head()
    add(workspace, 4)
    large = log.tree_head()
    witness.cosigned(large.note, log_key, NAME)
    with pytest.raises(ConfigError, match="of 4 entries, and one of 8 was seen already"):
        witness.cosigned(small.note, log_key, NAME)
    with Workspace(tmp_path / "fork") as fork:  # the same key, another history
        add(fork, 8)
        forked = AuditLog(fork.database, keys, ORIGIN)
        with pytest.raises(LogForked, match="different roots"):
            witness.cosigned(forked.tree_head().note, log_key, NAME)
        add(fork, 1)
        longer, proof = forked.tree_head(), forked.consistency(8).to_json()
        with pytest.raises(LogForked, match="does not continue"):
            witness.cosigned(longer.note, log_key, NAME, proof)
        with pytest.raises(ConfigError, match="not from 8 to 9"):
            witness.cosigned(longer.note, log_key, NAME, {**proof, "from": 7})
    with pytest.raises(SignatureMismatch):
        witness.cosigned(large.note, KeyRing(tmp_path / "other").signer("log").public, NAME)
    seen = witness.seen(ORIGIN)
    assert seen is not None
    assert seen.root == large.root


@pytest.mark.parametrize("text", ["", "[]", '{"from": 4}'])
def test_what_is_no_proof_is_said_to_be_none(
    workspace: Workspace, log: AuditLog, log_key: PublicKey, witness: Witness, text: str
) -> None:
    add(workspace, 4)
    witness.cosigned(log.tree_head().note, log_key, NAME)
    add(workspace, 1)
    with pytest.raises(ConfigError, match="no proof"):
        witness.cosigned(log.tree_head().note, log_key, NAME, proof_from(text))


def test_what_witnesses_said_is_given_with_the_head(
    workspace: Workspace, log: AuditLog, log_key: PublicKey, witness: Witness
) -> None:
    assert log.cosigned() is None
    add(workspace, 3)
    head = log.tree_head()
    signed = witness.cosigned(head.note, log_key, NAME)
    line = signed.removeprefix(head.note)
    assert log.keep_cosignature(head, NAME, line)
    given = log.cosigned()
    assert given is not None
    assert given.note == signed
    unknown = type(head)(head.size + 1, head.root, head.note)
    assert not log.keep_cosignature(unknown, NAME, line)
