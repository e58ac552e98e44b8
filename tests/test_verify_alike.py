"""What ``mintage verify --chain`` and tools/verify_invoice.py took differently, they take alike."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mintage.app.verifying import Verifying
from mintage.capture.chain.evidence import Proof
from mintage.capture.chain.logs import Logs
from mintage.capture.chain.models import check_bundle
from mintage.capture.chain.steps import Step
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import LogForked, MintageError
from mintage.core.messages import _
from mintage.core.progress import Silent
from mintage.trust.given import given_keys
from mintage.trust.inclusions import Place
from mintage.trust.keys import KeyRing
from mintage.trust.merkle import leaf_hash
from mintage.trust.notes import sign_head
from mintage.trust.signing import files_digest, sign_files
from tests.sold import ROLES, Sold, opened, sold
from tests.tamperings import line_changed, rewritten
from tests.the_tools import tool, verify

__all__ = ["sold"]  # a fixture


def by_the_tool(sold: Sold, what: Path) -> tuple[int, str]:
    keys = [word for role in ROLES for word in ("--key", sold.folder / f"{role}.pub")]
    return verify(what, *keys)


def test_the_entry_that_set_a_plan_is_checked_where_its_signed_file_is_not_held(
    sold: Sold, tmp_path: Path
) -> None:
    without: Any = {"plans/standard@1.json": lambda __: None}
    path = rewritten(sold, tmp_path, without)
    assert Verifying(sold.keys()).chain(str(path)).broken is None
    status, said = by_the_tool(sold, path)
    assert (status, "its signed file is not held" in said) == (0, True)
    salted = line_changed(0, lambda said: said.update(salt="00" * 16))
    path = rewritten(sold, tmp_path, without | {"entries.jsonl": salted})
    found = Verifying(sold.keys()).chain(str(path)).broken
    assert found is not None
    assert "not in the log of this root" in found.message
    status, said = by_the_tool(sold, path)
    assert (status, "not in the log of this head" in said) == (3, True)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data.replace(b"{", b"{" + b" " * 2_000_000, 1)]
)
def test_a_line_of_an_export_without_an_end_or_measure_is_refused(
    sold: Sold, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path, kept = tmp_path / "log.jsonl", tmp_path / "kept.txt"
    with opened(sold.home) as app:
        kept.write_text(app.auditing.head().note)
        app.auditing.export(path)
    keys = given_keys([sold.folder / "log.pub"])
    words = ("--key", sold.folder / "log.pub", "--head", kept)
    Verifying(keys).verify(str(path), Silent(), heads=[kept])
    assert verify(path, *words)[0] == 0
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MintageError):
        Verifying(keys).verify(str(path), Silent(), heads=[kept])
    assert verify(path, *words)[0] == 3


def test_a_path_that_is_not_there_proves_nothing_in_a_log_of_one_entry(keys: KeyRing) -> None:
    found = leaf_hash(b"an entry")
    head = sign_head(1, found, "example.com/log", keys.signer("log"))
    logs = Logs.opened({1: head.note}, None, [keys.signer("log").public])
    assert logs.has(Proof(0, Place(1, 0, ())), 0, found)
    with pytest.raises(LogForked, match="proof for position 0 is missing"):
        logs.has(Proof(0, Place(1, 0, None)), 0, found)
    log = tool("verify_invoice").Log(0, None, (head.origin, 1, found))
    proof = {"position": 0, "index": 0, "path": []}
    assert log.has(proof, found)
    with pytest.raises(tool().Refused, match="proof for position 0 is missing"):
        log.has(proof | {"path": None}, found)


@pytest.mark.parametrize("dataset", [{}, {"dataset": None}, {"dataset": {"name": "pets"}}])
def test_a_bundle_that_names_no_dataset_ends_the_chain_and_is_no_fault(
    keys: KeyRing, tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: dict[str, Any]
) -> None:
    files = {"bundle.json": canonical_json(dataset), "evaluation.json": b"{}"}
    digest = files_digest({name: sha256_hex(data) for name, data in files.items()})
    held = files | {"signature.json": sign_files(files, "pets@1", keys.signer("bundle"))}
    evidence: Any = SimpleNamespace(upstreams={}, bundle=lambda __: held)
    root = Step(_("the invoice"))
    given: Any = SimpleNamespace(public_keys=lambda __: [keys.signer("bundle").public])
    check_bundle(root, evidence, given, digest, ("pets", "1"))
    assert [str(each.said) for each in root.open()] == ["dataset: the bundle names none"]
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        for name, data in held.items():
            archive.writestr(f"bundles/{digest}/{name}", data)
    invoice = tool("verify_invoice")
    (tmp_path / "bundle.pub").write_bytes(keys.signer("bundle").public.pem)
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        chain = SimpleNamespace(held=invoice.Held(archive), upstreams={})
        chain.keys = tool().keys_of([tmp_path / "bundle.pub"])
        invoice.Chain.check_bundle(chain, digest, "pets@1")
    assert "? dataset: bundle pets@1 names none" in capsys.readouterr().out


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")
