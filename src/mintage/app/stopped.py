"""What is on sale, and signed with a key that is not believed: no server answers with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mintage.core.errors import SignatureMismatch
from mintage.core.vaults import mounted
from mintage.trust.folders import read_signature
from mintage.trust.keys import KeyRing
from mintage.trust.sealing.files import is_sealed
from mintage.trust.signing import SIGNATURE_FILE, open_signature


@dataclass(frozen=True)
class Stopped:
    """A version on sale that no server will answer with at its next start, and why."""

    product: str
    alias: str
    model: str
    problem: SignatureMismatch


def stopped(
    keys: KeyRing,
    selling: Iterable[tuple[str, str, str, int]],
    folder: Callable[[str, int], Path],
) -> Iterator[Stopped]:
    """Of ``product, alias, model, version`` those whose signature is not believed.

    Of a sealed one only what has the key to the workspace can tell.
    """
    trusted = keys.public_keys("bundle")
    for product, alias, model, version in selling:
        reference, where = f"{model}@{version}", folder(model, version)
        signed = where / SIGNATURE_FILE
        if signed.is_file() and mounted(signed) is None and is_sealed(signed):
            continue
        try:
            signature = read_signature(where, SIGNATURE_FILE)
            open_signature(signature, trusted, subject=reference)
        except SignatureMismatch as error:
            yield Stopped(product, alias, reference, error)
