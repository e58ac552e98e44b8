"""The verb over what customers said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pictures import jpeg
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.settings import load_settings
from mintage.core.types import ProviderInfo, Said, Usage

OUTPUT = {"label": "light", "probability": 0.9}


@pytest.fixture
def receipts(home: Path) -> list[str]:
    """Two pictures that were answered ``light``, and are dark."""
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets@1", "pets")
        customer, issued = app.capture.add_customer("Ada")
        meter, given = app.capture.meter(), []
        for seed in (7001, 7002):
            data = jpeg(seed)
            usage = Usage(
                permit=app.capture.gate.admit(issued.key.reveal(), "pets"),
                provider=ProviderInfo("pets", "1", "a" * 64, "class", "image"),
                alias="stable",
                outcome="ok",
                quantities={"image": 1},
                input_sha256=sha256_hex(data),
                output_sha256=sha256_hex(canonical_json(OUTPUT)),
                latency_seconds=0.01,
                compute_seconds=0.01,
            )
            given.append(meter.record(usage).result(10).id)
            said = Said(right=False, label="dark", output=OUTPUT)
            app.feedback.keep(customer.id, given[-1], said, data)
    return given


def test_feedback_is_listed_looked_at_forgotten_and_collected(
    mintage: Terminal, home: Path, receipts: list[str], tmp_path: Path
) -> None:
    at = ("--home", home)
    listed = mintage("feedback", "list", *at)
    assert all(receipt in listed for receipt in receipts)
    assert listed.count(" Ada ") == 2
    assert {"light", "no", "dark"} <= set(listed.split())
    assert [each["label"] for each in mintage.json("feedback", "list", *at)] == ["dark"] * 2

    labels = mintage("feedback", "export", "pets", "returned", *at).strip()
    assert labels == "returned/labels.jsonl"
    assert "mintage collect returned/labels.jsonl --into NAME" in mintage.err
    assert len(list(Path("returned").glob("*.jpg"))) == 2

    mintage("feedback", "remove", receipts[0], *at)
    assert "is forgotten, with its picture" in mintage.out
    mintage("feedback", "remove", receipts[0], *at, status=2)
    assert "no feedback" in mintage.err

    done = mintage.json("feedback", "collect", "pets", "--into", "pets", *at)
    assert (done["used"], done["left"]) == ([receipts[1]], [])
    assert [each["label"] for each in done["added"]] == ["dark"]
    assert mintage.json("feedback", "list", *at) == []
    shown = mintage("feedback", "list", "--all", *at)
    assert f"pets#{done['version'][:6]}" in shown.replace("\n", "")
    mintage("feedback", "collect", "pets", "--into", "pets", *at, status=2)
    assert "No feedback with a label waits for pets." in mintage.err


def test_collecting_says_what_was_used(mintage: Terminal, home: Path, receipts: list[str]) -> None:
    out = mintage("feedback", "collect", "pets", "--into", "pets", "--home", home)
    assert "2 examples added to pets#" in out
    assert "feedback used: 2, left waiting: 0" in out
    assert "Next: mintage train pets --time 5m" in mintage.err


def test_an_unknown_product_is_named(mintage: Terminal, home: Path, receipts: list[str]) -> None:
    mintage("feedback", "collect", "birds", "--into", "pets", "--home", home, status=2)
    assert "birds" in mintage.err
