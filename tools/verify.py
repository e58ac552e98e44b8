"""Check what a Mintage signed, without any of its code: Python 3.11 and `cryptography` are enough.

    python verify.py WHAT --key MAKER.pub [--key ANOTHER.pub] ...

WHAT is a bundle (its folder or pets.mintage), a dataset's folder, a receipt, a signed invoice, plan
or evaluation, a tree head, a proof, an export of the audit log, or the evidence of an invoice. The
keys are those that their owner gave you, by another way than the files; one in ``receipt.pub`` or
``NAME.receipt.pub`` is believed for receipts alone, and so with bundle, data and log. Exit status
0: every check held; 3: one did not, and the reason is said; 2: there was nothing to check.

The formats are those of docs/formats.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

IN_TOTO = "application/vnd.in-toto+json"
RECEIPT = "application/vnd.mintage.receipt+json"
SIGNATURE = "signature.json"
ROLES = {"bundle", "data", "receipt", "log", "root", "witness"}
CHARGED = {"ok", "partial", "abstain"}
RECEIPT_SAYS = {
    "version",
    "receipt",
    "event",
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
MOST_BYTES = 64_000_000
"""Of a file in an archive that is read as a whole."""


class Refused(Exception):
    """Something is not what was signed, or nobody known signed it."""


def refuse(reason: str) -> NoReturn:
    raise Refused(reason)


# ---- keys and envelopes


class Key:
    """A public key; ``id`` is the SHA-256 of its DER, ``hint`` that of its PEM."""

    def __init__(self, path: Path, pem: bytes) -> None:
        self.role = path.stem.rpartition(".")[2]
        key = serialization.load_pem_public_key(pem)
        if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            refuse(f"{path} is a key of neither ECDSA nor Ed25519")
        self.key = key
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        self.id = sha256(self.key.public_bytes(serialization.Encoding.DER, info))
        self.hint = sha256(self.key.public_bytes(serialization.Encoding.PEM, info))

    def fits(self, role: str) -> bool:
        """Whether it may sign in this role: by its name, and by the kind that signs there."""
        is_note_key = isinstance(self.key, ed25519.Ed25519PublicKey)
        named = self.role == role or self.role not in ROLES
        return named and is_note_key == (role in {"log", "witness"})

    def hint_of(self, name: str, kind: int) -> bytes:
        """What a line of a signed note calls this key; kind 1 signs notes, 4 cosigns them."""
        if not isinstance(self.key, ed25519.Ed25519PublicKey):
            return b""
        raw = self.key.public_bytes_raw()
        return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + raw).digest()[:4]

    def signed(self, signature: bytes, data: bytes) -> bool:
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, data)
            else:
                self.key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unbase64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        refuse("base64 has a second spelling here")
    return data


def canonical(value: Any) -> bytes:
    """RFC 8785 of values without fractions and with names in ASCII, as all that is packed here."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def opened(envelope: Any, kind: str, role: str, keys: Sequence[Key]) -> tuple[bytes, Key]:
    """The payload of a DSSE envelope and the key of this role that signed it."""
    try:
        payload, found = unbase64(envelope["payload"]), envelope["payloadType"]
        (signature,) = envelope["signatures"]
        raw = unbase64(signature["sig"])
    except (KeyError, TypeError, ValueError):
        refuse("this is no DSSE envelope with one signature")
    if found != kind:
        refuse(f"what is signed is of the type {found!r}, not {kind!r}")
    data = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    for key in keys:
        if key.fits(role) and key.signed(raw, data):
            return payload, key
    refuse(f"no given key of the role {role} signed this, or what it signs was changed")


# ---- folders: bundles and datasets


def listed(content: bytes, role: str, keys: Sequence[Key]) -> tuple[str, dict[str, str]]:
    """What a ``signature.json`` vouches for: its subject, and the SHA-256 of each file."""
    try:
        envelope = json.loads(content)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError):
        refuse(f"{SIGNATURE} is no signature")
    payload, key = opened(envelope, IN_TOTO, role, keys)
    packed = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": envelope["payload"],
            "payloadType": IN_TOTO,
            "signatures": [{"keyid": key.id, "sig": envelope["signatures"][0]["sig"]}],
        },
    }
    if content != canonical(packed) + b"\n":
        refuse(f"{SIGNATURE} was changed outside what it signs")
    try:
        statement = json.loads(payload)
        subject = statement["subject"][0]["name"]
        digests = {each["name"]: each["digest"] for each in statement["predicate"]["resources"]}
        raw = [bytes.fromhex(digest) for __, digest in sorted(digests.items())]
    except (ValueError, KeyError, TypeError, IndexError):
        refuse("what is signed is no list of files")
    resources = [
        {"name": name, "digest": digest, "algorithm": "sha256"}
        for name, digest in sorted(digests.items())
    ]
    serialization_said = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [SIGNATURE],
    }
    root = sha256(b"".join(raw))
    if payload != canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": subject, "digest": {"sha256": root}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {"resources": resources, "serialization": serialization_said},
        }
    ):
        refuse("what is signed is no list of files as Mintage writes it")
    seen = set()
    for name in digests:
        folded = unicodedata.normalize("NFC", name.casefold())
        unsafe = {"", ".", ".."} & {*name.split("/")} or {"\\", ":"} & {*name}
        if unsafe or not name.isprintable() or name == SIGNATURE or folded in seen:
            refuse(f"{name!r} is no name that is safe everywhere")
        seen.add(folded)
    return subject, digests


def hashed(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def below(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The name and SHA-256 of each file; links and empty folders are refused."""
    paths = sorted(folder.iterdir())
    for path in paths:
        if path.is_symlink():
            refuse(f"{path.name} is a symbolic link")
        if path.is_dir():
            yield from below(path, f"{prefix}{path.name}/")
        else:
            yield prefix + path.name, hashed(path)
    if prefix and not paths:
        refuse(f"{prefix} is not signed")


def signed_files(place: Path, keys: Sequence[Key]) -> tuple[str, dict[str, str]]:
    """A folder, or a bundle in one file, that is what was signed: every byte, name and file."""
    if place.is_dir():
        there = dict(below(place))
        content = (place / SIGNATURE).read_bytes()
    else:
        with zipfile.ZipFile(place) as archive:
            if len({*archive.namelist()}) != len(archive.namelist()):
                refuse("the archive holds a name twice")
            there = {name: sha256(archive.read(name)) for name in archive.namelist()}
            content = whole(archive, SIGNATURE)
    role = "data" if "manifest.jsonl" in there else "bundle"
    subject, digests = listed(content, role, keys)
    if ("#" in subject) != (role == "data"):
        refuse(f"{subject} is no name of what a {role} key signs")
    if there.pop(SIGNATURE) != sha256(content):
        refuse(f"{SIGNATURE} changed while it was read")
    for name in sorted({*there, *digests}):
        if there.get(name) != digests.get(name):
            found = "missing" if name not in there else "changed" if name in digests else "unsigned"
            refuse(f"{name} is {found}")
    return subject, digests


def digest_of(digests: dict[str, str]) -> str:
    """What receipts call a bundle: the SHA-256 of the lines ``digest name``."""
    return sha256("".join(sorted(f"{each} {name}\n" for name, each in digests.items())).encode())


def dataset_of(
    place: Path, subject: str, digests: dict[str, str], asked_blobs: Path | None
) -> None:
    version = subject.partition("#")[2]
    if digests["manifest.jsonl"] != version:
        refuse("the manifest is not that of this version")
    said(f"dataset {subject}: as it was signed")
    blobs = asked_blobs or place.resolve().parents[2] / "blobs"
    names = [
        json.loads(line)["sha256"] for line in (place / "manifest.jsonl").read_bytes().splitlines()
    ]
    if asked_blobs is not None or blobs.is_dir():
        for name in names:
            if hashed(blobs / name[:2] / name) != name:
                refuse(f"the example {name} was changed")
        said(f"its {len(names):,} examples: each is what its name says")
    else:
        said(f"its {len(names):,} examples are not here to be hashed; give --blobs", "?")


# ---- receipts and documents


def receipt_of(envelope: Any, keys: Sequence[Key], given: Path | None) -> None:
    payload, __ = opened(envelope, RECEIPT, "receipt", keys)
    promise = json.loads(payload)
    said(
        f"receipt {promise['receipt']}: {promise['price']} {promise['currency']} for "
        f"{promise['product']} {json.dumps(promise['quantities'])}, {promise['outcome']}"
    )
    if given is not None:
        if sha256(given.read_bytes()) != promise["input_sha256"]:
            refuse(f"{given.name} is not what this receipt is for")
        said(f"{given.name} is what was sent")


def document_of(data: bytes, keys: Sequence[Key], kinds: Sequence[str] = ()) -> dict[str, Any]:
    """An invoice, a credit note, a plan or an evaluation; its statement carries all of it."""
    envelope = json.loads(data)
    said_type = str(json.loads(unbase64(envelope["payload"]))["predicateType"])
    kind = said_type.removeprefix("urn:mintage:").removesuffix(":v1")
    role = "bundle" if kind == "evaluation" else "receipt"
    payload, key = opened(envelope, IN_TOTO, role, keys)
    packed = {
        "payload": envelope["payload"],
        "payloadType": IN_TOTO,
        "signatures": [{"keyid": key.id, "sig": envelope["signatures"][0]["sig"]}],
    }
    statement = json.loads(payload)
    if data != canonical(packed) + b"\n":
        refuse("the file was changed outside what it signs")
    if kinds and kind not in kinds:
        refuse(f"this is a {kind}, not {' or '.join(kinds)}")
    # The payload is canonical, so the document's bytes are those between what is around them.
    subject = statement["subject"]
    before = b'{"_type":"https://in-toto.io/Statement/v1","predicate":'
    after = b',"predicateType":%s,"subject":%s}' % (
        canonical(statement["predicateType"]),
        canonical(subject),
    )
    document = payload[len(before) : len(payload) - len(after)]
    digest, name = sha256(document), named(kind, statement["predicate"])
    if payload != before + document + after or subject != [
        {"name": name, "digest": {"sha256": digest}}
    ]:
        refuse("what is signed is no document as Mintage writes it")
    said(f"{name}: as key {key.id[:12]}… signed it; SHA-256 {digest}")
    found: dict[str, Any] = statement["predicate"]
    return found


def named(kind: str, document: dict[str, Any]) -> str:
    if kind == "plan":
        return f"plan/{document['name']}@{document['version']}"
    return f"{kind}/{document['id' if kind == 'evaluation' else 'number']}"


# ---- the audit log (RFC 6962, RFC 9162)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(record: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + hashlib.sha256(salt + record).digest()).digest()


class Tree:
    """The roots of a log's first leaves, while it grows: one hash for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, found: bytes) -> None:
        size = self.size
        while size & 1:
            found, size = node(self._peaks.pop(), found), size >> 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> bytes:
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node(peak, found)
        return found


def head_of(note: str, keys: Sequence[Key]) -> tuple[str, int, bytes]:
    """Origin, size and root of a signed tree head (C2SP checkpoint)."""
    body, __, signatures = note.rpartition("\n\n")
    body += "\n"
    try:
        origin, size, root = body.split("\n")[:3]
        lines = [line.split(" ") for line in signatures.removesuffix("\n").split("\n")]
        made = [(name, unbase64(encoded)) for dash, name, encoded in lines]
        found = origin, int(size), unbase64(root)
    except ValueError:
        refuse("this is no signed tree head")
    if not any(
        signature[:4] == key.hint_of(origin, 1) and key.signed(signature[4:], body.encode())
        for name, signature in made
        for key in keys
        if name == origin and key.fits("log")
    ):
        refuse(f"the head of {origin} was signed by none of the given keys, or it was changed")
    for name, signature in made:
        for key in keys:
            if key.fits("witness") and signature[:4] == key.hint_of(name, 4):
                at = int.from_bytes(signature[4:12])
                if not key.signed(signature[12:], f"cosignature/v1\ntime {at}\n{body}".encode()):
                    refuse(f"the head of {origin} was changed after {name} cosigned it")
                said(f"{name} saw this head of {origin}, {datetime.fromtimestamp(at, UTC)}")
    return found


def climb(place: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each sibling on the way to the root (RFC 9162, 2.1.3.2), and whether it is the left one."""
    for sibling in path:
        if last == 0:
            refuse("the proof is too long")
        is_left = bool(place & 1) or place == last
        yield sibling, is_left
        while is_left and place and not place & 1:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        refuse("the proof is too short")


def included(index: int, size: int, found: bytes, path: Sequence[bytes], root: bytes) -> bool:
    if not 0 <= index < size:
        return False
    for sibling, is_left in climb(index, size - 1, path):
        found = node(sibling, found) if is_left else node(found, sibling)
    return found == root


def grew(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> bool:
    """Whether the larger log begins with the smaller one (RFC 9162, 2.1.4.2)."""
    if not 1 <= size1 <= size2 or bool(path) == (size1 == size2):
        return False
    start, *rest = [root1, *path] if size1 & (size1 - 1) == 0 else path
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = start
    for sibling, is_left in climb(place, last, rest):
        first = node(sibling, first) if is_left else first
        second = node(sibling, second) if is_left else node(second, sibling)
    return (first, second) == (root1, root2)


def proof_of(proof: dict[str, Any], keys: Sequence[Key], kept: Sequence[str]) -> None:
    """An inclusion proof, or a consistency proof from a head that was kept."""
    origin, size, root = head_of(proof["head"], keys)
    path = [bytes.fromhex(each) for each in proof["path"]]
    if "leaf_hash" in proof:
        found = bytes.fromhex(proof["leaf_hash"])
        if "record" in proof and found != leaf(
            proof["record"].encode(), bytes.fromhex(proof["salt"])
        ):
            refuse("the record is not the one of this leaf")
        if proof["index"] > proof["position"] or (
            "/" not in origin.partition("/")[2] and proof["index"] != proof["position"]
        ):
            refuse("the proof's position is not that of its index")
        if size != proof["size"] or not included(proof["index"], size, found, path, root):
            refuse(f"the entry at {proof['position']} is not in the log of this head")
        return said(f"the entry at {proof['position']} is among the {size:,} of {origin}")
    for note in kept:
        before = head_of(note, keys)
        if before[:2] == (origin, proof["from"]) and size == proof["to"]:
            if not grew(before[1], size, before[2], root, path):
                refuse(f"the log of {size:,} entries does not begin with the {before[1]:,} of then")
            return said(f"{origin}: the log of {size:,} begins with the {before[1]:,} of then")
    refuse("the head that this proof is from has to be given: --head kept.txt")


def log_of(lines: Iterable[bytes], keys: Sequence[Key], kept: Sequence[str]) -> None:
    """A whole log, as ``mintage audit export`` writes it, and the heads that were kept of it."""
    heads, met = [head_of(note, keys) for note in kept], set()
    tree, origin, expected, begun = Tree(), "", 0, set[str]()
    for line in lines:
        entry = json.loads(line)
        if "origin" in entry:
            if entry["origin"] in begun or entry["first_position"] < expected:
                refuse(f"{entry['origin']} begins twice, or before the log before it ends")
            tree, origin, expected = Tree(), entry["origin"], entry["first_position"]
            begun.add(origin)
            continue
        if entry["position"] != expected:
            refuse(f"the entry at position {expected} is missing")
        if len(begun) > 1 and not tree.size and json.loads(entry["record"])["kind"] != "log.begun":
            refuse(f"{origin} does not begin by saying which log was frozen before it")
        tree.add(leaf(entry["record"].encode(), bytes.fromhex(entry["salt"])))
        expected += 1
        met |= {head for head in heads if head == (origin, tree.size, tree.root())}
    for head in heads:
        if head not in met:
            refuse(f"the log does not begin with the {head[1]:,} entries that {head[0]} signed")
        said(f"{head[0]}: its {head[1]:,} first entries are those that the head was signed over")
    root = f"{origin}: {tree.size:,} entries, root {tree.root().hex()}"
    said(root if heads else f"{root}; give a head that was signed: --head", "✓" if heads else "?")


# ---- an invoice and all that it rests on


@dataclass
class Line:
    """What the events of a line of usage come to."""

    number: int
    stated: dict[str, Any]
    tree: Tree = field(default_factory=Tree)
    units: Counter[str] = field(default_factory=Counter)
    last: int = -1

    def take(self, position: int, found: bytes, facts: dict[str, Any]) -> None:
        unit, product = self.stated.get("unit"), facts["product"]
        is_of_it = unit is None or (
            unit in facts["quantities"] and product in self.stated["products"]
        )
        is_charged = facts["outcome"] in CHARGED and facts["recorded_at"] >= self.stated.get(
            "since", ""
        )
        plan = f"{facts['plan']}@{facts['plan_version']}"
        if not is_of_it or not is_charged or plan != self.stated["plan"] or position <= self.last:
            refuse(f"the event at {position} does not belong to line {self.number}")
        self.last = position
        self.tree.add(found)
        self.units[product] += facts["quantities"][unit] if unit else 1

    def check(self) -> None:
        stated, total = self.stated, sum(self.units.values())
        used = {product: units for product, units in self.units.items() if units}
        if self.tree.size != stated.get("events", 0):
            refuse(f"line {self.number} is of {stated.get('events', 0):,} events, not of these")
        if self.tree.size and self.tree.root().hex() != stated["events_root"]:
            refuse(f"line {self.number} was computed from other events")
        if total != stated["units"] or ("products" in stated and used != stated["products"]):
            refuse(
                f"line {self.number} charges {stated['units']:,}, and its events sum to {total:,}"
            )
        said(
            f"line {self.number}: {stated['units']:,} {stated.get('unit', 'calls')} of "
            f"{stated['plan']}, the sum of its {self.tree.size:,} events"
        )


def whole(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.namelist().count(name) != 1 or archive.getinfo(name).file_size > MOST_BYTES:
        refuse(f"the archive holds {name} twice, or too much of it")
    return archive.read(name)


def evidence_of(place: Path, keys: Sequence[Key], kept: dict[str, Any]) -> None:
    """The zip of ``mintage invoice evidence``; ``kept`` are the customer's own receipts."""
    with zipfile.ZipFile(place) as archive:
        names = archive.namelist()
        invoice = document_of(whole(archive, "invoice.json"), keys, ("invoice", "credit-note"))
        for plan in dict.fromkeys(line["plan"] for line in invoice["lines"]):
            if f"plans/{plan}.json" not in names:
                said(f"plan {plan}: its signed file is not held", "?")
            else:
                found = document_of(whole(archive, f"plans/{plan}.json"), keys, ("plan",))
                if f"{found['name']}@{found['version']}" != plan:
                    refuse(f"the file of plan {plan} is of another")
        lines = {
            number: Line(number, line)
            for number, line in enumerate(invoice["lines"], start=1)
            if "until" in line
        }
        said("how rounding, taxes and prices follow from the plan: mintage verify --chain", "?")
        if "head.txt" not in names:
            for number in lines:
                said(f"line {number}: its events are not held", "?")
            return
        models = events_of(archive, keys, invoice["customer"]["id"], lines, kept)
        for line in lines.values():
            line.check()
        upstreams = json.loads(whole(archive, "upstreams.json"))
        for digest, model in sorted(models.items()):
            if digest in upstreams:
                said(f"answers of {upstreams[digest]!r}, a model of others: it ends here", "?")
            elif f"bundles/{digest}/{SIGNATURE}" not in names:
                said(f"bundle {model} {digest[:12]}…: not held", "?")
            else:
                bundle_of(archive, keys, digest, model)


def events_of(
    archive: zipfile.ZipFile,
    keys: Sequence[Key],
    customer: str,
    lines: dict[int, Line],
    kept: dict[str, Any],
) -> dict[str, str]:
    """Each event, its place on the log and its receipt; the models that answered, by digest."""
    head = head_of(whole(archive, "head.txt").decode(), keys)
    said(f"the head of {head[0]}: {head[1]:,} entries")
    upstreams = json.loads(whole(archive, "upstreams.json"))
    models: dict[str, str] = {}
    count = withheld = met = 0
    names = ("events.jsonl", "proofs.jsonl", "receipts.jsonl")
    with ExitStack() as stack:
        files = [stack.enter_context(archive.open(name)) for name in names]
        for event, proof, receipt in zip_longest(*(map(json.loads, each) for each in files)):
            if event is None or proof is None or receipt is None:
                refuse("there is not one proof and one receipt for each event")
            facts, found = event_of(event, proof, receipt, keys, head)
            if facts.get("customer", customer) != customer or facts.get("kind", "usage") != "usage":
                refuse(f"the event at {event['position']} is not of this customer")
            for number in event["lines"]:
                if number not in lines:
                    refuse(f"line {number} is not of usage")
                lines[number].take(event["position"], found, facts)
            mine = kept.get(str(facts.get("id", facts.get("event"))), receipt)
            if mine["payload"] != receipt["payload"]:
                refuse(f"the receipt that you kept of {facts['receipt']} says something else")
            if "record" not in event and facts["bundle_digest"] not in upstreams:
                refuse(f"the record of the event at {event['position']} is withheld")
            models[facts["bundle_digest"]] = f"{facts['model']}@{facts['model_version']}"
            count, met = count + 1, met + (mine is not receipt)
            withheld += "record" not in event
    said(f"{count:,} events: each in the log as it was recorded, each with its receipt")
    if withheld:
        said(f"of {withheld:,} of them the record is withheld: the receipt speaks", "?")
    if kept:
        said(f"{met:,} of your {len(kept):,} receipts are of these events, and say the same")
    return models


def event_of(
    event: Any, proof: Any, receipt: Any, keys: Sequence[Key], head: tuple[str, int, bytes]
) -> tuple[dict[str, Any], bytes]:
    """What an event's record says, or its receipt where that is withheld, and its leaf."""
    position, record = event["position"], event.get("record")
    promise = json.loads(opened(receipt, RECEIPT, "receipt", keys)[0])
    if record is None:
        facts, found = promise, bytes.fromhex(event["leaf_hash"])
    else:
        facts, found = json.loads(record), leaf(record.encode(), bytes.fromhex(event["salt"]))
        same = {**facts, "event": facts["id"], "version": 1}
        if missing := RECEIPT_SAYS - promise.keys():
            refuse(f"the receipt of the event at {position} does not say its {min(missing)}")
        if any(same[name] != value for name, value in promise.items() if name != "leaf"):
            refuse(f"the receipt of the event at {position} says something else")
    if promise["leaf"] != {"position": position, "hash": found.hex()}:
        refuse(f"the receipt of the event at {position} is of another entry")
    path = [bytes.fromhex(each) for each in proof["path"]]
    if proof["position"] != position or not included(position, head[1], found, path, head[2]):
        refuse(f"the event at {position} is not in the log of this head")
    return facts, found


def bundle_of(archive: zipfile.ZipFile, keys: Sequence[Key], digest: str, model: str) -> None:
    """A bundle's signature, what it lists of the files that are here, and its dataset's."""

    def part(folder: str, name: str, digests: dict[str, str]) -> dict[str, Any]:
        data = whole(archive, f"{folder}/{name}")
        if sha256(data) != digests.get(name):
            refuse(f"{folder}/{name} is not what was signed")
        found: dict[str, Any] = json.loads(data)
        return found

    folder = f"bundles/{digest}"
    subject, digests = listed(whole(archive, f"{folder}/{SIGNATURE}"), "bundle", keys)
    if subject != model or digest_of(digests) != digest:
        refuse(f"the signature of {subject} is not that of the bundle that answered")
    said(f"bundle {subject} {digest[:12]}…: as it was signed")
    evaluation = part(folder, "evaluation.json", digests)
    shown = {name: evaluation[name] for name in ("accuracy", "examples") if name in evaluation}
    said(f"its evaluation: {json.dumps(shown)}")
    dataset = part(folder, "bundle.json", digests)["dataset"]
    folder = f"datasets/{dataset['version']}"
    if f"{folder}/{SIGNATURE}" not in archive.namelist():
        said(f"dataset {dataset['name']}#{dataset['version'][:12]}…: not held", "?")
        return
    subject, digests = listed(whole(archive, f"{folder}/{SIGNATURE}"), "data", keys)
    if subject != f"{dataset['name']}#{dataset['version']}":
        refuse(f"the signature of {subject} is not that of the dataset of this bundle")
    if digests.get("manifest.jsonl") != dataset["version"]:
        refuse(f"the manifest of {subject} is not that of this version")
    part(folder, "card.json", digests)
    said(f"dataset {subject[: len(dataset['name']) + 13]}…: as it was signed")


# ---- the command


def said(text: str, mark: str = "✓") -> None:
    """Say what holds (✓), or what could not be checked because it is not here (?)."""
    print(mark, text)


def receipts_in(folder: Path | None) -> dict[str, Any]:
    """Receipts that were kept, by their event: envelopes, or whole answers that carry one."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()) if folder else ():
        data = path.read_bytes() if path.suffix in {".json", ".jsonl"} else b""
        for text in data.splitlines() if path.suffix == ".jsonl" else [data] if data else []:
            answer = json.loads(text)
            envelope = answer.get("receipt", answer)
            envelope = envelope.get("envelope", envelope)
            event = json.loads(unbase64(envelope["payload"]))["event"]
            if found.setdefault(event, envelope)["payload"] != envelope["payload"]:
                refuse(f"{path.name} says something else of {event} than another receipt")
    return found


def check(asked: argparse.Namespace) -> None:
    """By what lies there: which of these it says that it is only decides who checks it."""
    begins = b"-----BEGIN "
    pems = [(path, part) for path in asked.key for part in path.read_bytes().split(begins)[1:]]
    keys = [Key(path, begins + part) for path, part in pems]
    kept = [path.read_text() for path in asked.head]
    receipts = receipts_in(asked.receipts)
    place: Path = asked.what
    beginning = b"" if place.is_dir() else place.open("rb").read(20)
    if beginning.startswith(b"PK") and "invoice.json" in zipfile.ZipFile(place).namelist():
        evidence_of(place, keys, receipts)
    elif receipts:
        refuse("receipts are compared with an invoice's evidence, and this is none")
    elif place.is_dir() or beginning.startswith(b"PK"):
        subject, digests = signed_files(place, keys)
        if "#" in subject:
            dataset_of(place, subject, digests, asked.blobs)
        else:
            said(f"bundle {subject}: {len(digests)} files as signed; digest {digest_of(digests)}")
    elif beginning.startswith(b'{"first_position"'):
        with place.open("rb") as lines:
            log_of(lines, keys, kept)
    elif beginning.lstrip().startswith(b"{"):
        json_of(place.read_bytes(), keys, kept, asked.input)
    else:
        origin, size, root = head_of(place.read_text(), keys)
        said(f"the head of {origin}: {size:,} entries, root {root.hex()}")


def json_of(data: bytes, keys: Sequence[Key], kept: Sequence[str], given: Path | None) -> None:
    found = json.loads(data)
    if "path" in found and "head" in found:
        proof_of(found, keys, kept)
    elif found.get("payloadType") == IN_TOTO:
        document_of(data, keys)
    else:
        found = found.get("receipt", found)
        receipt_of(found.get("envelope", found), keys, given)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", type=Path, help="what is to be checked")
    parser.add_argument(
        "--key", type=Path, action="append", required=True, help="a public key (PEM), repeatable"
    )
    parser.add_argument(
        "--head", type=Path, action="append", default=[], help="a tree head that you kept"
    )
    parser.add_argument("--input", type=Path, help="what you sent, beside its receipt")
    parser.add_argument("--receipts", type=Path, help="a folder of receipts that you kept")
    parser.add_argument("--blobs", type=Path, help="the folder of a dataset's examples")
    try:
        check(parser.parse_args())
    except Refused as refusal:
        print("✗", refusal)
        return 3
    except OSError as error:
        print("✗", error)
        return 2
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        MemoryError,
        zipfile.BadZipFile,
    ) as error:
        print(f"✗ it is damaged, or nothing that Mintage signs: {type(error).__name__}: {error}")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
