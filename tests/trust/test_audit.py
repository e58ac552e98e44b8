from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, LogForked
from mintage.store.workspace import Workspace
from mintage.trust import merkle
from mintage.trust.audit import AuditLog, Leaf, append, verify_note
from mintage.trust.keys import KeyRing

ORIGIN = "mintage.example/log"


@pytest.fixture
def log(workspace: Workspace, keys: KeyRing) -> AuditLog:
    return AuditLog(workspace.database, keys, ORIGIN)


def add(workspace: Workspace, count: int, start: int = 0) -> list[Leaf]:
    return workspace.database.write(
        lambda connection: [
            append(connection, "usage", {"number": start + number}) for number in range(count)
        ]
    )


def execute(workspace: Workspace, statement: str, **values: Any) -> None:
    workspace.database.write(
        lambda connection: connection.execute(text(statement), values).rowcount
    )


def test_positions_have_no_gaps_within_and_across_writes(workspace: Workspace) -> None:
    leaves = add(workspace, 3) + add(workspace, 2) + add(workspace, 1)
    assert [leaf.position for leaf in leaves] == [0, 1, 2, 3, 4, 5]


def test_a_write_that_fails_leaves_no_gap(workspace: Workspace, log: AuditLog) -> None:
    add(workspace, 1)

    def failing(connection: Any) -> None:
        append(connection, "usage", {"number": 1})
        raise ConfigError("changed my mind")

    with pytest.raises(ConfigError):
        workspace.database.write(failing)
    assert add(workspace, 1)[0].position == 1
    assert log.check() == 2


def test_a_leaf_is_the_digest_of_salt_and_record_and_its_kind(workspace: Workspace) -> None:
    (leaf,) = add(workspace, 1)
    data = hashlib.sha256(leaf.salt + canonical_json({"kind": "usage", "number": 0})).digest()
    assert leaf.leaf_hash == hashlib.sha256(b"\x00" + data).digest()


def test_the_same_record_twice_gives_two_leaves_that_tell_nothing_of_it(
    workspace: Workspace,
) -> None:
    one, two = workspace.database.write(
        lambda connection: [append(connection, "usage", {"same": 1}) for _ in range(2)]
    )
    assert one.salt != two.salt
    assert len(one.salt) == 16
    assert one.leaf_hash != two.leaf_hash


def test_a_record_that_has_no_canonical_form_is_refused(workspace: Workspace) -> None:
    for record in ({"n": float("nan")}, {"kind": "y"}):
        with pytest.raises(DataError):
            workspace.database.write(
                lambda connection, record=record: append(connection, "x", record)
            )


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 13])
def test_the_head_is_signed_and_every_leaf_is_proved_in_it(
    workspace: Workspace, log: AuditLog, keys: KeyRing, size: int
) -> None:
    leaves = add(workspace, size)
    head = log.tree_head()
    (key,) = keys.public_keys("log")
    assert verify_note(head.note, key, ORIGIN) == head
    assert head.size == size
    assert head.root == merkle.root([leaf.leaf_hash for leaf in leaves])
    for leaf in leaves:
        proof = log.inclusion(leaf.position)
        assert proof.leaf == leaf
        proof.verify()
        assert verify_note(proof.head.note, key, ORIGIN) == head
    assert log.check() == size


def test_a_position_that_does_not_exist_is_an_input_error(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 2)
    for position in (-1, 2):
        with pytest.raises(ConfigError, match="2 entries"):
            log.inclusion(position)


@pytest.mark.parametrize(
    ("statement", "to", "message"),
    [
        ("UPDATE log_leaves SET record = :to WHERE position = 2", b'{"kind":"usage"}', "2 was"),
        ("UPDATE log_leaves SET salt = :to WHERE position = 0", b"0" * 16, "position 0 was"),
        ("UPDATE log_leaves SET leaf_hash = :to WHERE position = 4", b"0" * 32, "4 was changed"),
        ("UPDATE log_leaves SET kind = :to WHERE position = 3", "login", "position 3 is not"),
        ("DELETE FROM log_leaves WHERE position = 0", None, "position 0 is missing"),
        ("DELETE FROM log_leaves WHERE position = 3", None, "position 3 is missing"),
        ("UPDATE log_leaves SET position = 9 WHERE position = 4", None, "position 4 is missing"),
        ("UPDATE log_leaves SET position = -1 WHERE position = 4", None, "position 0 is missing"),
    ],
)
def test_whatever_is_changed_in_the_table_the_check_names_the_first_entry(
    workspace: Workspace, log: AuditLog, statement: str, to: Any, message: str
) -> None:
    add(workspace, 5)
    assert log.check() == 5
    execute(workspace, statement, **({} if to is None else {"to": to}))
    with pytest.raises(LogForked, match=message) as caught:
        log.check()
    assert caught.value.exit_status == 3


def forget_heads(workspace: Workspace) -> None:
    """What was signed here would give it away."""
    for table in ("log_heads", "log_nodes", "logs"):
        execute(workspace, f"DELETE FROM {table}")


def rewrite(workspace: Workspace) -> None:
    """What an owner with all rights would do: make the whole log anew, and consistent."""
    forget_heads(workspace)
    execute(workspace, "DELETE FROM log_leaves")
    add(workspace, 6, start=100)


def cut_short(workspace: Workspace) -> None:
    forget_heads(workspace)
    execute(workspace, "DELETE FROM log_leaves WHERE position >= 3")


def swap(workspace: Workspace) -> None:
    forget_heads(workspace)
    for before, after in ((1, 99), (2, 1), (99, 2)):
        statement = "UPDATE log_leaves SET position = :after WHERE position = :before"
        execute(workspace, statement, before=before, after=after)


@pytest.mark.parametrize("crime", [rewrite, cut_short, swap])
def test_a_log_remade_consistently_is_found_by_whoever_holds_an_earlier_head(
    workspace: Workspace, log: AuditLog, crime: Any
) -> None:
    add(workspace, 5)
    head = log.tree_head()
    add(workspace, 3, start=5)
    assert log.check(head) == 8
    crime(workspace)
    log.check()  # alone, it cannot know
    with pytest.raises(LogForked, match="signed before"):
        log.check(head)


def test_a_proof_from_a_log_with_a_hole_is_not_given(workspace: Workspace, log: AuditLog) -> None:
    add(workspace, 5)
    execute(workspace, "DELETE FROM log_leaves WHERE position = 1")
    with pytest.raises(LogForked):
        log.inclusion(2)


def test_a_proof_fails_once_its_leaf_or_path_is_another(
    workspace: Workspace, log: AuditLog
) -> None:
    leaves = add(workspace, 5)
    proof = log.inclusion(2)
    for changed in (
        type(proof)(leaves[3], proof.path, proof.head),
        type(proof)(proof.leaf, proof.path[:-1], proof.head),
    ):
        with pytest.raises(LogForked):
            changed.verify()
