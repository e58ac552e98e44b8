"""Opening a bundle: first the signature, then the content, from the same bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mintage.bundle.format import MANIFEST_FILE, MODEL_FILE, Manifest, check_names
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.messages import _
from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE, verify_folder


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle that was verified; ``files`` are the bytes that were hashed, the model's too."""

    manifest: Manifest
    model: bytes
    files: Mapping[str, bytes]
    digest: str
    subject: str
    folder: Path


def load(folder: Path, keys: KeyRing, subject: str | None = None) -> LoadedBundle:
    """Verify and read a bundle; with ``subject``, only if it was signed as that (``pets@3``).

    Raises:
        DataError: the folder holds no bundle, or one that this Mintage cannot read.
        SignatureMismatch: it is not what a trusted key signed.
    """
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
    verified = verify_folder(folder, keys.public_keys("bundle"), subject=subject)
    check_names(verified.files)
    return LoadedBundle(
        manifest=Manifest.from_bytes(verified.files[MANIFEST_FILE]),
        model=verified.files[MODEL_FILE],
        files=verified.files,
        digest=verified.digest,
        subject=verified.subject,
        folder=folder,
    )
