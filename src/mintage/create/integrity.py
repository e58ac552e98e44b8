"""A dataset as an auditor checks it: its signature, its version, and the bytes of every blob."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError, MintageError, SignatureMismatch, said_by
from mintage.core.messages import Message, _
from mintage.core.parallel import in_order
from mintage.core.ports import BlobStore
from mintage.core.progress import Progress
from mintage.core.types import Example
from mintage.trust.folders import refuse
from mintage.trust.keys import PublicKey
from mintage.trust.signing import verify_folder

MANIFEST_FILE, CARD_FILE = "manifest.jsonl", "card.json"
_DIGEST = re.compile("[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
_REMEDY = _("Do not use it: fetch it again from its maker, or make it anew.")


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset whose every byte is what ``key_id`` signed: how many examples, and their size."""

    subject: str
    version: str
    key_id: str
    files: tuple[str, ...]
    examples: int
    size_bytes: int


def is_dataset(folder: Path) -> bool:
    """Whether a folder looks like a dataset's, before anything of it is believed."""
    return os.path.isfile(folder / MANIFEST_FILE)  # noqa: PTH113 - Path's raises for long names


def blobs_beside(folder: Path) -> Path:
    """Where the blobs of a dataset's folder lie: in ``blobs`` beside it, or up to two above that.

    In a workspace, and in what was copied of one, that is ``blobs`` beside ``datasets``.

    Raises:
        DataError: there are none.
    """
    # Of the name itself: a link to the folder says nothing of what lies beside the folder.
    for parent in folder.absolute().parents[:3]:
        if (parent / "blobs").is_dir():
            return parent / "blobs"
    raise DataError(
        _("The blobs of {folder} are not here.", folder=folder),
        remedy=_("Copy the folder blobs of its workspace beside it, or beside datasets."),
    )


def check_dataset(
    folder: Path,
    blobs: Path | BlobStore,
    keys: Sequence[PublicKey],
    progress: Progress,
    *,
    subject: str | None = None,
) -> CheckedDataset:
    """Check the folder, then hash every blob that its manifest names, on every core.

    ``blobs`` is their folder, or what opens those of a sealed workspace.

    Raises:
        DataError: there is no such folder, or it is no dataset.
        SignatureMismatch: a byte, name or file differs from what was signed, a blob is missing, a
            link or was changed, or it was signed as something else than ``subject``.
    """
    verified = verify_folder(folder, keys, subject=subject)
    if verified.files.keys() != {MANIFEST_FILE, CARD_FILE}:
        raise DataError(
            _("{subject} is not a dataset of format 1.", subject=verified.subject),
            remedy=_("A dataset has the files manifest.jsonl, card.json and signature.json."),
        )
    name, __, version = verified.subject.partition("#")
    if sha256_hex(verified.files[MANIFEST_FILE]) != version:
        raise SignatureMismatch(
            _(
                "The manifest of {name}#{version}… is not that version's.",
                name=name,
                version=version[:12],
            ),
            remedy=_REMEDY,
        )
    named = _named(verified.subject, verified.files)
    problems, size_bytes = [], 0
    if isinstance(blobs, Path):
        _check_folders(verified.subject, blobs)
        check = partial(_checked, f"{blobs}{os.sep}")
    else:
        check = partial(_opened, blobs)
    title = _("Checking {dataset}", dataset=f"{name}#{version[:12]}…")
    for problem, size in in_order(title, named, check, progress):
        size_bytes += size
        if problem is not None:
            problems.append(problem)
    refuse(f"{name}#{version[:12]}…", problems)
    return CheckedDataset(
        verified.subject,
        version,
        verified.key_id,
        tuple(sorted(verified.files)),
        len(named),
        size_bytes,
    )


def _named(subject: str, files: Mapping[str, bytes]) -> list[str]:
    """The digests in the manifest; each becomes a file's name, so each has to be a digest."""
    try:
        lines = files[MANIFEST_FILE].splitlines()
        named = [_digest(Example.from_json(json.loads(line)).sha256) for line in lines]
        card = json.loads(files[CARD_FILE])
        said = f"{card['name']}#{card['version']}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(_("{subject} is not a dataset of format 1.", subject=subject)) from error
    if said != subject:
        raise SignatureMismatch(
            _("This is signed as {name}, not as {subject}.", name=subject, subject=said),
            remedy=_REMEDY,
        )
    return named


def _digest(said: str) -> str:
    if not _DIGEST.fullmatch(said):
        raise ValueError(said)
    return said


def _check_folders(subject: str, blobs: Path) -> None:
    """Refuse links in the place of the folders that blobs lie in."""
    with os.scandir(blobs) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    linked = [_("{name} is a symbolic link", name=f"blobs/{name}") for name in links]
    refuse(subject, linked)


def _opened(blobs: BlobStore, sha256: str) -> tuple[Message | None, int]:
    """As ``_checked``, of a blob that is sealed."""
    try:
        return None, len(blobs.get(sha256))
    except MintageError as error:
        return _("blob {name}…: {reason}", name=sha256[:12], reason=error.message), 0


def _checked(begins: str, sha256: str) -> tuple[Message | None, int]:
    """What is wrong with a blob, and how many bytes it has.

    Hashing lets other threads run; opening takes as long as hashing 30 kB, so nothing more is
    asked of the system than has to be.
    """
    try:
        descriptor = os.open(
            f"{begins}{sha256[:2]}{os.sep}{sha256}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        try:
            digest, size = hashlib.sha256(), 0
            while data := os.read(descriptor, _CHUNK_BYTES):
                digest.update(data)
                size += len(data)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = said_by(error)
        return _("blob {name}… cannot be read: {reason}", name=sha256[:12], reason=reason), 0
    if digest.hexdigest() != sha256:
        return _("blob {name}… was changed", name=sha256[:12]), size
    return None, size
