"""Tree heads: over what was hashed again, once a second; a log that is damaged is frozen."""

from __future__ import annotations

import base64
import json
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.conftest import ManualClock
from tests.databases import sqlite_alone

from mintage.core.background import standings
from mintage.core.errors import ConfigError, LogForked, TrustError
from mintage.store.workspace import Workspace
from mintage.trust import heads as module
from mintage.trust import merkle
from mintage.trust.audit import AuditLog, append, verify_note
from mintage.trust.heads import Heads
from mintage.trust.keys import KeyRing
from mintage.trust.making import LoggedMaking
from mintage.trust.notes import SignedHead, sign_head

ORIGIN = "mintage.example/log"


@pytest.fixture
def log(workspace: Workspace, keys: KeyRing, clock: ManualClock) -> AuditLog:
    return AuditLog(workspace.database, keys, ORIGIN, clock)


def add(workspace: Workspace, count: int) -> list[int]:
    def work(connection: Any) -> list[int]:
        return [append(connection, "usage", {"n": n}).position for n in range(count)]

    return workspace.database.write(work)


def execute(workspace: Workspace, statement: str, **values: Any) -> int:
    return workspace.database.write(
        lambda connection: connection.execute(text(statement), values).rowcount
    )


def rows(workspace: Workspace, statement: str) -> list[Any]:
    with workspace.database.read() as connection:
        return list(connection.execute(text(statement)).all())


def test_where_nothing_was_added_the_last_head_is_given(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 3)
    head = log.tree_head()
    assert log.tree_head() == head == log.latest()
    assert len(rows(workspace, "SELECT size FROM log_heads")) == 1
    add(workspace, 1)
    assert log.tree_head().size == 4


def test_no_more_than_one_head_a_second_is_signed_for_those_who_ask_often(
    workspace: Workspace, log: AuditLog, clock: ManualClock
) -> None:
    add(workspace, 3)
    assert log.recent().size == 3
    add(workspace, 3)
    assert log.recent().size == 3
    assert log.inclusion_so_far(4) is None
    clock.advance(1)
    proof = log.inclusion_so_far(4)
    assert proof is not None
    assert proof.head.size == 6
    proof.verify()


def test_inner_hashes_are_kept_with_the_head_and_only_where_all_leaves_are_there(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 255)
    log.tree_head()
    assert rows(workspace, "SELECT * FROM log_nodes") == []
    add(workspace, 300)
    head = log.tree_head()
    kept = rows(workspace, "SELECT level, number, hash FROM log_nodes ORDER BY number")
    leaves = [bytes(each[0]) for each in rows(workspace, "SELECT leaf_hash FROM log_leaves")]
    assert [(level, number) for level, number, __ in kept] == [(1, 0), (1, 1)]
    assert bytes(kept[1][2]) == merkle.root(leaves[256:512])
    assert head.root == merkle.root(leaves)
    assert log.check(head) == 555


def test_more_than_one_step_of_entries_is_signed_step_by_step(
    workspace: Workspace, log: AuditLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 100)
    add(workspace, 350)
    assert log.recent().size == 100
    clock.advance(1)
    assert log.recent().size == 200
    assert log.tree_head().size == 350
    assert [size for (size,) in rows(workspace, "SELECT size FROM log_heads ORDER BY size")] == [
        100,
        200,
        300,
        350,
    ]
    assert log.check() == 350


def test_processes_that_sign_at_once_disturb_one_another_not(
    workspace: Workspace, keys: KeyRing, clock: ManualClock
) -> None:
    logs = [AuditLog(workspace.database, keys, ORIGIN, clock) for __ in range(4)]
    over = threading.Event()
    failed: list[BaseException] = []

    def sign(log: AuditLog) -> None:
        try:
            while not over.is_set():
                log.tree_head()
        except Exception as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=sign, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for __ in range(60):
        add(workspace, 7)
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert logs[0].tree_head().size == 420
    assert logs[0].check() == 420
    assert [each.number for each in logs[0].logs()] == [1]


DAMAGE = {
    "changed": 'UPDATE log_leaves SET record = \'{"kind":"usage"}\' WHERE position = 8',
    "gone": "DELETE FROM log_leaves WHERE position = 8",
    "of another kind": "UPDATE log_leaves SET kind = 'login' WHERE position = 8",
    "a signed leaf hash": "UPDATE log_leaves SET leaf_hash = salt WHERE position = 2",
    "a signed entry gone": "DELETE FROM log_leaves WHERE position = 2",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_as_logged_is_not_signed_the_log_is_frozen_and_another_links_to_it(
    workspace: Workspace, log: AuditLog, keys: KeyRing, statement: str
) -> None:
    add(workspace, 5)
    old = log.tree_head()
    add(workspace, 5)
    if workspace.database.where.startswith("PostgreSQL"):
        statement = statement.replace("record = '", "record = convert_to('").replace(
            "}' WHERE", "}', 'UTF8') WHERE"
        )
    assert execute(workspace, statement) == 1
    head = log.tree_head()
    key = keys.signer("log").public
    assert verify_note(head.note, key, f"{ORIGIN}/2") == head
    assert head.size == 1
    first, second = log.logs()
    assert (first.number, first.origin, second.origin) == (1, ORIGIN, f"{ORIGIN}/2")
    assert first.frozen_at is not None
    assert first.frozen_size == (0 if "position = 2" in statement else 5)
    assert second.first_position == 10
    (entry,) = log.entries(second.first_position)
    said = json.loads(entry.record)
    assert entry.kind == said["kind"] == "log.begun"
    assert said["first_position"] == 10
    (frozen,) = said["frozen"]
    assert (frozen["log"], frozen["origin"], frozen["first_position"]) == (1, ORIGIN, 0)
    assert (frozen["head"], frozen["good_size"]) == (old.note, first.frozen_size)
    assert said["reason"] == first.reason
    # What is logged from now on stands in the new one, at positions that go on.
    assert add(workspace, 2) == [11, 12]
    assert log.tree_head().size == 3
    proof = log.inclusion(12)
    assert (proof.index, proof.head.origin) == (2, f"{ORIGIN}/2")
    found = log.examine()
    assert [each.fault is None for each in found] == [False, True]
    assert found[0].is_frozen
    log.check()  # what is damaged in a frozen log is known


def test_an_entry_of_a_frozen_log_is_proved_by_its_last_good_head_and_none_behind_it(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 5)
    head = log.tree_head()
    add(workspace, 5)
    execute(workspace, "DELETE FROM log_leaves WHERE position = 8")
    log.tree_head()
    proof = log.inclusion(3)
    assert proof.head == head
    proof.verify()
    with pytest.raises(LogForked, match=r"was frozen\. The entry at position 8 is missing"):
        log.inclusion(6)
    assert log.consistency(3, log=1).head == head
    with pytest.raises(ConfigError, match="No proof from 3 entries to 8"):
        log.consistency(3, 8, log=1)
    with pytest.raises(ConfigError, match="no log 7"):
        log.consistency(1, log=7)


def test_a_log_that_was_cut_short_is_frozen_and_no_signed_position_is_given_again(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 20)
    log.tree_head()
    execute(workspace, "DELETE FROM log_leaves WHERE position >= 7")
    assert log.tree_head().origin == f"{ORIGIN}/2"
    assert log.logs()[1].first_position == 20
    assert add(workspace, 1) == [21]
    assert log.tree_head().size == 2


def test_damage_that_only_the_whole_check_finds_freezes_the_log_where_that_is_asked_for(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 300)
    log.tree_head()
    add(workspace, 5)
    log.tree_head()
    execute(workspace, "UPDATE log_leaves SET salt = leaf_hash WHERE position = 100")
    add(workspace, 1)
    assert log.tree_head().size == 306  # the entries since the last head are as they were
    (damaged,) = log.examine()
    assert damaged.entries == 100
    with pytest.raises(LogForked, match="position 100 was changed"):
        log.check()
    with pytest.raises(LogForked, match="position 100 was changed"):
        log.inclusion(100)
    assert log.begin_anew(damaged).origin == f"{ORIGIN}/2"
    assert log.logs()[0].frozen_size == 0
    log.check()
    assert log.begin_anew(damaged).origin == f"{ORIGIN}/2"  # once


def test_a_log_that_does_not_say_which_one_was_frozen_for_it_is_found(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 5)
    log.tree_head()
    execute(workspace, "UPDATE logs SET frozen_at = 'x', frozen_size = 3, reason = 'x'")
    execute(
        workspace,
        "INSERT INTO logs (number, origin, first_position, begun_at) VALUES (2, 'x/2', 3, 'x')",
    )
    with pytest.raises(LogForked, match=f"x/2 does not begin by saying that {ORIGIN} was frozen"):
        log.check()


def test_a_node_that_was_changed_is_found(workspace: Workspace, log: AuditLog) -> None:
    add(workspace, 600)
    log.tree_head()
    execute(workspace, "UPDATE log_nodes SET number = 7 WHERE number = 1")
    with pytest.raises(LogForked, match="hash 1 of level 1 is not that of its entries"):
        log.check()
    with pytest.raises(LogForked, match="hash 1 of level 1 is missing"):
        log.inclusion(3)


def test_in_the_background_what_is_added_is_signed_and_what_is_left_at_the_end(
    workspace: Workspace, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    log = AuditLog(workspace.database, keys, ORIGIN)
    done = threading.Event()
    with log.signing():
        add(workspace, 3)
        for __ in range(1000):
            latest = log.latest()
            if latest is not None and latest.size == 3:
                done.set()
                break
            threading.Event().wait(0.01)
        add(workspace, 2)
    assert done.is_set()
    latest = log.latest()
    assert latest is not None
    assert latest.size == 5


def test_what_nobody_foresaw_ends_no_signing_and_is_told(
    workspace: Workspace,
    keys: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    log, signed, failed = AuditLog(workspace.database, keys, ORIGIN), threading.Event(), []
    bring_up = Heads.bring_up

    def failing(heads: Heads, every_seconds: float = 0.0) -> SignedHead:
        if len(failed) < 2:
            failed.append(every_seconds)
            raise ZeroDivisionError
        head = bring_up(heads, every_seconds)
        signed.set()
        return head

    monkeypatch.setattr(Heads, "bring_up", failing)
    add(workspace, 3)
    with caplog.at_level(logging.ERROR), log.signing():
        assert signed.wait(60)
        (heads,) = (each for each in standings() if each.name == "heads")
        assert heads.failures == 2
    assert caplog.text.count("The audit log's head cannot be signed") == 2
    assert "ZeroDivisionError" in caplog.text
    latest = log.latest()
    assert latest is not None
    assert latest.size == 3


def signed_every(
    workspace: Workspace, log: AuditLog, clock: ManualClock, step: timedelta, count: int
) -> list[SignedHead]:
    heads = []
    for __ in range(count):
        add(workspace, 2)
        heads.append(log.tree_head())
        clock.advance(step.total_seconds())
    return heads


def kept_sizes(workspace: Workspace) -> list[int]:
    return [size for (size,) in rows(workspace, "SELECT size FROM log_heads ORDER BY size")]


def test_of_old_heads_each_hours_last_stays_and_what_a_witness_signed(
    workspace: Workspace, log: AuditLog, keys: KeyRing, clock: ManualClock
) -> None:
    heads = signed_every(workspace, log, clock, timedelta(minutes=10), 25)  # of 12:00 to 16:00
    assert log.keep_cosignature(heads[2], "w.example/1", "— w.example/1 AAAA\n")
    thinning = Heads(workspace.database, keys, ORIGIN, clock)
    assert thinning.thin() == 14
    sizes = [head.size for head in heads]
    hourly = [sizes[number] for number in (5, 11, 17)]
    recent = [each for each in sizes if each > hourly[-1]]
    assert kept_sizes(workspace) == sorted([sizes[2], *hourly, *recent])
    assert thinning.thin() == 0
    # Whoever holds one that was forgotten is shown as before that the log only grew.
    assert log.check(*heads) == 51  # with what the witness did
    for head in heads:
        log.consistency(head.size).verify(head)
    with pytest.raises(LogForked):
        log.check(sign_head(heads[0].size, bytes(32), ORIGIN, keys.signer("log")))


def test_a_witness_may_come_late_with_a_head_that_was_forgotten_and_with_no_other(
    workspace: Workspace, log: AuditLog, keys: KeyRing, clock: ManualClock
) -> None:
    heads = signed_every(workspace, log, clock, timedelta(minutes=10), 25)
    Heads(workspace.database, keys, ORIGIN, clock).thin()
    late, line = heads[1], "— w.example/1 AAAA\n"
    assert late.size not in kept_sizes(workspace)
    shown = SignedHead(late.size, late.root, late.note + line)
    assert log.keep_cosignature(shown, "w.example/1", line)
    assert log.cosigned() == shown
    signer = keys.signer("log")
    assert not log.keep_cosignature(sign_head(6, bytes(32), ORIGIN, signer), "w.example/1", line)
    ahead = sign_head(99, bytes(32), ORIGIN, signer)
    assert not log.keep_cosignature(ahead, "w.example/1", line)


def test_heads_are_forgotten_some_at_a_time_and_what_was_done_to_the_log_is_found_as_before(
    workspace: Workspace,
    log: AuditLog,
    keys: KeyRing,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_DROPPED", 5)
    heads = signed_every(workspace, log, clock, timedelta(minutes=10), 25)
    thinning = Heads(workspace.database, keys, ORIGIN, clock)
    assert [thinning.thin() for __ in range(4)] == [5, 5, 5, 0]
    execute(workspace, "DELETE FROM log_leaves WHERE position >= 40")
    add(workspace, 10)
    with pytest.raises(LogForked):
        log.check(heads[-1])
    with pytest.raises(LogForked):
        log.check()
    assert log.tree_head().origin == f"{ORIGIN}/2"
    assert log.logs()[0].frozen_size in kept_sizes(workspace)


def test_a_kept_head_that_the_key_did_not_sign_is_found_wherever_it_stands(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 3)
    first = log.tree_head()
    add(workspace, 3)
    log.tree_head()
    assert log.check() == 6
    body, __, signature = first.note.rpartition(" ")
    broken = bytearray(base64.b64decode(signature))
    broken[40] ^= 1
    note = f"{body} {base64.b64encode(broken).decode()}\n"
    execute(workspace, "UPDATE log_heads SET note = :note WHERE size = 3", note=note)
    with pytest.raises(LogForked, match="head of 3 entries is not one that this log's key signed"):
        log.check()


@pytest.mark.parametrize("is_told", [False, True], ids=["a ring alone", "a workspace's"])
def test_without_its_key_a_log_is_neither_gone_on_with_nor_begun_anew_unasked(
    workspace: Workspace, log: AuditLog, keys: KeyRing, clock: ManualClock, *, is_told: bool
) -> None:
    add(workspace, 3)
    log.tree_head()
    add(workspace, 2)
    key = keys.path("log").read_bytes()
    keys.path("log").unlink()
    making = LoggedMaking(workspace.database, clock) if is_told else None
    bereft = AuditLog(workspace.database, KeyRing(keys.folder, clock, making), ORIGIN, clock)
    for ask in (bereft.tree_head, bereft.recent, bereft.check, bereft.check_key):
        with pytest.raises(
            TrustError, match=r"The key that signed the log .* is not here"
        ) as found:
            ask()
        assert "keys" in found.value.remedy
        assert not isinstance(found.value, LogForked)
    assert keys.path("log").exists() is not is_told
    assert [each.number for each in bereft.logs()] == [1]
    (checked,) = bereft.examine()
    assert checked.entries == 5  # but for who signed, all is as it was
    keys.path("log").unlink(missing_ok=True)
    keys.path("log").write_bytes(key)
    keys.path("log").chmod(0o600)
    clock.advance(2)
    assert bereft.tree_head().size == 5
    assert bereft.check() == 5


def test_where_its_key_is_lost_for_good_a_log_is_begun_anew_when_that_is_asked_for(
    workspace: Workspace, log: AuditLog, keys: KeyRing, clock: ManualClock
) -> None:
    add(workspace, 3)
    log.tree_head()
    keys.path("log").unlink()
    ring = KeyRing(keys.folder, clock, LoggedMaking(workspace.database, clock))
    bereft = AuditLog(workspace.database, ring, ORIGIN, clock)
    (lost,) = bereft.examine()
    head = bereft.begin_anew(lost)
    assert verify_note(head.note, ring.signer("log").public, f"{ORIGIN}/2") == head
    assert bereft.logs()[0].frozen_size == 3
    kinds = [entry.kind for entry in bereft.entries(3)]
    assert kinds == ["log.begun", "signing_key.made"]
    assert head.size == 2
    bereft.check()


@sqlite_alone
@pytest.mark.parametrize(
    ("column", "statement"),
    [
        ("logs.first_position", "UPDATE logs SET first_position = 'there'"),
        ("logs.first_position", "UPDATE logs SET first_position = -1"),
        ("logs.frozen_size", "UPDATE logs SET frozen_size = x'00'"),
        ("log_heads.size", "UPDATE log_heads SET size = 'many'"),
        ("log_heads.size", "UPDATE log_heads SET size = 1.5"),
    ],
)
def test_what_is_no_number_in_the_logs_own_tables_is_named(
    workspace: Workspace, log: AuditLog, column: str, statement: str
) -> None:
    add(workspace, 3)
    log.tree_head()
    execute(workspace, statement)
    for ask in (log.tree_head, log.check, lambda: log.inclusion(0), lambda: log.consistency(1)):
        with pytest.raises(LogForked, match=f"no number in {column}"):
            ask()


def test_each_log_is_named_by_its_key_unless_it_is_given_a_name_and_keeps_it(
    workspace: Workspace, keys: KeyRing, clock: ManualClock
) -> None:
    log = AuditLog(workspace.database, keys, None, clock)
    assert log.logs()[0].origin == "mintage.local/log"
    add(workspace, 1)
    origin = log.tree_head().origin
    assert origin == f"mintage.local/log/{keys.signer('log').key_id[:16]}"
    named = AuditLog(workspace.database, keys, "example.com/log", clock)
    add(workspace, 1)
    assert named.tree_head().origin == origin
    with pytest.raises(ConfigError, match="Not a name for a log"):
        AuditLog(workspace.database, keys, "two words", clock)


def test_a_name_that_a_log_does_not_have_is_told_where_it_is_signed(
    workspace: Workspace, log: AuditLog, keys: KeyRing, caplog: pytest.LogCaptureFixture
) -> None:
    add(workspace, 1)
    log.tree_head()
    log.check_key()
    assert "goes on as" not in caplog.text
    AuditLog(workspace.database, keys, "example.com/other").check_key()
    assert f"goes on as {ORIGIN}" in caplog.text
