"""Opening a bundle: first the signature, then the content, from the same bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mintage.bundle.archive import ENDING, read_archive
from mintage.bundle.format import MANIFEST_FILE, MODEL_FILE, Manifest, check_names
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.messages import _
from mintage.trust.given import KeySource
from mintage.trust.signing import SIGNATURE_FILE, VerifiedFiles, verify_files, verify_folder


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle that was verified; ``files`` are the bytes that were hashed, the model's too.

    ``signature`` is the content of ``signature.json``, made by the key ``key_id``; ``folder`` is
    where it lies, which may be an archive.
    """

    manifest: Manifest
    model: bytes
    files: Mapping[str, bytes]
    signature: bytes
    digest: str
    subject: str
    key_id: str
    folder: Path


def load(folder: Path, keys: KeySource, subject: str | None = None) -> LoadedBundle:
    """Verify and read a bundle, a folder or an archive, before anything of it is used.

    With ``subject``, only if it was signed as that (``pets@3``).

    Raises:
        DataError: there is no bundle, or one that this Mintage cannot read.
        SignatureMismatch: it is not what a trusted key signed.
    """
    # Not Path's own, which raise for a name that is too long (Python 3.11 to 3.13).
    gone = not os.path.exists(folder)  # noqa: PTH110
    is_archive = folder.suffix == ENDING if gone else os.path.isfile(folder)  # noqa: PTH113
    verify = _verified_archive if is_archive else _verified_folder
    verified = verify(folder, keys, subject)
    check_names(verified.files)
    return LoadedBundle(
        manifest=Manifest.from_bytes(verified.files[MANIFEST_FILE]),
        model=verified.files[MODEL_FILE],
        files=verified.files,
        signature=verified.signature,
        digest=verified.digest,
        subject=verified.subject,
        key_id=verified.key_id,
        folder=folder,
    )


def _verified_archive(path: Path, keys: KeySource, subject: str | None) -> VerifiedFiles:
    files = read_archive(path)
    signature = files.pop(SIGNATURE_FILE, None)
    if signature is None:
        raise SignatureMismatch(
            _(
                "{path} is not signed: it has no {signature_file}.",
                path=path,
                signature_file=SIGNATURE_FILE,
            ),
            remedy=_("Do not use it: fetch it again from its maker."),
        )
    return verify_files(files, signature, keys.public_keys("bundle"), subject=subject)


def _verified_folder(folder: Path, keys: KeySource, subject: str | None) -> VerifiedFiles:
    if not any(os.path.lexists(folder / name) for name in (MANIFEST_FILE, SIGNATURE_FILE)):
        if subject is not None:
            raise SignatureMismatch(
                _(
                    "The bundle of {subject} is gone: {folder} holds neither {manifest_file} nor "
                    "{signature_file}.",
                    subject=subject,
                    folder=folder,
                    manifest_file=MANIFEST_FILE,
                    signature_file=SIGNATURE_FILE,
                ),
                remedy=_("Restore it from a backup, or train it again."),
            )
        raise DataError(
            _(
                "{folder} is not a bundle: it has no {manifest_file}.",
                folder=folder,
                manifest_file=MANIFEST_FILE,
            ),
            remedy=_("Name a model such as pets@latest, or the folder of one."),
        )
    return verify_folder(folder, keys.public_keys("bundle"), subject=subject)
