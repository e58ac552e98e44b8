"""The audit log over HTTP: whoever has a key keeps heads, and finds out what was done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.api.conftest import InProcess, serving
from tests.conftest import ManualClock

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.core.errors import LogForked
from mintage.core.money import Price
from mintage.core.settings import load_settings
from mintage.core.types import Permit, ProviderInfo, Receipt, Usage
from mintage.trust import merkle
from mintage.trust.keys import PublicKey
from mintage.trust.notes import SignedHead, verify_note


@dataclass
class Shop:
    """A served workspace, and a customer who calls."""

    app: App
    http: InProcess
    customer: str
    clock: ManualClock

    def call(self, count: int = 1) -> Receipt:
        """Record so many calls; the last one's receipt."""
        prices = {"image": Price("0.02", "EUR")}
        meter = self.app.capture.meter()
        usage = Usage(
            permit=Permit(self.customer, "key_1", "pets", "standard", 1, prices, "EUR"),
            provider=ProviderInfo("pets", "3", "b" * 64, "class", "image"),
            alias="stable",
            outcome="ok",
            quantities={"image": 1},
            input_sha256="1" * 64,
            output_sha256="2" * 64,
            latency_seconds=0.01,
            compute_seconds=0.007,
        )
        return [meter.record(usage) for __ in range(count)][-1].result()

    def get(self, path: str, status: int = 200) -> Any:
        said = self.http.get(path)
        assert said.status_code == status, said.text
        return said.json()

    def head(self) -> SignedHead:
        """The newest one, checked as a customer does."""
        said = self.get("/v1/log")
        key = PublicKey.from_pem(said["key"]["pem"].encode())
        return verify_note(said["head"], key, said["origin"])

    def damage(self, statement: str) -> None:
        def work(connection: Any) -> None:
            assert connection.execute(text(statement)).rowcount

        self.app.workspace.database.write(work)


@pytest.fixture
def shop(tmp_path: Path, clock: ManualClock) -> Iterator[Shop]:
    with App(load_settings(home=tmp_path / "shop", threads=1), clock) as app:
        customer, issued = app.capture.add_customer("Ada")
        # A key for one thing alone: the log is for any.
        key = app.capture.issue_key("Ada", scopes=["feedback"]).key.reveal()
        reading = {"Authorization": f"Bearer {issued.key.reveal()}"}
        with serving(app) as service:
            api = customer_app(service)
            with InProcess(api, **reading) as http, InProcess(api) as other:
                other.headers["Authorization"] = f"Bearer {key}"
                assert other.get("/v1/log").status_code == 200
                assert other.get("/v1/usage").status_code == 403
                del other.headers["Authorization"]
                assert other.get("/v1/log").status_code == 401
                assert other.get("/v1/log/consistency?from=1").status_code == 401
                clock.advance(2)
                yield Shop(app, http, customer.id, clock)
                http.call(service.engine.close())
                assert service.gateway is not None
                http.call(service.gateway.close())


def test_who_kept_a_head_is_shown_that_the_log_only_grew(shop: Shop) -> None:
    shop.call(300)
    kept = shop.head()
    shop.call(20)
    assert shop.head() == kept  # within a second
    shop.clock.advance(1)
    newest = shop.head()
    assert newest.size == kept.size + 20
    proof = shop.get(f"/v1/log/consistency?from={kept.size}&to={newest.size}")
    assert proof == shop.get(f"/v1/log/consistency?from={kept.size}&log=1")
    path = [bytes.fromhex(each) for each in proof["path"]]
    merkle.verify_consistency(kept.size, newest.size, kept.root, newest.root, path)
    own = shop.get(f"/v1/log/consistency?from={kept.size}&to={kept.size}")
    assert (own["path"], own["head"]) == ([], kept.note)


def test_a_receipt_comes_with_the_proof_that_it_is_in_the_log_once_a_head_is_over_it(
    shop: Shop,
) -> None:
    shop.call()
    shop.head()
    receipt = shop.call()
    said = shop.get(f"/v1/receipts/{receipt.id}")
    assert said["inclusion"] is None
    assert "No tree head is over it yet" in said["not_included"]
    shop.clock.advance(1)
    said = shop.get(f"/v1/receipts/{receipt.id}")
    proof, leaf = said["inclusion"], receipt.statement["leaf"]
    assert said["not_included"] is None
    assert (proof["position"], proof["leaf_hash"]) == (leaf["position"], leaf["hash"])
    assert "record" not in proof
    told = shop.app.auditing.prove(receipt.id)  # as the operator's command line has it
    assert proof.items() <= told.items()
    assert json.loads(told["record"])["receipt"] == receipt.id
    head = shop.head()
    assert proof["head"] == head.note
    path = [bytes.fromhex(each) for each in proof["path"]]
    merkle.verify_inclusion(
        proof["index"], proof["size"], bytes.fromhex(leaf["hash"]), path, head.root
    )


@pytest.mark.parametrize(
    "query", ["from=0", "from=9999", "from=2&to=1", "from=1&to=9999", "from=1&log=2", "", "from=x"]
)
def test_sizes_that_are_none_are_refused(shop: Shop, query: str) -> None:
    shop.call()
    shop.head()
    assert shop.get(f"/v1/log/consistency?{query}", 400)["remedy"]


def test_a_frozen_log_is_said_and_what_is_logged_afterwards_is_proved_in_the_next(
    shop: Shop,
) -> None:
    old = shop.call()
    kept = shop.head()
    lost = shop.call()
    position = lost.statement["leaf"]["position"]
    shop.damage(f"UPDATE log_leaves SET record = salt WHERE position = {position}")
    shop.clock.advance(1)
    said = shop.get("/v1/log")
    assert (said["origin"], said["log"]) == (f"{kept.origin}/2", 2)
    (frozen,) = said["frozen"]
    assert (frozen["origin"], frozen["size"]) == (kept.origin, kept.size)
    assert f"position {position} was changed" in frozen["reason"]
    assert shop.get(f"/v1/log/consistency?from={kept.size}&log=1")["head"] == kept.note
    new = shop.call()
    shop.clock.advance(1)
    proof = shop.get(f"/v1/receipts/{new.id}")["inclusion"]
    assert proof["position"] == new.statement["leaf"]["position"]
    assert proof["index"] == proof["position"] - said["first_position"] == 1
    assert proof["head"].startswith(f"{kept.origin}/2\n")
    assert shop.get(f"/v1/receipts/{old.id}")["inclusion"]["head"] == kept.note
    gone = shop.get(f"/v1/receipts/{lost.id}")
    assert gone["inclusion"] is None
    assert "was frozen" in gone["not_included"]


def test_a_history_that_was_made_anew_is_found_out_over_http(shop: Shop) -> None:
    shop.call(30)
    kept = shop.head()
    shop.damage("DELETE FROM log_leaves WHERE position > 5")
    for table in ("log_heads", "logs"):
        shop.damage(f"DELETE FROM {table}")
    shop.call(40)
    shop.clock.advance(1)
    newest = shop.head()  # well signed
    proof = shop.get(f"/v1/log/consistency?from={kept.size}")
    path = [bytes.fromhex(each) for each in proof["path"]]
    with pytest.raises(LogForked):
        merkle.verify_consistency(kept.size, newest.size, kept.root, newest.root, path)
