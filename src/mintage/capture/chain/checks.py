"""The chain from an invoice to the data that its answers rest on, each link checked in turn.

What does not hold stops the walk, with its reason; what is not held is said, and passed over.
Nothing here asks a database: who checks may be anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from mintage.capture.chain.evidence import SIGNATURE, Event, Evidence, Path
from mintage.capture.chain.lines import BY_SELLER, ChargedLine, at, check_lines
from mintage.capture.chain.sums import check_sums, is_priced_by, terms_of
from mintage.capture.pricing.terms import Terms
from mintage.capture.receipts import PAYLOAD_TYPE, statement_of
from mintage.core.canonical import sha256_hex
from mintage.core.errors import BooksBroken, DataError, LogForked, SignatureMismatch, TrustError
from mintage.core.messages import Message, _
from mintage.trust import merkle
from mintage.trust.dsse import open_envelope
from mintage.trust.encoding import strict_base64
from mintage.trust.given import KeySource
from mintage.trust.keys import PublicKey
from mintage.trust.notes import SignedHead, verify_note
from mintage.trust.signing import SignedList, open_signature
from mintage.trust.statements import open_statement

Mark = Literal["holds", "open", "broken"]
"""``open``: it could not be checked, since what shows it is not held."""

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

_BY_PUBLISHER = _("Do not believe it: ask the seller for the evidence anew.")


@dataclass
class Step:
    """One link: what was looked at, whether it holds, and what hangs on it."""

    said: Message
    mark: Mark = "holds"
    steps: list[Step] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As ``verify --json`` says it, in English."""
        below = [each.to_json() for each in self.steps]
        return {"said": str(self.said), "mark": self.mark, "steps": below}

    def open(self) -> Iterator[Step]:
        """Every link here and below that could not be checked."""
        if self.mark == "open":
            yield self
        for each in self.steps:
            yield from each.open()


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
    _terms: dict[str, Terms] = field(default_factory=dict)

    def check(self) -> Step:
        """Walk it as far as it holds.

        Raises:
            DataError: what is held cannot be read.
        """
        self.root = Step(_("the invoice"))
        try:
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
        with _step(self.root, self.root):
            invoice = open_statement(self.evidence.invoice, self.keys)
            if invoice.kind not in ("invoice", "credit_note"):
                raise SignatureMismatch(_("{name} is no invoice.", name=invoice.name))
            document = invoice.document
            self.root.said = _(
                "{number}: {total} {currency} of {customer}, signed by {key_id}…",
                number=document["number"],
                total=document["total"],
                currency=document["currency"],
                customer=document["customer"]["name"],
                key_id=invoice.key_id[:12],
            )
            check_sums(document)
        lines = [
            ChargedLine(number, line)
            for number, line in enumerate(document["lines"], start=1)
            if "until" in line
        ]
        for reference in dict.fromkeys(line["plan"] for line in document["lines"]):
            self._plan(reference)
        with _step(self.root, self.root):
            check_lines(document)
            for line in lines:
                line.is_of(document["period"], self._terms.get(line.said["plan"]))
                if self.evidence.head is None:
                    self._check_price(document, line)
        if not lines:
            return
        if self.evidence.head is None:
            self._from_kept(lines)
            return
        head = self._head(self.evidence.head)
        self._events(document, lines, head)
        for line in lines:
            with _step(self.root, Step(line.described())):
                line.check()
                self._check_price(document, line)
        for digest, model in sorted(self._bundles.items()):
            self._bundle(digest, model)

    def _plan(self, reference: str) -> None:
        data = self.evidence.plan(reference)
        if data is None:
            said = _("plan {plan}: its signed file is not held", plan=reference)
            self.root.steps.append(Step(said, "open"))
            return
        with _step(self.root, Step(_("plan {plan}: as it was signed", plan=reference))):
            found = open_statement(data, self.keys, kind="plan")
            if found.name != f"plan/{reference}":
                raise SignatureMismatch(
                    _("This is {name}, not plan/{plan}.", name=found.name, plan=reference),
                    remedy=BY_SELLER,
                )
            self._terms[reference] = terms_of(found.document)

    def _check_price(self, document: Mapping[str, Any], line: ChargedLine) -> None:
        """What late usage comes to depends on what was used in its month; a note takes parts."""
        terms = self._terms.get(line.said["plan"])
        is_priced = document["kind"] == "invoice" and line.said["kind"] == "usage"
        if terms is not None and is_priced and not is_priced_by(line.said, terms):
            raise line.broken(_("it is not what its units cost by the plan"))

    def _head(self, note: str) -> SignedHead:
        step = Step(_("the log's head"))
        with _step(self.root, step):
            head = opened_head(note, self.keys.public_keys("log"))
            step.said = _(
                "the log: {count} entries, signed by {origin}",
                count=head.size,
                origin=note.partition("\n")[0],
            )
        return head

    def _events(
        self, document: Mapping[str, Any], lines: Sequence[ChargedLine], head: SignedHead
    ) -> None:
        step = Step(_("the events of its lines"))
        by_number = {line.number: line for line in lines}
        customer, keys = document["customer"]["id"], self.keys.public_keys("receipt")
        count = withheld = met = 0
        with _step(self.root, step):
            for event, proof, receipt in self._held():
                _check_place(event, proof, head)
                payload = _signed(receipt, None if self.evidence.is_ours else keys)
                facts = _facts(event, payload)
                if facts.get("customer", customer) != customer or facts.get("kind") not in (
                    None,
                    "usage",
                ):
                    raise BooksBroken(
                        _("The event at {position} is not of this customer.", **at(event)),
                        remedy=BY_SELLER,
                    )
                if event.record is None and facts["bundle_digest"] not in self.evidence.upstreams:
                    raise BooksBroken(
                        _("The record of the event at {position} is withheld.", **at(event)),
                        remedy=BY_SELLER,
                    )
                for number in event.lines:
                    line = by_number.get(number)
                    if line is None:
                        raise BooksBroken(
                            _("Line {line} of it is not of usage.", line=number), remedy=BY_SELLER
                        )
                    line.take(event, facts)
                if self.kept:
                    met += self._compare(facts, receipt, keys)
                self._bundles[facts["bundle_digest"]] = (facts["model"], facts["model_version"])
                count, withheld = count + 1, withheld + (event.record is None)
            step.said = (
                _("{count} events: each in the log as it was recorded", count=count)
                if self.evidence.is_ours
                else _(
                    "{count} events: each in the log as it was recorded, each with its receipt",
                    count=count,
                )
            )
        if withheld:
            said = _("{count} of the records are withheld: their receipts speak", count=withheld)
            step.steps.append(Step(said, "open"))
        if self.kept:
            said = _(
                "{met} of the {kept} receipts that you kept are of these events, and say the same",
                met=met,
                kept=len(self.kept),
            )
            step.steps.append(Step(said))

    def _held(self) -> Iterator[tuple[Event, tuple[int, Path], Mapping[str, Any]]]:
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
                with _step(step, step):
                    line.check()
                step.steps.append(Step(_("rebuilt from the receipts that you kept")))
            self.root.steps.append(step)
        if not statements:
            said = _("the events of its lines are not held: ask the seller for the evidence")
            self.root.steps.append(Step(said, "open"))

    def _bundle(self, digest: str, model: tuple[str, str]) -> None:
        name = f"{model[0]}@{model[1]}"
        if digest in self.evidence.upstreams:
            said = _(
                "answers of {model}, a model of others: the chain ends with its name",
                model=self.evidence.upstreams[digest],
            )
            self.root.steps.append(Step(said, "open"))
            return
        files = self.evidence.bundle(digest)
        if files is None or SIGNATURE not in files:
            said = _("bundle {model} {digest}…: not held", model=name, digest=digest[:12])
            self.root.steps.append(Step(said, "open"))
            return
        step = Step(_("bundle {model} {digest}…", model=name, digest=digest[:12]))
        with _step(self.root, step):
            signed = open_signature(files[SIGNATURE], self.keys.public_keys("bundle"), subject=name)
            if signed.digest != digest:
                raise SignatureMismatch(
                    _("This signature is of another bundle than the events name."),
                    remedy=_BY_PUBLISHER,
                )
            evaluation = _listed(files, signed, "evaluation.json")
            manifest = _listed(files, signed, "bundle.json")
            step.said = _(
                "bundle {model} {digest}…, signed by {key_id}…",
                model=name,
                digest=digest[:12],
                key_id=signed.key_id[:12],
            )
        accuracy = evaluation.get("accuracy")
        if isinstance(accuracy, float):
            said = _(
                "evaluation: {accuracy:.1%} right of {examples}, as it was signed",
                accuracy=accuracy,
                examples=evaluation.get("examples"),
            )
        else:
            said = _("evaluation: as it was signed")
        step.steps.append(Step(said))
        self._dataset(step, manifest.get("dataset"))

    def _dataset(self, above: Step, named: Any) -> None:
        if not isinstance(named, dict) or not {"name", "version"} <= named.keys():
            above.steps.append(Step(_("dataset: the bundle names none"), "open"))
            return
        reference = f"{named['name']}#{named['version']}"
        shown = f"{reference[: len(str(named['name'])) + 13]}…"
        files = self.evidence.dataset(str(named["version"]))
        if files is None or SIGNATURE not in files:
            above.steps.append(Step(_("dataset {dataset}: not held", dataset=shown), "open"))
            return
        with _step(above, Step(_("dataset {dataset}: as it was signed", dataset=shown))):
            signed = open_signature(
                files[SIGNATURE], self.keys.public_keys("data"), subject=reference
            )
            if signed.digests.get("manifest.jsonl") != named["version"]:
                raise SignatureMismatch(
                    _("This signature is of another dataset than the bundle names."),
                    remedy=_BY_PUBLISHER,
                )
            _listed(files, signed, "card.json")


@contextmanager
def _step(above: Step, step: Step) -> Iterator[None]:
    """A link: what is raised within marks it as broken."""
    if step is not above:
        above.steps.append(step)
    try:
        yield
    except TrustError:
        step.mark = "broken"
        raise


def opened_head(note: str, keys: Sequence[PublicKey]) -> SignedHead:
    """The head that a note signs, by any of these keys, under the name that it gives itself.

    Raises:
        SignatureMismatch: none of them did.
    """
    origin, refusal = note.partition("\n")[0], None
    for key in keys:
        try:
            return verify_note(note, key, origin)
        except SignatureMismatch as error:
            refusal = error
    raise refusal or SignatureMismatch(
        _("No key is trusted here for the log, so its head cannot be confirmed."),
        remedy=_("Name it: --key log.pub, as mintage public-key log prints it."),
    )


def kept_statements(
    kept: Mapping[str, Mapping[str, Any]], keys: Sequence[PublicKey]
) -> list[dict[str, Any]]:
    """What receipts say, once each is found to be signed.

    Raises:
        SignatureMismatch: one is not, by any of these keys.
    """
    return [json.loads(open_envelope(each, PAYLOAD_TYPE, keys)) for each in kept.values()]


def _check_place(event: Event, proof: tuple[int, Path], head: SignedHead) -> None:
    position, path = proof
    if position != event.position:
        raise LogForked(
            _("The proof for position {position} is of another.", **at(event)), remedy=BY_SELLER
        )
    merkle.verify_inclusion(position, head.size, event.leaf_hash, path, head.root)


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
            facts = json.loads(payload.decode())
            leaf = {"position": event.position, "hash": event.leaf_hash.hex()}
            is_same = facts["leaf"] == leaf
        else:
            facts = json.loads(event.record.decode())
            is_same = payload == statement_of(facts, event.position, event.leaf_hash)
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise BooksBroken(
            _("The entry at {position} is no usage event.", **at(event)), remedy=BY_SELLER
        ) from error
    if not is_same:
        raise BooksBroken(
            _("The receipt of the event at {position} says something else.", **at(event)),
            remedy=BY_SELLER,
        )
    return facts


def _listed(files: Mapping[str, bytes], signed: SignedList, name: str) -> Mapping[str, Any]:
    """One of the files that a signature lists, if it is what was signed."""
    data = files.get(name, b"")
    if signed.digests.get(name) != sha256_hex(data):
        raise SignatureMismatch(
            _("{subject}: {name} is not what was signed.", subject=signed.subject, name=name),
            remedy=_BY_PUBLISHER,
        )
    found: Mapping[str, Any] = json.loads(data)
    return found
