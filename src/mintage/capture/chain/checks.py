"""The chain from an invoice to the data that its answers rest on, each link checked in turn.

What does not hold stops the walk, with its reason; what is not held is said, and passed over.
Nothing here asks a database: who checks may be anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mintage.capture.chain.evidence import SET, Entry, Event, Evidence, Proof
from mintage.capture.chain.lines import Agreed, ChargedLine, at, check_lines
from mintage.capture.chain.logs import Logs
from mintage.capture.chain.models import check_bundle
from mintage.capture.chain.priced import check_by_plan, check_days, terms_of, unchecked
from mintage.capture.chain.steps import BY_SELLER, Step, broken
from mintage.capture.chain.sums import check_sums
from mintage.capture.receipts import PAYLOAD_TYPE, statement_of
from mintage.core.canonical import canonical_json, read_json, sha256_hex
from mintage.core.errors import BooksBroken, DataError, SignatureMismatch, TrustError
from mintage.core.messages import Message, _, plural
from mintage.trust import merkle
from mintage.trust.dsse import open_envelope
from mintage.trust.encoding import strict_base64
from mintage.trust.erasures import ERASED
from mintage.trust.given import KeySource
from mintage.trust.heads import BEGUN
from mintage.trust.keys import PublicKey
from mintage.trust.statements import Statement, open_statement

_ODD = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RecursionError,
    ArithmeticError,
)
"""What comes of a document that has not the members, or not the types, that it ought to have."""
_AROUND = ("kind", "actor")
"""What an entry of the log says besides the plan that was set."""
_NOT_SHOWN = {
    "unproved": _(
        "{count} of them are in no head that holds: their log was frozen, and only "
        "what the seller signed speaks for them"
    ),
    "withheld": _("{count} of the records are withheld: their receipts speak"),
    "erased": _("{count} of them were erased with their customer: only their hashes are left"),
}
"""What events may lack, and how it is said."""


@dataclass
class Chain:
    """A walk from an invoice to what it rests on; ``check`` does it once.

    ``kept`` are receipts that a customer kept from answers, by the id of their event, each in its
    envelope. ``broken`` is why the last step of ``root`` does not hold.
    """

    evidence: Evidence
    keys: KeySource
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    root: Step = field(init=False)
    broken: TrustError | None = None
    _bundles: dict[str, tuple[str, str]] = field(default_factory=dict)
    _agreed: dict[str, Agreed] = field(default_factory=dict)
    _erasures: set[int] = field(default_factory=set)
    _set_at: dict[str, int] = field(default_factory=dict)

    def check(self) -> Step:
        """Walk it as far as it holds.

        Raises:
            DataError: what is held cannot be read.
        """
        self.root = Step(_("the invoice"))
        try:
            with self.root.holding():
                self._walk()
        except TrustError as error:
            self.broken = error
        except _ODD as error:
            what = f"{type(error).__name__}: {error}"
            self.root.mark = "broken"
            self.broken = BooksBroken(
                _("Something signed is not as Mintage writes it ({what}).", what=what),
                remedy=BY_SELLER,
            )
        return self.root

    def _walk(self) -> None:
        document = self._invoice()
        begun, plans, erasures = self._entries(document)
        logs = self._logs(begun) if self.evidence.heads else None
        if logs is not None:
            for erasure in erasures:
                self._erasure(erasure, logs)
        for reference in _plans_of(document):
            self._plan(reference, plans.get(reference), logs)
        lines = self._lines(document)
        if logs is not None and self.evidence.has_events:
            self._events(document, lines, logs)
            for line in lines:
                with self.root.walking(Step(line.described())) as step:
                    line.check()
                    if line.erased:
                        step.leave_open(_("what its events counted is not shown: they were erased"))
        elif lines:
            self._from_kept(lines)
        for digest, model in sorted(self._bundles.items()):
            check_bundle(self.root, self.evidence, self.keys, digest, model)
        unused = self.evidence.unused()
        if unused:
            raise broken(_("{name} is no part of this invoice's evidence.", name=unused[0]))

    def _invoice(self) -> Mapping[str, Any]:
        invoice = open_statement(self.evidence.invoice, self.keys)
        document = invoice.document
        if invoice.kind not in ("invoice", "credit_note") or invoice.kind != document["kind"]:
            raise SignatureMismatch(_("{name} is no invoice.", name=invoice.name))
        self.root.said = _(
            "{number}: {total} {currency} of {customer}, signed by {key_id}…",
            number=document["number"],
            total=document["total"],
            currency=document["currency"],
            customer=document["customer"]["name"],
            key_id=invoice.key_id[:12],
        )
        check_sums(document)
        check_lines(document)
        return document

    def _entries(
        self, document: Mapping[str, Any]
    ) -> tuple[Entry | None, dict[str, Entry], list[Entry]]:
        """What began the newest log, and set each plan, each once; what erased the customer."""
        begun, plans, erasures = list[Entry](), dict[str, Entry](), list[Entry]()
        named, customer = _plans_of(document), document["customer"]["id"]
        for entry in self.evidence.entries():
            said = read_json(entry.record)
            if said["kind"] == BEGUN and not begun:
                begun.append(entry)
                continue
            if said["kind"] == ERASED and said["customer"] == customer:
                erasures.append(entry)
                continue
            reference = f"{said['name']}@{said['version']}" if said["kind"] == SET else ""
            if reference in plans:
                raise broken(_("The plan {plan} was set twice.", plan=reference))
            if reference not in named:
                raise broken(_("An entry of the log has nothing to do with this invoice."))
            plans[reference] = entry
        return next(iter(begun), None), plans, erasures

    def _erasure(self, entry: Entry, logs: Logs) -> None:
        """The entry that accounts for events without records, once it is found in the log."""
        at = entry.proof.position
        step = Step(_("the customer was erased, by the entry at position {position}", position=at))
        with self.root.walking(step):
            if not logs.has(entry.proof, at, entry.leaf_hash):
                step.leave_open(_("no head is over that entry: its log was frozen"))
        self._erasures.add(at)

    def _logs(self, begun: Entry | None) -> Logs:
        with self.root.walking(Step(_("the log's head"))) as step:
            logs = Logs.opened(self.evidence.heads, begun, self.keys.public_keys("log"))
            *before, step.said = logs.said()
            step.steps += map(Step, before)
        return logs

    def _plan(self, reference: str, entry: Entry | None, logs: Logs | None) -> None:
        data = self.evidence.plan(reference)
        step = Step(_("plan {plan}: as it was signed", plan=reference))
        found = None
        with self.root.walking(step):
            if data is None:
                step.mark = "open"
                step.said = _("plan {plan}: its signed file is not held", plan=reference)
            else:
                found = open_statement(data, self.keys, kind="plan")
                if found.name != f"plan/{reference}":
                    raise SignatureMismatch(
                        _("This is {name}, not plan/{plan}.", name=found.name, plan=reference),
                        remedy=BY_SELLER,
                    )
                self._agreed[reference] = Agreed.of(terms_of(found.document))
            if entry is not None and logs is not None:
                self._set_at[reference] = entry.proof.position
                self._entry_of_plan(step, reference, found, entry, logs)
            elif found is not None:
                step.leave_open(_("its entry on the log is not held"))

    def _entry_of_plan(
        self, step: Step, reference: str, found: Statement | None, entry: Entry, logs: Logs
    ) -> None:
        """That it was set with these terms, where the log says."""
        position, said = entry.proof.position, read_json(entry.record)
        plan = {name: each for name, each in said.items() if name not in _AROUND}
        if found is not None and sha256_hex(canonical_json(plan)) != found.sha256:
            raise broken(_("The plan {plan} was set with other terms.", plan=reference))
        if logs.has(entry.proof, position, entry.leaf_hash):
            step.steps.append(Step(_("set at position {position}", position=position)))
        else:
            step.leave_open(_("no head is over the entry that set it: its log was frozen"))

    def _lines(self, document: Mapping[str, Any]) -> list[ChargedLine]:
        """Those of usage, once all of them are what their plans say."""
        terms = {reference: each.terms for reference, each in self._agreed.items()}
        if document["kind"] == "invoice":
            for reference, each in terms.items():
                check_by_plan(document, reference, each)
            check_days(document, terms)
        for said in unchecked(document, terms):
            self.root.leave_open(said)
        lines = [
            ChargedLine(
                number, line, self._agreed.get(line["plan"]), self._set_at.get(line["plan"])
            )
            for number, line in enumerate(document["lines"], start=1)
            if "until" in line
        ]
        for line in lines:
            line.is_of(document)
        return lines

    def _events(
        self, document: Mapping[str, Any], lines: Sequence[ChargedLine], logs: Logs
    ) -> None:
        step = Step(_("the events of its lines"))
        by_number = {line.number: line for line in lines}
        customer, keys = document["customer"]["id"], self.keys.public_keys("receipt")
        found: Counter[str] = Counter()
        with self.root.walking(step):
            for event, proof, receipt in self._held():
                found["all"] += 1
                found["unproved"] += not logs.has(proof, event.position, event.leaf_hash)
                facts = self._told(event, receipt, customer, keys, found)
                for number in event.lines:
                    line = by_number.get(number)
                    if line is None:
                        raise broken(_("Line {line} of it is not of usage.", line=number))
                    if facts is None:
                        line.take_erased(event)
                    else:
                        line.take(event, facts)
            step.said = self._said_of(found)
        for name, said in _NOT_SHOWN.items():
            if found[name]:
                step.leave_open(Message(said, count=found[name]))
        if self.kept:
            said = _(
                "{met} of the {kept} receipts that you kept are of these events, and say the same",
                met=found["kept"],
                kept=len(self.kept),
            )
            step.steps.append(Step(said))

    def _said_of(self, found: Counter[str]) -> Message:
        if found["erased"]:
            one, many = _("one event: in the log"), _("{count} events: each in the log")
        elif self.evidence.is_ours:  # those that are checked where they were recorded
            one = _("one event: in the log as it was recorded")
            many = _("{count} events: each in the log as it was recorded")
        else:
            one = _("one event: in the log as it was recorded, with its receipt")
            many = _("{count} events: each in the log as it was recorded, each with its receipt")
        return plural(found["all"], one, many, count=found["all"])

    def _told(
        self,
        event: Event,
        receipt: Mapping[str, Any] | None,
        customer: str,
        keys: Sequence[PublicKey],
        found: Counter[str],
    ) -> Mapping[str, Any] | None:
        """What an event says, by record and receipt; None of an erased one.

        Of that a receipt that was kept says it, for the very leaf that is in the log.
        """
        if event.erased_by is not None:
            if receipt is not None or not self._accounts_for(event):
                raise broken(_("No erasure accounts for the event at {position}.", **at(event)))
            receipt = self._mine.get(event.leaf_hash.hex())
            if receipt is None:
                found["erased"] += 1
                return None
        if receipt is None:
            raise broken(_("The event at {position} has no receipt.", **at(event)))
        is_unsigned = self.evidence.is_ours and event.erased_by is None
        facts = _facts(event, _signed(receipt, None if is_unsigned else keys))
        if facts["customer"] != customer or facts.get("kind", "usage") != "usage":
            raise broken(_("The event at {position} is not of this customer.", **at(event)))
        if event.record is None and event.erased_by is None:
            if facts["bundle_digest"] not in self.evidence.upstreams:
                raise broken(_("The record of the event at {position} is withheld.", **at(event)))
            found["withheld"] += 1
        found["kept"] += self._compare(facts, receipt, keys)
        self._bundles[facts["bundle_digest"]] = (facts["model"], facts["model_version"])
        return facts

    def _accounts_for(self, event: Event) -> bool:
        return event.erased_by in self._erasures and event.position < event.erased_by

    @cached_property
    def _mine(self) -> Mapping[str, Mapping[str, Any]]:
        """The receipts that were kept, by the leaf that they are of."""
        return {
            read_json(strict_base64(each["payload"]))["leaf"]["hash"]: each
            for each in self.kept.values()
        }

    def _held(self) -> Iterator[tuple[Event, Proof, Mapping[str, Any] | None]]:
        held = self.evidence
        try:
            yield from zip(held.events(), held.proofs(), held.receipts(), strict=True)
        except ValueError as error:
            raise DataError(
                _("The evidence does not have a proof and a receipt for each event."),
                remedy=_("Have it made again: mintage invoice evidence NUMBER --out FILE.zip"),
            ) from error

    def _compare(
        self, facts: Mapping[str, Any], receipt: Mapping[str, Any], keys: Sequence[PublicKey]
    ) -> bool:
        """Whether the event's receipt was kept, and says the same."""
        event = facts["event"] if "event" in facts else facts["id"]
        mine = self.kept.get(event)
        if mine is None:
            return False
        if mine["payload"] != receipt["payload"]:
            open_envelope(mine, PAYLOAD_TYPE, keys)  # or nobody promised it
            raise BooksBroken(
                _(
                    "The receipt that you kept of {event} says something else than the invoice's.",
                    event=event,
                ),
                remedy=_("Keep it, and ask the seller: what it promised was signed."),
            )
        return True

    def _from_kept(self, lines: Sequence[ChargedLine]) -> None:
        """Without the events themselves, a line's root from the receipts that were kept of them."""
        statements = kept_statements(self.kept, self.keys.public_keys("receipt"))
        for line in lines:
            if not line.said.get("events"):
                continue
            mine = [each for each in statements if line.may_be_of(each)]
            mine.sort(key=lambda each: each["leaf"]["position"])
            leaves = [bytes.fromhex(each["leaf"]["hash"]) for each in mine]
            step = Step(line.described())
            if merkle.root(leaves).hex() != line.said["events_root"]:
                step.mark = "open"
                step.said = _(
                    "{line}; {count} receipts of such events are held, which are not all of them",
                    line=step.said,
                    count=len(mine),
                )
            else:
                for each, leaf in zip(mine, leaves, strict=True):
                    line.take(Event(each["leaf"]["position"], (), leaf, None, None), each)
                with step.holding():
                    line.check()
                step.steps.append(Step(_("rebuilt from the receipts that you kept")))
            self.root.steps.append(step)
        if not statements:
            said = _("the events of its lines are not held: ask the seller for the evidence")
            self.root.leave_open(said)


def _plans_of(document: Mapping[str, Any]) -> list[str]:
    """The versions of plans that its lines name."""
    return list(dict.fromkeys(line["plan"] for line in document["lines"]))


def kept_statements(
    kept: Mapping[str, Mapping[str, Any]], keys: Sequence[PublicKey]
) -> list[dict[str, Any]]:
    """What receipts say, once each is found to be signed.

    Raises:
        SignatureMismatch: one is not, by any of these keys.
    """
    return [read_json(open_envelope(each, PAYLOAD_TYPE, keys)) for each in kept.values()]


def _signed(receipt: Mapping[str, Any], keys: Sequence[PublicKey] | None) -> bytes:
    """What a receipt says; without keys nobody signed it, since nobody was given it."""
    if keys is None:
        return strict_base64(receipt["payload"])
    return open_envelope(receipt, PAYLOAD_TYPE, keys)


def _facts(event: Event, payload: bytes) -> Mapping[str, Any]:
    """What the event's record says, once its receipt is found to say the same.

    Of a record that is withheld the receipt says it, for the very leaf that is in the log.
    """
    facts: Mapping[str, Any]
    try:
        if event.record is None:
            facts = read_json(payload)
            leaf = {"position": event.position, "hash": event.leaf_hash.hex()}
            is_same = facts["leaf"] == leaf
        else:
            facts = read_json(event.record)
            is_same = payload == statement_of(facts, event.position, event.leaf_hash)
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise broken(_("The entry at {position} is no usage event.", **at(event))) from error
    if not is_same:
        raise broken(_("The receipt of the event at {position} says something else.", **at(event)))
    return facts
