"""A month that was sold, as files: what its customer holds, and the keys to sign anew with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mintage.api.application import customer_app
from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Upstream
from mintage.trust.given import GivenKeys, given_keys
from mintage.trust.keys import KeyRing
from tests.api.conftest import InProcess, serving
from tests.conftest import ManualClock
from tests.scripted_upstream import scripted_upstream

PREDICT = "/v1/products/pets/predict"
CHAT = "/v1/chat/completions"
ROLES = ("receipt", "log", "bundle", "data")


@dataclass
class Sold:
    """A month of one customer, as files: nothing of the workspace is needed for the tests."""

    home: Path
    folder: Path
    number: str

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence.zip"

    def keys(self, *roles: str) -> GivenKeys:
        return given_keys([self.folder / f"{role}.pub" for role in roles or ROLES])

    def signers(self) -> KeyRing:
        return KeyRing(self.home / "keys")


@contextmanager
def opened(home: Path) -> Iterator[App]:
    clock = ManualClock()
    clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
    with App(load_settings(home=home, threads=1), clock) as app:
        yield app


@pytest.fixture(scope="module")
def sold(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Sold:
    folder = tmp_path_factory.mktemp("held")
    home = Path(shutil.copytree(trained_home, tmp_path_factory.mktemp("sold") / "home"))
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    clock = ManualClock()
    clock.moment = datetime(2026, 11, 20, tzinfo=UTC)
    with (
        scripted_upstream() as scripted,
        App(load_settings(home=home, threads=1), clock) as app,
    ):
        app.publishing.publish("pets", "pets")
        app.language.add(
            Upstream("assistant", "one", scripted.url, "model"),
            prices=TokenPrices("1", "4", currency="EUR"),
        )
        __, issued = app.capture.add_customer("Ada")
        headers = {"Authorization": f"Bearer {issued.key.reveal()}"}
        with serving(app) as service, InProcess(customer_app(service)) as client:
            (folder / "receipts").mkdir()
            for n in range(5):
                said = client.request("POST", PREDICT, content=picture, headers=headers)
                assert said.status_code == 200, said.text
                (folder / "receipts" / f"{n}.json").write_bytes(said.content)
            ask = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}
            said = client.request("POST", CHAT, json=ask, headers=headers)
            assert said.status_code == 200, said.text
            clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
            (invoice,) = app.billing.run("2026-11", issue=True).drafted
            place = f"/v1/invoices/{invoice.number}"
            zipped = client.request("GET", f"{place}/evidence", headers=headers)
            assert zipped.headers["Content-Type"] == "application/zip"
            (folder / "evidence.zip").write_bytes(zipped.content)
            signed = client.request("GET", f"{place}.signed", headers=headers)
            (folder / "invoice.json").write_bytes(signed.content)
            client.call(service.engine.close())
            assert service.gateway is not None
            client.call(service.gateway.close())
        for role in ROLES:
            (folder / f"{role}.pub").write_bytes(app.keys.signer(role).public_pem)  # type: ignore[arg-type]
    return Sold(home, folder, str(invoice.number))
