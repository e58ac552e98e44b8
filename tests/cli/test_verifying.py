"""``verify``: a thing by itself, and the chain from an invoice, as people and programs see it."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import ManualClock
from tests.pictures import two_classes
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.core.types import ProviderInfo, Usage

ROLES = ("receipt", "log", "bundle", "data")
NUMBER = "INV-2026-000001"


@pytest.fixture
def sold(home: Path) -> Path:
    """The trained workspace, with an invoice over three calls of October 2026."""
    clock = ManualClock()
    clock.moment = datetime(2026, 10, 20, tzinfo=UTC)
    with App(load_settings(home=home, threads=1), clock) as app:
        app.publishing.publish("pets", "pets")
        __, issued = app.capture.add_customer("Ada")
        permit = app.capture.gate.admit(issued.key.reveal(), "pets")
        digest = app.create.model("pets@1").digest
        meter = app.capture.meter()
        for __ in range(3):
            usage = Usage(
                permit=permit,
                provider=ProviderInfo("pets", "1", digest, "class", "image"),
                alias="stable",
                outcome="ok",
                quantities={"image": 1},
                input_sha256="1" * 64,
                output_sha256="2" * 64,
                latency_seconds=0.01,
                compute_seconds=0.01,
                probability=0.9,
            )
            meter.record(usage).result(10)
        clock.moment = datetime(2026, 11, 4, tzinfo=UTC)
        app.billing.run("2026-10", issue=True)
    return home


def keys_of(mintage: Terminal, home: Path) -> list[object]:
    words: list[object] = []
    for role in ROLES:
        Path(f"{role}.pub").write_text(mintage("public-key", role, "--home", home))
        words += ["--key", f"{role}.pub"]
    return words


def test_an_invoice_is_walked_in_its_workspace_and_drawn_as_a_tree(
    mintage: Terminal, sold: Path
) -> None:
    drawn = mintage("verify", "--chain", NUMBER, "--home", sold)
    assert drawn.startswith(f"✓ {NUMBER}: 0.06 EUR of Ada")
    for part in ("├── ✓ plan standard@1", "✓ 3 events", "✓ bundle pets@1", "└── ✓ dataset pets#"):
        assert part in drawn
    assert "The whole chain holds." in mintage.err
    found = mintage.json("verify", "--chain", NUMBER, "--home", sold)
    assert (found["holds"], found["not_checked"]) == (True, [])
    assert {step["mark"] for step in found["chain"]["steps"]} == {"holds"}


def test_the_evidence_is_checked_with_keys_alone_and_no_workspace_is_made(
    mintage: Terminal, sold: Path
) -> None:
    keys = keys_of(mintage, sold)
    written = mintage.json("invoice", "evidence", NUMBER, "--out", "x.zip", "--home", sold)
    assert written == {"output": "x.zip", "bytes": Path("x.zip").stat().st_size}
    shutil.rmtree(sold)
    before = sorted(Path.cwd().iterdir())
    found = mintage.json("verify", "--chain", "x.zip", *keys)
    assert found["holds"]
    mintage("verify", "x.zip", *keys, status=2)
    assert "--chain" in mintage.err
    assert sorted(Path.cwd().iterdir()) == before


def test_what_does_not_hold_ends_with_3_and_its_reason(mintage: Terminal, sold: Path) -> None:
    keys = keys_of(mintage, sold)
    mintage("invoice", "evidence", NUMBER, "--out", "x.zip", "--home", sold)
    with zipfile.ZipFile("x.zip") as source, zipfile.ZipFile("y.zip", "w") as changed:
        for name in source.namelist():
            data = source.read(name)
            if name == "events.jsonl":
                data = data.replace(b'\\"price\\":\\"0.02\\"', b'\\"price\\":\\"0.01\\"', 1)
            changed.writestr(name, data)
    drawn = mintage("verify", "--chain", "y.zip", *keys, status=3)
    assert "✗ the events of its lines" in drawn
    assert "not in the log of this root" in mintage.err
    found = mintage.json("verify", "--chain", "y.zip", *keys, status=3)
    assert not found["holds"]
    assert found["error"]["code"] == "log_forked"


def test_whatever_is_signed_is_verified_by_its_name_or_path(mintage: Terminal, sold: Path) -> None:
    at = ("--home", sold)
    assert f"invoice/{NUMBER} is as it was signed" in mintage("verify", NUMBER, *at)
    assert "pets@1 is as it was signed" in mintage("verify", "pets@1", *at)
    Path("invoice.json").write_text(mintage("invoice", "show", NUMBER, "--format", "signed", *at))
    found = mintage.json("verify", "invoice.json", *at)
    assert (found["kind"], found["name"]) == ("invoice", f"invoice/{NUMBER}")
    Path("plan.json").write_text(mintage("plan", "show", "standard", "--signed", *at))
    assert mintage.json("verify", "plan.json", *at)["name"] == "plan/standard@1"
    Path("plan.json").write_text(Path("plan.json").read_text().replace("e", "f", 1))
    mintage("verify", "plan.json", *at, status=2)
    dataset = mintage.json("list", *at)["datasets"][0]["dataset"]
    assert mintage.json("verify", dataset, *at)["kind"] == "dataset"


def test_what_other_pictures_measured_is_signed(mintage: Terminal, sold: Path) -> None:
    photos = two_classes(Path.cwd() / "more", each=4)
    found = mintage.json("evaluate", "pets@1", "--data", photos, "--out", "e.json", "--home", sold)
    proved = mintage.json("verify", "e.json", "--home", sold)
    assert (proved["kind"], proved["name"]) == ("evaluation", f"evaluation/{found['evaluation']}")
    document = json.loads(base64.b64decode(json.loads(Path("e.json").read_text())["payload"]))
    assert document["predicate"]["accuracy"] == found["accuracy"]
    assert document["predicate"]["data"]["sha256"] == found["data"]["sha256"]
    mintage("evaluate", "pets@1", "--out", "f.json", "--home", sold, status=2)
    assert "--out writes what --data measured" in mintage.err


def test_receipts_need_a_chain_to_be_compared_along(mintage: Terminal, sold: Path) -> None:
    mintage("verify", NUMBER, "--receipts", "kept", "--home", sold, status=2)
    assert "Add --chain" in mintage.err


def test_after_the_receipt_key_was_revoked_what_was_issued_is_signed_by_the_next_one(
    mintage: Terminal, sold: Path
) -> None:
    at = ("--home", sold)
    keys_of(mintage, sold)
    Path("before.json").write_text(mintage("invoice", "show", NUMBER, "--format", "signed", *at))
    former = mintage.json("public-key", "receipt", *at)["key_id"]
    mintage("signing-key", "revoke", former, "--reason", "stolen", *at)
    keys = keys_of(mintage, sold)
    mintage("verify", "before.json", *keys, status=3)
    for name, words in (
        ("invoice.json", ("invoice", "show", NUMBER, "--format", "signed")),
        ("plan.json", ("plan", "show", "standard@1", "--signed")),
    ):
        Path(name).write_text(mintage(*words, *at))
        assert "the present one signed the same again" in " ".join(mintage.err.split())
        found = mintage.json("verify", name, *keys)
        assert found["key_id"] != former
    before, after = (json.loads(Path(name).read_text()) for name in ("before.json", "invoice.json"))
    assert before["payload"] == after["payload"]
    mintage("signing-key", "publish", "keys.json", *at)
    again = mintage.json("verify", "invoice.json", "--key", "keys.json")
    assert (again["made_at"], again["signed_again"]) == ("2026-11-04T00:00:00.000000Z", True)
    mintage("verify", "invoice.json", "--key", "keys.json")
    assert "was signed again with a key that is in use since" in " ".join(mintage.err.split())
    mintage("invoice", "evidence", NUMBER, "--out", "x.zip", *at)
    assert mintage.json("verify", "--chain", "x.zip", *keys)["holds"]


def test_a_receipt_is_compared_with_what_was_sent(mintage: Terminal, sold: Path) -> None:
    keys = keys_of(mintage, sold)
    receipt = mintage.json("usage", "--home", sold)[0]["receipt"]
    Path("receipt.json").write_text(mintage("receipt", receipt, "--json", "--home", sold))
    assert mintage.json("verify", "receipt.json", *keys)["kind"] == "receipt"
    mintage("verify", "receipt.json", *keys, "--input", "log.pub", status=3)
    assert "is not what this receipt is for" in " ".join(mintage.err.split())
