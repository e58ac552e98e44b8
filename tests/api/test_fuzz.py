"""Bodies that were pictures once: whatever is done to them, the server answers, and goes on."""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.api.conftest import InProcess, serving

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.core.settings import load_settings

PREDICT = "/v1/products/pets/predict"
BODIES = 50 * int(os.environ.get("MINTAGE_ROUNDS", "10"))
KINDS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 85},
    "JPEG progressive": {"quality": 85, "progressive": True},
    "PNG": {},
    "WEBP": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
}


@pytest.fixture
def customer(home: Path) -> Iterator[InProcess]:
    with App(load_settings(home=home, threads=1, max_upload_bytes=200_000)) as app:
        app.publishing.publish("pets@1", "pets")
        __, issued = app.capture.add_customer("Ada")
        authorization = f"Bearer {issued.key.reveal()}"
        with (
            serving(app) as service,
            InProcess(customer_app(service), Authorization=authorization) as client,
        ):
            yield client
            client.call(service.engine.close())


def originals(folder: Path) -> list[bytes]:
    """Real files of every kind, and the photographs as they are."""
    photographs = sorted(folder.rglob("*.jpg"))[:4]
    found = [path.read_bytes() for path in photographs]
    for kind, options in KINDS.items():
        stream = io.BytesIO()
        with Image.open(photographs[0]) as image:
            image.convert("RGB").resize((96, 80)).save(stream, kind.split()[0], **options)
        found.append(stream.getvalue())
    return found


def mutated(chance: random.Random, files: list[bytes]) -> bytes:
    """One of them with a few things done to it that happen to files, or are done to servers."""
    data = bytearray(chance.choice(files))
    for __ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data))
        # Most of what a decoder can be led astray by is near the beginning.
        at = at % 64 if chance.random() < 0.4 else at
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                del data[at : at + chance.randrange(1, 64)]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 64))
            case 4:
                del data[at:]
            case 5:
                other = chance.choice(files)
                start = chance.randrange(len(other))
                data[at : at + 32] = other[start : start + 32]
        if not data:
            return b""
    return bytes(data)


def test_no_mutated_picture_breaks_the_server(customer: InProcess, trained_home: Path) -> None:
    files = originals(trained_home.parent / "photos")
    chance, statuses = random.Random(20261126), Counter[int]()
    for number in range(BODIES):
        body = mutated(chance, files)
        answer = customer.post(PREDICT, content=body)
        statuses[answer.status_code] += 1
        assert answer.status_code in (200, 413, 422), (number, answer.text)
    assert statuses[200] > BODIES // 20  # some were harmed too little to matter
    assert statuses[422] > BODIES // 20
    assert customer.post(PREDICT, content=files[0]).status_code == 200
