"""Opening a bundle: first the signature, then the content, from the same bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mintage.bundle.format import MANIFEST_FILE, MODEL_FILE, Manifest, check_names
from mintage.core.errors import DataError, SignatureMismatch
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
                f"The bundle of {subject} is gone: {folder} holds neither {MANIFEST_FILE} nor "
                f"{SIGNATURE_FILE}.",
                remedy="Restore it from a backup, or train it again.",
            )
        raise DataError(
            f"{folder} is not a bundle: it has no {MANIFEST_FILE}.",
            remedy="Name a model such as pets@latest, or the folder of one.",
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
