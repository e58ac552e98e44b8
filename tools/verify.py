"""Check what a Mintage signed, without any of its code: Python 3.11 and `cryptography` are enough.

    python verify.py WHAT --key MAKER.pub [--key ANOTHER.pub] ...

WHAT is a bundle (its folder or pets.mintage), a dataset's folder, a receipt, a signed invoice,
plan, evaluation or audit, or a tree head. Other files have to lie beside this one for a proof or an
export of the audit log (``verify_log.py``), the evidence of an invoice (``verify_invoice.py`` and
``verify_prices.py``) and a list of keys (``verify_keys.py``). The keys are those that their owner
gave you, by another way than the files; one in ``receipt.pub`` or ``NAME.receipt.pub`` is believed
for receipts alone, and so with bundle, data and log. Exit status 0: every check held; 3: one did
not, and the reason is said; 2: there was nothing to check.

The formats are those of docs/formats.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

IN_TOTO = "application/vnd.in-toto+json"
RECEIPT = "application/vnd.mintage.receipt+json"
LIST = "urn:mintage:keys:v1"
SIGNATURE = "signature.json"
ROLES = {"bundle", "data", "receipt", "log", "root", "witness"}
CURVES: dict[str, Any] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
MOST_BYTES, MOST_LINE, MOST_BUNDLE = 64_000_000, 1_000_000, 2_000_000_000
"""Of a file that is read as a whole, of a line of another, and of a bundle in one file."""


Head = tuple[str, int, bytes]
"""Origin, size and root of a log."""


class Refused(Exception):
    """Something is not what was signed, or nobody known signed it."""


def refuse(reason: str) -> NoReturn:
    raise Refused(reason)


def said(text: str, mark: str = "✓") -> None:
    """Say what holds (✓), or what could not be checked because it is not here (?)."""
    print(mark, text)


# ---- keys and envelopes


class Key:
    """A public key; ``id`` is the SHA-256 of its DER, ``hint`` that of its PEM."""

    def __init__(self, path: Path, pem: bytes) -> None:
        self.role = path.stem.rpartition(".")[2]
        key = serialization.load_pem_public_key(pem)
        is_ecdsa = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES
        if not is_ecdsa and not isinstance(key, ed25519.Ed25519PublicKey):
            refuse(f"{path} is a key of neither ECDSA on a NIST curve nor Ed25519")
        self.key: Any = key
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
                self.key.verify(signature, data, ec.ECDSA(CURVES[self.key.curve.name]()))
        except InvalidSignature:
            return False
        return True

    def check(self, signed: bytes | str) -> None:
        """Refuse a payload, or a moment, by what a list says of the key; it is on none."""

    def reaches(self, head: Head, *, is_named: bool) -> bool:  # noqa: ARG002 - a listed key's asks
        """Whether it may have signed a head, by what a list says of it; it is on none."""
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


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("an object has two members of one name")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=once, parse_constant=refuse)


def read(data: bytes | str) -> Any:
    """JSON that says one thing: no name twice, no NaN."""
    return DECODER.decode(data if isinstance(data, str) else data.decode())


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
            key.check(payload)
            return payload, key
    refuse(f"no given key of the role {role} signed this, or what it signs was changed")


def packed(envelope: Any, key: Key) -> dict[str, Any]:
    """The one way to write an envelope: nothing beside what DSSE asks for."""
    signature = {"keyid": key.id, "sig": envelope["signatures"][0]["sig"]}
    return {"payload": envelope["payload"], "payloadType": IN_TOTO, "signatures": [signature]}


# ---- files: bundles and datasets


def listed(content: bytes, role: str, keys: Sequence[Key]) -> tuple[str, dict[str, str]]:
    """What a ``signature.json`` vouches for: its subject, and the SHA-256 of each file."""
    try:
        envelope = read(content)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError):
        refuse(f"{SIGNATURE} is no signature")
    payload, key = opened(envelope, IN_TOTO, role, keys)
    whole = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": packed(envelope, key),
    }
    if content != canonical(whole) + b"\n":
        refuse(f"{SIGNATURE} was changed outside what it signs")
    try:
        statement = read(payload)
        subject = statement["subject"][0]["name"]
        digests = {each["name"]: each["digest"] for each in statement["predicate"]["resources"]}
        root = sha256(b"".join(bytes.fromhex(each) for __, each in sorted(digests.items())))
    except (ValueError, KeyError, TypeError, IndexError):
        refuse("what is signed is no list of files")
    expected = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject, "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [
                {"name": name, "digest": digest, "algorithm": "sha256"}
                for name, digest in sorted(digests.items())
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
        },
    }
    if payload != canonical(expected):
        refuse("what is signed is no list of files as Mintage writes it")
    check_names(digests)
    return subject, digests


def check_names(names: Iterable[str]) -> None:
    """Each has to be one file, of the same name, on any system."""
    seen = {SIGNATURE}
    for name in names:
        ends_badly = any(not part or part[-1] in ". " for part in name.split("/"))
        decomposed = unicodedata.normalize("NFD", name)
        folded = unicodedata.normalize("NFC", decomposed.casefold())
        if ends_badly or not name.isprintable() or {"\\", ":"} & {*name} or folded in seen:
            refuse(f"{name!r} is no name that is safe everywhere")
        seen.add(folded)


def below(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The name and SHA-256 of each file; links, devices and empty folders are refused."""
    paths = sorted(folder.iterdir())
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            yield from below(path, f"{prefix}{path.name}/")
        elif path.is_symlink() or not path.is_file():
            refuse(f"{path.name} is a symbolic link, or no file")
        else:
            with path.open("rb") as stream:
                yield prefix + path.name, hashlib.file_digest(stream, "sha256").hexdigest()
    if prefix and not paths:
        refuse(f"{prefix} is not signed")


def unpacked(place: Path) -> dict[str, bytes]:
    """A bundle in one file, a zip with one spelling: packed again it is the same bytes."""
    with place.open("rb") as stream:
        data = stream.read(MOST_BUNDLE + 1)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as again:
        entries = archive.infolist()
        if len(data) > MOST_BUNDLE or any(entry.compress_type for entry in entries):
            refuse("a file in the archive is compressed, or it is too large")
        if sum(entry.file_size for entry in entries) > len(data):
            refuse("files in the archive overlap")
        files = {entry.filename: archive.read(entry) for entry in entries}
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            again.writestr(entry, files[name])
    if target.getvalue() != data:
        refuse("the archive is not spelled as mintage export spells it")
    return files


def signed_files(place: Path, keys: Sequence[Key]) -> tuple[str, dict[str, str]]:
    """A folder, or a bundle in one file, that is what was signed: every byte, name and file."""
    if place.is_dir():
        there = dict(below(place))
        content = (place / SIGNATURE).read_bytes()
    else:
        files = unpacked(place)
        there, content = {name: sha256(data) for name, data in files.items()}, files[SIGNATURE]
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


def dataset_of(place: Path, subject: str, digests: dict[str, str], asked: Path | None) -> None:
    if digests["manifest.jsonl"] != subject.partition("#")[2]:
        refuse("the manifest is not that of this version")
    said(f"dataset {subject}: as it was signed")
    blobs = asked or place.resolve().parents[2] / "blobs"
    with (place / "manifest.jsonl").open("rb") as stream:
        names = [read(line)["sha256"] for line in lines_of(stream, "manifest.jsonl")]
    if asked is None and not blobs.is_dir():
        said(f"its {len(names):,} examples are not here to be hashed; give --blobs", "?")
        return
    for name in names:
        with (blobs / name[:2] / name).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != name:
                refuse(f"the example {name} was changed")
    said(f"its {len(names):,} examples: each is what its name says")


def lines_of(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """The lines of a file, whole and each of a bounded length."""
    rest = b""
    while part := stream.read(1 << 18):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
        if len(rest) > MOST_LINE:
            break
    if rest:
        refuse(f"a line of {name} is too long, or has no end")


# ---- receipts and documents


def receipt_of(envelope: Any, keys: Sequence[Key], given: Path | None) -> None:
    promise = read(opened(envelope, RECEIPT, "receipt", keys)[0])
    said(
        f"receipt {promise['receipt']}: {promise['price']} {promise['currency']} for "
        f"{promise['product']} {json.dumps(promise['quantities'])}, {promise['outcome']}"
    )
    if given is not None:
        if sha256(given.read_bytes()) != promise["input_sha256"]:
            refuse(f"{given.name} is not what this receipt is for")
        said(f"{given.name} is what was sent")


MEASURED = ("evaluation", "audit")
"""What is signed by the key of the bundles that it is about."""


def document_of(data: bytes, keys: Sequence[Key], kinds: Sequence[str] = ()) -> dict[str, Any]:
    """An invoice, credit note, plan, evaluation or audit; its statement carries all of it."""
    envelope = read(data)
    stated = str(read(unbase64(envelope["payload"]))["predicateType"])
    kind = stated.removeprefix("urn:mintage:").removesuffix(":v1")
    role = "bundle" if kind in MEASURED else "receipt"
    payload, key = opened(envelope, IN_TOTO, role, keys)
    if data != canonical(packed(envelope, key)) + b"\n":
        refuse("the file was changed outside what it signs")
    if kinds and kind not in kinds:
        refuse(f"this is a {kind}, not {' or '.join(kinds)}")
    # The payload is canonical, so the document's bytes are those between what is around them.
    statement = read(payload)
    subject, found = statement["subject"], statement["predicate"]
    before = b'{"_type":"https://in-toto.io/Statement/v1","predicate":'
    around = (canonical(statement["predicateType"]), canonical(subject))
    after = b',"predicateType":%s,"subject":%s}' % around
    document = payload[len(before) : len(payload) - len(after)]
    digest, name = sha256(document), f"{kind}/{found.get('id', found.get('number'))}"
    if kind == "plan":
        name = f"plan/{found['name']}@{found['version']}"
    named = [{"name": name, "digest": {"sha256": digest}}]
    is_other = "number" in found and found["kind"].replace("_", "-") != kind
    if payload != before + document + after or subject != named or is_other:
        refuse("what is signed is no document as Mintage writes it")
    said(f"{name}: as key {key.id[:12]}… signed it; SHA-256 {digest}")
    return dict(found)


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


def parsed_head(note: str) -> tuple[Head, str, list[tuple[str, bytes]]]:
    """What a tree head (C2SP checkpoint) says, as what was signed, and its signatures by name."""
    body, __, signatures = note.rpartition("\n\n")
    body += "\n"
    try:
        origin, size, root = body.split("\n")[:3]
        lines = [line.split(" ") for line in signatures.removesuffix("\n").split("\n")]
        made = [(name, unbase64(encoded)) for dash, name, encoded in lines]
        return (origin, int(size), unbase64(root)), body, made
    except ValueError:
        refuse("this is no signed tree head")


def head_of(note: str, keys: Sequence[Key], *, is_named: bool = False) -> Head:
    """A signed tree head; one that a later log names binds though its key was revoked."""
    found, body, made = parsed_head(note)
    origin = found[0]
    signers = [
        key
        for name, signature in made
        for key in keys
        if name == origin and key.fits("log") and signature[:4] == key.hint_of(origin, 1)
        if key.signed(signature[4:], body.encode())
    ]
    if not signers:
        refuse(f"the head of {origin} was signed by none of the given keys, or it was changed")
    if not any(key.reaches(found, is_named=is_named) for key in signers):
        refuse(f"the head of {origin} is of a key that was revoked, or followed by another before")
    for name, signature in made:
        for key in keys:
            if key.fits("witness") and signature[:4] == key.hint_of(name, 4):
                at = int.from_bytes(signature[4:12])
                if not key.signed(signature[12:], f"cosignature/v1\ntime {at}\n{body}".encode()):
                    refuse(f"the head of {origin} was changed after {name} cosigned it")
                moment = datetime.fromtimestamp(at, UTC)
                key.check(moment.isoformat())
                said(f"{name} saw this head of {origin}, {moment}")
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


# ---- the command


def check(asked: argparse.Namespace) -> None:
    """By what lies there: which of these it says that it is only decides who checks it."""
    keys, kept = keys_of(asked.key), [path.read_text() for path in asked.head]
    place: Path = asked.what
    if place.exists() and not place.is_dir() and not place.is_file():
        refuse(f"{place} is neither a file nor a folder")
    beginning = b""
    if not place.is_dir():
        with place.open("rb") as stream:
            beginning = stream.read(20)
    if beginning.startswith(b"PK") and is_evidence(place):
        beside("verify_invoice", "an invoice's evidence").walk(place, keys, asked.receipts)
    elif place.is_dir() or beginning.startswith(b"PK"):
        subject, digests = signed_files(place, keys)
        if "#" in subject:
            dataset_of(place, subject, digests, asked.blobs)
        else:
            said(f"bundle {subject}: {len(digests)} files as signed; digest {digest_of(digests)}")
    elif beginning.startswith(b'{"first_position"'):
        with place.open("rb") as lines:
            beside("verify_log", "a log").log_of(lines_of(lines, place.name), keys, kept)
    elif beginning.lstrip().startswith(b"{"):
        json_of(place.read_bytes(), keys, kept, asked.input)
    else:
        origin, size, root = head_of(place.read_text(), keys)
        said(f"the head of {origin}: {size:,} entries, root {root.hex()}")


def is_evidence(place: Path) -> bool:
    with zipfile.ZipFile(place) as archive:
        return "invoice.json" in archive.namelist()


def beside(name: str, what: str) -> Any:
    """A file that has to lie beside this one to check something; without it all else is."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        refuse(f"to check {what}, put {error.name}.py beside verify.py")


def json_of(data: bytes, keys: Sequence[Key], kept: Sequence[str], given: Path | None) -> None:
    found = read(data)
    if "path" in found and "head" in found:
        beside("verify_log", "a proof").proof_of(found, keys, kept)
    elif is_list(found):
        beside("verify_keys", "a list of keys").list_of(data, keys)
    elif found.get("payloadType") == IN_TOTO:
        document_of(data, keys)
    else:
        found = found.get("receipt", found)
        receipt_of(found.get("envelope", found), keys, given)


def is_list(found: dict[str, Any]) -> bool:
    """Whether it says to be a list of keys."""
    is_statement = found.get("payloadType") == IN_TOTO
    return is_statement and read(unbase64(found["payload"]))["predicateType"] == LIST


def keys_of(paths: Iterable[Path]) -> list[Key]:
    """Those of files with one or several, and of lists; what a list says of a key counts."""
    begins, keys, lists = b"-----BEGIN ", list[Key](), list[tuple[Path, bytes]]()
    for path in paths:
        data = path.read_bytes()
        if data.lstrip().startswith(b"{"):
            lists.append((path, data))
        else:
            keys += [Key(path, begins + part) for part in data.split(begins)[1:]]
    roots = [key for key in keys if key.role == "root"]
    listed: list[Key] = []
    for path, data in lists:
        listed += beside("verify_keys", "a list of keys").listed(path, data, roots)
    known = {key.id for key in listed}
    return [*listed, *(key for key in keys if key.id not in known)]


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("what", type=Path, help="what is to be checked")
    named = "a public key (PEM), repeatable"
    parser.add_argument("--key", type=Path, action="append", required=True, help=named)
    named = "a tree head that you kept"
    parser.add_argument("--head", type=Path, action="append", default=[], help=named)
    parser.add_argument("--receipts", type=Path, help="the folder of an invoice's that you kept")
    parser.add_argument("--input", type=Path, help="what you sent, beside its receipt")
    parser.add_argument("--blobs", type=Path, help="the folder of a dataset's examples")
    check(parser.parse_args())


ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError)
DAMAGED = (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def ended(main: Callable[[], None]) -> int:
    """The exit status; whatever is wrong is said, and no traceback."""
    try:
        main()
    except Refused as refusal:
        print("✗", refusal)
        return 3
    except OSError as error:
        print("✗", error)
        return 2 if error.filename else 3  # it is not there; else it is, and leads nowhere
    except (*ODD, *DAMAGED) as error:
        print(f"✗ it is damaged, or nothing that Mintage signs: {type(error).__name__}: {error}")
        return 3
    return 0


if __name__ == "__main__":
    import verify  # this file, by the name that verify_invoice.py knows it by

    sys.exit(verify.ended(verify.main))
