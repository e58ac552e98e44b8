from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintage.core.errors import ConfigError, SignatureMismatch
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.notes import open_note, sign_head, verify_note

ORIGIN = "mintage.example/log"
ROOT = bytes(range(32))


@pytest.fixture
def key(keys: KeyRing) -> PublicKey:
    return keys.signer("log").public


@pytest.fixture
def note(keys: KeyRing) -> str:
    return sign_head(7, ROOT, ORIGIN, keys.signer("log")).note


def test_the_note_of_the_go_teams_own_example_opens() -> None:
    # golang.org/x/mod/sumdb/note, package example: key, text and signature.
    key = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
        "otpRZb6KE6RyyBwJnAM=\n"
    )
    public = PublicKey(Ed25519PublicKey.from_public_bytes(key[1:]))
    assert open_note(f"{text}\n{signature}", public, "PeterNeumann") == text
    with pytest.raises(SignatureMismatch):
        open_note(f"{text.replace('answer', 'Answer')}\n{signature}", public, "PeterNeumann")


def test_a_head_is_written_as_the_standard_prints_it(note: str) -> None:
    lines = note.split("\n")
    assert lines[:4] == [ORIGIN, "7", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]


def test_a_head_opens_to_size_and_root(note: str, key: PublicKey) -> None:
    head = verify_note(note, key, ORIGIN)
    assert (head.size, head.root, head.note) == (7, ROOT, note)


def test_any_character_changed_is_refused(note: str, key: PublicKey) -> None:
    positions = [(position, bit) for position in range(len(note)) for bit in (1, 2, 32)]
    for position, bit in positions:
        changed = note[:position] + chr(ord(note[position]) ^ bit) + note[position + 1 :]
        with pytest.raises(SignatureMismatch):
            verify_note(changed, key, ORIGIN)


def test_signatures_by_witnesses_are_passed_over(note: str, key: PublicKey, tmp_path: Path) -> None:
    witness = KeyRing(tmp_path / "witness").signer("log")
    line = sign_head(7, ROOT, "witness.example", witness).note.split("\n")[4]
    namesake = sign_head(7, ROOT, ORIGIN, witness).note.split("\n")[4]
    assert verify_note(f"{note}{line}\n{namesake}\n", key, ORIGIN).size == 7
    for alone in (line, namesake):
        body = note.split("—", maxsplit=1)[0]
        with pytest.raises(SignatureMismatch, match="not signed by"):
            verify_note(f"{body}{alone}\n", key, ORIGIN)


def test_another_logs_head_is_refused(keys: KeyRing, note: str, key: PublicKey) -> None:
    with pytest.raises(SignatureMismatch):
        verify_note(note, key, "other.example/log")
    # The same key, signing in our name what another log says of itself.
    other = sign_head(7, ROOT, "other.example/log", keys.signer("log")).note.split("\n\n")[0] + "\n"
    signature = keys.signer("log").sign(other.encode())
    prefix = base64.b64decode(note.rsplit(" ", maxsplit=1)[-1])[:4]
    line = f"— {ORIGIN} {base64.b64encode(prefix + signature).decode()}\n"
    assert open_note(f"{other}\n{line}", key, ORIGIN) == other
    with pytest.raises(SignatureMismatch, match="no tree head"):
        verify_note(f"{other}\n{line}", key, ORIGIN)


@pytest.mark.parametrize("body", ["07", "-1", "7.0", "", "7\n\n", "seven", "7 "])
def test_a_size_that_is_not_plainly_a_number_is_refused_though_signed(
    keys: KeyRing, key: PublicKey, note: str, body: str
) -> None:
    text = f"{ORIGIN}\n{body}\n{base64.b64encode(ROOT).decode()}\n"
    prefix = base64.b64decode(note.rsplit(" ", maxsplit=1)[-1])[:4]
    signature = prefix + keys.signer("log").sign(text.encode())
    with pytest.raises(SignatureMismatch):
        verify_note(f"{text}\n— {ORIGIN} {base64.b64encode(signature).decode()}\n", key, ORIGIN)


@pytest.mark.parametrize(
    "text", ["", "\n", "\n\n", "a\n\nb\n", "a\n\n— x !!!!\n", "a\n\n— x AAA\n"]
)
def test_what_is_no_note_is_refused(key: PublicKey, text: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        verify_note(text, key, "x")
    assert "get the note again" in caught.value.remedy


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "a\u2003b"])
def test_a_log_cannot_be_named_so_that_its_notes_are_ambiguous(keys: KeyRing, origin: str) -> None:
    with pytest.raises(ConfigError):
        sign_head(1, ROOT, origin, keys.signer("log"))


def test_heads_are_signed_with_ed25519_only(keys: KeyRing) -> None:
    with pytest.raises(ConfigError, match="Ed25519"):
        sign_head(1, ROOT, ORIGIN, keys.signer("bundle"))
