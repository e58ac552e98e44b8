"""Signing keys on the command line, a server that runs meanwhile, and a backup of all of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.terminal import Terminal

from mintage.app.restore import restore
from mintage.client import Client

HEX = re.compile("[0-9a-f]{64}")


def test_a_publishers_keys_change_and_whoever_follows_the_list_goes_on(
    mintage: Terminal, home: Path
) -> None:
    here, there = ("--home", home), ("--home", "there")
    mintage("export", "pets@1", "old.mintage", *here)
    assert "lies in" in (mintage("signing-key", "publish", *here) and mintage.err)
    Path("root.pub").write_text(mintage("public-key", "root", *here))
    shutil.move(home / "keys/root.pem", "root.pem")
    (root,) = HEX.findall(mintage("trust", "add", "root.pub", "--role", "root", "--yes", *there))[
        :1
    ]
    assert mintage.json("public-key", "root", *here)["key_id"] == root
    taken = mintage.json("trust", "update", "keys.json", *there)
    assert (taken["root"], taken["version"], taken["new"]) == (root, 1, True)
    mintage("import", "old.mintage", *there)

    rotated = mintage.json("signing-key", "rotate", "bundle", *here)
    assert rotated["former"]["valid_until"] == rotated["valid_from"]
    mintage("verify", "pets@1", *here)
    mintage("signing-key", "publish", *here, status=2)
    assert "--root-key" in mintage.err
    shutil.copy("keys.json", "first.json")
    said = mintage.json("signing-key", "publish", "--root-key", "root.pem", *here)
    assert (said["version"], said["root"], said["path"]) == (2, root, "keys.json")
    assert [each["role"] for each in said["keys"]] == ["data", "bundle", "bundle"]
    assert "Version 2 of the list holds" in mintage("trust", "update", "keys.json", *there)
    assert "taken already" in mintage("trust", "update", "keys.json", *there)
    mintage("trust", "update", "first.json", *there, status=3)
    assert "version 2 was taken already" in mintage.err

    stolen = rotated["key_id"]
    mintage("signing-key", "revoke", stolen, "--reason", "laptop stolen", *here)
    assert f"{stolen} is believed no longer" in mintage.out
    assert "signs from now on: bundle" in mintage.out
    mintage("signing-key", "revoke", stolen, "--reason", "again", *here, status=2)
    mintage("signing-key", "publish", "--root-key", "root.pem", *here)
    listed = mintage("trust", "update", "keys.json", *there)
    assert "revoked as of" in listed
    assert "laptop stolen" in listed
    mintage("verify", "pets@1", *there)
    (shown,) = mintage.json("trust", "list", *there)
    assert (shown["roles"], shown["list"]["version"]) == (["root"], 3)
    assert "Of the list of" in mintage("trust", "list", *there)
    states = mintage.json("signing-key", "list", *here)
    assert [bool(each["revoked_at"]) for each in states] == [False, False, True, False]
    assert "laptop stolen" in mintage("signing-key", "list", *here)
    model = mintage.json("show", "pets@1", *there)[0]
    assert model["signed_by"]["name"] == root[:32]
    assert mintage.json("show", "pets@1", *here)[0]["signed_by"]["name"] == "own"


def test_the_list_is_read_without_our_code_as_its_page_says(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    mintage("signing-key", "rotate", "bundle", *at)
    mintage("signing-key", "publish", "keys.json", *at)
    Path("root.pub").write_text(mintage("public-key", "root", *at))
    page = (Path(__file__).parents[2] / "docs/formats/key-list.md").read_text()
    (program,) = re.findall(r"<!-- test: key-list -->\n```python\n(.*?)```", page, re.DOTALL)
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    said = [line.split()[0] + " " + line.split()[2] for line in done.stdout.splitlines()]
    assert said[0] == "data signs"
    assert [each for each in said if each.endswith("signs")] == ["data signs", "bundle signs"]
    assert len(said) == 3


def test_what_cannot_be_is_an_error_with_a_remedy(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    for words, said in (
        (("signing-key", "rotate", "log"), "no key of the role log yet"),
        (("signing-key", "revoke", "xyz", "--reason", "leaked"), "Not a key id"),
        (("signing-key", "revoke", "0" * 64, "--reason", "x", "--at", "soon"), "Not a moment"),
        (("signing-key", "publish", "--root-key", "none.pem"), "There is no file none.pem"),
        (("signing-key", "publish", "--root-key", "x", "--new-root"), "not both"),
        (("trust", "update", "none.json"), "cannot be read"),
    ):
        mintage(*words, *at, status=2)
        assert said in mintage.err, words
    assert not (home / "keys/root.pem").exists()


def test_another_root_takes_the_place_of_one_that_leaked(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    first = mintage.json("signing-key", "publish", *at)
    second = mintage.json("signing-key", "publish", "--new-root", *at)
    assert second["root"] != first["root"]
    assert second["version"] == 2
    assert mintage.json("public-key", "root", *at)["key_id"] == second["root"]
    assert mintage.json("signing-key", "publish", *at)["version"] == 2


def test_a_backup_with_keys_carries_former_and_revoked_ones_and_whose_list_is_followed(
    mintage: Terminal, home: Path
) -> None:
    at, new = ("--home", home), ("--home", "new")
    for __ in range(2):
        mintage("signing-key", "rotate", "bundle", *at)
    former = mintage.json("signing-key", "list", *at)[-1]["key_id"]
    mintage("signing-key", "revoke", former, "--reason", "leaked", *at)
    mintage("signing-key", "publish", *at)
    mintage(
        "trust", "add", _written(mintage("public-key", "root", *at)), "--yes", "--role", "root", *at
    )
    mintage("trust", "update", "keys.json", *at)
    mintage("backup", "whole.tar", "--with-keys", *at)
    restore(Path("whole.tar"), Path("new").absolute())
    listed = [mintage.json("signing-key", "list", *each) for each in (at, new)]
    assert listed[0] == listed[1]
    assert mintage.json("trust", "list", *new)[0]["list"]["version"] == 1
    mintage("verify", "pets@1", *new)
    assert mintage.json("signing-key", "publish", *new)["version"] == 1


def test_a_key_that_was_never_listed_is_as_old_after_a_restore_as_before(
    mintage: Terminal, home: Path
) -> None:
    for path in (home / "keys").glob("*.pem"):
        os.utime(path, (1_700_000_000, 1_700_000_000.25))
    mintage("backup", "whole.tar", "--with-keys", "--home", home)
    restore(Path("whole.tar"), Path("new").absolute())
    listed = [mintage.json("signing-key", "list", "--home", each) for each in (home, "new")]
    assert {each["valid_from"] for each in listed[0]} == {"2023-11-14T22:13:20.250000Z"}
    assert listed[0] == listed[1]


def _written(text: str) -> Path:
    path = Path("root.pub")
    path.write_text(text)
    return path


def test_servers_sign_receipts_with_the_new_key_within_seconds_and_drop_no_call(
    mintage: Terminal, home: Path, trained_home: Path
) -> None:
    at = ("--home", home)
    picture = trained_home.parent / "photos/light/003.jpg"
    mintage("publish", "pets", "--product", "pets", *at)
    key = mintage.json("customer", "add", "Ada", *at)["key"]
    words = ["serve", "--port", "0", "--operator-port", "0", "--workers", "2", "--home", str(home)]
    server = subprocess.Popen(
        [sys.executable, "-m", "mintage", *words], stdout=subprocess.PIPE, text=True
    )
    with server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
            assert found is not None
            with Client(found[0], key) as client:
                former = _signed_by(client.predict("pets", picture))
                new = mintage.json("signing-key", "rotate", "receipt", *at)["key_id"]
                deadline = time.monotonic() + 20
                seen = [former]
                while seen[-10:] != [new] * 10:
                    assert time.monotonic() < deadline, seen
                    seen.append(_signed_by(client.predict("pets", picture)))
                assert {*seen} == {former, new}
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
    assert server.returncode == 0


def _signed_by(answer: dict[str, object]) -> str:
    envelope = json.loads(json.dumps(answer))["receipt"]["envelope"]
    key_id: str = envelope["signatures"][0]["keyid"]
    return key_id


def test_what_a_revoked_key_signed_is_signed_again_and_what_stops_is_named(
    mintage: Terminal, home: Path
) -> None:
    at = ("--home", home)
    mintage("publish", "pets@1", "--product", "pets", *at)
    former = mintage.json("public-key", "bundle", *at)["key_id"]
    early = ("--at", "2020-01-01")
    done = mintage.json("signing-key", "revoke", former, "--reason", "stolen", *early, *at)
    assert done["signed_again"] == []
    stopped = {"product": "pets", "alias": "stable", "model": "pets@1"}
    assert done["stopped"] == [stopped]
    checked = {
        each["check"]: each for each in mintage.json("doctor", *at, status=2) if each["remedy"]
    }
    told = checked["product pets"]
    assert told["status"] == "problem"
    assert "pets@1" in told["found"]
    assert "mintage signing-key sign-again pets@1" in told["remedy"]
    mintage("serve", "--port", "0", "--operator-port", "0", *at, status=3)
    assert "the product pets, since pets@1 is not believed" in " ".join(mintage.err.split())
    assert mintage.json("signing-key", "sign-again", *at) == []
    assert mintage.json("signing-key", "sign-again", "pets@1", *at) == ["pets@1"]
    found = mintage.json("verify", "pets@1", *at)
    assert found["key_id"] == mintage.json("public-key", "bundle", *at)["key_id"] != former
    assert mintage.json("signing-key", "sign-again", "pets@1", *at) == []
    mintage("signing-key", "sign-again", "dogs@1", *at, status=2)
    assert "There is no dogs@1" in mintage.err


def test_what_the_log_had_before_is_signed_again_in_the_same_act(
    mintage: Terminal, home: Path
) -> None:
    at = ("--home", home)
    mintage("publish", "pets@1", "--product", "pets", *at)
    for role, name in (("bundle", "pets@1"), ("data", "pets#")):
        former = mintage.json("public-key", role, *at)["key_id"]
        mintage("signing-key", "revoke", former, "--reason", "stolen", *at)
        assert f"{name}" in mintage.out
        assert "is signed by the present key from now on" in mintage.out
        Path(f"{role}.pub").write_text(mintage("public-key", role, *at))
    mintage("export", "pets@1", "pets.mintage", *at)
    mintage("verify", "pets.mintage", "--key", "bundle.pub")
    (dataset,) = (home / "datasets/pets").iterdir()
    mintage("verify", dataset, "--key", "data.pub")
