"""``mintage audit``: what happened is shown, verified and proved."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.app.workspace_check import examine_workspace
from mintage.cli.serving import run_server
from mintage.core.clock import SystemClock
from mintage.core.errors import TrustError
from mintage.core.settings import load_settings
from mintage.trust import merkle
from mintage.trust.audit import leaf_of
from mintage.trust.keys import PublicKey
from mintage.trust.notes import SignedHead, verify_note


@pytest.fixture
def home(mintage: Terminal, tmp_path: Path) -> Path:
    """A workspace in which customers and operators were added, and a key revoked."""
    home = tmp_path / "shop"
    for name in ("Ada", "Bo"):
        mintage("customer", "add", name, "--home", home)
    key = mintage.json("key", "list", "Ada", "--home", home)[0]["id"]
    mintage("key", "revoke", key, "--home", home)
    mintage("operator", "add", "Olga", "--role", "billing", "--home", home)
    return home


def opened(mintage: Terminal, note: str, home: Path) -> SignedHead:
    key = PublicKey.from_pem(mintage.json("public-key", "log", "--home", home)["pem"].encode())
    return verify_note(note, key, note.partition("\n")[0])


def damage(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "mintage.db")) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def test_what_was_logged_is_shown_in_order_and_by_what_is_asked_for(
    mintage: Terminal, home: Path
) -> None:
    found = mintage.json("audit", "show", "--home", home)
    assert [each["position"] for each in found] == list(range(len(found)))
    kinds = [each["kind"] for each in found]
    assert kinds[:2] == ["customer.added", "key.issued"]
    assert "key.revoked" in kinds
    assert "data.read" not in kinds
    assert found[0]["record"]["name"] == "Ada"
    assert "kind" not in found[0]["record"]

    def shown(*words: str) -> list[int]:
        return [each["position"] for each in mintage.json("audit", "show", *words, "--home", home)]

    assert shown("--last", "2") == [len(kinds) - 1, len(kinds)]  # that it was read before
    added = [n for n, kind in enumerate(kinds) if kind == "customer.added"]
    assert shown("--kind", "customer.added") == added
    assert shown("--kind", "customer.added", "--last", "1") == added[-1:]
    assert shown("--from", "2")[: len(kinds) - 2] == list(range(2, len(kinds)))
    (read, *_) = mintage.json("audit", "show", "--kind", "data.read", "--home", home)
    assert read["position"] == len(kinds)
    assert (read["record"]["what"], read["record"]["kinds"]) == ("log", [])
    count = len(mintage.json("audit", "show", "--home", home))
    assert shown("--since", "2020-01-01", "--last", "2") == [count - 1, count]
    assert shown("--until", "2020-01-01T12:00") == []
    assert shown("--actor", "Olga") == []
    table = mintage("audit", "show", "--home", home)
    assert "customer.added" in table
    assert "Ada" in table
    mintage("audit", "show", "--kind", "plan.set", "--until", "2020-01-01", "--home", home)
    assert "Nothing of that is logged" in mintage.err
    for wrong, right in (
        ("key.revokd", "key.revoked"),
        ("usages", "usage"),
        ("keys.made", "keys."),
    ):
        mintage("audit", "show", "--kind", wrong, "--home", home, status=2)
        assert f"the kind '{wrong}' is ever logged" in " ".join(mintage.err.split())
        assert right in mintage.err
    mintage("audit", "show", "--since", "yesterday", "--home", home, status=2)
    assert "Not a day or a moment" in mintage.err


def test_the_head_is_signed_by_the_key_that_is_shown_and_goes_into_a_file_as_it_is(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    found = mintage.json("audit", "head", "--home", home)
    head = opened(mintage, found["note"], home)
    assert (head.root.hex(), head.size) == (found["root"], found["size"])
    kept = tmp_path / "kept.txt"
    kept.write_text(mintage("audit", "head", "--home", home))
    assert kept.read_text() == found["note"]
    mintage("customer", "add", "Cy", "--home", home)
    assert "are as they were logged" in mintage(
        "audit", "verify", "--head", kept, "--head", kept, "--home", home
    )
    proof = mintage.json("audit", "prove", "--since", kept, "--home", home)
    newer = opened(mintage, proof["head"], home)
    assert (proof["from"], proof["to"]) == (head.size, newer.size)
    path = [bytes.fromhex(each) for each in proof["path"]]
    merkle.verify_consistency(head.size, newer.size, head.root, newer.root, path)
    assert mintage.json("audit", "prove", "--since", head.size, "--home", home) == proof


def test_an_entry_is_proved_with_its_record(mintage: Terminal, home: Path) -> None:
    proof = json.loads(mintage("audit", "prove", "1", "--home", home))
    head = opened(mintage, proof["head"], home)
    inner = hashlib.sha256(bytes.fromhex(proof["salt"]) + proof["record"].encode()).digest()
    leaf = merkle.leaf_hash(inner)
    assert leaf.hex() == proof["leaf_hash"]
    assert json.loads(proof["record"])["kind"] == "key.issued"
    path = [bytes.fromhex(each) for each in proof["path"]]
    merkle.verify_inclusion(proof["index"], head.size, leaf, path, head.root)
    for words, said in (
        (["999"], "none at position 999"),
        (["first"], "Not a position"),
        (["rcp_none"], "no receipt"),
        ([], "Either an entry"),
        (["1", "--since", "1"], "Either an entry"),
        (["--since", "0"], "No proof from 0"),
        (["--since", "no-such-file"], "cannot be read"),
    ):
        mintage("audit", "prove", *words, "--home", home, status=2)
        assert said in mintage.err


def test_a_head_that_no_longer_holds_or_is_anothers_is_exit_3(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    kept, other = tmp_path / "kept.txt", tmp_path / "other"
    kept.write_text(mintage("audit", "head", "--home", home))
    mintage("customer", "add", "Eve", "--home", other)
    mintage("audit", "verify", "--head", kept, "--home", other, status=3)
    assert "not signed by the key" in mintage.err
    for table in ("log_heads", "logs"):
        damage(home, f"DELETE FROM {table}")
    damage(home, "DELETE FROM log_leaves WHERE position >= 2")
    assert "2 records are as they were logged" in mintage("audit", "verify", "--home", home)
    mintage("audit", "verify", "--head", kept, "--home", home, status=3)
    assert "do not begin with the" in mintage.err
    mintage("audit", "prove", "--since", kept, "--home", home, status=2)


def test_a_damaged_log_is_named_frozen_and_another_goes_on(
    mintage: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = mintage.json("audit", "head", "--home", home)["origin"]
    damage(home, "UPDATE log_leaves SET salt = leaf_hash WHERE position = 1")
    mintage("audit", "verify", "--home", home, status=3)
    assert "damaged behind one record, of" in mintage.out
    assert "The entry at position 1 was changed" in mintage.err
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    mintage("audit", "verify", "--home", home, status=3)
    assert "位置 1 的条目" in mintage.err
    assert "entry" not in mintage.err
    monkeypatch.setenv("MINTAGE_LANG", "en")
    found = mintage.json("audit", "verify", "--begin-anew", "--home", home, status=3)
    assert found["begun_anew"]
    mintage("customer", "add", "Cy", "--home", home)
    mintage("audit", "verify", "--home", home, status=3)
    first, second = mintage.out.splitlines()
    assert "damaged behind one record; frozen 20" in first
    assert second.startswith(f"{origin}/2: ")
    assert "are as they were logged" in second
    said = mintage.json("audit", "verify", "--home", home, status=3)["logs"]
    assert [each["damage"] is None for each in said] == [False, True]
    head = opened(mintage, mintage("audit", "head", "--home", home), home)
    assert head.origin == f"{origin}/2"
    assert head.size >= 3
    (begun,) = mintage.json("audit", "show", "--kind", "log.begun", "--home", home)
    assert begun["record"]["frozen"][0]["origin"] == origin
    assert begun["record"]["reason"].startswith("The entry at position 1 was changed")
    lines = [each for each in examine_workspace(home, SystemClock()) if each.check == "audit log"]
    assert [each.status for each in lines] == ["ok", "warning"]


def test_a_backup_of_a_workspace_whose_log_was_frozen_is_restored(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    damage(home, "UPDATE log_leaves SET salt = leaf_hash WHERE position = 1")
    mintage("audit", "head", "--home", home)
    mintage("customer", "add", "Cy", "--home", home)
    backup, restored = tmp_path / "shop.backup", tmp_path / "restored"
    mintage("backup", backup, "--with-keys", "--home", home)
    mintage("restore", backup, "--home", restored)
    mintage("audit", "verify", "--home", restored, status=3)
    assert "/2: " in mintage.out


def test_a_mintage_elsewhere_is_the_witness_of_this_one(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    there, name = tmp_path / "there", ("--name", "witness.example.com/w1")
    key, own, head, signed = (
        tmp_path / each for each in ("log.pub", "w.witness.pub", "h.txt", "s.txt")
    )
    key.write_text(mintage("public-key", "log", "--home", home))
    head.write_text(mintage("audit", "head", "--home", home))
    seen = (head, "--log-key", key, *name, "--home", there)
    signed.write_text(mintage("audit", "witness", *seen))
    own.write_text(mintage("public-key", "witness", "--home", there))
    log_key = mintage.json("public-key", "log", "--home", there)["key_id"]
    mintage("audit", "cosigned", signed, "--key", own, *name, "--home", home)
    assert "witness.example.com/w1 signed this head at 20" in mintage.out
    mintage("audit", "cosigned", signed, "--key", key, *name, "--home", home, status=3)
    assert "no cosignature by" in mintage.err
    mintage("audit", "cosigned", signed, "--home", home, status=2)
    assert "mintage trust add NAME.witness.pub" in mintage.err
    mintage("trust", "add", own, "--yes", "--home", home)
    assert "witness" in mintage.out  # as the file is called
    (found,) = mintage.json("audit", "cosigned", signed, "--home", home)
    assert (found["witness"], found["key_id"] == log_key) == (name[1], False)
    seen_by = mintage.json("verify", signed, "--key", key, "--key", own)
    assert [each["witness"] for each in seen_by["witnesses"]] == [name[1]]
    size = int(signed.read_text().split("\n")[1])
    head.write_text(mintage("audit", "head", "--home", home))
    mintage("audit", "witness", *seen, status=2)
    assert f"mintage audit prove --since {size}" in mintage.err
    proof = tmp_path / "proof.json"
    proof.write_text(mintage("audit", "prove", "--since", size, "--home", home))
    assert mintage.json("audit", "witness", *seen, "--proof", proof)["note"].startswith(
        head.read_text()
    )


def test_the_whole_log_is_exported_for_those_who_work_out_its_root_themselves(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "log.jsonl"
    told = mintage.json("audit", "export", file, "--home", home)
    begun, *entries = map(json.loads, file.read_text().splitlines())
    assert begun == {"first_position": 0, "origin": told["head"].partition("\n")[0]}
    assert file.stat().st_mode & 0o777 == 0o600
    assert "log" in [json.loads(each["record"]).get("what") for each in entries]
    leaves = [leaf_of(each["record"].encode(), bytes.fromhex(each["salt"])) for each in entries]
    assert told["entries"] == len(leaves)
    assert base64.b64encode(merkle.root(leaves)).decode() in told["head"]
    mintage("audit", "export", file, "--home", home, status=2)
    assert "is there already" in mintage.err


def test_a_workspace_whose_log_key_is_gone_signs_nothing_and_says_what_to_do(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    kept, backup, restored = (tmp_path / each for each in ("kept.txt", "shop.tar", "restored"))
    kept.write_text(mintage("audit", "head", "--home", home))
    mintage("backup", backup, "--home", home)
    mintage("restore", backup, "--home", restored)
    for words in (
        ("audit", "head"),
        ("audit", "verify"),
        ("audit", "verify", "--head", kept),
        ("audit", "export", tmp_path / "log.jsonl"),
        ("public-key", "log"),
    ):
        mintage(*words, "--home", restored, status=3)
        assert "The key that signed the log" in mintage.err
        assert "Put the folder keys of this workspace back" in mintage.err
    with App(load_settings(home=restored)) as app, pytest.raises(TrustError, match="is not here"):
        run_server(app, samples=(), on_started=lambda *_: None)
    assert not any((restored / "keys").glob("*.pem"))
    found = [each for each in examine_workspace(restored, SystemClock()) if each.status != "ok"]
    assert "the key that signed it is not here" in [str(each.found)[:34] for each in found]
    shutil.copytree(home / "keys", restored / "keys", dirs_exist_ok=True)
    assert "are as they were logged" in mintage(
        "audit", "verify", "--head", kept, "--home", restored
    )
    assert mintage.json("audit", "head", "--home", restored)["size"] > 0


def test_a_log_whose_key_is_lost_for_good_is_begun_anew_where_that_is_asked_for(
    mintage: Terminal, home: Path
) -> None:
    origin = mintage.json("audit", "head", "--home", home)["origin"]
    (home / "keys" / "log.pem").unlink()
    mintage("audit", "verify", "--begin-anew", "--home", home, status=3)
    assert "another goes on in its place" in mintage.err
    head = opened(mintage, mintage("audit", "head", "--home", home), home)
    assert head.origin == f"{origin}/2"


def test_a_log_is_called_as_the_setting_says_from_its_first_head_on(
    mintage: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_LOG_ORIGIN", "shop.example.com/log")
    assert mintage.json("audit", "head", "--home", home)["origin"] == "shop.example.com/log"
    monkeypatch.setenv("MINTAGE_LOG_ORIGIN", "two words")
    mintage("audit", "head", "--home", home, status=2)
    assert "Not a name for a log" in mintage.err


def test_what_was_erased_is_counted_and_what_else_is_dark_is_refused(
    mintage: Terminal, tmp_path: Path
) -> None:
    pytest.importorskip("tink")
    home, key = tmp_path / "sealed", f"file:{tmp_path / 'kek'}"
    mintage("init", "--seal", "--key", key, "--home", home)
    for name in ("Ada", "Ben"):
        mintage("customer", "add", name, "--home", home)
    done = mintage.json("erase", "customer", "Ada", "--home", home)
    assert "Of these 2 were erased" in mintage("audit", "verify", "--home", home)
    (log,) = mintage.json("audit", "verify", "--home", home)["logs"]
    assert (log["erased"], done["entries"]) == (2, 2)
    assert mintage.json("audit", "prove", "0", "--home", home)["erased_by"] == 4
    damage(home, "UPDATE data_keys SET wrapped = NULL WHERE owner LIKE 'customer/%'")
    mintage("audit", "verify", "--home", home, status=3)
    assert "no erasure accounts for it" in mintage.err
