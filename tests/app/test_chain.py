"""From an invoice to the data behind its answers: real calls make a chain; each link can fail."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sold import ROLES, Sold, opened, sold
from tests.tamperings import BROKEN, resigned, rewritten
from tests.the_tools import tool

from mintage.app.chaining import kept_receipts, opened_evidence, walked
from mintage.app.verifying import Verifying
from mintage.capture.chain.checks import Chain
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, LogForked, MintageError, TrustError
from mintage.core.files import write_parts
from mintage.core.progress import Silent
from mintage.trust.dsse import sign_envelope

__all__ = ["sold"]  # a fixture


def chain_of(path: Path, keys: Any, receipts: Path | None = None) -> Chain:
    with opened_evidence(path) as evidence:
        return walked(evidence, keys, receipts)


def said(chain: Chain) -> list[str]:
    def below(step: Any) -> Iterator[str]:
        yield f"{step.mark} {step.said}"
        for each in step.steps:
            yield from below(each)

    return list(below(chain.root))


def test_a_customers_evidence_holds_with_the_public_keys_alone_in_an_empty_folder(
    sold: Sold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chain = chain_of(sold.evidence, sold.keys())
    assert chain.broken is None, chain.broken
    text = "\n".join(said(chain))
    assert f"holds {sold.number}: " in text
    assert "holds 6 events: each in the log" in text
    assert "holds bundle pets@1 " in text
    assert "holds evaluation: " in text
    assert "holds dataset pets#" in text
    assert [str(each.said) for each in chain.root.open()] == [
        "1 of the records are withheld: their receipts speak",
        "answers of model, a model of others: the chain ends with its name",
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_an_upstream_asks_is_in_no_customers_evidence(sold: Sold, tmp_path: Path) -> None:
    with zipfile.ZipFile(sold.evidence) as archive:
        events = [json.loads(line) for line in archive.read("events.jsonl").splitlines()]
    assert sorted("record" in each for each in events) == [False] + [True] * 5
    with opened(sold.home) as app:
        path = tmp_path / "auditors.zip"
        write_parts(path, app.billing.evidence(sold.number, with_costs=True).archived())
    assert chain_of(path, sold.keys()).broken is None
    with zipfile.ZipFile(path) as archive:
        assert all(b'"record"' in line for line in archive.read("events.jsonl").splitlines())


def test_the_workspace_itself_walks_the_same_chain(sold: Sold) -> None:
    with opened(sold.home) as app:
        chain = walked(app.billing.evidence(sold.number, is_ours=True), app.keys)
    assert chain.broken is None
    mine, theirs = said(chain), said(chain_of(sold.evidence, sold.keys()))
    marks = [[each.partition(" ")[0] for each in lines] for lines in (mine, theirs)]
    assert marks[0] == marks[1]


def test_receipts_that_were_kept_are_those_of_the_invoices_events(sold: Sold) -> None:
    chain = chain_of(sold.evidence, sold.keys(), sold.folder / "receipts")
    assert chain.broken is None
    assert any("5 of the 5 receipts that you kept" in each for each in said(chain))


def test_from_the_invoice_and_all_receipts_the_root_of_a_line_is_rebuilt(
    sold: Sold, tmp_path: Path
) -> None:
    chain = chain_of(sold.folder / "invoice.json", sold.keys(), sold.folder / "receipts")
    assert chain.broken is None
    assert any("rebuilt from the receipts" in each for each in said(chain))
    kept = tmp_path / "kept"
    shutil.copytree(sold.folder / "receipts", kept)
    (kept / "0.json").unlink()
    fewer = chain_of(sold.folder / "invoice.json", sold.keys(), kept)
    assert fewer.broken is None
    assert any("which are not all of them" in each for each in said(fewer))


def test_a_receipt_that_promised_something_else_breaks_the_chain(
    sold: Sold, tmp_path: Path
) -> None:
    answer = json.loads((sold.folder / "receipts" / "2.json").read_bytes())
    envelope = answer["receipt"]["envelope"]
    promise = json.loads(base64.b64decode(envelope["payload"])) | {"price": "0.01"}
    other = sign_envelope(
        canonical_json(promise), envelope["payloadType"], sold.signers().signer("receipt")
    )
    (tmp_path / "mine.json").write_text(json.dumps(other))
    chain = chain_of(sold.evidence, sold.keys(), tmp_path)
    assert "says something else than the invoice's" in str(chain.broken)


def test_an_invoice_alone_says_what_is_not_held(sold: Sold) -> None:
    chain = chain_of(sold.folder / "invoice.json", sold.keys())
    assert chain.broken is None
    unchecked = [str(each.said) for each in chain.root.open()]
    assert any("the events of its lines are not held" in each for each in unchecked)


@pytest.mark.parametrize("link", BROKEN)
def test_each_link_that_is_broken_is_named(sold: Sold, tmp_path: Path, link: str) -> None:
    done = BROKEN[link]
    path = rewritten(sold, tmp_path, {done.name: done.change(sold)})
    with pytest.raises(MintageError, match=done.ours):
        held_or_refused(path, sold)


def held_or_refused(path: Path, sold: Sold) -> None:
    chain = chain_of(path, sold.keys())
    if chain.broken is not None:
        assert sum(each.startswith("broken ") for each in said(chain)) >= 1
        raise chain.broken


@pytest.mark.parametrize("change", ["lines", "customer", "currency"])
def test_what_a_trusted_key_signed_otherwise_ends_in_a_reason_and_no_traceback(
    sold: Sold, tmp_path: Path, change: str
) -> None:
    path = rewritten(
        sold,
        tmp_path,
        {"invoice.json": resigned(sold, "invoice", lambda said: said.pop(change))},
    )
    chain = chain_of(path, sold.keys())
    assert isinstance(chain.broken, TrustError)
    assert "not as Mintage writes it" in str(chain.broken)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["bundles/", "datasets/"], "not held"),
        (["datasets/"], "not held"),
        (["plans/", "entries."], "its signed file is not held"),
        (
            [
                "heads/",
                "events.",
                "proofs.",
                "receipts.",
                "entries.",
                "upstreams.",
                "bundles/",
                "datasets/",
            ],
            "the events of its lines are not held",
        ),
        (["entries."], "its entry on the log is not held"),
    ],
)
def test_what_is_not_held_is_said_and_the_rest_holds(
    sold: Sold, tmp_path: Path, names: list[str], told: str
) -> None:
    path = tmp_path / "less.zip"
    with zipfile.ZipFile(sold.evidence) as source, zipfile.ZipFile(path, "w") as written:
        for name in source.namelist():
            if not any(name.startswith(each) for each in names):
                written.writestr(name, source.read(name))
    chain = chain_of(path, sold.keys())
    assert chain.broken is None
    assert any(told in str(each.said) for each in chain.root.open())


@pytest.mark.parametrize("missing", ROLES)
def test_a_key_that_is_not_given_is_missed_at_its_link(sold: Sold, missing: str) -> None:
    chain = chain_of(sold.evidence, sold.keys(*(role for role in ROLES if role != missing)))
    assert isinstance(chain.broken, TrustError)
    assert f"is for the role {missing}" in str(chain.broken)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip at all" * 50])
def test_what_is_no_evidence_is_refused(tmp_path: Path, sold: Sold, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with opened_evidence(path) as evidence:
        chain = walked(evidence, sold.keys())
    assert "not a signed document" in str(chain.broken)


def test_a_zip_with_a_strange_name_or_one_name_twice_is_refused(tmp_path: Path, sold: Sold) -> None:
    for extra in ("../x.json", "bundles/" + "0" * 64 + "/model.onnx", "Invoice.json"):
        path = Path(shutil.copy(sold.evidence, tmp_path / "more.zip"))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(extra, b"{}")
        with pytest.raises(DataError, match="does not belong"), opened_evidence(path):
            pass
    path = Path(shutil.copy(sold.evidence, tmp_path / "twice.zip"))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("heads/1.txt", b"x")
    with pytest.raises(DataError, match="twice"), opened_evidence(path):
        pass


def test_every_sampled_byte_of_the_zip_that_is_flipped_is_refused_or_changes_nothing(
    tmp_path: Path, sold: Sold
) -> None:
    whole = sold.evidence.read_bytes()
    path, good = tmp_path / "flipped.zip", said(chain_of(sold.evidence, sold.keys()))
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        try:
            chain = chain_of(path, sold.keys())
        except MintageError:
            continue
        # Dates and hints of a zip are no part of what is signed.
        assert chain.broken is not None or said(chain) == good


def test_a_length_that_swallows_the_files_behind_it_is_refused_by_either_checker(
    tmp_path: Path, sold: Sold
) -> None:
    data = bytearray(sold.evidence.read_bytes())
    data[data.index(b"PK\x01\x02") + 33] ^= 0x10  # of the length of the first one's comment
    path = tmp_path / "swallowed.zip"
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(sold.evidence) as whole:
        assert len(archive.namelist()) == 1 < len(whole.namelist())
    with pytest.raises(DataError, match="more beside it than its name"):
        chain_of(path, sold.keys())
    verify, follower = tool("verify"), tool("verify_invoice")
    with pytest.raises(verify.Refused, match="more beside it than its name"):
        follower.walk(path, [], None)


def test_anything_signed_is_verified_and_said_what_it_is(sold: Sold, tmp_path: Path) -> None:
    verifier = Verifying(sold.keys())

    def kind_of(path: Path) -> str:
        return str(verifier.verify(str(path), Silent()).document["kind"])

    found = {
        kind_of(sold.folder / "invoice.json"),
        kind_of(sold.folder / "receipts" / "1.json"),
        kind_of(sold.home / "models" / "pets" / "1"),
        kind_of(next((sold.home / "datasets" / "pets").iterdir())),
    }
    assert found == {"invoice", "receipt", "model", "dataset"}
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="nothing that Mintage signs"):
        kind_of(tmp_path / "x.json")


def test_a_folder_of_other_things_is_no_folder_of_receipts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        kept_receipts(tmp_path / "none")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="holds no receipt"):
        kept_receipts(tmp_path)


def test_two_receipts_of_one_event_that_differ_are_not_passed_over(
    sold: Sold, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sold.folder / "receipts", tmp_path / "kept"))
    first = json.loads((folder / "1.json").read_text())
    envelope = first["receipt"]["envelope"] if "receipt" in first else first
    said = json.loads(base64.b64decode(envelope["payload"])) | {"price": "0.01"}
    (folder / "other.json").write_text(
        json.dumps(envelope | {"payload": base64.b64encode(canonical_json(said)).decode()})
    )
    with pytest.raises(DataError, match="says something else of evt_"):
        kept_receipts(folder)


def test_of_a_call_that_was_changed_no_receipt_is_signed_again(tmp_path: Path, sold: Sold) -> None:
    home = Path(shutil.copytree(sold.home, tmp_path / "home"))
    with sqlite3.connect(home / "mintage.db") as database:
        database.execute("UPDATE usage_events SET output_sha256 = ?", ["0" * 64])
    with opened(home) as app, pytest.raises(LogForked, match="not what was logged"):
        list(app.billing.evidence(sold.number).archived())
