"""Signed folders, by OpenSSF Model Signing v1.0: every file, its name, and nothing else.

A Sigstore bundle v0.3 holds a DSSE envelope, which holds an in-toto statement, which lists the
files (github.com/ossf/model-signing-spec). We are stricter than the standard where it leaves room:
nothing is ever ignored, names count, and ``signature.json`` has one spelling, so that no byte of it
can change either.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.trust.dsse import open_envelope_by, sign_envelope
from mintage.trust.folders import (
    check_is_folder,
    differences,
    hashed,
    look,
    mismatch,
    name_problem,
    read,
    read_signature,
    refuse,
    shown,
)
from mintage.trust.public_key import PublicKey
from mintage.trust.signer import Signer

SIGNATURE_FILE = "signature.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
FILES_TYPE = "https://model_signing/signature/v1.0"
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class VerifiedFiles:
    """What a signature stands for: ``files`` are the very bytes that were hashed.

    ``signature`` is the content of ``signature.json``, ``key_id`` the key that made it.
    """

    files: Mapping[str, bytes]
    signature: bytes
    subject: str
    digest: str
    key_id: str


@dataclass(frozen=True)
class CheckedFolder:
    """A folder that is what was signed: the SHA-256 of each file, none of which is kept."""

    digests: Mapping[str, str]
    signature: bytes
    subject: str
    digest: str
    key_id: str


@dataclass(frozen=True)
class SignedList:
    """What a ``signature.json`` says of files that may not be here: the SHA-256 of each."""

    subject: str
    digests: Mapping[str, str]
    digest: str
    key_id: str


@dataclass(frozen=True)
class _Signed:
    subject: str
    digests: Mapping[str, str]
    key_id: str
    content: bytes


def sign_files(files: Mapping[str, bytes | mmap], subject: str, signer: Signer) -> bytes:
    """The content of ``signature.json`` for these files, signed as ``subject`` (``pets@3``).

    Raises:
        DataError: nothing to sign, or names that could not be told apart everywhere.
    """
    problem = _name_problem([*files]) if files else _("there are no files")
    if problem:
        raise DataError(_("These files cannot be signed: {problem}.", problem=problem))
    digests = {name: sha256_hex(data) for name, data in files.items()}
    return pack_signature(canonical_json(_statement(subject, digests)), signer)


def pack_signature(payload: bytes, signer: Signer) -> bytes:
    """The content of ``signature.json`` for a statement that is there already."""
    return _packed(sign_envelope(payload, PAYLOAD_TYPE, signer), signer.public)


def signed_by(signature: bytes, keys: Sequence[PublicKey]) -> tuple[bytes, PublicKey]:
    """The statement in a ``signature.json``, not looked at yet, and the key that signed it.

    Raises:
        SignatureMismatch: none of these did, or it is spelled otherwise than Mintage does.
    """
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise mismatch(
            _("{signature_file} is not a signature", signature_file=SIGNATURE_FILE)
        ) from error
    payload, key = open_envelope_by(envelope, PAYLOAD_TYPE, keys)
    if signature != _packed(envelope, key):
        raise mismatch(
            _("{signature_file} was changed outside what it signs", signature_file=SIGNATURE_FILE)
        )
    return payload, key


def verify_folder(
    folder: Path, keys: Sequence[PublicKey], *, subject: str | None = None
) -> VerifiedFiles:
    """Check a folder against its ``signature.json``; each listed file is read once.

    Raises:
        DataError: there is no such folder.
        SignatureMismatch: a byte, name or file differs from what was signed, or nobody trusted
            signed it, or it was signed as something else than ``subject``.
    """
    signed, found = _looked_at(folder, keys, subject)
    files = {name: read(folder, name) for name in signed.digests if found.get(name) == ""}
    return _checked(signed, files, found)


def check_folder(
    folder: Path, keys: Sequence[PublicKey], *, subject: str | None = None
) -> CheckedFolder:
    """``verify_folder`` of files that memory might not hold: each is hashed where it lies.

    Whoever opens them afterwards opens them again: what changes meanwhile is not noticed.

    Raises:
        DataError: there is no such folder.
        SignatureMismatch: as for ``verify_folder``.
    """
    signed, found = _looked_at(folder, keys, subject)
    digests = {name: hashed(folder, name) for name in signed.digests if found.get(name) == ""}
    _compare(signed, digests, found)
    digest = files_digest(signed.digests)
    return CheckedFolder(signed.digests, signed.content, signed.subject, digest, signed.key_id)


def _looked_at(
    folder: Path, keys: Sequence[PublicKey], subject: str | None
) -> tuple[_Signed, dict[str, str]]:
    """What was signed, and for each name that is there what is wrong with it, or ''."""
    check_is_folder(folder)
    if not os.path.lexists(folder / SIGNATURE_FILE):
        raise mismatch(
            _(
                "{folder} is not signed: it has no {signature_file}",
                folder=folder,
                signature_file=SIGNATURE_FILE,
            )
        )
    signed = _opened(read_signature(folder, SIGNATURE_FILE), keys, subject)
    found = dict(look(folder, signed.digests))
    found.pop(SIGNATURE_FILE, None)  # read above, where a link is refused
    return signed, found


def verify_files(
    files: Mapping[str, bytes],
    signature: bytes,
    keys: Sequence[PublicKey],
    *,
    subject: str | None = None,
) -> VerifiedFiles:
    """Check files in memory against the content of a ``signature.json``.

    Raises:
        SignatureMismatch: as for ``verify_folder``.
    """
    return _checked(_opened(signature, keys, subject), files, dict.fromkeys(files, ""))


def open_signature(
    signature: bytes, keys: Sequence[PublicKey], *, subject: str | None = None
) -> SignedList:
    """What was signed, where not all of the files are here to be compared.

    Raises:
        SignatureMismatch: nobody trusted signed it, it is spelled otherwise than Mintage does, or
            it was signed as something else than ``subject``.
    """
    signed = _opened(signature, keys, subject)
    digest = files_digest(signed.digests)
    return SignedList(signed.subject, signed.digests, digest, signed.key_id)


def files_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 of the sorted lines ``digest name``: what identifies a bundle, names included."""
    lines = sorted(f"{digest} {name}\n" for name, digest in digests.items())
    return sha256_hex("".join(lines).encode())


def _statement(subject: str, digests: Mapping[str, str]) -> dict[str, Any]:
    ordered = sorted(digests.items())
    # The standard's digest of the whole (§6.5.1) leaves the names out; `files_digest` is ours.
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for __, digest in ordered)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject, "digest": {"sha256": root}}],
        "predicateType": FILES_TYPE,
        "predicate": {
            "resources": [
                {"name": name, "digest": digest, "algorithm": "sha256"} for name, digest in ordered
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                # The signature cannot sign itself; others' verifiers learn of it from here.
                "ignore_paths": [SIGNATURE_FILE],
            },
        },
    }


def _packed(envelope: Mapping[str, Any], key: PublicKey) -> bytes:
    """The one spelling of a ``signature.json``: canonical JSON and a line end."""
    bundle = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {
            # The reference implementation compares this with the SHA-256 of the PEM, not the DER.
            "publicKey": {"hint": sha256_hex(key.pem)},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": envelope["payload"],
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.key_id, "sig": envelope["signatures"][0]["sig"]}],
        },
    }
    return canonical_json(bundle) + b"\n"


def _opened(signature: bytes, keys: Sequence[PublicKey], subject: str | None) -> _Signed:
    """The statement, once its signature, its spelling and its subject are confirmed."""
    payload, key = signed_by(signature, keys)
    try:
        statement = json.loads(payload)
        name = str(statement["subject"][0]["name"])
        resources = statement["predicate"]["resources"]
        digests = {resource["name"]: resource["digest"] for resource in resources}
        problem = _name_problem([resource["name"] for resource in resources])
        # Everything else follows from these: order, digest of the whole, nothing ignored.
        expected = _statement(name, digests)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise mismatch(_("What is signed is no list of files")) from error
    if problem:
        raise mismatch(_("What is signed cannot be believed: {problem}", problem=problem))
    if payload != canonical_json(expected):
        raise mismatch(_("What is signed is not a list of files as Mintage writes it"))
    if subject is not None and name != subject:
        raise mismatch(
            _("This is signed as {name}, not as {subject}", name=shown(name), subject=subject)
        )
    return _Signed(name, digests, key.key_id, signature)


def _checked(
    signed: _Signed, files: Mapping[str, bytes], found: Mapping[str, str]
) -> VerifiedFiles:
    """Compare; ``found`` gives for each name that is there what is wrong with it, or ''."""
    _compare(signed, {name: sha256_hex(data) for name, data in files.items()}, found)
    digest = files_digest(signed.digests)
    return VerifiedFiles(dict(files), signed.content, signed.subject, digest, signed.key_id)


def _compare(signed: _Signed, digests: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse whatever differs; ``digests`` are those of the files in which nothing was wrong."""
    refuse(
        signed.subject,
        differences(signed.digests, found, lambda name: digests[name] == signed.digests[name]),
    )


def _name_problem(names: Sequence[str]) -> str:
    """What makes the names unsafe or ambiguous on any file system, or ''."""
    if SIGNATURE_FILE in names:
        return _("{name} cannot be listed in itself", name=SIGNATURE_FILE)
    return name_problem(names)
