"""tools/verify*.py: what was sold is checked by three files that have nothing of our code."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mintage.app.verifying import Verifying
from mintage.bundle.archive import pack
from mintage.core.errors import MintageError, TrustError
from mintage.core.progress import Silent
from mintage.trust import signing
from mintage.trust.keys import KeyRing
from mintage.trust.signing import sign_files
from tests.sold import ROLES, Sold, opened, sold
from tests.tamperings import BROKEN, rewritten

__all__ = ["sold"]  # a fixture

TOOLS = Path(__file__).parent.parent / "tools"
TOOL = TOOLS / "verify.py"


class Checked:
    def __init__(self, what: Path, *words: object) -> None:
        # -E: nothing of this repository is on the path, but what lies beside the tool.
        words = (sys.executable, "-E", "-s", TOOL, what, *map(str, words))
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "Traceback" not in ran.stderr
        self.status, self.said = ran.returncode, ran.stdout


@pytest.fixture
def check(sold: Sold) -> Callable[..., Checked]:
    def checked(what: Path, *words: object, roles: tuple[str, ...] = ROLES) -> Checked:
        keys = [word for role in roles for word in ("--key", sold.folder / f"{role}.pub")]
        return Checked(what, *keys, *words)

    return checked


def test_they_import_nothing_but_python_cryptography_and_one_another() -> None:
    texts = [tool.read_text().splitlines() for tool in TOOLS.glob("verify*.py")]
    modules = {
        line.split()[1].split(".")[0]
        for lines in texts
        for line in lines
        if line.startswith(("import", "from"))
    }
    mine = {"cryptography", "verify", "verify_prices"}  # others are asked for where they are needed
    assert modules - sys.stdlib_module_names == mine
    assert all(len(lines) < 600 for lines in texts)  # they are to be read as a whole


def test_an_invoice_is_followed_to_the_data_that_its_answers_rest_on(
    sold: Sold, check: Callable[..., Checked]
) -> None:
    found = check(sold.evidence, "--receipts", sold.folder / "receipts")
    assert found.status == 0
    for said in (
        f"✓ invoice/{sold.number}: as key",
        "✓ 6 events: each in the log as it was recorded",
        "receipts are of these events, and say the same",
        "✓ line 3: 5 image of standard@1, the sum of its 5 events",
        "? answers of 'model', a model of others",
        "✓ bundle pets@1",
        "✓ dataset pets#",
    ):
        assert said in found.said


def test_whatever_is_signed_is_told_by_what_it_is(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    with opened(sold.home) as app:
        head, log = tmp_path / "head.txt", tmp_path / "log.jsonl"
        early = app.auditing.head()
        app.capture.customers.add("Late")
        head.write_text(app.auditing.head().note)
        app.auditing.export(log)
        (tmp_path / "old.txt").write_text(early.note)
        (tmp_path / "entry.json").write_text(json.dumps(app.auditing.prove("1")))
        grown = app.auditing.prove_since(str(early.size))
        (tmp_path / "grown.json").write_text(json.dumps(grown))
    (dataset,) = (sold.home / "datasets/pets").iterdir()
    for what, words, said in (
        (sold.folder / "invoice.json", (), f"invoice/{sold.number}: as key"),
        (sold.folder / "receipts/1.json", (), "image"),
        (sold.home / "models/pets/1", (), "bundle pets@1: "),
        (dataset, (), "examples: each is what its name says"),
        (head, (), "the head of mintage.local/log"),
        (log, ("--head", head, "--head", tmp_path / "old.txt"), "first entries are those that"),
        (tmp_path / "entry.json", (), "the entry at 1 is among the"),
        (tmp_path / "grown.json", ("--head", tmp_path / "old.txt"), "begins with the"),
    ):
        found = check(what, *words)
        assert (found.status, said in found.said) == (0, True), found.said


def test_a_key_of_one_role_signs_nothing_of_another(
    sold: Sold, check: Callable[..., Checked]
) -> None:
    found = check(sold.folder / "invoice.json", roles=("bundle", "data", "log"))
    assert (found.status, "no given key of the role receipt" in found.said) == (3, True)


@pytest.mark.parametrize("link", BROKEN)
def test_whatever_mintage_refuses_of_an_invoice_is_refused_with_a_reason(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path, link: str
) -> None:
    done = BROKEN[link]
    found = check(rewritten(sold, tmp_path, {done.name: done.change(sold)}))
    assert (found.status, bool(re.search(done.tools, found.said))) == (3, True), found.said


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def signed_as(*names: str) -> Callable[[Path], object]:
    """Whoever has the key signs files of these names."""

    def harm(folder: Path) -> None:
        files = dict.fromkeys(names, b"")
        problem = signing._name_problem
        signing._name_problem = lambda _names: ""
        try:
            signer = KeyRing(folder.parent / "keys").signer("bundle")
            (folder / "signature.json").write_bytes(sign_files(files, "pets@1", signer))
        finally:
            signing._name_problem = problem

    return harm


HARMED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "changed": (write("card.md", "Better."), "card.md was changed", "card.md is changed"),
    "gone": (lambda at: (at / "card.md").unlink(), "card.md is missing", "card.md is missing"),
    "more": (write("more.md", ""), "more.md is not signed", "more.md is unsigned"),
    "a folder": (lambda at: (at / "empty").mkdir(), "empty/ is not signed", "empty/ is not signed"),
    "a link": (
        lambda at: (at / "link").symlink_to("card.md"),
        "link is a symbolic link",
        "link is a symbolic link",
    ),
    "a pipe": (lambda at: os.mkfifo(at / "pipe"), "neither a file nor", "link, or no file"),
    "a pipe in place of the signature": (
        lambda at: ((at / "signature.json").unlink(), os.mkfifo(at / "signature.json")),
        "signature",
        "link, or no file",
    ),
    "no signature in it": (write("signature.json", "{}"), "not a signature", "is no signature"),
    "a member twice": (
        lambda at: (at / "signature.json").write_bytes(
            (at / "signature.json").read_bytes().replace(b"{", b'{"mediaType":"",', 1)
        ),
        "changed outside what it signs|not a signature",
        "two members of one name",
    ),
    "no signature": (
        lambda at: (at / "signature.json").unlink(),
        "is not signed",
        "signature.json",
    ),
    "a name that ends in a dot": (signed_as("card.md."), "not a plain relative", "safe everywhere"),
    "names that are equivalent": (
        signed_as("\u00e9", "e\u0301"),
        "one file where",
        "safe everywhere",
    ),
    "names that differ in case": (signed_as("A", "a"), "one file where", "safe everywhere"),
}


@pytest.mark.parametrize("what", HARMED)
def test_a_bundle_that_is_not_what_was_signed_is_refused_by_either_checker(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path, what: str
) -> None:
    harm, ours, theirs = HARMED[what]
    shutil.copytree(sold.home / "keys", tmp_path / "keys")
    folder = Path(shutil.copytree(sold.home / "models/pets/1", tmp_path / "bundle"))
    harm(folder)
    with pytest.raises(TrustError, match=ours):
        Verifying(sold.keys()).verify(str(folder), Silent())
    found = check(folder)
    assert found.status in (2, 3)
    assert re.search(theirs, found.said), found.said


def zipped_anew(method: int, **more: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(target, "w", method) as to:
            for name in given.namelist():
                to.writestr(name, given.read(name))
            for name, content in more.items():
                to.writestr(name, content)
        return target.getvalue()

    return change


ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "compressed": (zipped_anew(zipfile.ZIP_DEFLATED), "is compressed"),
    "by another program": (zipped_anew(zipfile.ZIP_STORED), "not spelled as mintage export"),
    "with one file more": (zipped_anew(zipfile.ZIP_STORED, more=b""), "not spelled|unsigned"),
    "behind a program": (lambda data: b"#!/bin/sh\n" + data, "not spelled|nothing that|damaged"),
    "with something behind it": (lambda data: data + b"\0", "not spelled|damaged"),
    "twice": (lambda data: data + data, "not spelled|damaged"),
    "a byte of it": (
        lambda data: data.replace(b'"accuracy"', b'"accuracx"', 1),
        "damaged|not spelled|is changed",
    ),
    "cut short": (lambda data: data[:-7], "damaged"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_a_bundle_in_one_file_has_one_spelling_for_either_checker(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path, what: str
) -> None:
    change, theirs = ARCHIVES[what]
    folder = sold.home / "models/pets/1"
    path = tmp_path / "pets.mintage"
    data = pack({each.name: each.read_bytes() for each in folder.iterdir()})
    path.write_bytes(data)
    whole = check(path)
    assert (whole.status, "files as signed" in whole.said) == (0, True), whole.said
    path.write_bytes(change(data))
    with pytest.raises(MintageError):
        Verifying(sold.keys()).verify(str(path), Silent())
    found = check(path)
    assert found.status == 3
    assert re.search(theirs, found.said), found.said


@pytest.mark.parametrize("name", ["pipe.json", "pipe.zip", "pipe.mintage"])
def test_a_pipe_is_not_waited_for_by_either_checker(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path, name: str
) -> None:
    verifier, path = Verifying(sold.keys()), tmp_path / name
    os.mkfifo(path)
    with pytest.raises(MintageError, match="is no file"):
        verifier.chain(str(path))
    with pytest.raises(MintageError, match="is not a bundle"):
        verifier.verify(str(path), Silent())
    found = check(path)
    assert (found.status, "no file" in found.said or "neither a file" in found.said) == (3, True)


def test_a_log_that_was_rewritten_does_not_begin_with_the_kept_head(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    with opened(sold.home) as app:
        __, head = app.auditing.export(tmp_path / "log.jsonl")
        (tmp_path / "head.txt").write_text(head.note)
    lines = (tmp_path / "log.jsonl").read_bytes().splitlines(keepends=True)
    salted = lines[3].replace(b'"salt":"', b'"salt":"00')
    for told, kept in (
        ("does not begin with", lines[:-1]),
        ("is missing", [*lines[:3], *lines[4:]]),
        ("does not begin with", [*lines[:3], salted, *lines[4:]]),
    ):
        (tmp_path / "log.jsonl").write_bytes(b"".join(kept))
        found = check(tmp_path / "log.jsonl", "--head", tmp_path / "head.txt")
        assert (found.status, told in found.said) == (3, True), found.said


def test_what_is_stripped_from_the_evidence_is_said_to_be_unchecked(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    kept = ("invoice.json", "plans/standard@1.json")
    with zipfile.ZipFile(sold.evidence) as given, zipfile.ZipFile(tmp_path / "e.zip", "w") as made:
        for each in kept:
            made.writestr(each, given.read(each))
    found = check(tmp_path / "e.zip")
    assert found.status == 0
    for number in (1, 2, 3):
        assert f"? line {number}: its events are not held" in found.said


def test_a_key_that_signs_notes_signs_nothing_else_and_the_root_nothing_here(
    sold: Sold, tmp_path: Path
) -> None:
    for name, key in (("mine.pub", "log.pub"), ("root.pub", "receipt.pub")):
        shutil.copy(sold.folder / key, tmp_path / name)
        found = Checked(sold.folder / "invoice.json", "--key", tmp_path / name)
        assert (found.status, "no given key of the role receipt" in found.said) == (3, True)
    shutil.copy(sold.folder / "log.pub", tmp_path / "witness.pub")
    with opened(sold.home) as app:
        (tmp_path / "head.txt").write_text(app.auditing.head().note)
    found = Checked(tmp_path / "head.txt", "--key", tmp_path / "witness.pub")
    assert (found.status, "by none of the given keys" in found.said) == (3, True)


def test_an_export_that_begins_twice_is_no_log(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    with opened(sold.home) as app:
        app.auditing.export(tmp_path / "log.jsonl")
    begun, *entries = (tmp_path / "log.jsonl").read_bytes().splitlines(keepends=True)
    unsigned = check(tmp_path / "log.jsonl")
    assert (unsigned.status, unsigned.said.startswith("?")) == (0, True)
    (tmp_path / "log.jsonl").write_bytes(b"".join([begun, *entries, begun, *entries]))
    found = check(tmp_path / "log.jsonl")
    assert (found.status, "begins twice" in found.said) == (3, True)


def test_a_folder_of_receipts_that_is_not_there_is_said(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    assert check(sold.evidence, "--receipts", sold.folder / "receipts").status == 0
    assert check(sold.evidence, "--receipts", tmp_path / "nowhere").status == 2


def test_whatever_bit_of_the_zip_is_flipped_the_reason_is_said_or_nothing_changes(
    sold: Sold, check: Callable[..., Checked], tmp_path: Path
) -> None:
    whole, path = sold.evidence.read_bytes(), tmp_path / "flipped.zip"
    good = check(sold.evidence).said
    for number, place in enumerate(range(7, len(whole), len(whole) // 24)):
        data = bytearray(whole)
        data[place] ^= 1 << number % 8
        path.write_bytes(data)
        found = check(path)
        assert (found.status, "✗" in found.said) == (3, True) or found.said == good, place


def test_without_the_files_beside_it_the_rest_is_refused_with_what_to_do(
    sold: Sold, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(TOOL, tmp_path))
    with opened(sold.home) as app:
        app.auditing.export(tmp_path / "log.jsonl")
    for what, file in (
        (sold.evidence, "verify_invoice.py"),
        (tmp_path / "log.jsonl", "verify_log.py"),
    ):
        words = (sys.executable, "-E", "-s", alone, what, "--key", sold.folder / "receipt.pub")
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (ran.returncode, f"put {file} beside verify.py" in ran.stdout) == (3, True)
        assert "Traceback" not in ran.stderr
