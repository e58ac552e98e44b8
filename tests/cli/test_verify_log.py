"""``mintage verify`` of what a log and its owner give away: heads, proofs, exports, key lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.app.public_keys import public_keys
from mintage.trust.keys import KeyRing


@pytest.fixture
def home(mintage: Terminal, tmp_path: Path) -> Path:
    """A workspace in which something was logged, and beside it ``log.pub``."""
    home = tmp_path / "shop"
    mintage("customer", "add", "Ada", "--home", home)
    Path("log.pub").write_text(mintage("public-key", "log", "--home", home))
    return home


def written(mintage: Terminal, name: str, *words: object) -> str:
    Path(name).write_text(mintage(*words))
    return name


def test_a_head_is_told_for_what_it_is_and_checked(mintage: Terminal, home: Path) -> None:
    head = written(mintage, "head.txt", "audit", "head", "--home", home)
    found = mintage.json("verify", head, "--key", "log.pub")
    assert found["kind"] == "tree_head"
    assert found["origin"].startswith("mintage.local/log/")
    assert found["size"] == int(Path(head).read_text().split("\n")[1])
    assert mintage("verify", head, "--key", "log.pub").startswith(f"{found['origin']}: a signed")
    assert mintage.json("verify", "./head.txt", "--home", home)["key_id"] == found["key_id"]
    Path(head).write_text(Path(head).read_text().replace(f"\n{found['size']}\n", "\n9\n"))
    mintage("verify", head, "--key", "log.pub", status=3)
    assert "was changed" in mintage.err
    Path("receipt.pub").write_text(mintage("public-key", "receipt", "--home", home))
    mintage("verify", head, "--key", "receipt.pub", status=3)
    assert "is for the role log; they are for: receipt" in mintage.err


def test_a_proof_is_checked_against_its_head_or_the_one_that_was_kept(
    mintage: Terminal, home: Path
) -> None:
    kept = written(mintage, "kept.txt", "audit", "head", "--home", home)
    size = int(Path(kept).read_text().split("\n")[1])
    mintage("customer", "add", "Bo", "--home", home)
    entry = written(mintage, "entry.json", "audit", "prove", "0", "--home", home)
    growth = written(mintage, "proof.json", "audit", "prove", "--since", size, "--home", home)
    found = mintage.json("verify", entry, "--key", "log.pub")
    assert (found["kind"], found["position"]) == ("inclusion_proof", 0)
    assert json.loads(found["record"])["kind"] == "customer.added"
    mintage("verify", growth, "--key", "log.pub", status=2)
    assert "--head" in mintage.err
    found = mintage.json("verify", growth, "--head", kept, "--key", "log.pub")
    assert (found["kind"], found["from"]) == ("consistency_proof", size)
    assert f"begins with the {size} of then" in mintage(
        "verify", growth, "--head", kept, "--key", "log.pub"
    )
    said = json.loads(Path(entry).read_text())
    said["record"] = said["record"].replace("Ada", "Eve")
    Path(entry).write_text(json.dumps(said))
    mintage("verify", entry, "--key", "log.pub", status=3)
    assert "not the one of this leaf" in mintage.err


def test_a_head_is_taken_as_the_server_and_the_command_line_answer_it(
    mintage: Terminal, home: Path
) -> None:
    kept = written(mintage, "kept.json", "audit", "head", "--json", "--home", home)
    note = json.loads(Path(kept).read_text())["note"]
    Path("log.json").write_text(json.dumps({"origin": "mintage.local/log", "head": note}))
    size = json.loads(Path(kept).read_text())["size"]
    mintage("customer", "add", "Bo", "--home", home)
    growth = written(mintage, "proof.json", "audit", "prove", "--since", size, "--home", home)
    for name in (kept, "log.json"):
        assert mintage.json("verify", name, "--key", "log.pub")["size"] == size
        mintage("verify", growth, "--head", name, "--key", "log.pub")
        mintage("audit", "verify", "--head", name, "--home", home)


def test_what_an_option_is_not_for_and_what_nothing_signs_is_refused(
    mintage: Terminal, home: Path
) -> None:
    head = written(mintage, "head.txt", "audit", "head", "--home", home)
    for words, said in (
        (("--input", "log.pub"), "--input is not for what this is: tree_head"),
        (("--head", head), "--head is not for what this is: tree_head"),
    ):
        mintage("verify", head, "--key", "log.pub", *words, status=2)
        assert said in " ".join(mintage.err.split())
    mintage("verify", "--chain", head, "--head", head, status=2)
    assert "--head is not for a chain" in mintage.err
    mintage("verify", "./log.pub", "--key", "log.pub", status=2)
    assert "is a public key, in which nothing is signed" in mintage.err


def test_an_export_is_read_through_and_held_against_heads(mintage: Terminal, home: Path) -> None:
    kept = written(mintage, "kept.txt", "audit", "head", "--home", home)
    mintage("customer", "add", "Bo", "--home", home)
    mintage("audit", "export", "log.jsonl", "--home", home)
    mintage("verify", "log.jsonl", "--key", "log.pub", status=2)
    assert "nothing is signed" in mintage.err
    found = mintage.json("verify", "log.jsonl", "--key", "log.pub", "--head", kept)
    size = int(Path(kept).read_text().split("\n")[1])
    assert found["kind"] == "audit_log"
    assert found["logs"][0]["heads"] == [size]
    said = f"of its {found['logs'][0]['entries']} entries {size} are those that were signed"
    assert said in mintage("verify", "log.jsonl", "--key", "log.pub", "--head", kept)
    assert f"over its last entries: {found['logs'][0]['entries'] - size}" in mintage.err
    text = Path("log.jsonl").read_text()
    Path("log.jsonl").write_text(text.replace("Ada", "Eve"))
    mintage("verify", "log.jsonl", "--key", "log.pub", "--head", kept, status=3)
    assert "are not those that" in mintage.err


def test_a_list_of_keys_is_checked_by_its_root(mintage: Terminal, home: Path) -> None:
    mintage("signing-key", "publish", "keys.json", "--home", home)
    Path("root.pub").write_text(mintage("public-key", "root", "--home", home))
    found = mintage.json("verify", "keys.json", "--key", "root.pub")
    assert (found["kind"], found["version"]) == ("key_list", 1)
    assert "pem" not in found["keys"][0]
    mintage("verify", "keys.json", "--key", "log.pub", status=3)
    assert "for the role root" in mintage.err


def test_keys_are_taken_from_a_list_and_whether_a_root_confirms_it_is_said(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    head = written(mintage, "head.txt", "audit", "head", "--home", home)
    mintage("signing-key", "publish", "keys.json", "--home", home)
    Path("root.pub").write_text(mintage("public-key", "root", "--home", home))
    Path("plain.json").write_text(json.dumps(public_keys(KeyRing(home / "keys"), "2099-01-01")))
    for words, said in (
        (("keys.json",), "no root key was given"),
        (("keys.json", "root.pub"), "version 1 of the list of keys, as the root key"),
        (("plain.json",), "that nobody signed"),
    ):
        keys = [each for name in words for each in ("--key", name)]
        mintage("verify", head, *keys)
        assert said in " ".join(mintage.err.split())
        assert mintage.json("verify", head, *keys)["kind"] == "tree_head"
    other = tmp_path / "other.root.pub"
    other.write_bytes(KeyRing(tmp_path / "other").signer("root").public_pem)
    mintage("verify", head, "--key", "keys.json", "--key", other, status=3)
    assert "This list of keys is not believed" in mintage.err
    for text in ("{}", '{"log": {"pem": "x"}}', '{"log": 5}', "{", '{"payload": "e30="}'):
        Path("bad.json").write_text(text)
        mintage("verify", head, "--key", "bad.json", status=2)
        assert "neither a public key nor a list of keys" in mintage.err


def test_by_a_list_former_keys_verify_until_they_were_rotated_and_revoked_ones_never(
    mintage: Terminal, home: Path
) -> None:
    head = written(mintage, "head.txt", "audit", "head", "--home", home)
    for verb, believed in (
        (("rotate", "log"), True),
        (("revoke", mintage.json("verify", head, "--key", "log.pub")["key_id"]), False),
    ):
        more = () if believed else ("--reason", "leaked")
        mintage("signing-key", *verb, *more, "--home", home)
        mintage("signing-key", "publish", "keys.json", "--home", home)
        Path("plain.json").write_text(json.dumps(public_keys(KeyRing(home / "keys"), "2099")))
        for name in ("keys.json", "plain.json"):
            mintage("verify", head, "--key", name, status=0 if believed else 3)
    assert "revoked as of" in mintage.err
    assert "sign-again" not in mintage.err  # whoever checks has nothing to sign
    # The list counts, where the key was given by itself too.
    mintage("verify", head, "--key", "log.pub", "--key", "keys.json", status=3)
    mintage("verify", head, "--key", "log.pub")


def test_in_chinese_no_help_is_cut_where_a_line_ends(
    mintage: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    monkeypatch.setenv("COLUMNS", "80")
    shown = mintage("verify", "--help")
    assert "…" not in shown
    assert "签过名的东西的路径" in shown
