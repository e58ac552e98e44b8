"""After a customer was erased: what the log and their invoices still show, and to whom.

Exports, proofs and evidence are checked by us and by the files that have none of our code.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_frozen_chain import FEW, act, followed, permit_of
from tests.conftest import ManualClock
from tests.sold import ROLES, Sold
from tests.tamperings import Tampering, line_changed, rewritten, to
from tests.test_verify_tool import Checked

from mintage.app.chaining import opened_evidence, walked
from mintage.app.confirmed import Confirmed
from mintage.app.root import App
from mintage.app.verifying import Verifying
from mintage.capture.chain.checks import Chain
from mintage.capture.erasing.erasing import erase
from mintage.core.errors import LogForked, MintageError, RequestError
from mintage.core.files import write_parts
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.trust.audit import leaf_of
from mintage.trust.sealing.wrapping import make_key_file

CALLS = 2 * FEW


@dataclass
class Gone(Sold):
    """Ada's month, and what is left of it: her evidence from before and since, and the log's."""

    gone: int = 0
    calls: tuple[int, ...] = ()
    erased_at: int = 0

    @property
    def before(self) -> Path:
        return self.folder / "before.zip"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    def app(self) -> App:
        return opened(self.home)


def opened(home: Path, clock: ManualClock | None = None) -> App:
    if clock is None:
        clock = ManualClock()
        clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
    settings = load_settings(home=home, seal_key=f"file:{home.parent / 'kek'}", threads=1)
    return App(settings, clock)


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Gone:
    home = tmp_path_factory.mktemp("erased") / "home"
    folder = home.parent / "held"
    (folder / "receipts").mkdir(parents=True)
    make_key_file(home.parent / "kek")
    clock = ManualClock()
    clock.moment = datetime(2026, 11, 10, tzinfo=UTC)
    with opened(home, clock) as app:
        permit = permit_of(app)
        for what in "*h*":
            clock.advance(60)
            act(app, permit, what)
        app.capture.add_customer("Ben")
        clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
        (invoice,) = app.billing.run("2026-11", issue=True).drafted
        number = str(invoice.number)
        write_parts(folder / "before.zip", app.billing.evidence(number).archived())
        for each in app.capture.history.list_usage():
            envelope = app.capture.history.find_receipt(each.receipt, None).envelope
            (folder / "receipts" / f"{each.receipt}.json").write_text(json.dumps(dict(envelope)))
        app.billing.pay([number], None, "bank 1")
        done = erase(app.workspace, "Ada")
        write_parts(folder / "evidence.zip", app.billing.evidence(number).archived())
        __, head = app.auditing.export(folder / "log.jsonl")
        (folder / "head.txt").write_text(head.note)
        for role in ROLES:
            (folder / f"{role}.pub").write_bytes(app.keys.signer(role).public_pem)  # type: ignore[arg-type]
        calls = tuple(row.position for row in app.capture.log.entries(kinds=("usage",)))
        (erasure,) = app.capture.log.entries(kinds=("customer.erased",))
    return Gone(home, folder, number, done.gone.entries, calls, erasure.position)


def verified(gone: Gone, path: Path) -> Confirmed:
    return Verifying(gone.keys()).verify(str(path), Silent(), heads=[gone.folder / "head.txt"])


def checked(gone: Gone, path: Path, *words: object) -> Checked:
    return Checked(path, "--key", gone.folder / "log.pub", *words)


def test_an_export_has_the_hashes_of_what_was_erased_and_either_checker_counts_them(
    gone: Gone,
) -> None:
    lines = [json.loads(line) for line in gone.log.read_text().splitlines()]
    dark = [each for each in lines if "leaf_hash" in each]
    assert len(dark) == gone.gone > CALLS
    assert all(set(each) == {"position", "leaf_hash", "erased_by"} for each in dark)
    assert {each["erased_by"] for each in dark} == {gone.erased_at}
    found = verified(gone, gone.log)
    assert [log["erased"] for log in found.document["logs"]] == [gone.gone]
    assert any(f"{gone.gone} entries were erased" in note for note in found.notes)
    tool = checked(gone, gone.log, "--head", gone.folder / "head.txt")
    assert (tool.status, f"✓ {gone.gone} entries erased" in tool.said) == (0, True), tool.said


Lines = list[dict[str, Any]]


def _at(lines: Lines, position: int) -> dict[str, Any]:
    return next(each for each in lines if each.get("position") == position)


def _leaf_of(entry: dict[str, Any]) -> str:
    return leaf_of(entry["record"].encode(), bytes.fromhex(entry["salt"])).hex()


def withheld(lines: Lines, gone: Gone) -> None:
    """An entry that was never erased is passed off as one."""
    entry = next(each for each in lines if "plan.set" in each.get("record", ""))
    leaf = _leaf_of(entry)
    del entry["record"], entry["salt"]
    entry |= {"leaf_hash": leaf, "erased_by": gone.erased_at}


def withheld_behind(lines: Lines, gone: Gone) -> None:
    entry = lines[-1]
    leaf = _leaf_of(entry)
    del entry["record"], entry["salt"]
    entry |= {"leaf_hash": leaf, "erased_by": gone.erased_at}


def named_by_nothing(lines: Lines, gone: Gone) -> None:
    del _at(lines, gone.calls[0])["erased_by"]


def named_by_another(lines: Lines, gone: Gone) -> None:
    _at(lines, gone.calls[0])["erased_by"] = gone.erased_at - 1


def named_by_one_that_never_comes(lines: Lines, gone: Gone) -> None:
    _at(lines, gone.calls[0])["erased_by"] = 10_000


def another_hash(lines: Lines, gone: Gone) -> None:
    _at(lines, gone.calls[0])["leaf_hash"] = "0" * 64


def two_exchanged(lines: Lines, gone: Gone) -> None:
    one, other = (_at(lines, gone.calls[each]) for each in (0, 1))
    one["leaf_hash"], other["leaf_hash"] = other["leaf_hash"], one["leaf_hash"]


def the_erasure_enlarged(lines: Lines, gone: Gone) -> None:
    entry = _at(lines, gone.erased_at)
    entry["record"] = entry["record"].replace(
        f'"entries":{gone.gone}', f'"entries":{gone.gone + 1}'
    )


def the_erasure_withheld(lines: Lines, gone: Gone) -> None:
    entry = _at(lines, gone.erased_at)
    leaf = _leaf_of(entry)
    del entry["record"], entry["salt"]
    entry |= {"leaf_hash": leaf, "erased_by": gone.erased_at + 1}


UNNAMED, OTHERS = "no erasure accounts for it", "is not what is gone"
EXPORTS: dict[Callable[[Lines, Gone], None], str] = {
    withheld: OTHERS,
    withheld_behind: UNNAMED,
    named_by_nothing: UNNAMED,
    named_by_another: OTHERS,
    named_by_one_that_never_comes: OTHERS,
    another_hash: OTHERS,
    two_exchanged: OTHERS,
    the_erasure_enlarged: OTHERS,
    the_erasure_withheld: f"{OTHERS}|is no erasure",
}


@pytest.mark.parametrize("harm", EXPORTS, ids=lambda harm: harm.__name__)
def test_an_export_that_passes_something_off_as_erased_is_refused_by_either_checker(
    gone: Gone, tmp_path: Path, harm: Callable[[Lines, Gone], None]
) -> None:
    lines = [json.loads(line) for line in gone.log.read_text().splitlines()]
    harm(lines, gone)
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines))
    with pytest.raises(LogForked, match=EXPORTS[harm]):
        verified(gone, path)
    tool = checked(gone, path, "--head", gone.folder / "head.txt")
    assert (tool.status, bool(re.search(EXPORTS[harm], tool.said))) == (3, True), tool.said


def test_the_place_of_an_erased_entry_is_proved_and_said_to_be_of_its_hash(
    gone: Gone, tmp_path: Path
) -> None:
    with gone.app() as app:
        proof = app.auditing.prove(str(gone.calls[0]))
    assert proof["erased_by"] == gone.erased_at
    assert "record" not in proof
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(proof))
    found = Verifying(gone.keys()).verify(str(path), Silent())
    assert found.document["record"] is None
    assert any("its hash alone" in note for note in found.notes)
    tool = checked(gone, path)
    said = f"the hash of the erased entry at {gone.calls[0]} is among"
    assert (tool.status, said in tool.said) == (0, True), tool.said


def chain_of(path: Path, gone: Gone, receipts: Path | None = None) -> Chain:
    with opened_evidence(path) as evidence:
        return walked(evidence, gone.keys(), receipts)


def open_of(chain: Chain) -> list[str]:
    assert chain.broken is None, chain.broken
    return [str(each.said) for each in chain.root.open()]


def test_of_an_erased_customers_invoice_what_is_left_is_shown_and_the_rest_is_open(
    gone: Gone,
) -> None:
    said = f"{CALLS} of them were erased with their customer: only their hashes are left"
    found = open_of(chain_of(gone.evidence, gone))
    assert said in found
    assert "what its events counted is not shown: they were erased" in found
    with gone.app() as app:
        chain = walked(app.billing.evidence(gone.number, is_ours=True), app.keys)
    assert said in open_of(chain)
    tool = followed(gone.evidence, gone)
    assert tool.status == 0, tool.said
    for line in (
        f"✓ the customer was erased, by the entry at {gone.erased_at}",
        f"✓ {CALLS} events: each in the log",
        f"? {CALLS} of them erased: only their hashes are left",
        f"✓ line 1: its root is that of its {CALLS} events",
        f"? line 1: what {CALLS} of them counted was erased",
    ):
        assert line in tool.said, tool.said


def test_receipts_that_the_erased_customer_kept_still_speak(gone: Gone) -> None:
    receipts = gone.folder / "receipts"
    assert not any("erased" in each for each in open_of(chain_of(gone.evidence, gone, receipts)))
    keys = [word for role in ROLES for word in ("--key", gone.folder / f"{role}.pub")]
    tool = Checked(gone.evidence, *keys, "--receipts", receipts)
    assert (tool.status, "erased: only" in tool.said) == (0, False), tool.said
    assert f"{CALLS} of your {CALLS} receipts are of these events" in tool.said


def test_evidence_from_before_the_erasing_holds_as_it_did(gone: Gone) -> None:
    assert not any("erased" in each for each in open_of(chain_of(gone.before, gone)))
    assert followed(gone.before, gone).status == 0


def changed(name: str, line: int, ours: str, tools: str, **members: Any) -> Tampering:
    return to(name, line_changed(line, lambda said: said.update(members)), ours, tools)


def erasure_line(data: bytes) -> int:
    return next(n for n, line in enumerate(data.splitlines()) if b"customer.erased" in line)


def in_erasure(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def again(data: bytes) -> bytes:
        return line_changed(erasure_line(data), change)(data)

    return again


def of_another(entry: Any) -> None:
    record = json.loads(entry["record"]) | {"customer": "cus_another"}
    entry["record"] = json.dumps(record, sort_keys=True, separators=(",", ":"))


def without_erasure(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[erasure_line(data)]
    return b"".join(lines)


NOTHING = "No erasure accounts for the event|no erasure accounts for the event"
BROKEN: dict[str, Tampering] = {
    "the erasure is not there": to("entries.jsonl", without_erasure, NOTHING, NOTHING),
    "the erasure is of another": to(
        "entries.jsonl", in_erasure(of_another), "nothing to do with", "nothing to do with"
    ),
    "the erasure is changed": to(
        "entries.jsonl",
        in_erasure(lambda said: said.update(salt="00" * 16)),
        "not in the log",
        "not in the log",
    ),
    "named by another entry": changed("events.jsonl", 0, NOTHING, NOTHING, erased_by=1),
    "another hash": changed(
        "events.jsonl", 0, "not in the log", "not in the log", leaf_hash="0" * 64
    ),
    "a receipt of it": to(
        "receipts.jsonl", lambda data: data.replace(b"null", b"{}", 1), NOTHING, NOTHING
    ),
    "no receipt of it": to(
        "receipts.jsonl",
        lambda data: data.replace(b"null\n", b"", 1),
        "does not have a proof and a receipt for each",
        "not one proof and one receipt",
    ),
    "it is of fewer": to(
        "events.jsonl",
        line_changed(0, lambda said: said.update(lines=[])),
        "it is of 6 events, and 5",
        "is of 6 events, not of these",
    ),
}


@pytest.mark.parametrize("link", BROKEN)
def test_whatever_is_passed_off_as_erased_in_evidence_is_refused_by_either_checker(
    gone: Gone, tmp_path: Path, link: str
) -> None:
    done = BROKEN[link]
    path = rewritten(gone, tmp_path, {done.name: done.change(gone)})
    with pytest.raises(MintageError, match=done.ours):
        raise chain_of(path, gone).broken or AssertionError("it holds")
    tool = followed(path, gone)
    assert (tool.status, bool(re.search(done.tools, tool.said))) == (3, True), tool.said


def test_nothing_of_a_customer_who_stays_is_withheld_as_erased(gone: Gone, tmp_path: Path) -> None:
    """With the evidence from before: no entry in it says that they were erased."""

    def dark(data: bytes) -> bytes:
        def change(said: Any) -> None:
            leaf = _leaf_of(said)
            del said["record"], said["salt"]
            said |= {"leaf_hash": leaf, "erased_by": gone.erased_at}

        return line_changed(0, change)(data)

    def without(data: bytes) -> bytes:
        return b"null\n" + data.partition(b"\n")[2]

    shutil.copy(gone.before, tmp_path / "evidence.zip")
    held = Gone(gone.home, tmp_path, gone.number)
    path = rewritten(held, tmp_path, {"events.jsonl": dark, "receipts.jsonl": without})
    assert re.search(NOTHING, str(chain_of(path, gone).broken))
    tool = followed(path, gone)
    assert (tool.status, bool(re.search(NOTHING, tool.said))) == (3, True), tool.said


def test_no_receipt_is_signed_of_a_call_that_nobody_can_look_up_any_more(
    gone: Gone, tmp_path: Path
) -> None:
    """Whoever changes it in the database gets no signature for that."""
    shutil.copytree(gone.home.parent, tmp_path / "copy")
    home = tmp_path / "copy" / "home"
    with sqlite3.connect(home / "mintage.db") as database:
        database.execute("UPDATE usage_events SET price = '100'")
    with opened(home) as app:
        assert all(each is None for each in app.billing.evidence(gone.number).receipts())
        receipt = app.capture.history.list_usage()[0].receipt
        with pytest.raises(RequestError, match="was erased"):
            app.capture.history.find_receipt(receipt, None)


def test_a_call_that_was_made_dark_is_in_no_evidence_and_has_no_receipt(
    gone: Gone, tmp_path: Path
) -> None:
    """Ada's calls look erased, and the entry that says so is hidden."""
    shutil.copytree(gone.home.parent, tmp_path / "copy")
    home = tmp_path / "copy" / "home"
    with sqlite3.connect(home / "mintage.db") as database:
        database.execute("UPDATE log_leaves SET kind = 'x' WHERE kind = 'customer.erased'")
    with opened(home) as app:
        with pytest.raises(LogForked, match=UNNAMED):
            list(app.billing.evidence(gone.number).events())
        receipt = app.capture.history.list_usage()[0].receipt
        with pytest.raises(LogForked, match=UNNAMED):
            app.capture.history.find_receipt(receipt, None)
        app.auditing.export(tmp_path / "log.jsonl")
    with pytest.raises(LogForked, match=UNNAMED):
        verified(gone, tmp_path / "log.jsonl")
