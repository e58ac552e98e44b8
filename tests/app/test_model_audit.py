"""A model looked over: what holds, what does not, and when it is to be looked over again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import ManualClock
from tests.pictures import two_classes

from mintage.api.metrics import audits_text
from mintage.app import machine_check
from mintage.app.auditing import Wanted
from mintage.app.doctor import examine
from mintage.app.removing import remove
from mintage.app.root import App
from mintage.bundle.graph import Graph
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import ConfigError, DataError, RequestError, SignatureMismatch, TrustError
from mintage.core.settings import load_settings
from mintage.create.model_audit.checks import QUICK, Extent, graph_check
from mintage.create.model_audit.golden import difference, golden_inputs
from mintage.create.model_audit.page import render
from mintage.trust.statements import open_statement

SMALL = replace(QUICK, examples=8, queries=12, eps=16)
DAY = 86_400


@pytest.fixture(autouse=True)
def _no_gpu_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_check, "_ASK_TORCH", "print('none')")


@pytest.fixture
def app(home: Path, clock: ManualClock) -> Iterator[App]:
    with App(load_settings(home=home, threads=1), clock) as opened:
        yield opened


def states(document: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["status"] for each in document["checks"]}


def said(document: dict[str, Any], check: str) -> str:
    return next(each["found"] for each in document["checks"] if each["check"] == check)


def damaged(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_an_audit_is_signed_logged_and_says_when_the_next_is_due(
    app: App, clock: ManualClock
) -> None:
    found = app.model_audits.run("pets", replace(SMALL, whole_dataset=True))
    assert found["passed"]
    assert found["model"] == "pets@1"
    held = {check: state for check, state in states(found).items() if check != "membership"}
    assert held == dict.fromkeys(("signature", "graph", "dataset", "canaries", "robustness"), "ok")
    signed = open_statement(app.model_audits.signed(found["id"]), app.keys, kind="audit")
    assert signed.document == found
    (entry,) = app.auditing.show(Wanted(kinds=["model.audited"]))
    assert entry.record["sha256"] == sha256_hex(canonical_json(found))
    assert entry.record["due_at"] == found["due_at"] == "2027-02-21T12:00:00.000000Z"
    assert entry.at == str(clock)
    assert found["graph"]["operators"]["Conv"] >= 1
    assert found["graph"]["weights"] > 100
    assert "each as it was signed" in said(found, "dataset")


def test_an_audit_that_the_log_had_is_signed_again_once_its_key_was_revoked(
    app: App, clock: ManualClock
) -> None:
    clock.advance(3650 * DAY)  # the model was made by the clock on the wall
    found = app.model_audits.run("pets", SMALL)
    clock.advance(3600)
    key = app.keys.signer("bundle").key_id
    app.signing_keys.revoke(key, "stolen", None)
    signed = open_statement(app.model_audits.signed(found["id"]), app.keys, kind="audit")
    assert (signed.document, signed.key_id == key) == (found, False)


def test_what_is_measured_has_its_controls_and_promises_nothing(app: App) -> None:
    found = app.model_audits.run("pets", SMALL)
    robust, members = found["robustness"], found["membership"]
    assert robust["eps_255ths"] == 16
    assert robust["queries"] == 12
    assert robust["examples"] == 8
    for name in ("accuracy", "under_noise", "under_attack"):
        low, high = robust[name]["interval"]
        assert low <= robust[name]["share"] <= high
    assert robust["under_attack"]["share"] <= robust["accuracy"]["share"]
    assert members["members"] == 96
    assert members["non_members"] == 24
    assert [each["fpr"] for each in members["not_reported"]] == [0.01, 0.001]
    assert members["controls"]["planted"]["holds"]
    assert members["controls"]["planted"]["tpr"] > 0.9
    card = found["card"]
    assert card.startswith("# pets")
    assert "## What it gives away, as audited on 2026-11-23" in card
    assert "At a false positive rate of 1.0% nothing is told" in card
    assert "canaries with wrong labels" in card
    assert "A stronger attack" in card
    page = render(found, "zh")
    assert "<svg" in page
    assert "正例" in page or "误报率" in page


def test_pictures_that_never_trained_it_can_be_added_and_its_own_are_no_such(
    app: App, trained_home: Path, tmp_path: Path
) -> None:
    more = two_classes(tmp_path / "more", each=15, size=(44, 33))
    found = app.model_audits.run("pets", SMALL, others=more)["membership"]
    assert found["others"]["known"] == 0
    assert found["non_members"] == 24 + found["others"]["examples"] == 54
    own = trained_home.parent / "photos"
    found = app.model_audits.run("pets", SMALL, others=own)["membership"]
    assert found["others"]["examples"] == 0
    assert found["others"]["known"] == 120
    assert found["non_members"] == 24
    with pytest.raises(DataError, match="nowhere"):
        app.model_audits.run("pets", SMALL, others=tmp_path / "nowhere")


def test_91_days_later_it_is_warned_of_until_it_is_audited_again(
    app: App, home: Path, clock: ManualClock
) -> None:
    def warned() -> list[str]:
        every = [each for each in examine(home, clock) if each.check == "audits"]
        return [each.found for each in every if each.status != "ok"]

    def weaknesses() -> list[str]:
        every = [each.code for each in app.security.examine()]
        return [code for code in every if code.startswith("audit.")]

    def measured() -> float:
        """What ``/metrics`` has; an alert compares it with the time."""
        text = audits_text({each.model: each.due_at for each in app.model_audits.due()}).decode()
        series = 'mintage_audit_due_timestamp_seconds{model="pets",version="1"} '
        (line,) = (line for line in text.splitlines() if line.startswith(series))
        return float(line.removeprefix(series))

    assert warned() == []  # what is not sold is nobody's risk
    app.publishing.publish("pets", "pets")
    assert warned() == ["pets@1 is sold and never was audited"]
    assert weaknesses() == ["audit.never"]
    assert measured() == 0
    first = app.model_audits.run("pets", SMALL)
    assert warned() == []
    assert weaknesses() == []
    assert measured() == datetime.fromisoformat(first["due_at"]).timestamp()
    clock.advance(89 * DAY)
    assert warned() == []
    clock.advance(2 * DAY)
    assert warned() == ["the audit of pets@1 was due on 2027-02-21"]
    assert weaknesses() == ["audit.overdue"]
    assert measured() < clock.now().timestamp()
    again = app.model_audits.run("pets", SMALL)
    assert "answered as on 2026-11-23" in said(again, "canaries")
    assert again["canaries"]["moved"] < 1e-6
    assert warned() == []
    assert measured() > clock.now().timestamp()


def test_after_how_many_days_it_is_due_is_a_setting(home: Path, clock: ManualClock) -> None:
    with App(load_settings(home=home, threads=1, audit_days=7), clock) as app:
        assert app.model_audits.run("pets", SMALL)["due_at"].startswith("2026-11-30")


def test_a_tampered_bundle_fails_is_logged_and_is_a_problem_until_it_passes(
    app: App, home: Path, clock: ManualClock
) -> None:
    app.publishing.publish("pets", "pets")
    model = home / "models/pets/1/model.onnx"
    damaged(model)
    found = app.model_audits.run("pets", SMALL)
    assert not found["passed"]
    assert states(found) == {"signature": "failed"}
    assert "model.onnx" in said(found, "signature")
    assert [entry.kind for entry in app.auditing.show(Wanted(kinds=["model.audited"]))]
    problems = [each.found for each in examine(home, clock) if each.status == "problem"]
    assert "pets@1 did not pass its audit of 2026-11-23" in problems
    assert "audit.failed" in [each.code for each in app.security.examine()]
    damaged(model)
    assert app.model_audits.run("pets", SMALL)["passed"]
    assert "audit.failed" not in [each.code for each in app.security.examine()]


def test_a_model_that_answers_otherwise_than_at_its_first_audit_fails(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.model_audits.run("pets", SMALL)["passed"]
    run = Graph.run

    def otherwise(graph: Graph, inputs: Any) -> Any:
        logits, features = run(graph, inputs)
        return logits + np.float32(0.5), features

    monkeypatch.setattr(Graph, "run", otherwise)
    found = app.model_audits.run("pets", SMALL)
    assert states(found)["canaries"] == "failed"
    assert not found["passed"]


def test_the_first_audits_answers_are_believed_only_as_they_were_signed(
    app: App, home: Path
) -> None:
    first = app.model_audits.run("pets", SMALL)
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute(
            "UPDATE statements SET envelope = replace(envelope, 'a', 'b') WHERE name = ?",
            (f"audit/{first['id']}",),
        )
    connection.close()
    assert states(app.model_audits.run("pets", SMALL))["canaries"] == "failed"


def test_a_dataset_that_was_changed_fails_and_one_that_is_gone_is_not_asked(
    app: App, home: Path
) -> None:
    (card,) = (home / "datasets/pets").glob("*/card.json")
    damaged(card)
    found = app.model_audits.run("pets", SMALL)
    assert states(found)["dataset"] == "failed"
    assert states(found)["membership"] == "skipped"
    damaged(card)
    blob = next(path for path in (home / "blobs").rglob("*") if path.is_file())
    damaged(blob)
    assert states(app.model_audits.run("pets", SMALL))["dataset"] == "ok"  # the list alone
    whole = app.model_audits.run("pets", replace(SMALL, whole_dataset=True))
    assert states(whole)["dataset"] == "failed"
    remove(app.workspace, "pets#" + card.parent.name, force=True)
    gone = app.model_audits.run("pets", SMALL)
    assert states(gone)["dataset"] == "skipped"
    assert gone["robustness"] is None
    assert gone["passed"]
    assert "What it gives away" not in gone["card"]


def test_a_log_that_says_something_else_of_the_model_fails(app: App, home: Path) -> None:
    app.capture.customers.add("Ada")
    app.capture.log.tree_head()
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute("UPDATE models SET log_position = 0")
    connection.close()
    found = app.model_audits.run("pets", SMALL)
    assert "The log says something else" in said(found, "dataset")
    assert not found["passed"]


def test_with_a_key_that_others_can_read_nothing_is_signed_and_no_audit_kept(
    home: Path, clock: ManualClock
) -> None:
    (home / "keys/bundle.pem").chmod(0o644)
    with App(load_settings(home=home, threads=1), clock) as app:
        with pytest.raises(TrustError, match="open to others"):
            app.model_audits.run("pets", SMALL)
        assert [*app.auditing.show(Wanted(kinds=["model.audited"]))] == []


def test_what_is_no_model_is_not_audited(app: App) -> None:
    with pytest.raises(RequestError):
        app.model_audits.run("cats", SMALL)
    with pytest.raises(ConfigError):
        app.model_audits.run("pets@latest@3", SMALL)


def test_a_graph_that_may_not_be_opened_fails() -> None:
    found = graph_check(b"no graph")
    assert found.status == "failed"
    assert found.figures is None


def test_canary_inputs_are_the_same_everywhere() -> None:
    inputs = golden_inputs(28)
    assert inputs.shape == (16, 28, 28, 3)
    assert inputs.dtype == np.uint8
    digest = "4b66781cce9322159e668e5222e9b4d327d7520f3d98cfdd7890cb58e5409a9f"
    assert sha256_hex(golden_inputs(28).tobytes()) == digest
    assert len({each.tobytes() for each in inputs}) == 16
    assert golden_inputs(3).shape == (16, 3, 3, 3)


def test_answers_of_another_shape_or_that_are_no_numbers_differ() -> None:
    now = np.array([[0.25, 0.75]])
    assert difference([[0.25, 0.5]], now) == 0.25
    assert difference([[0.25, 0.5, 0.25]], now) is None
    assert difference([[0.25, 0.5]], np.array([[np.nan, 1.0]])) is None


def test_an_audit_that_was_changed_does_not_open(app: App) -> None:
    found = app.model_audits.run("pets", SMALL)
    data = app.model_audits.signed(found["id"])
    with pytest.raises(SignatureMismatch):
        open_statement(data.replace(b'"keyid"', b'"keyID"'), app.keys)
    assert json.loads(data)["payloadType"] == "application/vnd.in-toto+json"
    assert Extent().examples > SMALL.examples
