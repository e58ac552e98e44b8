"""An invoice whose log was frozen: before, between or after its events; and what is done to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from tests.conftest import ManualClock
from tests.sold import ROLES, Sold
from tests.tamperings import Tampering, line_changed, rewritten, to
from tests.test_verify_tool import Checked

from mintage.app.chaining import opened_evidence, walked
from mintage.app.root import App
from mintage.capture.chain.checks import Chain
from mintage.core.errors import MintageError
from mintage.core.files import write_parts
from mintage.core.settings import load_settings
from mintage.core.types import Permit, ProviderInfo, Usage
from mintage.store.schema import products

FEW = 3
"""Events that are recorded at once."""
FROZEN: dict[str, tuple[str, int]] = {
    "before its events": ("f**", 0),
    "between, all before it signed": ("*hf*", 0),
    "between, some before it not": ("*h*f*", FEW),
    "after its events": ("*hf", 0),
    "after its events, none of them signed": ("*f", FEW),
    "twice": ("*hf*hf*", 0),
    "twice, and the second has no good head": ("*h*f*hF*", 2 * FEW),
}
"""What happens in turn (events, a head, a log frozen), and how many events no head is over."""
BETWEEN = "between, some before it not"
HARM = {
    "f": "SET salt = leaf_hash WHERE position = (SELECT max(position) FROM log_leaves)",
    "F": "SET leaf_hash = salt WHERE kind = 'log.begun'",
}
"""An entry that no head is over; or the newest log's first, so that no head of it holds."""


def permit_of(app: App) -> Permit:
    row = {"name": "pets", "model": "pets", "plan": "standard", "created_at": "2026-11-01"}
    execute(app, insert(products).values(row))
    app.capture.plans.ensure_default()
    app.capture.customers.add("Ada")
    key = app.capture.customers.issue_key("Ada").key.reveal()
    return app.capture.gate.admit(key, "pets")


def execute(app: App, statement: Any) -> None:
    app.workspace.database.write(lambda connection: connection.execute(statement) and None)


def act(app: App, permit: Permit, what: str) -> None:
    if what == "*":
        bundle = ProviderInfo("pets", "1", "b" * 64, "class", "image")
        hashes = {"input_sha256": "1" * 64, "output_sha256": "2" * 64}
        took = {"latency_seconds": 0.01, "compute_seconds": 0.01}
        usage = Usage(permit, bundle, "stable", "ok", {"image": 1}, **hashes, **took)  # type: ignore[arg-type]
        app.capture.meter().record_all([usage] * FEW).result()
        return
    if what != "h":
        app.capture.customers.add(f"Another {len(app.capture.customers.list())}")
        execute(app, text(f"UPDATE log_leaves {HARM[what]}"))
    app.auditing.head()


def sold_by(home: Path, acts: str) -> Sold:
    """A month in which this happened, and the evidence of its invoice."""
    clock = ManualClock()
    clock.moment = datetime(2026, 11, 10, tzinfo=UTC)
    folder = home.parent / "held"
    folder.mkdir()
    with App(load_settings(home=home, threads=1), clock) as app:
        permit = permit_of(app)
        for what in acts:
            clock.advance(60)
            act(app, permit, what)
        clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
        (invoice,) = app.billing.run("2026-11", issue=True).drafted
        number = str(invoice.number)
        assert walked(app.billing.evidence(number, is_ours=True), app.keys).broken is None
        write_parts(folder / "evidence.zip", app.billing.evidence(number).archived())
        for role in ROLES:
            (folder / f"{role}.pub").write_bytes(app.keys.signer(role).public_pem)  # type: ignore[arg-type]
    return Sold(home, folder, number)


def chain_of(path: Path, sold: Sold) -> Chain:
    with opened_evidence(path) as evidence:
        return walked(evidence, sold.keys())


def followed(path: Path, sold: Sold) -> Checked:
    keys = [word for role in ROLES for word in ("--key", sold.folder / f"{role}.pub")]
    return Checked(path, *keys)


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Sold:
    return sold_by(tmp_path_factory.mktemp("between") / "home", FROZEN[BETWEEN][0])


@pytest.mark.parametrize("when", FROZEN)
def test_an_invoice_holds_whenever_its_log_was_frozen_and_what_no_head_is_over_is_said(
    tmp_path: Path, when: str
) -> None:
    acts, unproved = FROZEN[when]
    sold = sold_by(tmp_path / "home", acts)
    chain, tool = chain_of(sold.evidence, sold), followed(sold.evidence, sold)
    assert chain.broken is None, chain.broken
    assert tool.status == 0, tool.said
    unchecked = [str(each.said) for each in chain.root.open()]
    assert any(f"{unproved} of them are in no head" in each for each in unchecked) == bool(unproved)
    assert (f"? {unproved} of them no head is over" in tool.said) == bool(unproved)
    assert f"{acts.count('*') * FEW} events: each in the log" in tool.said


def in_begun(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """Another first entry of the newest log, spelled as it should be."""

    def changed(entry: Any) -> None:
        record = json.loads(entry["record"])
        change(record)
        entry["record"] = json.dumps(record, sort_keys=True, separators=(",", ":"))

    return line_changed(0, changed)


def first_moved(data: bytes) -> bytes:
    """The proofs of the first log as if they were of the second."""
    lines = [json.loads(line) for line in data.splitlines()]
    for line in lines:
        line["log"] = 2
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def unproved(line: int) -> Callable[[bytes], bytes]:
    return line_changed(line, lambda said: said.update(path=None))


NO_LONGER = "not in the log of this root"
BROKEN: dict[str, Tampering] = {
    "the new log's head taken away": to(
        "heads/2.txt", lambda __: None, "does not begin as", "does not begin as"
    ),
    "the frozen log's head taken away": to(
        "heads/1.txt", lambda __: None, "is missing", "is not in the log of this head"
    ),
    "what began the new log taken away": to(
        "entries.jsonl",
        lambda data: b"".join(data.splitlines(keepends=True)[1:]),
        "does not say which logs were before",
        "does not say which logs were before",
    ),
    "what began the new log twice": to(
        "entries.jsonl",
        lambda data: data + data.splitlines(keepends=True)[0],
        "nothing to do with this invoice",
        "nothing to do with this invoice",
    ),
    "a smaller good size": to(
        "entries.jsonl",
        in_begun(lambda said: said["frozen"][0].update(good_size=1)),
        NO_LONGER,
        "not in the log of this head",
    ),
    "another first position": to(
        "entries.jsonl",
        in_begun(lambda said: said.update(first_position=said["first_position"] - 1)),
        "not in the log that is named|does not begin",
        "not in the log that is named",
    ),
    "the frozen log's head in place of the new one's": to(
        "heads/2.txt",
        lambda __: b"mintage.local/log\n1\n\n",
        "not a signed note",
        "no signed tree head|none of the given keys",
    ),
    "events of the first log said to be of the second": to(
        "proofs.jsonl", first_moved, "not in the log that is named", "not in the log that is named"
    ),
    "the proof of an event of the first log": to(
        "proofs.jsonl",
        unproved(0),
        "the proof for position .* is missing",
        "the proof for position .* is missing",
    ),
    "the proof of an event of the second log": to(
        "proofs.jsonl",
        unproved(-1),
        "the proof for position .* is missing",
        "the proof for position .* is missing",
    ),
    "a proof of an event that has none": to(
        "proofs.jsonl",
        line_changed(FEW, lambda said: said.update(path=["00" * 32])),
        "does not exist",
        "not in the log of this head",
    ),
}


@pytest.mark.parametrize("link", BROKEN)
def test_what_is_done_to_the_logs_of_an_invoice_is_refused_by_either_checker(
    between: Sold, tmp_path: Path, link: str
) -> None:
    done = BROKEN[link]
    path = rewritten(between, tmp_path, {done.name: done.change(between)})
    with pytest.raises(MintageError, match=done.ours):
        held_or_refused(path, between)
    found = followed(path, between)
    assert found.status == 3, found.said
    assert re.search(done.tools, found.said), found.said


def held_or_refused(path: Path, sold: Sold) -> None:
    chain = chain_of(path, sold)
    if chain.broken is not None:
        raise chain.broken


def test_whoever_strips_the_head_and_the_first_entry_of_the_new_log_hides_no_event(
    between: Sold, tmp_path: Path
) -> None:
    begun = to("x", lambda data: b"".join(data.splitlines(keepends=True)[1:]), "", "")
    changes = {"heads/2.txt": lambda __: None, "entries.jsonl": begun.change(between)}
    path = rewritten(between, tmp_path, changes)
    with pytest.raises(MintageError, match=r"is missing|not in the log that is named"):
        held_or_refused(path, between)
    assert followed(path, between).status == 3
