"""Keys that are made on first use: the log has each before it is there."""

from __future__ import annotations

import json

import pytest
from tests.conftest import ManualClock

from mintage.core.errors import MintageError, TrustError
from mintage.store.workspace import Workspace
from mintage.trust import repository
from mintage.trust.audit import AuditLog
from mintage.trust.keys import KeyRing
from mintage.trust.making import LoggedMaking, key_ring


def made(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.database.read() as connection:
        found = [*repository.read_rows(connection, kinds=["signing_key.made"])]
    records = [json.loads(each.record) for each in found]
    return [(each["role"], each["key_id"]) for each in records]


def test_each_key_is_on_the_log_once_and_before_it_signs(workspace: Workspace) -> None:
    ring = key_ring(workspace)
    receipt = ring.signer("receipt").key_id
    assert made(workspace) == [("receipt", receipt)]
    assert key_ring(workspace).signer("receipt").key_id == receipt
    log = AuditLog(workspace.database, ring, None, workspace.clock)
    assert log.tree_head().size == 2  # its own key is under its first head
    assert made(workspace) == [("receipt", receipt), ("log", ring.signer("log").key_id)]


def test_no_key_is_there_of_which_the_log_could_not_be_told(
    workspace: Workspace, clock: ManualClock
) -> None:
    ring = key_ring(workspace)
    workspace.database.close()
    with pytest.raises(MintageError):
        ring.signer("receipt")
    assert not ring.path("receipt").exists()


def test_within_a_write_it_does_not_wait_for_itself(workspace: Workspace) -> None:
    ring = key_ring(workspace)
    key_id = workspace.database.write(lambda _: ring.signer("receipt").key_id)
    workspace.database.write(lambda _: None)
    assert made(workspace) == [("receipt", key_id)]


def test_the_roots_is_left_to_those_who_publish_with_it(
    workspace: Workspace, clock: ManualClock
) -> None:
    KeyRing(workspace.key_folder, clock, LoggedMaking(workspace.database, clock)).signer("root")
    assert made(workspace) == []


def test_none_is_made_for_a_log_that_another_signed(workspace: Workspace) -> None:
    ring = key_ring(workspace)
    ring.signer("receipt")
    AuditLog(workspace.database, ring, None, workspace.clock).tree_head()
    for path in workspace.key_folder.glob("*.pem"):
        path.unlink()
    with pytest.raises(TrustError, match="is not here"):
        key_ring(workspace).signer("log")
    assert not ring.path("log").exists()
    assert key_ring(workspace).signer("receipt")  # others are told of on the log
