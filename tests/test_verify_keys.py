"""A list of keys says the same to ``mintage verify`` and to tools/verify.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mintage.app.public_keys import public_keys
from mintage.app.root import App
from mintage.app.verifying import Verifying
from mintage.core.canonical import canonical_json
from mintage.core.errors import MintageError
from mintage.core.progress import Silent
from mintage.trust.given import given_keys
from mintage.trust.keys import KeyRing
from mintage.trust.notes import sign_head
from mintage.trust.signer import Signer
from mintage.trust.statements import open_statement, sign_document
from tests.sold import Sold, opened, sold
from tests.tamperings import resigned
from tests.the_tools import verify

__all__ = ["sold"]  # a fixture
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Publisher:
    """Whoever sold, with a list of keys; ``former`` is what signed before, as a thief has it."""

    home: Path
    folder: Path
    former: dict[str, Signer]

    def change(self, act: Callable[[App], object]) -> None:
        """Do something to the keys, and publish what there is then."""
        with opened(self.home) as app:
            act(app)
            (self.folder / "keys.json").write_bytes(app.signing_keys.publish()[1])
            (self.folder / "root.pub").write_bytes(app.signing_keys.root().pem)
            plain = public_keys(app.keys, app.workspace.now())
            (self.folder / "plain.json").write_text(json.dumps(plain))

    def check(self, what: Path, *lists: str) -> tuple[bool, bool, str]:
        """Whether Mintage believes it, whether the tool does, and what they say of it."""
        given = [self.folder / name for name in lists]
        try:
            keys = given_keys(given)
            if what.suffix == ".zip":
                chain = Verifying(keys).chain(str(what))
                if chain.broken is not None:
                    raise chain.broken
            else:
                Verifying(keys).verify(str(what), Silent())
            ours, reason = True, ""
        except MintageError as error:
            ours, reason = False, str(error.message)
        words = [word for path in given for word in ("--key", path)]
        status, told = verify(what, *words)
        return ours, status == 0, f"{reason}\n{told}"


@pytest.fixture
def publisher(sold: Sold, tmp_path: Path) -> Publisher:
    home = Path(shutil.copytree(sold.home, tmp_path / "home"))
    shutil.copytree(sold.folder, folder := tmp_path / "held")
    ring = KeyRing(home / "keys")
    return Publisher(home, folder, {role: ring.signer(role) for role in ("receipt", "log")})


def rotate_all(app: App) -> None:
    for role in ("receipt", "log", "bundle", "data"):
        app.signing_keys.rotate(role)  # type: ignore[arg-type]


def test_what_rotated_keys_signed_holds_by_a_list_that_its_root_signed(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.change(rotate_all)
    for what in ("evidence.zip", "invoice.json", "receipts/1.json"):
        for lists in (("keys.json", "root.pub"), ("keys.json",), ("plain.json",)):
            ours, tools, said = publisher.check(publisher.folder / what, *lists)
            assert (ours, tools) == (True, True), said
            assert ("✓ keys.json" in said) == ("root.pub" in lists)
    ours, tools, said = publisher.check(publisher.folder / "keys.json", "root.pub")
    assert (ours, tools) == (True, True), said
    another = KeyRing(tmp_path / "another").signer("root").public.pem
    (publisher.folder / "root.pub").write_bytes(another)
    for what, lists in (("invoice.json", ("keys.json", "root.pub")), ("keys.json", ("root.pub",))):
        ours, tools, said = publisher.check(publisher.folder / what, *lists)
        assert (ours, tools) == (False, False), said


@pytest.mark.parametrize("spoil", [b"", b" ", b"[]", b"{", b"x"])
def test_a_list_that_was_changed_is_no_list_of_its_root(publisher: Publisher, spoil: bytes) -> None:
    publisher.change(rotate_all)
    path = publisher.folder / "keys.json"
    path.write_bytes(path.read_bytes().replace(b'"sig":"ME', b'"sig":"MF') + spoil)
    for what, lists in (("invoice.json", ("keys.json", "root.pub")), ("keys.json", ("root.pub",))):
        ours, tools, said = publisher.check(publisher.folder / what, *lists)
        assert (ours, tools) == (False, False), said


@pytest.mark.parametrize("lists", [("keys.json", "root.pub"), ("plain.json",)])
def test_what_says_that_it_is_of_after_its_keys_end_is_refused_by_either_checker(
    sold: Sold, publisher: Publisher, lists: tuple[str, ...]
) -> None:
    publisher.change(rotate_all)
    former = publisher.former["receipt"]
    for moment, holds in (("2026-12-04T00:04:00.000000Z", True), ("2026-12-05", False)):
        document: Any = json.loads(
            canonical_json(
                open_statement((sold.folder / "invoice.json").read_bytes(), sold.keys()).document
            )
        )
        document["issued_at"] = moment if holds else f"{moment}T00:00:00.000000Z"
        path = publisher.folder / "dated.json"
        path.write_bytes(sign_document("invoice", document, former))
        ours, tools, said = publisher.check(path, *lists)
        assert (ours, tools) == (holds, holds), said


@pytest.mark.parametrize("lists", [("keys.json", "root.pub"), ("keys.json",), ("plain.json",)])
@pytest.mark.parametrize("role", ["receipt", "log"])
def test_what_a_revoked_key_signed_is_refused_by_either_checker(
    publisher: Publisher, role: str, lists: tuple[str, ...]
) -> None:
    def revoke(app: App) -> None:
        app.signing_keys.revoke(publisher.former[role].key_id, "stolen", LONG_AGO)

    publisher.change(revoke)
    # Given by itself too, it is what the list says of it.
    ours, tools, said = publisher.check(publisher.folder / "evidence.zip", *lists, f"{role}.pub")
    assert (ours, tools) == (False, False), said
    assert "revoked" in said.lower()


@pytest.mark.parametrize("how", ["rotated", "revoked"])
def test_a_head_by_a_former_key_is_believed_up_to_where_another_followed(
    publisher: Publisher, how: str
) -> None:
    former = publisher.former["log"]
    with opened(publisher.home) as app:
        origin = app.auditing.head().origin

    def change(app: App) -> None:
        if how == "rotated":
            app.signing_keys.rotate("log")
        else:
            app.signing_keys.revoke(former.key_id, "stolen")

    publisher.change(change)
    (known,) = [
        key
        for key in given_keys([publisher.folder / "keys.json"]).public_keys("log")
        if key.key_id == former.key_id
    ]
    last = known.last_head
    assert last is not None
    path = publisher.folder / "head.txt"
    for size, root, name, holds in (
        (last.size, last.root, origin, True),
        (last.size - 1, bytes(32), origin, True),
        (last.size, bytes(32), origin, False),
        (last.size + 1, bytes(32), origin, False),
        (1, bytes(32), f"{origin}/2", False),
        (1, bytes(32), "example.com/log", False),
    ):
        path.write_text(sign_head(size, root, name, former).note)
        ours, tools, said = publisher.check(path, "keys.json", "root.pub")
        expected = holds and how == "rotated"
        assert (ours, tools) == (expected, expected), (size, name, said)


def test_a_resigned_invoice_of_a_listed_key_is_one_like_any(
    sold: Sold, publisher: Publisher
) -> None:
    publisher.change(lambda __: None)
    change = resigned(sold, "invoice", lambda document: document.update(due_at="2027-01-01"))
    path = publisher.folder / "again.json"
    path.write_bytes(change((sold.folder / "invoice.json").read_bytes()))
    ours, tools, said = publisher.check(path, "keys.json", "root.pub")
    assert (ours, tools) == (True, True), said
