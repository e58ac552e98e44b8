"""Folders that other tools signed by OpenSSF Model Signing v1.0, as far as that is safe.

``signing`` writes and reads one spelling of the standard, ours. Here is read what the standard
says besides (github.com/ossf/model-signing-spec): any order and spelling, BLAKE2b, files in parts
(``shards``), a signature under another name or elsewhere. The list of ignored paths may be there
and is not applied: whatever lies in the folder and is not signed is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.dsse import open_envelope_by
from mintage.trust.folders import (
    check_is_folder,
    differences,
    look,
    mismatch,
    name_problem,
    opened,
    read_signature,
    refuse,
)
from mintage.trust.keys import PublicKey
from mintage.trust.signing import PAYLOAD_TYPE, SIGNATURE_FILE, CheckedFolder, files_digest

USUAL_NAMES = (SIGNATURE_FILE, "model.sig")
"""Where a signature is looked for: ours, then what the reference tool calls it."""
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_HASHES = ("sha256", "blake2b")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Part:
    """A file or, with an ``end``, those of its bytes, and their digest."""

    name: str
    digest: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class _Listed:
    """What is signed: each file's parts, in their order."""

    subject: str
    algorithm: str
    files: Mapping[str, Sequence[_Part]]


def signature_beside(folder: Path) -> Path | None:
    """The signature that lies in a folder under one of the usual names, if one does."""
    beside = (folder / name for name in USUAL_NAMES)
    return next((each for each in beside if os.path.isfile(each)), None)  # noqa: PTH113


def check_standard(folder: Path, signature: Path, keys: Sequence[PublicKey]) -> CheckedFolder:
    """Check a folder against a signature that any tool made by the standard.

    The digests in the answer are those that were signed: of a file in parts that of each part,
    named ``name:start:end``.

    Raises:
        DataError: there is no such folder.
        SignatureMismatch: a byte, name or file differs from what was signed, nobody trusted signed
            it, or it was signed in a way that is not safe to believe.
    """
    check_is_folder(folder)
    content = read_signature(signature.parent, signature.name)
    payload, key = open_envelope_by(_envelope(content), PAYLOAD_TYPE, keys)
    listed = _listed(payload)
    inside = _inside(folder, signature)
    if inside in listed.files:
        raise _unbelieved(_("{name} cannot be listed in itself", name=inside))
    found = dict(look(folder, [*listed.files, *([inside] if inside else [])]))
    found.pop(inside, None)

    def is_same(name: str) -> bool:
        with opened(folder, name) as stream:
            return all(_fits(stream, part, listed.algorithm) for part in listed.files[name]) and (
                not stream.read(1)
            )

    refuse(listed.subject, differences(listed.files, found, is_same))
    digests = {
        part.name if part.end is None else f"{part.name}:{part.start}:{part.end}": part.digest
        for parts in listed.files.values()
        for part in parts
    }
    return CheckedFolder(digests, content, listed.subject, files_digest(digests), key.key_id)


def _inside(folder: Path, signature: Path) -> str:
    """The signature's name in the folder; '' where it lies elsewhere."""
    whole, where = signature.parent.resolve() / signature.name, folder.resolve()
    return whole.relative_to(where).as_posix() if whole.is_relative_to(where) else ""


def _fits(stream: BufferedReader, part: _Part, algorithm: str) -> bool:
    """Whether the stream goes on with this part, up to its end or the file's."""
    if part.end is None:
        return hashlib.file_digest(stream, algorithm).hexdigest() == part.digest
    digest, left = hashlib.new(algorithm), part.end - part.start
    while left:
        data = stream.read(min(left, _CHUNK_BYTES))
        if not data:
            return False
        digest.update(data)
        left -= len(data)
    return digest.hexdigest() == part.digest


def _envelope(content: bytes) -> Mapping[str, Any]:
    """The DSSE envelope in a Sigstore bundle that was made with a key."""
    try:
        bundle = _strict(content)
        kind, material = bundle["mediaType"], bundle["verificationMaterial"]
        envelope: Mapping[str, Any] = bundle["dsseEnvelope"]
        made_with_key = "publicKey" in material
        is_right = str(kind).startswith(_BUNDLE) and len(bundle) == 3
        is_right &= envelope.keys() == {"payload", "payloadType", "signatures"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise mismatch(_("This is no signature by OpenSSF Model Signing")) from error
    if not is_right:
        raise mismatch(_("This is no signature by OpenSSF Model Signing"))
    if not made_with_key:
        raise SignatureMismatch(
            _("It was signed with a certificate, and Mintage verifies what a key signed."),
            remedy=_("Ask its maker to sign it with a key of ECDSA, or use the maker's own tool."),
        )
    return envelope


def _listed(payload: bytes) -> _Listed:
    """Read the statement; whatever is unsafe or not of version 1.0 is refused."""
    try:
        statement = _strict(payload)
        for name, wanted in (("_type", _STATEMENT), ("predicateType", _PREDICATE)):
            if statement[name] != wanted:
                raise _unbelieved(_("{key!r} is {found!r}", key=name, found=statement[name]))
        if len(statement["subject"]) != 1:
            count = len(statement["subject"])
            raise _unbelieved(_("it has {count} subjects where one belongs", count=count))
        subject, predicate = statement["subject"][0], statement["predicate"]
        _only(statement, {"_type", "predicateType", "subject", "predicate"})
        _only(predicate, {"resources", "serialization"})
        algorithm, size = _how(predicate["serialization"])
        parts = [_part(each, algorithm, size) for each in predicate["resources"]]
        if not parts:
            raise _unbelieved(_("there are no files"))
        root = hashlib.sha256(b"".join(bytes.fromhex(part.digest) for part in parts)).hexdigest()
        if subject["digest"] != {"sha256": root}:
            raise _unbelieved(_("the digest of the whole does not follow from its files"))
        return _Listed(str(subject["name"]), algorithm, _by_file(parts, size))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise mismatch(_("What is signed is no list of files")) from error


def _how(said: Mapping[str, Any]) -> tuple[str, int | None]:
    """The hash, and how large parts are where files are in parts."""
    _only(said, {"method", "hash_type", "allow_symlinks", "ignore_paths", "shard_size"})
    if said["allow_symlinks"] is not False:
        raise _unbelieved(_("it lets symbolic links be followed"))
    algorithm, size = said["hash_type"], said.get("shard_size")
    if isinstance(size, float) and size.is_integer():  # the reference tool writes 10.0
        size = int(size)
    if algorithm not in _HASHES:
        raise _unbelieved(
            _("it rests on the hash {algorithm!r}, which is not verified here", algorithm=algorithm)
        )
    is_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
    if said["method"] != ("files" if size is None else "shards") or not (size is None or is_size):
        raise ValueError(said["method"])
    return algorithm, size


def _part(resource: Mapping[str, Any], algorithm: str, size: int | None) -> _Part:
    """One resource of the statement."""
    name, digest = resource["name"], resource["digest"]
    length = 2 * hashlib.new(algorithm).digest_size
    # Of parts the reference tool (1.1.1) names the hash so, which the standard's schema does not.
    named = (algorithm, f"{algorithm}-sharded-{size}")
    if resource["algorithm"] not in named or len(digest) != length or digest != digest.lower():
        raise ValueError(name)
    if size is None:
        return _Part(name, digest)
    name, *ends = name.rsplit(":", 2)
    start, end = map(int, ends)
    if [str(start), str(end)] != ends:
        raise ValueError(ends)
    return _Part(name, digest, start, end)


def _by_file(parts: Iterable[_Part], size: int | None) -> Mapping[str, Sequence[_Part]]:
    """Each file's parts in order, which leave nothing out; names that are safe anywhere."""
    files: dict[str, list[_Part]] = {}
    for part in sorted(parts, key=lambda each: (each.name, each.start)):
        files.setdefault(part.name, []).append(part)
    if problem := name_problem(files):
        raise _unbelieved(problem)
    for name, own in files.items():
        if size is None and len(own) > 1:
            raise _unbelieved(_("{name} is listed twice", name=name))
        if size is not None and not _are_whole(own, size):
            raise _unbelieved(_("the parts of {name} do not make up a file", name=name))
    return files


def _are_whole(parts: Sequence[_Part], size: int) -> bool:
    """Whether parts of the same size follow one another from the first byte; the last is rest."""
    starts = [part.start for part in parts] == list(range(0, len(parts) * size, size))
    lengths = [(part.end or 0) - part.start for part in parts]
    return starts and all(each == size for each in lengths[:-1]) and 0 < lengths[-1] <= size


def _only(content: Mapping[str, Any], names: set[str]) -> None:
    if unknown := content.keys() - names:
        raise ValueError(unknown)


def _strict(data: bytes) -> Any:
    """JSON in which no name stands twice: two readers would believe two things."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError(pairs)
        return found

    return json.loads(data, object_pairs_hook=once)


def _unbelieved(problem: str) -> SignatureMismatch:
    return mismatch(_("What is signed cannot be believed: {problem}", problem=problem))
