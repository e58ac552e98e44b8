"""Follow an invoice from its evidence to all that it rests on: what verify.py does with evidence.

What an invoice comes to is worked out anew from its signed plans; each event of a line is looked
for on the log and held against its receipt, and so on to the bundles and datasets that answered.
✓ holds; ? could not be checked, since what shows it is not here. The format is that of
docs/formats/invoice.md.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from verify import (
    MOST_BYTES,
    RECEIPT,
    SIGNATURE,
    Key,
    Tree,
    canonical,
    digest_of,
    document_of,
    head_of,
    included,
    leaf,
    lines_of,
    listed,
    opened,
    read,
    refuse,
    said,
    sha256,
    unbase64,
)
from verify_prices import begin_of, check_bills, check_sums, exact_of, is_summed, month_of, price_of

RECEIPT_SAYS = {
    "version",
    "receipt",
    "event",
    "customer",
    "product",
    "model",
    "model_version",
    "bundle_digest",
    "outcome",
    "input_sha256",
    "output_sha256",
    "quantities",
    "price",
    "currency",
    "final",
    "plan",
    "plan_version",
    "recorded_at",
    "leaf",
}
IN_EVIDENCE = re.compile(
    r"(invoice|keys|upstreams)\.json|heads/[1-9][0-9]{0,4}\.txt"
    r"|(entries|events|proofs|receipts)\.jsonl|plans/[^/\\]{1,80}\.json"
    r"|(bundles|datasets)/[0-9a-f]{64}/(signature|bundle|evaluation|card)\.json"
)


# ---- what is held


class Held:
    """The zip of ``mintage invoice evidence``: names of a list, each once, and each asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive, self.asked = archive, {"keys.json"}
        entries = archive.infolist()
        self.names = [entry.filename for entry in entries]
        for name in self.names:
            if not IN_EVIDENCE.fullmatch(name):
                refuse(f"{name!r} does not belong in it")
        if len({*self.names}) != len(self.names):
            refuse("a file is in it twice")
        if any(len(entry.extra) > 32 or entry.comment for entry in entries):
            refuse("a file of it has more beside it than its name")
        if any(entry.compress_type not in (0, zipfile.ZIP_DEFLATED) for entry in entries):
            refuse("a file of it is packed in another way than by DEFLATE")

    def whole(self, name: str) -> bytes:
        self.asked.add(name)
        with self.archive.open(name) as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            refuse(f"{name} is too large")
        return data

    def lines(self, name: str) -> Iterator[Any]:
        """What lines say; of a file that is not there, nothing."""
        if name in self.names:
            self.asked.add(name)
            with self.archive.open(name) as stream:
                yield from map(read, lines_of(stream, name))

    def listed_file(self, folder: str, name: str, digests: dict[str, str]) -> dict[str, Any]:
        """A file that a signature lists."""
        data = self.whole(f"{folder}/{name}")
        if sha256(data) != digests.get(name):
            refuse(f"{folder}/{name} is not what was signed")
        return dict(read(data))


@dataclass
class Log:
    """Positions from ``first`` to before ``end`` (None: it goes on), and its head."""

    first: int
    end: int | None
    head: tuple[str, int, bytes]

    def has(self, proof: dict[str, Any], found: bytes) -> bool:
        """Whether a leaf is proved; False where no head that holds is over it."""
        position, index = proof["position"], proof["index"]
        if index != position - self.first or index < 0 or not position < (self.end or position + 1):
            refuse(f"position {position} is not in the log that is named")
        if proof["path"] is None and self.end is not None and index >= self.head[1]:
            return False
        if proof["path"] is None:
            refuse(f"the proof for position {position} is missing")
        path = [bytes.fromhex(each) for each in proof["path"]]
        if not included(index, self.head[1], found, path, self.head[2]):
            refuse(f"the entry at {position} is not in the log of this head")
        return True


def logs_of(held: Held, begun: dict[str, Any] | None, keys: Sequence[Key]) -> dict[int, Log]:
    """The logs by number; where one was frozen, the newest's first entry names all before it."""
    names = [name for name in held.names if name.startswith("heads/")]
    notes = {int(name[6:-4]): held.whole(name).decode() for name in names}
    if not notes:
        return {}
    newest = max(notes)
    head = head_of(notes[newest], keys)
    if begun is None:
        if newest != 1:
            refuse(f"{head[0]} does not say which logs were before it")
        return {1: Log(0, None, head)}
    record = read(begun["record"])
    named, first = record["frozen"], record["first_position"]
    logs = {newest: Log(first, None, head)}
    if (begun["index"], begun["log"]) != (0, newest) or not logs[newest].has(begun, leaf_of(begun)):
        refuse(f"{head[0]} does not begin as it is said to")
    origins = [named[0]["origin"] + (f"/{n}" if n > 1 else "") for n in range(1, newest + 1)]
    if [*(each["origin"] for each in named), head[0]] != origins:
        refuse(f"{head[0]} names other logs before it")
    begins = [*(each["first_position"] for each in named), first]
    for number, (each, (start, end)) in enumerate(zip(named, pairwise(begins), strict=True), 1):
        kept = expected = (each["origin"], each["good_size"], b"")
        if number in notes:
            is_named = notes[number] == each["head"]
            kept = head_of(notes[number], keys, is_named=is_named)
        if kept[:2] != expected[:2] or (number == 1 and start) or not 0 <= kept[1] <= end - start:
            refuse(f"the head of {each['origin']} is not the one that holds")
        logs[number] = Log(start, end, kept)
    return logs


def leaf_of(entry: dict[str, Any]) -> bytes:
    return leaf(entry["record"].encode(), bytes.fromhex(entry["salt"]))


# ---- the chain


@dataclass
class Line:
    """What the events of a line of usage come to; ``plan`` is None where it is not held."""

    number: int
    stated: dict[str, Any]
    plan: dict[str, Any] | None
    between: tuple[str, str]
    tree: Tree = field(default_factory=Tree)
    units: Counter[str] = field(default_factory=Counter)
    known: dict[Any, tuple[Fraction, bool]] = field(default_factory=dict)
    due: Fraction = Fraction(0)
    last: int = -1
    erased: int = 0

    def add(self, position: int, found: bytes) -> None:
        if position <= self.last:
            refuse(f"the events of line {self.number} are not in the order of the log")
        self.last = position
        self.tree.add(found)

    def take(self, position: int, found: bytes, facts: dict[str, Any] | None) -> None:
        """One of its events; an erased one says nothing."""
        self.add(position, found)
        if facts is None:
            self.erased += 1
            return
        unit, product, plan = self.stated.get("unit"), facts["product"], self.plan
        is_of_it = unit is None or (
            unit in facts["quantities"] and product in self.stated["products"]
        )
        abstained = facts["outcome"] == "abstain" and (plan is None or plan["charge_abstained"])
        is_charged = facts["outcome"] in ("ok", "partial") or abstained
        in_time = self.between[0] <= facts["recorded_at"] < self.between[1]
        name = f"{facts['plan']}@{facts['plan_version']}"
        if not (is_of_it and is_charged and in_time) or name != self.stated["plan"]:
            refuse(f"the event at {position} does not belong to line {self.number}")
        self.units[product] += facts["quantities"][unit] if unit else 1
        if plan is not None and (facts["final"] or unit is None):
            exact, is_final = self.price_of(plan, product, facts["quantities"])
            near = abs(Fraction(facts["price"]) - exact) * 10**17 < 1
            promised = (facts["currency"], near, is_final) == (plan["currency"], True, True)
            if facts["final"] and not promised:
                refuse(f"the event at {position} was promised at another price")
            self.due += exact

    def price_of(
        self, plan: dict[str, Any], product: str, counted: dict[str, int]
    ) -> tuple[Fraction, bool]:
        """Most calls are the same few."""
        call = (product, *sorted(counted.items()))
        if call not in self.known:
            if len(self.known) > 4096:
                self.known.clear()
            self.known[call] = price_of(plan, product, counted.items())
        return self.known[call]

    def check(self) -> None:
        stated, total, number = self.stated, sum(self.units.values()), self.number
        used = {product: units for product, units in self.units.items() if units}
        if self.tree.size != stated.get("events", 0):
            refuse(f"line {number} is of {stated.get('events', 0):,} events, not of these")
        if self.tree.size and self.tree.root().hex() != stated["events_root"]:
            refuse(f"line {number} was computed from other events")
        if self.erased:
            said(f"line {number}: its root is that of its {self.tree.size:,} events")
            return said(f"line {number}: what {self.erased:,} of them counted was erased", "?")
        if total != stated["units"] or ("products" in stated and used != stated["products"]):
            refuse(f"line {number} charges {stated['units']:,}, and its events sum to {total:,}")
        return said(
            f"line {number}: {stated['units']:,} {stated.get('unit', 'calls')} of "
            f"{stated['plan']}, the sum of its {self.tree.size:,} events"
        )


class Chain:
    """An invoice and what is held of it; ``kept`` are the customer's own receipts."""

    def __init__(self, held: Held, keys: Sequence[Key], kept: dict[str, Any]) -> None:
        self.held, self.keys, self.kept = held, keys, kept
        self.invoice = document_of(held.whole("invoice.json"), keys, ("invoice", "credit-note"))
        self.plans: dict[str, dict[str, Any]] = {}
        self.set_at: dict[str, int] = {}
        self.by_leaf = {leaf_in(each): each for each in kept.values()}
        self.erasures = set[int]()
        self.models: dict[str, str] = {}
        of_others = "upstreams.json" in held.names
        self.upstreams = read(held.whole("upstreams.json")) if of_others else {}

    def walk(self) -> None:
        invoice, held = self.invoice, self.held
        check_sums(invoice)
        entries = list(held.lines("entries.jsonl"))
        is_begun = [read(entry["record"])["kind"] == "log.begun" for entry in entries]
        begun = entries.pop(is_begun.index(True)) if True in is_begun else None
        logs = logs_of(held, begun, self.keys)
        for __, log in sorted(logs.items()):
            said(f"the log {log.head[0]}: {log.head[1]:,} entries under a head that holds")
        self.take_plans(self.take_erasures(entries, logs), logs)
        if invoice["kind"] == "invoice":
            check_bills(invoice, self.plans)
        else:
            said("what the note takes back, and of what, is the seller's word", "?")
        lines = {
            number: Line(number, line, self.plans.get(line["plan"]), self.moments_of(line))
            for number, line in enumerate(invoice["lines"], start=1)
            if "until" in line
        }
        if "events.jsonl" in held.names and logs:
            self.take_events(lines, logs)
        for number, line in lines.items():
            if not logs or "events.jsonl" not in held.names:
                said(f"line {number}: its events are not held", "?")
                continue
            line.check()
            late = (invoice["kind"], line.stated["kind"]) == ("invoice", "late")
            late = late and not line.erased
            if late and line.plan and is_summed(line.plan) and exact_of(line.stated) != line.due:
                refuse(f"line {number} is not what its events come to by the plan")
        for digest, model in sorted(self.models.items()):
            self.check_bundle(digest, model)
        for name in held.names:
            if name not in held.asked:
                refuse(f"{name} is no part of this invoice's evidence")

    def moments_of(self, line: dict[str, Any]) -> tuple[str, str]:
        """Between which its events are; without its plan the month's zone is not known."""
        plan = self.plans.get(line["plan"])
        begin, end = month_of(line.get("period", self.invoice["period"]))
        wide = timedelta(0) if plan else timedelta(hours=15)
        zone = plan or {"timezone": "UTC"}
        moments = begin_of(begin, zone) - wide, begin_of(end, zone) + wide
        first, last = (f"{each:%Y-%m-%dT%H:%M:%S.%fZ}" for each in moments)
        return max(first, line.get("since", "")), last

    def take_erasures(
        self, entries: Iterable[dict[str, Any]], logs: dict[int, Log]
    ) -> Iterator[dict[str, Any]]:
        """What erased the customer accounts for events without records; the other entries."""
        for entry in entries:
            record, at = read(entry["record"]), entry["position"]
            kind, customer = record["kind"], record.get("customer")
            if (kind, customer) != ("customer.erased", self.invoice["customer"]["id"]):
                yield entry
                continue
            self.erasures.add(at)
            if logs and not logs[entry["log"]].has(entry, leaf_of(entry)):
                said(f"no head is over the entry at {at}, which erased the customer", "?")
            else:
                said(f"the customer was erased, by the entry at {at}")

    def take_plans(self, entries: Iterable[dict[str, Any]], logs: dict[int, Log]) -> None:
        """Each signed plan that a line names, and where on the log it was set with these terms."""
        plans, set_at = self.plans, self.set_at
        named = list(dict.fromkeys(line["plan"] for line in self.invoice["lines"]))
        for name in named:
            if f"plans/{name}.json" not in self.held.names:
                said(f"plan {name}: its signed file is not held", "?")
                continue
            plans[name] = document_of(self.held.whole(f"plans/{name}.json"), self.keys, ("plan",))
            if f"{plans[name]['name']}@{plans[name]['version']}" != name:
                refuse(f"the file of plan {name} is of another")
        for entry in entries:
            record = read(entry["record"])
            name = f"{record.get('name')}@{record.get('version')}"
            if record["kind"] != "plan.set" or name not in named:
                refuse("an entry of the log has nothing to do with this invoice")
            if name in set_at:
                refuse(f"the plan {name} was set twice")
            set_at[name] = entry["position"]
            terms = {key: value for key, value in record.items() if key not in ("kind", "actor")}
            if name in plans and canonical(terms) != canonical(plans[name]):
                refuse(f"the plan {name} was set with other terms")
            if logs and not logs[entry["log"]].has(entry, leaf_of(entry)):
                said(f"plan {name}: no head is over the entry that set it", "?")
        for name in plans.keys() - (set_at.keys() if logs else {}):
            said(f"plan {name}: its entry on the log is not held", "?")

    def held_events(self) -> Iterator[tuple[Any, Any, Any]]:
        """Each event with its proof and its receipt."""
        files = map(self.held.lines, ("events.jsonl", "proofs.jsonl", "receipts.jsonl"))
        nothing = object()
        for event, proof, receipt in zip_longest(*files, fillvalue=nothing):
            if nothing in (event, proof, receipt):
                refuse("there is not one proof and one receipt for each event")
            if proof["position"] != event["position"]:
                refuse(f"the proof for position {event['position']} is of another")
            yield event, proof, receipt

    def take_events(self, lines: dict[int, Line], logs: dict[int, Log]) -> None:
        """Each event, its place on the log and its receipt."""
        found = Counter[str]()
        for event, proof, receipt in self.held_events():
            found["all"] += 1
            promised = self.kept_of(event, receipt) if is_erased(event) else receipt
            if promised is None and is_erased(event):
                found["erased"] += 1
                facts, leaf_hash = None, bytes.fromhex(event["leaf_hash"])
            else:
                facts, leaf_hash = self.facts_of(event, promised)
                self.models[facts["bundle_digest"]] = f"{facts['model']}@{facts['model_version']}"
                found["withheld"] += "record" not in event and not is_erased(event)
                found["kept"] += self.was_kept(facts, promised)
            found["unproved"] += not logs[proof["log"]].has(proof, leaf_hash)
            for number in event["lines"]:
                if number not in lines:
                    refuse(f"line {number} is not of usage")
                lines[number].take(event["position"], leaf_hash, facts)
        self.say(found)

    def say(self, found: Counter[str]) -> None:
        """What was found of the events."""
        as_recorded = "" if found["erased"] else " as it was recorded, each with its receipt"
        said(f"{found['all']:,} events: each in the log{as_recorded}")
        if found["erased"]:
            said(f"{found['erased']:,} of them erased: only their hashes are left", "?")
        if found["unproved"]:
            said(f"{found['unproved']:,} of them no head is over: their log was frozen", "?")
        if found["withheld"]:
            said(f"of {found['withheld']:,} the record is withheld: the receipt speaks", "?")
        if self.kept:
            of = f"{found['kept']:,} of your {len(self.kept):,} receipts"
            said(f"{of} are of these events, and say the same")

    def kept_of(self, event: Any, receipt: Any) -> Any:
        """Of an erased event the receipt that the customer kept, if so: nobody else has any."""
        by, position = event["erased_by"], event["position"]
        if receipt is not None or by not in self.erasures or by <= position:
            refuse(f"no erasure accounts for the event at {position}")
        return self.by_leaf.get(event["leaf_hash"])

    def facts_of(self, event: Any, receipt: Any) -> tuple[dict[str, Any], bytes]:
        """What an event's record says, or its receipt where that is withheld, and its leaf."""
        position, record = event["position"], event.get("record")
        promise = read(opened(receipt, RECEIPT, "receipt", self.keys)[0])
        if missing := RECEIPT_SAYS - promise.keys():
            refuse(f"the receipt of the event at {position} does not say its {min(missing)}")
        if record is None:
            if promise["bundle_digest"] not in self.upstreams and not is_erased(event):
                refuse(f"the record of the event at {position} is withheld")
            facts, found = promise, bytes.fromhex(event["leaf_hash"])
        else:
            facts, found = read(record), leaf_of(event)
            same = {**facts, "event": facts["id"], "version": 1}
            if any(same[name] != value for name, value in promise.items() if name != "leaf"):
                refuse(f"the receipt of the event at {position} says something else")
        if promise["leaf"] != {"position": position, "hash": found.hex()}:
            refuse(f"the receipt of the event at {position} is of another entry")
        is_usage = facts.get("kind", "usage") == "usage"
        if not is_usage or facts["customer"] != self.invoice["customer"]["id"]:
            refuse(f"the event at {position} is not of this customer")
        if position < self.set_at.get(f"{facts['plan']}@{facts['plan_version']}", -1):
            refuse(f"the event at {position} is older than its plan")
        return facts, found

    def was_kept(self, facts: dict[str, Any], receipt: Any) -> bool:
        """Whether the customer has the receipt of an event, which then has to be the same."""
        mine = self.kept.get(str(facts.get("id", facts.get("event"))))
        if mine is not None and mine["payload"] != receipt["payload"]:
            refuse(f"the receipt that you kept of {facts['receipt']} says something else")
        return mine is not None

    def check_bundle(self, digest: str, model: str) -> None:
        """A bundle's signature, what it lists of the files that are here, and its dataset's."""
        held, folder = self.held, f"bundles/{digest}"
        if digest in self.upstreams:
            said(f"answers of {self.upstreams[digest]!r}, a model of others: it ends here", "?")
            return
        if f"{folder}/{SIGNATURE}" not in held.names:
            said(f"bundle {model} {digest[:12]}…: not held", "?")
            return
        subject, digests = listed(held.whole(f"{folder}/{SIGNATURE}"), "bundle", self.keys)
        if subject != model or digest_of(digests) != digest:
            refuse(f"the signature of {subject} is not that of the bundle that answered")
        said(f"bundle {subject} {digest[:12]}…: as it was signed")
        evaluation = held.listed_file(folder, "evaluation.json", digests)
        shown = {name: evaluation[name] for name in ("accuracy", "examples") if name in evaluation}
        said(f"its evaluation: {json.dumps(shown)}")
        dataset = held.listed_file(folder, "bundle.json", digests).get("dataset")
        if not isinstance(dataset, dict) or not {"name", "version"} <= dataset.keys():
            said(f"dataset: bundle {model} names none", "?")
            return
        name, folder = f"{dataset['name']}#{dataset['version']}", f"datasets/{dataset['version']}"
        if f"{folder}/{SIGNATURE}" not in held.names:
            said(f"dataset {name}: not held", "?")
            return
        subject, digests = listed(held.whole(f"{folder}/{SIGNATURE}"), "data", self.keys)
        if subject != name or digests.get("manifest.jsonl") != dataset["version"]:
            refuse(f"the signature of {subject} is not that of the dataset of this bundle")
        held.listed_file(folder, "card.json", digests)
        said(f"dataset {name}: as it was signed")


def is_erased(event: Any) -> bool:
    return "record" not in event and "erased_by" in event


def leaf_in(envelope: Any) -> str:
    """The hash of the leaf that a receipt is of."""
    return str(read(unbase64(envelope["payload"]))["leaf"]["hash"])


def receipts_in(folder: Path | None) -> dict[str, Any]:
    """Receipts that were kept, by their event: envelopes, or whole answers that carry one."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()) if folder else ():
        data = path.read_bytes() if path.suffix in {".json", ".jsonl"} else b""
        for text in data.splitlines() if path.suffix == ".jsonl" else [data] if data else []:
            answer = read(text)
            envelope = answer.get("receipt", answer)
            envelope = envelope.get("envelope", envelope)
            event = read(unbase64(envelope["payload"]))["event"]
            if found.setdefault(event, envelope)["payload"] != envelope["payload"]:
                refuse(f"{path.name} says something else of {event} than another receipt")
    return found


def walk(evidence: Path, keys: Sequence[Key], receipts: Path | None) -> None:
    """Follow it; ``receipts`` is a folder of those that you kept."""
    kept = receipts_in(receipts)
    with zipfile.ZipFile(evidence) as archive:
        Chain(Held(archive), keys, kept).walk()
