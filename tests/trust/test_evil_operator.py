"""Whoever has the database and the key may do anything; who holds one old head finds it out.

The witness knows a signed head, the log's public key, and what it is given: heads and proofs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from tests import erased
from tests.conftest import ManualClock
from tests.databases import sqlite_alone
from tests.erased import Dark, darkened

from mintage.capture.checking.usage import UsageCheck
from mintage.core.canonical import canonical_json
from mintage.core.errors import LogForked, MintageError, SealBroken, SignatureMismatch
from mintage.store.workspace import Workspace
from mintage.trust import merkle, repository
from mintage.trust.audit import AuditLog, append, leaf_of
from mintage.trust.given import given_keys
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.notes import SignedHead, opened_by, sign_head, verify_by_any, verify_note
from mintage.trust.rotation import SigningKeys
from mintage.trust.signer import Signer

ORIGIN = "mintage.example/log"
BEFORE, AFTER = 300, 30


class CaughtError(Exception):
    """The witness has found something out."""


@dataclass
class Witness:
    """Somebody outside, who once kept a head; nothing is believed that is not checked here."""

    kept: SignedHead
    key: PublicKey

    def visit(self, log: AuditLog) -> None:
        """Ask for the newest head and the proofs; raises CaughtError where anything is wrong."""
        try:
            note = log.tree_head().note
            proof = log.consistency(self.kept.size).to_json()
            proved = [
                log.inclusion(position).to_json(with_record=True)
                for position in range(self.kept.size)
            ]
        except MintageError as error:  # it cannot show what it once signed
            raise CaughtError(error.message) from error
        try:
            newest = verify_note(note, self.key, ORIGIN)  # a frozen log's successor is another's
            assert proof["head"] == note
            path = [bytes.fromhex(each) for each in proof["path"]]
            merkle.verify_consistency(
                self.kept.size, newest.size, self.kept.root, newest.root, path
            )
            for position, each in enumerate(proved):
                self._check(position, each, newest)
        except MintageError as error:
            raise CaughtError(error.message) from error

    def _check(self, position: int, said: dict[str, Any], newest: SignedHead) -> None:
        inner = hashlib.sha256(bytes.fromhex(said["salt"]) + said["record"].encode()).digest()
        leaf = merkle.leaf_hash(inner)
        if said["position"] != position or leaf.hex() != said["leaf_hash"]:
            raise CaughtError("the record is not that of the leaf")
        head = verify_note(said["head"], self.key, ORIGIN)
        if head.root != newest.root:
            raise CaughtError("two heads at once")
        path = [bytes.fromhex(each) for each in said["path"]]
        merkle.verify_inclusion(said["index"], head.size, leaf, path, head.root)


@dataclass
class Evil:
    """All rights on the database, and the signing key."""

    workspace: Workspace
    log: AuditLog

    def execute(self, statement: str, **values: Any) -> None:
        self.workspace.database.write(
            lambda connection: connection.execute(text(statement), values) and None
        )

    def add(self, count: int, word: str = "honest") -> None:
        def work(connection: Any) -> None:
            for number in range(count):
                append(connection, "usage", {"n": number, "word": word})

        self.workspace.database.write(work)

    def rehash(self, position: int, record: dict[str, Any]) -> None:
        """Write another record into a leaf, with the hash that belongs to it."""
        data, salt = canonical_json({"kind": "usage", **record}), b"s" * 16
        self.execute(
            "UPDATE log_leaves SET record = :record, salt = :salt, leaf_hash = :hash"
            " WHERE position = :position",
            record=data,
            salt=salt,
            hash=leaf_of(data, salt),
            position=position,
        )

    def sign_anew(self) -> None:
        """Forget what was signed, and sign what is there now, with all its nodes."""
        for table in ("log_heads", "log_nodes", "logs"):
            self.execute(f"DELETE FROM {table}")
        self.log.tree_head()

    def close_up(self) -> None:
        """Give the entries the positions that they would have had."""
        with self.workspace.database.read() as connection:
            asked = "SELECT position FROM log_leaves ORDER BY position"
            found = [position for (position,) in connection.execute(text(asked))]
        for wanted, position in enumerate(found):
            if wanted != position:
                self.execute(
                    "UPDATE log_leaves SET position = :to WHERE position = :at",
                    to=wanted,
                    at=position,
                )

    def swap(self, one: int, other: int) -> None:
        for at, to in ((one, 10**6), (other, one), (10**6, other)):
            self.execute("UPDATE log_leaves SET position = :to WHERE position = :at", to=to, at=at)


def delete(evil: Evil) -> None:
    evil.execute("DELETE FROM log_leaves WHERE position = 17")


def delete_and_close_up(evil: Evil) -> None:
    delete(evil)
    evil.close_up()


def delete_the_last_signed(evil: Evil) -> None:
    evil.execute("DELETE FROM log_leaves WHERE position = :last", last=BEFORE - 1)


def edit(evil: Evil) -> None:
    evil.execute(
        "UPDATE log_leaves SET record = :record WHERE position = 17",
        record=canonical_json({"kind": "usage", "n": 17, "word": "forged"}),
    )


def edit_with_its_hash(evil: Evil) -> None:
    evil.rehash(17, {"n": 17, "word": "forged"})


def reorder(evil: Evil) -> None:
    evil.swap(17, 200)


def reorder_in_the_last_tile(evil: Evil) -> None:
    evil.swap(BEFORE - 1, BEFORE - 2)


def truncate(evil: Evil) -> None:
    evil.execute("DELETE FROM log_leaves WHERE position >= 280")


def truncate_and_refill(evil: Evil) -> None:
    truncate(evil)
    evil.add(200, "forged")


def begin_again(evil: Evil) -> None:
    evil.execute("DELETE FROM log_leaves")
    evil.add(BEFORE + AFTER, "forged")


CRIMES: list[Callable[[Evil], None]] = [
    delete,
    delete_and_close_up,
    delete_the_last_signed,
    edit,
    edit_with_its_hash,
    reorder,
    reorder_in_the_last_tile,
    truncate,
    truncate_and_refill,
    begin_again,
]


@pytest.fixture
def evil(workspace: Workspace, keys: KeyRing, clock: ManualClock) -> Evil:
    return Evil(workspace, AuditLog(workspace.database, keys, ORIGIN, clock))


@pytest.fixture
def witness(evil: Evil, keys: KeyRing) -> Witness:
    evil.add(BEFORE)
    head = evil.log.tree_head()
    key = PublicKey.from_pem(keys.signer("log").public_pem)
    evil.add(AFTER)
    evil.log.tree_head()
    return Witness(verify_note(head.note, key, ORIGIN), key)


def test_an_honest_log_passes(evil: Evil, witness: Witness) -> None:
    witness.visit(evil.log)
    evil.add(3)
    witness.visit(evil.log)


@pytest.mark.parametrize("covered", [False, True], ids=["as it is", "signed anew"])
@pytest.mark.parametrize("crime", CRIMES, ids=lambda crime: crime.__name__)
def test_what_the_owner_did_to_the_log_a_witness_of_an_earlier_head_finds_out(
    evil: Evil, witness: Witness, crime: Callable[[Evil], None], *, covered: bool
) -> None:
    crime(evil)
    if covered:
        evil.sign_anew()
    evil.add(5)
    with pytest.raises(CaughtError):
        witness.visit(evil.log)


@pytest.mark.parametrize("more", [0, AFTER], ids=["of the same size", "larger"])
def test_a_fork_is_two_heads_that_no_proof_joins(evil: Evil, witness: Witness, more: int) -> None:
    """One history for the witness, another for everybody else, both well signed."""
    evil.execute("DELETE FROM log_leaves WHERE position >= 100")
    evil.add(BEFORE + more - 100, "forged")
    evil.sign_anew()
    forked = evil.log.tree_head()
    assert forked.size == BEFORE + more
    assert verify_note(forked.note, witness.key, ORIGIN) == forked
    with pytest.raises(CaughtError):
        witness.visit(evil.log)


@sqlite_alone
def test_a_database_that_was_rolled_back_is_found_out_by_who_has_a_later_head(
    evil: Evil, witness: Witness, tmp_path: Any, keys: KeyRing, clock: ManualClock
) -> None:
    home = evil.workspace.home
    old = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(home / "mintage.db")) as connection:
        connection.execute(f"VACUUM INTO '{old}'")
    evil.add(30)
    later = Witness(evil.log.tree_head(), witness.key)
    evil.workspace.close()
    for each in home.glob("mintage.db*"):
        each.unlink()
    shutil.copy(old, home / "mintage.db")
    with contextlib.closing(Workspace(home, clock)) as opened:
        log = AuditLog(opened.database, keys, ORIGIN, clock)
        witness.visit(log)  # whose head is older than the copy
        with pytest.raises(CaughtError):
            later.visit(log)
        Evil(opened, log).add(100, "instead")
        with pytest.raises(CaughtError):
            later.visit(log)


def test_a_witness_is_told_why_a_log_was_frozen_and_can_check_what_it_had(
    evil: Evil, witness: Witness
) -> None:
    evil.execute("DELETE FROM log_leaves WHERE position > :last", last=BEFORE + AFTER - 2)
    evil.add(5)
    with pytest.raises(CaughtError):
        witness.visit(evil.log)
    frozen, current = evil.log.logs()
    assert frozen.frozen_size == BEFORE
    proof = evil.log.consistency(witness.kept.size, log=1)
    proof.verify(witness.kept)
    begun = json.loads(evil.log.inclusion(current.first_position).record)
    assert begun["reason"] == frozen.reason


def test_a_log_that_is_only_marked_as_frozen_hides_nothing(evil: Evil, witness: Witness) -> None:
    size = witness.kept.size
    evil.execute("UPDATE logs SET frozen_at = begun_at, frozen_size = 1, reason = 'known'")
    with pytest.raises(LogForked, match="marked as frozen, and none goes on"):
        evil.log.check()
    evil.execute("UPDATE log_leaves SET salt = leaf_hash WHERE position = 3")
    with pytest.raises(LogForked):
        evil.log.check()
    begun = "2026-11-24T00:00:00.000000Z"
    evil.execute(
        "INSERT INTO logs (number, origin, first_position, begun_at) "
        "SELECT 2, origin || '/2', :first, :begun FROM logs",
        first=size + AFTER,
        begun=begun,
    )
    with pytest.raises(LogForked, match=f"position {size + AFTER} is missing"):
        evil.log.check()
    evil.execute("UPDATE logs SET first_position = 40 WHERE number = 2")
    with pytest.raises(LogForked, match="does not begin by saying"):
        evil.log.check()


@pytest.mark.parametrize("what", ["root", "note", "both"])
def test_whoever_has_the_database_and_no_key_gets_nothing_signed_over_another_history(
    evil: Evil, witness: Witness, what: str
) -> None:
    """Leaf, inner hashes and the kept head are all made to fit: only its signature cannot be."""
    size = evil.log.tree_head().size
    edit_with_its_hash(evil)
    with evil.workspace.database.read() as connection:
        asked = "SELECT leaf_hash FROM log_leaves ORDER BY position"
        leaves = [bytes(each) for each in connection.execute(text(asked)).scalars()]
        asked = "SELECT note FROM log_heads WHERE size = :size"
        signed = str(connection.execute(text(asked), {"size": size}).scalar_one())
    root, node = merkle.root(leaves[:size]), merkle.root(leaves[:256])
    evil.execute("UPDATE log_nodes SET hash = :node WHERE level = 1 AND number = 0", node=node)
    if what != "note":
        evil.execute("UPDATE log_heads SET root = :root WHERE size = :size", root=root, size=size)
    if what != "root":
        forged = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n\n"
        note = forged + signed.partition("\n\n")[2]
        evil.execute("UPDATE log_heads SET note = :note WHERE size = :size", note=note, size=size)
    evil.add(5)
    head = evil.log.tree_head()
    assert head.origin == f"{ORIGIN}/2"
    assert "not one that this log's key signed" in str(evil.log.logs()[0].reason)
    with pytest.raises(CaughtError):
        witness.visit(evil.log)


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "before a head"])
def test_what_an_erasure_names_is_dark_and_the_log_holds(
    sealed: Workspace, keys: KeyRing, *, signed: bool
) -> None:
    dark = darkened(sealed, keys, signed=signed)
    (found,) = dark.log.examine()
    assert (found.fault, found.erased) == (None, dark.erased.gone.entries)
    assert found.erased == sum(row.erased for row in dark.rows()) > erased.CALLS
    usage = UsageCheck(sealed.database).check()
    assert (usage.faults.total(), usage.events, usage.erased) == (0, 9, erased.CALLS)
    assert dark.log.tree_head().origin == ORIGIN


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "before a head"])
@pytest.mark.parametrize("crime", erased.CRIMES, ids=lambda crime: crime.__name__)
def test_whatever_else_is_made_dark_is_refused(
    sealed: Workspace, keys: KeyRing, crime: Callable[[Dark], None], *, signed: bool
) -> None:
    """By whoever has the database and no key."""
    dark = darkened(sealed, keys, signed=signed)
    crime(dark)
    with pytest.raises(LogForked):
        dark.log.check()
    if crime in erased.OF_CALLS:
        assert UsageCheck(sealed.database).check().faults["log_changed"] > 0
    if not signed:
        with contextlib.suppress(SealBroken):  # without the workspace's key nothing can be logged
            dark.log.tree_head()
        head = dark.log.latest()
        assert head is None or head.origin == f"{ORIGIN}/2", "nothing was signed of it"


@sqlite_alone
def test_an_entry_that_was_made_text_is_no_erased_one(sealed: Workspace, keys: KeyRing) -> None:
    dark = darkened(sealed, keys, signed=False)
    erased.a_call_as_text(dark)
    with pytest.raises(LogForked):
        dark.log.check()
    assert UsageCheck(sealed.database).check().faults["log_changed"] > 0


def test_an_erasure_that_was_enlarged_with_all_keys_is_not_the_one_that_was_signed(
    sealed: Workspace, keys: KeyRing
) -> None:
    dark = darkened(sealed, keys, signed=True)
    erased.sealed_again(dark)
    with pytest.raises(LogForked, match="do not begin with the"):
        dark.log.check()


@dataclass
class Thief:
    """Whoever has the database and a key of the log that another followed since."""

    evil: Evil
    key: Signer
    changed: int
    """How many entries there were when it did."""

    def rewrite(self, size: int) -> SignedHead:
        """Another history of so many entries, with its inner hashes, under the former key."""
        edit_with_its_hash(self.evil)
        with self.evil.workspace.database.read() as connection:
            asked = "SELECT leaf_hash FROM log_leaves ORDER BY position"
            leaves = [bytes(each) for each in connection.execute(text(asked)).scalars()]
        node = merkle.root(leaves[:256])
        self.evil.execute("UPDATE log_nodes SET hash = :node WHERE number = 0", node=node)
        return sign_head(size, merkle.root(leaves[:size]), ORIGIN, self.key)

    def plant(self, head: SignedHead) -> None:
        """Have it be the only one that is kept."""
        self.evil.execute("DELETE FROM log_heads")
        self.evil.execute(
            "INSERT INTO log_heads (log, size, root, note, signed_at)"
            " VALUES (1, :size, :root, :note, :at)",
            size=head.size,
            root=head.root,
            note=head.note,
            at="2026-11-24T00:00:00.000000Z",
        )


@pytest.fixture(params=["rotated", "revoked"])
def thief(
    request: pytest.FixtureRequest, evil: Evil, witness: Witness, keys: KeyRing, clock: ManualClock
) -> Thief:
    workspace, key = evil.workspace, keys.signer("log")
    signing_keys = SigningKeys(workspace.database, keys, clock, evil.log.tree_head)
    if request.param == "rotated":
        signing_keys.rotate("log")
    else:
        signing_keys.revoke(key.key_id, "stolen")
    (former,) = [each for each in keys.public_keys("log") if each.key_id == key.key_id]
    assert former.last_head is not None
    evil.add(AFTER)
    evil.log.tree_head()
    evil.log.check()
    return Thief(evil, key, former.last_head.size)


FORGED = {"behind the change": 10, "at the change": 0, "before the change": -10}


@pytest.mark.parametrize("beyond", FORGED.values(), ids=FORGED)
def test_with_a_former_key_of_the_log_nobody_gets_another_history_gone_on_with(
    thief: Thief, keys: KeyRing, beyond: int
) -> None:
    forged = thief.rewrite(thief.changed + beyond)
    thief.plant(forged)
    log = thief.evil.log
    with pytest.raises(LogForked) as found:
        log.check()
    assert str(thief.changed) in found.value.message
    thief.evil.add(5)
    head = log.tree_head()
    assert head.origin == f"{ORIGIN}/2"
    (former,) = [each for each in keys.public_keys("log") if each.key_id == thief.key.key_id]
    if former.revocation is not None:
        assert log.logs()[0].frozen_size != forged.size
    log.check()  # the other one goes on


def test_a_head_of_a_former_key_over_more_than_it_signed_is_named_and_believed_by_nobody(
    thief: Thief, keys: KeyRing
) -> None:
    log, key_id = thief.evil.log, thief.key.key_id
    size = thief.changed + 3
    with thief.evil.workspace.database.read() as connection:
        asked = "SELECT leaf_hash FROM log_leaves ORDER BY position"
        leaves = [bytes(each) for each in connection.execute(text(asked)).scalars()]
    true = sign_head(size, merkle.root(leaves[:size]), ORIGIN, thief.key)
    for head in (
        true,
        sign_head(thief.changed, bytes(32), ORIGIN, thief.key),
        sign_head(1, bytes(32), f"{ORIGIN}/2", thief.key),
        sign_head(1, bytes(32), "another.example/log", thief.key),
    ):
        with pytest.raises(SignatureMismatch, match=f"{key_id} signed {ORIGIN} up to"):
            verify_by_any(head.note, keys.public_keys("log"), head.origin)
        with pytest.raises(SignatureMismatch):
            opened_by(head.note, keys.public_keys("log"))
    thief.plant(true)
    with pytest.raises(LogForked, match=f"signed {ORIGIN} up to {thief.changed} entries: a head"):
        log.check()


def test_whoever_has_the_list_of_keys_believes_no_head_of_a_former_key_behind_the_change(
    thief: Thief, keys: KeyRing, clock: ManualClock, tmp_path: Any
) -> None:
    workspace = thief.evil.workspace
    signing_keys = SigningKeys(workspace.database, keys, clock, thief.evil.log.tree_head)
    (tmp_path / "keys.json").write_bytes(signing_keys.publish()[1])
    (tmp_path / "root.pub").write_bytes(signing_keys.root().pem)
    given = given_keys([tmp_path / "keys.json", tmp_path / "root.pub"]).public_keys("log")
    opened_by(thief.evil.log.tree_head().note, given)
    forged = sign_head(thief.changed + 1, bytes(32), ORIGIN, thief.key)
    with pytest.raises(SignatureMismatch):
        opened_by(forged.note, given)


def test_where_later_heads_were_removed_the_log_goes_on_from_the_change_of_its_key(
    thief: Thief, keys: KeyRing
) -> None:
    """Nothing was rewritten: entries and inner hashes lead to the head beside the keys."""
    evil = thief.evil
    evil.execute("DELETE FROM log_heads")
    evil.add(2)
    head = evil.log.tree_head()
    assert head.origin == ORIGIN
    assert verify_note(head.note, keys.signer("log").public, ORIGIN) == head
    evil.log.check()


def test_a_log_that_was_cut_before_the_change_of_its_key_is_found_and_not_gone_on_with(
    thief: Thief,
) -> None:
    evil = thief.evil
    evil.execute("DELETE FROM log_heads WHERE size > :size", size=BEFORE)
    evil.execute("DELETE FROM log_leaves WHERE position >= :size", size=BEFORE)
    with pytest.raises(LogForked, match=f"do not begin with the {thief.changed}"):
        evil.log.check()
    evil.add(200, "instead")
    assert evil.log.tree_head().origin == f"{ORIGIN}/2"


def test_a_revoked_key_binds_nothing_where_nobody_can_tell_up_to_where_it_signed(
    evil: Evil, keys: KeyRing, clock: ManualClock
) -> None:
    """Its table was made unreadable while it was revoked, and put right afterwards."""
    evil.add(30)
    evil.log.tree_head()
    stolen = keys.signer("log")
    evil.execute("UPDATE logs SET first_position = 7")
    signing_keys = SigningKeys(evil.workspace.database, keys, clock, evil.log.tree_head)
    signing_keys.revoke(stolen.key_id, "stolen")
    evil.execute("UPDATE logs SET first_position = 0")
    edit_with_its_hash(evil)
    for table in ("log_heads", "log_nodes"):
        evil.execute(f"DELETE FROM {table}")
    with evil.workspace.database.read() as connection:
        hashes = [row.leaf_hash for row in repository.read_rows(connection)]
    forged = sign_head(len(hashes), merkle.root(hashes), ORIGIN, stolen)
    Thief(evil, stolen, len(hashes)).plant(forged)
    evil.add(2)
    with pytest.raises(MintageError):
        AuditLog(evil.workspace.database, keys, ORIGIN, clock).tree_head()
