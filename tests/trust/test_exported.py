"""Proofs and exports of a log, checked by whoever has the files and a head alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.log_forgeries import FORGED

from mintage.core.errors import ConfigError, LogForked, MintageError
from mintage.core.progress import Silent
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, append
from mintage.trust.exported import check_export, check_growth, check_inclusion, is_proof
from mintage.trust.keys import KeyRing
from mintage.trust.notes import SignedHead, sign_head

ORIGIN = "example.com/log"


@pytest.fixture
def log(workspace: Workspace, keys: KeyRing) -> AuditLog:
    return AuditLog(workspace.database, keys, ORIGIN)


def add(workspace: Workspace, count: int) -> None:
    def work(connection: Any) -> None:
        for number in range(count):
            append(connection, "test", {"n": number})

    workspace.database.write(work)


def exported(log: AuditLog) -> list[bytes]:
    """As ``Auditing.export`` writes it."""
    lines = []
    logs = log.logs()
    for row in log.entries():
        while logs and logs[0].first_position <= row.position:
            begun = logs.pop(0)
            said = {"first_position": begun.first_position, "origin": begun.origin}
            lines.append(json.dumps(said).encode())
        record = {"position": row.position, "record": row.record.decode(), "salt": row.salt.hex()}
        lines.append(json.dumps(record).encode())
    return lines


@pytest.fixture
def held(workspace: Workspace, log: AuditLog) -> tuple[list[bytes], SignedHead, SignedHead]:
    """An export of 12 entries, a head over 5 of them and one over 9."""
    add(workspace, 5)
    first = log.tree_head()
    add(workspace, 4)
    second = log.tree_head()
    add(workspace, 3)
    return exported(log), first, second


def test_an_export_is_held_against_every_head(held: Any) -> None:
    lines, first, second = held
    (found,) = check_export(lines, [second, first], Silent())
    assert (found.origin, found.size, found.met) == (ORIGIN, 12, (5, 9))


def drop(lines: list[bytes]) -> None:
    del lines[3]


def cut(lines: list[bytes]) -> None:
    del lines[8:]


def swap(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def change(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b'\\"n\\":3', b'\\"n\\":4')


def spoil(lines: list[bytes]) -> None:
    lines[4] = b"{}"


def headless(lines: list[bytes]) -> None:
    del lines[0]


def twice(lines: list[bytes]) -> None:
    lines.append(lines[0])


def rename(lines: list[bytes]) -> None:
    lines[0] = lines[0].replace(b"example.com", b"example.org")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (drop, "position 2 is missing"),
        (cut, "does not begin with the 9 entries"),
        (swap, "position 1 is missing"),
        (change, "The first 5 entries are not those"),
        (spoil, "Line 5 is no entry"),
        (headless, "position 0 is missing"),
        (twice, "begins twice"),
        (rename, "does not begin with the 5 entries"),
    ],
)
def test_an_export_that_was_changed_is_refused_with_its_reason(
    held: Any, damage: Callable[[list[bytes]], None], reason: str
) -> None:
    lines, first, second = held
    before = list(lines)
    damage(lines)
    assert lines != before
    with pytest.raises(LogForked, match=reason):
        check_export(lines, [first, second], Silent())


def test_a_log_that_was_begun_anew_is_checked_behind_the_frozen_one(
    workspace: Workspace, log: AuditLog
) -> None:
    add(workspace, 3)
    kept = log.tree_head()
    (looked,) = log.examine()
    log._heads.begin_anew(looked.log, LogForked("damaged"), looked.entries)
    add(workspace, 2)
    newer = log.tree_head()
    assert newer.origin != kept.origin
    lines = exported(log)
    first, second = check_export(lines, [kept, newer], Silent())
    assert (first.size, second.origin, second.met) == (3, newer.origin, (newer.size,))
    place = next(n for n, each in enumerate(lines) if n and b"origin" in each[:60])
    del lines[place + 1]
    with pytest.raises(LogForked):
        check_export(lines, [kept, newer], Silent())


def begun_anew(workspace: Workspace, log: AuditLog, entries: int) -> None:
    """Freeze the newest log as if so many of its entries were known to hold."""
    looked = log.examine()[-1]
    log._heads.begin_anew(looked.log, LogForked("damaged"), entries)


@pytest.fixture
def three(workspace: Workspace, log: AuditLog) -> tuple[list[Any], list[SignedHead]]:
    """An export of three logs, as ``tests.log_forgeries`` has it, and heads of its good parts."""
    add(workspace, 3)
    heads = [log.tree_head()]
    add(workspace, 2)
    log.tree_head()
    begun_anew(workspace, log, 3)
    add(workspace, 2)
    heads.append(log.tree_head())
    begun_anew(workspace, log, 3)
    add(workspace, 2)
    heads.append(log.tree_head())
    return [json.loads(line) for line in exported(log)], heads


def by_the_tool(
    lines: list[bytes], heads: list[SignedHead], keys: KeyRing, capsys: Any, folder: Path
) -> tuple[int, str]:
    """What ``tools/verify.py`` says of an export, without a process of its own."""
    tools = Path(__file__).parents[2] / "tools"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tools))
        verify, verify_log = import_module("verify"), import_module("verify_log")
    (folder / "log.pub").write_bytes(keys.signer("log").public.pem)
    known = verify.keys_of([folder / "log.pub"])
    notes = [each.note for each in heads]
    status = verify.ended(lambda: verify_log.log_of(lines, known, notes))
    return status, capsys.readouterr().out


def test_an_export_of_several_logs_holds_for_either_checker(
    three: Any, keys: KeyRing, capsys: Any, tmp_path: Path
) -> None:
    said, heads = three
    lines = [json.dumps(each).encode() for each in said]
    found = check_export(lines, heads, Silent())
    assert [(each.size, each.met) for each in found] == [(5, (3,)), (3, (3,)), (3, (3,))]
    status, told = by_the_tool(lines, heads, keys, capsys, tmp_path)
    assert (status, told.count("are those that the head was signed over")) == (0, 3)


@pytest.mark.parametrize("what", FORGED)
def test_what_a_log_says_falsely_of_those_before_it_is_refused_by_either_checker(
    three: Any, keys: KeyRing, capsys: Any, tmp_path: Path, what: str
) -> None:
    said, heads = three
    done = FORGED[what]
    done.change(said)
    lines = [json.dumps(each).encode() for each in said]
    # Without the heads of what was changed: what is said of the logs before is looked at alone.
    kept = heads[:1]
    with pytest.raises(LogForked, match=done.ours):
        check_export(lines, kept, Silent())
    status, told = by_the_tool(lines, kept, keys, capsys, tmp_path)
    assert (status, bool(re.search(done.tools, told))) == (3, True), told


def test_of_two_heads_of_one_size_both_have_to_hold(
    held: Any, keys: KeyRing, capsys: Any, tmp_path: Path
) -> None:
    lines, first, second = held
    forged = sign_head(first.size, bytes(32), ORIGIN, keys.signer("log"))
    for heads in ([forged, first, second], [first, forged]):
        with pytest.raises(LogForked, match="first 5 entries are not those"):
            check_export(lines, heads, Silent())
        assert by_the_tool(lines, heads, keys, capsys, tmp_path)[0] == 3


def test_proofs_lead_to_their_heads_and_to_no_others(workspace: Workspace, log: AuditLog) -> None:
    add(workspace, 5)
    kept = log.tree_head()
    add(workspace, 6)
    head = log.tree_head()
    inclusion = log.inclusion(3).to_json(with_record=True)
    growth = log.consistency(5).to_json()
    assert is_proof(inclusion)
    assert is_proof(growth)
    assert not is_proof({"receipt": {}})
    assert check_inclusion(inclusion, head) == 3
    check_growth(growth, kept, head)
    for name, value in (
        ("index", 4),
        ("position", 4),
        ("size", 10),
        ("leaf_hash", "0" * 64),
        ("record", inclusion["record"].replace("3", "4")),
        ("path", inclusion["path"][1:]),
        ("path", "x"),
        ("index", "3"),
        ("salt", None),
    ):
        with pytest.raises((LogForked, ConfigError)):
            check_inclusion({**inclusion, name: value}, head)
    with pytest.raises(LogForked):
        check_inclusion(inclusion, kept)
    for changed in ({"from": 4}, {"to": 12}, {"path": growth["path"][:-1]}, {"path": None}):
        with pytest.raises(MintageError):
            check_growth({**growth, **changed}, kept, head)
    with pytest.raises(LogForked):
        check_growth(growth, head, kept)
