"""A witness's line on a note: what it says, whose it is, and that nothing of it can change."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from mintage.core.errors import ConfigError, SignatureMismatch
from mintage.trust.cosigning import cosign, cosigned
from mintage.trust.keys import KeyRing
from mintage.trust.notes import sign_head, verify_note

MOMENT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
WITNESS = "witness.example.com/w1"


@pytest.fixture
def note(keys: KeyRing) -> str:
    return sign_head(3, bytes(32), "example.com/log", keys.signer("log")).note


@pytest.fixture
def witness(tmp_path) -> KeyRing:
    return KeyRing(tmp_path / "witness")


def test_a_cosigned_note_is_still_the_logs_and_says_when_it_was_seen(
    note: str, keys: KeyRing, witness: KeyRing
) -> None:
    signed = cosign(note, WITNESS, witness.signer("log"), MOMENT)
    assert signed.startswith(note)
    assert cosigned(signed, WITNESS, witness.signer("log").public)[0] == MOMENT
    assert verify_note(signed, keys.signer("log").public, "example.com/log").size == 3


def test_the_line_is_that_of_the_published_format(note: str, witness: KeyRing) -> None:
    line = cosign(note, WITNESS, witness.signer("log"), MOMENT).removeprefix(note)
    found = base64.b64decode(line.split(" ")[2])
    assert len(found) == 4 + 8 + 64
    assert int.from_bytes(found[4:12], "big") == int(MOMENT.timestamp())
    body = note.partition("\n\n")[0] + "\n"
    message = f"cosignature/v1\ntime {int(MOMENT.timestamp())}\n{body}".encode()
    assert witness.signer("log").public.verify(found[12:], message)


@pytest.mark.parametrize("place", [0, 20, 40, -8])
def test_whatever_is_changed_of_the_head_or_the_line_is_refused(
    note: str, witness: KeyRing, place: int
) -> None:
    signed = cosign(note, WITNESS, witness.signer("log"), MOMENT)
    other = "B" if signed[place] != "B" else "C"
    changed = signed[:place] + other + signed[place:][1:]
    with pytest.raises(SignatureMismatch):
        cosigned(changed, WITNESS, witness.signer("log").public)


def test_another_witness_or_the_logs_own_signature_is_none_of_this_one(
    note: str, keys: KeyRing, witness: KeyRing
) -> None:
    signed = cosign(note, WITNESS, witness.signer("log"), MOMENT)
    for name, key in (("other.example/w", witness), (WITNESS, keys), ("example.com/log", keys)):
        with pytest.raises(SignatureMismatch, match="no cosignature by"):
            cosigned(signed, name, key.signer("log").public)


def test_a_name_that_could_be_read_in_two_ways_is_refused(note: str, witness: KeyRing) -> None:
    for name in ("", "a b", "a+b"):
        with pytest.raises(ConfigError, match="Not a name"):
            cosign(note, name, witness.signer("log"), MOMENT)


def test_what_is_no_note_has_no_cosignature(witness: KeyRing) -> None:
    for text in ("", "one\ntwo\n", "a\n\nno line end"):
        with pytest.raises(SignatureMismatch, match="not a signed note"):
            cosigned(text, WITNESS, witness.signer("log").public)
