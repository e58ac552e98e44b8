"""Keys and a signed folder, as the tests of trust want them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.conftest import ManualClock
from tests.databases import database_url
from tests.sealing import sealed_with

from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE, sign_files

__all__ = ["database_url"]

FILES = {
    "bundle.json": b'{"format":1}',
    "card.md": b"# Pets\n",
    "model.onnx": bytes(range(40)),
    "parts/labels.txt": b"cat\ndog\n",
}


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


@pytest.fixture
def signed(tmp_path: Path, keys: KeyRing) -> Path:
    """A folder of four files, signed as pets@3."""
    return write_signed(tmp_path / "pets", FILES, "pets@3", keys)


def write_signed(folder: Path, files: dict[str, bytes], subject: str, keys: KeyRing) -> Path:
    signature = sign_files(files, subject, keys.signer("bundle"))
    for name, data in {**files, SIGNATURE_FILE: signature}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def sealed(
    tmp_path: Path, clock: ManualClock, database_url: SecretStr | None
) -> Iterator[Workspace]:
    more = sealed_with(tmp_path / "kek")
    with Workspace(tmp_path / "sealed", clock, database_url=database_url, **more) as opened:
        yield opened
