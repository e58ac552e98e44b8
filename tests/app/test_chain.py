"""From an invoice to the data behind its answers: real calls make a chain; each link can fail."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import InProcess, serving
from tests.conftest import ManualClock
from tests.scripted_upstream import scripted_upstream

from mintage.api.application import customer_app
from mintage.app.chaining import kept_receipts, opened_evidence, walked
from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.app.verifying import Verifying
from mintage.capture.chain.checks import Chain
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, MintageError, TrustError
from mintage.core.files import write_parts
from mintage.core.money import decimal_text
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Upstream
from mintage.trust.dsse import sign_envelope
from mintage.trust.given import GivenKeys, given_keys
from mintage.trust.keys import KeyRing
from mintage.trust.statements import open_statement, sign_document

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


def chain_of(path: Path, keys: Any, receipts: Path | None = None) -> Chain:
    with opened_evidence(path) as evidence:
        return walked(evidence, keys, receipts)


def said(chain: Chain) -> list[str]:
    def below(step: Any) -> Iterator[str]:
        yield f"{step.mark} {step.said}"
        for each in step.steps:
            yield from below(each)

    return list(below(chain.root))


def rewritten(
    sold: Sold, target: Path, changes: dict[str, Callable[[bytes], bytes | None]]
) -> Path:
    """The evidence with some of its files otherwise; None takes one out."""
    path = target / "changed.zip"
    with zipfile.ZipFile(sold.evidence) as source, zipfile.ZipFile(path, "w") as written:
        for name in source.namelist():
            data: bytes | None = source.read(name)
            for wanted, change in changes.items():
                if name.endswith(wanted):
                    data = change(source.read(name))
            if data is not None:
                written.writestr(name, data)
    return path


def line_changed(number: int, change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        lines = data.splitlines()
        document = json.loads(lines[number])
        change(document)
        lines[number] = canonical_json(document)
        return b"\n".join(lines) + b"\n"

    return changed


def in_record(name: str, value: Any) -> Callable[[bytes], bytes]:
    def change(document: Any) -> None:
        record = json.loads(document["record"])
        document["record"] = canonical_json({**record, name: value}).decode()

    return line_changed(1, change)


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


def other_signature(data: bytes) -> bytes:
    """The bundle's statement, signed by somebody else."""
    return data.replace(b'"sig":"ME', b'"sig":"MF')


def renamed(data: bytes) -> bytes:
    return data.replace(b"mintage.local/log", b"mintage.other/log")


def resigned(sold: Sold, kind: str, change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """A document that the seller signed, with something else in it."""

    def again(data: bytes) -> bytes:
        keys = sold.signers()
        document: Any = json.loads(canonical_json(open_statement(data, keys).document))
        change(document)
        return sign_document(kind, document, keys.signer("receipt"))  # type: ignore[arg-type]

    return again


def more_units(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    line["units"], line["products"] = 6, {"pets": 6}


def another_root(document: Any) -> None:
    document["lines"][0]["events_root"] = "0" * 64


def dearer(document: Any) -> None:
    document["lines"][0]["amount"] = "7"


def another_price(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    others = Fraction(document["net"]) - Fraction(line["amount"])
    line |= {"exact": "5", "amount": "5"}
    line["steps"][0] |= {"price": "1", "amount": "5"}
    line.pop("residue", None)
    document["net"] = document["total"] = decimal_text(others + 5)


def a_line_twice(document: Any) -> None:
    line = next(each for each in document["lines"] if each["unit"] == "image")
    document["lines"].append(line)
    total = sum(Fraction(each["amount"]) for each in document["lines"])
    document["net"] = document["total"] = decimal_text(total)


def of_the_next_month(document: Any) -> None:
    document["period"] = "2026-12"


def without_its_events(document: Any) -> None:
    for name in ("until", "after", "events", "events_root"):
        document["lines"][0].pop(name)


def first_two_swapped(data: bytes) -> bytes:
    first, second, *others = data.splitlines(keepends=True)
    return b"".join([second, first, *others])


BROKEN: dict[str, tuple[str, Callable[[Sold], Callable[[bytes], bytes | None]], str]] = {
    "the invoice's bytes": (
        "invoice.json",
        lambda _sold: lambda data: data.replace(b'"sig":"ME', b'"sig":"MF'),
        "no trusted key|not a DSSE",
    ),
    "a line twice": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", a_line_twice),
        "another line is of the same usage",
    ),
    "another month": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", of_the_next_month),
        "is of another month",
    ),
    "a line without events": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", without_its_events),
        "says nothing of its events",
    ),
    "its units": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", more_units),
        "charges 6 units, and its events sum to 5",
    ),
    "its root": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", another_root),
        "not those that it was computed from",
    ),
    "its total": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", lambda said: said.update(total="99")),
        "does not add up: the total",
    ),
    "its amount": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", dearer),
        "line 1 is another sum",
    ),
    "its price": (
        "invoice.json",
        lambda sold: resigned(sold, "invoice", another_price),
        "not what its units cost by the plan",
    ),
    "an event's price": (
        "events.jsonl",
        lambda _sold: in_record("price", "0.01"),
        "not in the log of this root",
    ),
    "an event's salt": (
        "events.jsonl",
        lambda _sold: line_changed(1, lambda said: said.update(salt="00" * 16)),
        "not in the log of this root",
    ),
    "an event's position": (
        "events.jsonl",
        lambda _sold: line_changed(1, lambda said: said.update(position=said["position"] + 1)),
        "The proof for position .* is of another",
    ),
    "an event's line": (
        "events.jsonl",
        lambda _sold: line_changed(1, lambda said: said.update(lines=[])),
        "it is of 5 events, and 4 are held",
    ),
    "the order of events": (
        ".jsonl",
        lambda _sold: lambda data: b"\n".join(reversed(data.splitlines())) + b"\n",
        "not in the order of the log|of another line",
    ),
    "a path": (
        "proofs.jsonl",
        lambda _sold: line_changed(1, lambda said: said["path"].reverse()),
        "not in the log of this root",
    ),
    "the head": ("head.txt", lambda _sold: renamed, "not signed by the key|was changed after"),
    "the head's size": (
        "head.txt",
        lambda _sold: lambda data: data.replace(data.split(b"\n")[1], b"99999", 1),
        "changed after",
    ),
    "a receipt": (
        "receipts.jsonl",
        lambda _sold: line_changed(2, lambda said: said.update(payload="e30=")),
        "no trusted key",
    ),
    "receipts changed places": (
        "receipts.jsonl",
        lambda _sold: first_two_swapped,
        "says something else",
    ),
    "the plan": (
        "plans/standard@1.json",
        lambda _sold: lambda data: data.replace(b'"sig":"ME', b'"sig":"MF'),
        "no trusted key|not a DSSE",
    ),
    "another plan": (
        "plans/standard@1.json",
        lambda sold: resigned(sold, "plan", lambda said: said.update(version=2)),
        "This is plan/standard@2, not plan/standard@1",
    ),
    "the bundle's signature": (
        "/signature.json",
        lambda _sold: other_signature,
        "no trusted key|changed outside|not a signature|not a DSSE",
    ),
    "the evaluation": (
        "evaluation.json",
        lambda _sold: lambda data: data.replace(b'"accuracy":', b'"accuracy": '),
        "evaluation.json is not what was signed",
    ),
    "the bundle's manifest": (
        "bundle.json",
        lambda _sold: lambda data: data + b" ",
        "bundle.json is not what was signed",
    ),
    "the dataset's card": (
        "card.json",
        lambda _sold: lambda data: data + b" ",
        "card.json is not what was signed",
    ),
}


@pytest.mark.parametrize("link", BROKEN)
def test_each_link_that_is_broken_is_named(sold: Sold, tmp_path: Path, link: str) -> None:
    name, change, reason = BROKEN[link]
    path = rewritten(sold, tmp_path, {name: change(sold)})
    chain = chain_of(path, sold.keys())
    assert isinstance(chain.broken, TrustError), said(chain)
    with pytest.raises(TrustError, match=reason):
        raise chain.broken
    assert sum(each.startswith("broken ") for each in said(chain)) >= 1


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
        (["bundles/"], "not held"),
        (["datasets/"], "not held"),
        (["plans/"], "its signed file is not held"),
        (["head.txt"], "the events of its lines are not held"),
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
    assert "trusted" in str(chain.broken)


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
        archive.writestr("head.txt", b"x")
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
        assert chain.broken is not None or said(chain)[0] == good[0]


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
