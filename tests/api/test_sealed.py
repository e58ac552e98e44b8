"""A full run on a sealed workspace: what was planted is in no file, log, page, metric or error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.api.conftest import InProcess, serving
from tests.api.test_feedback import PREDICT, Shop, light
from tests.conftest import ManualClock
from tests.pictures import encoded, noise, two_classes

from mintage.api.application import customer_app, operator_app
from mintage.api.logs import logging_to
from mintage.app.root import App
from mintage.capture.details import Details
from mintage.capture.erasing import erasing
from mintage.core.settings import load_settings
from mintage.trust.sealing.wrapping import make_key_file

CARD, MAIL, PERSON = "4111111111111111", "ada@planted.example", "11010519491231002X"
NAME, PHONE, ADDRESS = "Planted Lovelace", "+49 30 90182044", "Plantedstrasse 7"
PLACE = "IMG_planted_wedding"
"""The name of a file."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key_file(tmp_path / "kek")
    return tmp_path / "kek"


@pytest.fixture
def app(tmp_path: Path, key: Path, clock: ManualClock) -> Iterator[App]:
    settings = load_settings(home=tmp_path / "home", seal_key=f"file:{key}", threads=1)
    with App(settings, clock) as opened:
        yield opened


def planted(folder: Path) -> Path:
    """Pictures with a place, a comment and a person's number in them and in their names."""
    two_classes(folder, each=40)
    exif = noise(1).getexif()
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.25)
    exif[0x010E] = f"{PERSON} {MAIL}"
    picture = encoded(noise(77), exif=exif, comment=CARD.encode())
    assert PERSON.encode() in picture
    (folder / "light" / f"{PLACE} {PERSON}.jpg").write_bytes(picture)
    return folder


def lived_in(app: App, clock: ManualClock, tmp_path: Path, words: list[str]) -> str:
    """Everything that a month brings; the customer's id. What it says goes into ``words``."""
    app.create.collect(planted(tmp_path / "photos"), "pets")
    app.create.train("pets", recipe="seed-cnn", epochs=4)
    app.create.report("pets@1")
    app.publishing.publish("pets@1", "pets", price="0.02")
    customer, issued = app.capture.add_customer(f"{NAME} {MAIL}")
    app.capture.customers.set_details(
        customer.id,
        Details(legal_name=f"{NAME} {CARD}", phone=PHONE, address=f"{ADDRESS}\n{MAIL}", email=MAIL),
    )
    app.capture.issue_key(customer.id, name=f"{NAME}'s phone")
    app.capture.operators.add(f"{NAME} at the desk", "support")
    opened = app.notifying.add(f"https://example.com/{MAIL}", customer.id, [], private=False)
    app.notifying.endpoints.rotate(opened.endpoint.id)
    app.capture.rotate_key(issued.id, "24h")
    app.capture.operators.set_role(f"{NAME} at the desk", "billing")
    words.append(issued.key.reveal())
    with serving(app) as service:
        own = customer_app(service)
        headers = {"Authorization": f"Bearer {issued.key.reveal()}"}
        with InProcess(own, **headers) as caller, InProcess(operator_app(service)) as desk:
            shop, picture = Shop(app, caller), light(5000)
            kept = {"Idempotency-Key": MAIL}
            assert caller.post(PREDICT, content=picture, headers=kept).status_code == 200
            again = caller.post(PREDICT, content=picture, headers=kept)
            assert again.status_code == 200
            answer = shop.answer(picture)
            assert shop.say(answer, picture, label="dark").status_code == 200
            refused = caller.post(PREDICT, content=f"{CARD} {PERSON}".encode())
            words.append(f"error {refused.text}")
            words.append(f"metrics {desk.get('/metrics').text}")
            caller.call(service.explanations.close())
            caller.call(service.engine.close())
    clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    ran = app.billing.run("2026-11", issue=True)
    assert len(ran.drafted) == 1
    app.capture.log.tree_head()
    return customer.id


def found(app: App, secrets: list[bytes]) -> dict[str, list[bytes]]:
    """Which files of the workspace have any of these, but signing keys' own."""
    home = app.settings.home
    return {
        str(path.relative_to(home)): has
        for path in home.rglob("*")
        if path.is_file()
        and path.parent.name != "keys"
        and (has := [each for each in secrets if each in path.read_bytes()])
    }


def test_what_was_planted_is_in_no_file_log_page_metric_or_error(
    app: App, clock: ManualClock, tmp_path: Path, key: Path
) -> None:
    words: list[str] = []
    stream = io.StringIO()
    with logging_to(stream, "json"):
        customer = lived_in(app, clock, tmp_path, words)
    secret, *said = words
    kek = key.read_text().strip()
    own = [CARD, MAIL, PERSON, NAME, PHONE, ADDRESS, PLACE, secret, kek, secret[-20:]]
    lines = [
        line.encode()
        for pem in app.workspace.key_folder.glob("*.pem")
        for line in pem.read_text().splitlines()[1:-1]
    ]
    assert len(lines) >= 6
    secrets = [*(each.encode() for each in own), bytes.fromhex(kek[8:]), *lines]
    assert found(app, secrets) == {}
    app.workspace.database.scrub(whole=True)
    assert found(app, secrets) == {}
    told = stream.getvalue() + "".join(said)
    assert "metrics" in told
    assert "pets" in told
    assert [each for each in own if each in told] == []

    (invoice,) = app.billing.listed(customer)
    app.billing.pay([invoice.id], None, "bank 1")
    erased = erasing.erase(app.workspace, customer)
    assert erased.remains == {"invoices": 1, "credit_notes": 0, "usage_events": 3}
    (invoice,) = app.billing.listed()
    assert NAME in str(invoice.document), "the law has that kept"
    assert not app.workspace.stored("feedback")
    assert app.capture.log.check() > 0
    everything = b"".join(row.record for row in app.capture.log.entries())
    assert [each for each in (MAIL, PHONE, ADDRESS) if each.encode() in everything] == []
