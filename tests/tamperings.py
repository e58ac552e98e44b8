"""What can be done to an invoice's evidence, with the reason that each of two checkers gives."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json
from mintage.core.money import decimal_text
from mintage.trust.dsse import sign_envelope
from mintage.trust.statements import open_statement, sign_document
from tests.sold import Sold


def rewritten(
    sold: Sold, target: Path, changes: dict[str, Callable[[bytes], bytes | None]]
) -> Path:
    """The evidence with some of its files otherwise; None takes one out."""
    path = target / "changed.zip"
    with zipfile.ZipFile(sold.evidence) as source, zipfile.ZipFile(path, "w") as written:
        for name in source.namelist():
            data: bytes | None = source.read(name)
            for wanted, change in changes.items():
                if name.endswith(wanted):
                    data = change(source.read(name))
            if data is not None:
                written.writestr(name, data)
    return path


def line_changed(number: int, change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        lines = data.splitlines()
        document = json.loads(lines[number])
        change(document)
        lines[number] = canonical_json(document)
        return b"\n".join(lines) + b"\n"

    return changed


def in_record(name: str, value: Any) -> Callable[[bytes], bytes]:
    def change(document: Any) -> None:
        record = json.loads(document["record"])
        document["record"] = canonical_json({**record, name: value}).decode()

    return line_changed(1, change)


def other_signature(data: bytes) -> bytes:
    """The bundle's statement, signed by somebody else."""
    return data.replace(b'"sig":"ME', b'"sig":"MF')


def renamed(data: bytes) -> bytes:
    return data.replace(b"mintage.local/log", b"mintage.other/log")


def resigned(sold: Sold, kind: str, change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """A document that the seller signed, with something else in it."""

    def again(data: bytes) -> bytes:
        keys = sold.signers()
        document: Any = json.loads(canonical_json(open_statement(data, keys).document))
        change(document)
        return sign_document(kind, document, keys.signer("receipt"))  # type: ignore[arg-type]

    return again


def more_units(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    line["units"], line["products"] = 6, {"pets": 6}


def another_root(document: Any) -> None:
    document["lines"][0]["events_root"] = "0" * 64


def dearer(document: Any) -> None:
    document["lines"][0]["amount"] = "7"


def another_price(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    others = Fraction(document["net"]) - Fraction(line["amount"])
    line |= {"exact": "5", "amount": "5"}
    line["steps"][0] |= {"price": "1", "amount": "5"}
    line.pop("residue", None)
    document["net"] = document["total"] = decimal_text(others + 5)


def a_line_twice(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    document["lines"].append(line)
    total = sum(Fraction(each["amount"]) for each in document["lines"])
    document["net"] = document["total"] = decimal_text(total)


def of_the_next_month(document: Any) -> None:
    document["period"] = "2026-12"


def without_its_events(document: Any) -> None:
    for name in ("until", "after", "events", "events_root"):
        document["lines"][0].pop(name)


def two_swapped(data: bytes) -> bytes:
    """Of the same product: the call of a model of others is the first or the last."""
    first, second, third, *others = data.splitlines(keepends=True)
    return b"".join([first, third, second, *others])


def line_added(**said: Any) -> Callable[[Any], None]:
    """A line that adds up, whatever it is for."""

    def change(document: Any) -> None:
        line = {"plan": "standard@1", "exact": said["amount"]} | said
        document["lines"].append(line)
        total = sum(Fraction(each["amount"]) for each in document["lines"])
        document["net"] = document["total"] = decimal_text(total)

    return change


FEE = {"kind": "fee", "first": "2026-11-01", "end": "2026-12-01", "amount": "5"}
LATE = {"kind": "late", "period": "2026-10", "after": 0, "until": 9, "units": 0, "amount": "9"}


def in_image_line(**said: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        line = next(each for each in document["lines"] if each["unit"] == "image")
        line |= said

    return change


def appended(line: int) -> Callable[[bytes], bytes]:
    """One of its lines once more, at the end."""

    def change(data: bytes) -> bytes:
        return data + data.splitlines(keepends=True)[line]

    return change


def member_twice(data: bytes) -> bytes:
    return data.replace(b'{"', b'{"lines":[],"', 1)


def without_end(data: bytes) -> bytes:
    return data.rstrip(b"\n")


def long_line(data: bytes) -> bytes:
    return b" " * 3_000_000 + data


def as_another(sold: Sold, **said: Any) -> Callable[[bytes], bytes]:
    """Receipts that say something else, signed by the seller's own key."""

    def change(data: bytes) -> bytes:
        signer, lines = sold.signers().signer("receipt"), data.splitlines()
        for number, line in enumerate(lines):
            envelope = json.loads(line)
            promise = json.loads(base64.b64decode(envelope["payload"])) | said
            kind = envelope["payloadType"]
            lines[number] = canonical_json(sign_envelope(canonical_json(promise), kind, signer))
        return b"\n".join(lines) + b"\n"

    return change


Change = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Tampering:
    """What is done to the files whose names end so, and what either checker says of it."""

    name: str
    change: Callable[[Sold], Change]
    ours: str
    tools: str


def to_invoice(change: Callable[[Any], None], ours: str, tools: str) -> Tampering:
    """The seller signs another invoice."""
    return Tampering("invoice.json", lambda sold: resigned(sold, "invoice", change), ours, tools)


def to_plan(change: Callable[[Any], None], ours: str, tools: str) -> Tampering:
    """The seller signs other terms."""
    name = "plans/standard@1.json"
    return Tampering(name, lambda sold: resigned(sold, "plan", change), ours, tools)


def to(name: str, change: Change, ours: str, tools: str) -> Tampering:
    """Bytes are changed, and nothing is signed."""
    return Tampering(name, lambda __: change, ours, tools)


BROKEN: dict[str, Tampering] = {
    "the invoice's bytes": to(
        "invoice.json", other_signature, "no trusted key|not a DSSE", "no given key|no DSSE"
    ),
    "the invoice's spelling": to(
        "invoice.json",
        lambda data: data.replace(b"\n", b" \n"),
        "changed outside what it signs",
        "changed outside what it signs",
    ),
    "a line twice": to_invoice(
        a_line_twice, "another line is of the same usage", "of the same usage as another line"
    ),
    "a line twice, once with its month": to_invoice(
        lambda said: (
            a_line_twice(said),
            said["lines"].append(said["lines"].pop() | {"period": "2026-11"}),
        ),
        "another line is of the same usage",
        "of the same usage as another line",
    ),
    "another month": to_invoice(
        of_the_next_month, "is of another month", "does not belong to line"
    ),
    "a line without events": to_invoice(
        without_its_events, "says nothing of its events", "says nothing of its events"
    ),
    "its units": to_invoice(
        more_units, "not what the plan standard@1 says", "not what the plan standard@1 says"
    ),
    "its root": to_invoice(
        another_root, "not those that it was computed from", "was computed from other events"
    ),
    "its total": to_invoice(
        lambda said: said.update(total="99"),
        "does not add up: the total",
        "does not add up: the total",
    ),
    "its amount": to_invoice(dearer, "line 1 is another sum", "line 1 is another sum"),
    "its price": to_invoice(
        another_price, "not what the plan standard@1 says", "not what the plan standard@1 says"
    ),
    "an invoice that calls itself a note": to_invoice(
        lambda said: said.update(kind="credit_note"), "is no invoice", "no document as Mintage"
    ),
    "an invented fee": to_invoice(
        line_added(**FEE), "not what the plan standard@1 says", "not what the plan standard@1 says"
    ),
    "an invented minimum": to_invoice(
        line_added(kind="minimum", amount="5"),
        "not what the plan standard@1 says",
        "not what the plan standard@1 says",
    ),
    "an invented kind of line": to_invoice(
        line_added(**FEE | {"kind": "handling"}),
        "not what the plan standard@1 says",
        "not what the plan standard@1 says",
    ),
    "late usage at any price": to_invoice(
        line_added(**LATE), "not what its events come to", "not what its events come to"
    ),
    "late usage of its own month": to_invoice(
        line_added(**LATE | {"period": "2026-11"}), "is of another month", "is of another month"
    ),
    "a share of no days": to_invoice(
        in_image_line(share="3/7"), "no such share of the month", "no share of the month"
    ),
    "another currency": to_invoice(
        lambda said: said.update(currency="USD"), "in another currency", "in another currency"
    ),
    "another customer": to_invoice(
        lambda said: said["customer"].update(id="cus_other"),
        "not of this customer",
        "not of this customer",
    ),
    "an event's price": to(
        "events.jsonl",
        in_record("price", "0.01"),
        "not in the log of this root",
        "receipt of the event at .* says something else",
    ),
    "an event's salt": to(
        "events.jsonl",
        line_changed(1, lambda said: said.update(salt="00" * 16)),
        "not in the log of this root",
        "receipt of the event at .* is of another entry",
    ),
    "an event's position": to(
        "events.jsonl",
        line_changed(1, lambda said: said.update(position=said["position"] + 1)),
        "the proof for position .* is of another",
        "the proof for position .* is of another",
    ),
    "an event's line": to(
        "events.jsonl",
        line_changed(1, lambda said: said.update(lines=[])),
        "it is of 5 events, and 4 are held",
        "is of 5 events, not of these",
    ),
    "an event's member twice": to(
        "events.jsonl", member_twice, "cannot be read", "two members of one name"
    ),
    "a line without an end": to(
        "events.jsonl", without_end, "too long, or has no end", "too long, or has no end"
    ),
    "a line without measure": to(
        "events.jsonl", long_line, "too long, or has no end", "too long, or has no end"
    ),
    "an event less": to(
        "events.jsonl",
        lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
        "a proof and a receipt for each event",
        "one proof and one receipt for each event",
    ),
    "the order of events": to(
        ".jsonl",
        lambda data: b"\n".join(reversed(data.splitlines())) + b"\n",
        "not in the order of the log|of another line",
        "not in the order of the log|does not belong to line",
    ),
    "a path": to(
        "proofs.jsonl",
        line_changed(1, lambda said: said["path"].reverse()),
        "not in the log of this root",
        "not in the log of this head",
    ),
    "a path taken away": to(
        "proofs.jsonl",
        line_changed(1, lambda said: said.update(path=None)),
        "the proof for position .* is missing",
        "the proof for position .* is missing",
    ),
    "an index": to(
        "proofs.jsonl",
        line_changed(1, lambda said: said.update(index=said["index"] + 1)),
        "not in the log that is named",
        "not in the log that is named",
    ),
    "a log that is not there": to(
        "proofs.jsonl",
        line_changed(1, lambda said: said.update(log=2)),
        "not in the log that is named",
        "nothing that Mintage signs: KeyError",
    ),
    "the head": to(
        "heads/1.txt", renamed, "not signed by the key|was changed after", "or it was changed"
    ),
    "the head's size": to(
        "heads/1.txt",
        lambda data: b"\n".join([data.split(b"\n")[0], b"99999", *data.split(b"\n")[2:]]),
        "changed after",
        "or it was changed",
    ),
    "a receipt": to(
        "receipts.jsonl",
        line_changed(2, lambda said: said.update(payload="e30=")),
        "no trusted key",
        "no given key",
    ),
    "receipts changed places": to(
        "receipts.jsonl", two_swapped, "says something else", "says something else"
    ),
    "receipts of another customer": Tampering(
        "receipts.jsonl",
        lambda sold: as_another(sold, customer="cus_other"),
        "says something else|not of this customer",
        "says something else|not of this customer",
    ),
    "the plan": to(
        "plans/standard@1.json",
        other_signature,
        "no trusted key|not a DSSE",
        "no given key|no DSSE",
    ),
    "another plan": to_plan(
        lambda said: said.update(version=2),
        "This is plan/standard@2, not plan/standard@1",
        "the file of plan standard@1 is of another",
    ),
    "a plan signed twice": to_plan(
        lambda said: said.update(due_days=7), "was set with other terms", "was set with other terms"
    ),
    "a plan set twice": to("entries.jsonl", appended(0), "was set twice", "was set twice"),
    "a plan's entry": to(
        "entries.jsonl",
        line_changed(0, lambda said: said.update(salt="00" * 16)),
        "not in the log of this root",
        "not in the log of this head",
    ),
    "a plan set afterwards": to(
        "entries.jsonl",
        line_changed(0, lambda said: said.update(position=10**6)),
        "not in the log that is named",
        "not in the log that is named",
    ),
    "another entry of the log": to(
        "entries.jsonl",
        lambda data: data.replace(b"plan.set", b"plan.see", 1),
        "nothing to do with this invoice",
        "nothing to do with this invoice",
    ),
    "the bundle's signature": to(
        "/signature.json",
        other_signature,
        "no trusted key|changed outside|not a signature|not a DSSE",
        "no given key|changed outside|no DSSE",
    ),
    "the evaluation": to(
        "evaluation.json",
        lambda data: data.replace(b'"accuracy":', b'"accuracy": '),
        "evaluation.json is not what was signed",
        "evaluation.json is not what was signed",
    ),
    "the bundle's manifest": to(
        "bundle.json",
        lambda data: data + b" ",
        "bundle.json is not what was signed",
        "bundle.json is not what was signed",
    ),
    "the dataset's card": to(
        "card.json",
        lambda data: data + b" ",
        "card.json is not what was signed",
        "card.json is not what was signed",
    ),
    "the log's files taken away": to(
        "heads/1.txt", lambda __: None, "is no part of this", "is no part of this"
    ),
}
