from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.cli import trust


@pytest.fixture
def publisher(mintage: Terminal, home: Path) -> Path:
    """The file with the public key of whoever trained ``pets@1``."""
    path = Path("publisher.pub")
    path.write_text(mintage("public-key", "bundle", "--home", home))
    return path


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What the person at the terminal will type."""
    import io

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda text: monkeypatch.setattr(sys, "stdin", Keyboard(text))


def test_the_way_between_two_machines_by_the_verbs(
    mintage: Terminal, home: Path, publisher: Path, trained_home: Path
) -> None:
    key_id = mintage.json("public-key", "bundle", "--home", home)["key_id"]
    shown = mintage("export", "pets@1", "pets.mintage", "--home", home)
    assert "pets@1" in shown
    assert key_id in shown
    assert "mintage public-key bundle > publisher.pub" in mintage.err
    there = ("--home", "there")
    mintage("import", "pets.mintage", *there, status=3)
    assert key_id in mintage.err
    assert "mintage trust add publisher.pub" in mintage.err
    added = mintage("trust", "add", publisher, "--yes", *there)
    assert f"{key_id} is trusted from now on" in added
    assert "ECDSA P-256" in added
    assert "pets@1 is here" in mintage("import", "pets.mintage", *there)
    assert "here already" in mintage("import", "pets.mintage", *there)
    assert "pets@1 is as it was signed" in mintage("verify", "pets@1", *there)
    picture = trained_home.parent / "photos/light/003.jpg"
    (found,) = mintage.json("predict", "pets@1", picture, *there)
    assert found["output"]["label"] == "light"


def test_what_each_verb_promises_in_json(mintage: Terminal, home: Path, publisher: Path) -> None:
    key_id = mintage.json("public-key", "bundle", "--home", home)["key_id"]
    exported = mintage.json("export", "pets", "--home", home)
    content = Path("pets-1.mintage").read_bytes()
    assert exported == {
        "model": "pets@1",
        "path": "pets-1.mintage",
        "sha256": exported["sha256"],
        "bytes": len(content),
        "bundle_digest": mintage.json("verify", "pets", "--home", home)["bundle_digest"],
        "key_id": key_id,
        "own_key": True,
    }
    there = ("--home", "there")
    key = {"key_id": key_id, "algorithm": "ECDSA P-256", "roles": ["bundle"]}
    assert mintage.json("trust", "list", *there) == []
    assert mintage.json("trust", "add", publisher, "--yes", *there) == {**key, "added": True}
    assert mintage.json("trust", "add", publisher, "--yes", *there) == {**key, "added": False}
    (listed,) = mintage.json("trust", "list", *there)
    assert listed == {
        **key,
        "paths": [str(Path("there/keys/trusted", f"{key_id[:32]}.pub").resolve())],
    }
    assert mintage.json("import", "pets-1.mintage", *there) == {
        "model": "pets@1",
        "outcome": "imported",
        "bundle_digest": exported["bundle_digest"],
        "key_id": key_id,
    }
    verified = mintage.json("verify", "pets-1.mintage", *there)
    assert (verified["model"], verified["key_id"]) == ("pets@1", key_id)
    assert mintage.json("trust", "remove", key_id[:8], *there) == {**key, "removed": True}
    found = mintage.json("verify", "pets@1", *there, status=3)
    assert found["error"]["code"] == "signature_mismatch"


def test_a_file_that_is_there_is_kept_unless_it_is_the_same_or_forced(
    mintage: Terminal, home: Path
) -> None:
    mintage("export", "pets", "--home", home)
    mintage("export", "pets", "--home", home)
    Path("pets-1.mintage").write_text("mine")
    mintage("export", "pets", "--home", home, status=2)
    assert "--force" in mintage.err
    mintage("export", "pets", "--force", "--home", home)
    assert "pets@1 is as it was signed" in mintage("verify", "pets-1.mintage", "--home", home)


def test_a_person_is_shown_the_id_and_asked(
    mintage: Terminal, publisher: Path, answer: Callable[[str], None]
) -> None:
    key_id = r"[0-9a-f]{64}"
    answer("n\n")
    mintage("trust", "add", publisher, "--home", "there", status=3)
    assert re.search(rf"key id: {key_id}", mintage.err)
    assert "ECDSA P-256" in mintage.err
    assert mintage.json("trust", "list", "--home", "there") == []
    answer("y\n")
    found = mintage.json("trust", "add", publisher, "--home", "there")
    assert found["added"] is True
    assert found["key_id"] in mintage.err
    assert found["key_id"] in mintage("trust", "list", "--home", "there")


def test_where_nobody_can_be_asked_a_key_needs_yes(mintage: Terminal, publisher: Path) -> None:
    mintage("trust", "add", publisher, "--home", "there", status=2)
    assert "--yes" in mintage.err
    assert mintage.json("trust", "list", "--home", "there") == []


def test_keys_that_cannot_be_trusted_are_refused(
    mintage: Terminal, home: Path, publisher: Path
) -> None:
    there = ("--home", "there")
    mintage("trust", "add", home / "keys/bundle.pem", "--yes", *there, status=3)
    assert "holds a private key" in mintage.err
    Path("x.pub").write_text("hello")
    mintage("trust", "add", "x.pub", "--yes", *there, status=3)
    assert "not a public key in PEM" in mintage.err
    mintage("trust", "add", "none.pub", "--yes", *there, status=2)
    mintage("trust", "remove", "0123456789", *there, status=2)
    assert "mintage trust list" in mintage.err
    mintage("trust", "list", *there)
    assert "No key but this workspace's own is trusted" in mintage.err


def test_what_a_key_is_believed_for_can_be_said_and_is_listed(
    mintage: Terminal, publisher: Path
) -> None:
    there = ("--home", "there")
    mintage("trust", "add", publisher, "--yes", *there)
    roles = ("--role", "receipt", "--role", "data")
    shown = mintage("trust", "add", publisher, "--yes", *roles, *there)
    assert re.search(r"believed for +data, receipt$", shown, re.MULTILINE)
    assert "bundle, data, receipt" in mintage("trust", "list", *there)
    mintage("trust", "add", publisher, "--yes", "--role", "log", *there, status=2)
    assert "not made with ECDSA P-256" in mintage.err
    mintage("trust", "add", publisher, "--yes", "--role", "all", *there, status=2)


def test_a_file_that_holds_no_key_is_named_beside_those_that_do(
    mintage: Terminal, publisher: Path
) -> None:
    there = ("--home", "there")
    key_id = mintage.json("trust", "add", publisher, "--yes", *there)["key_id"]
    Path("there/keys/trusted/junk.pub").write_text("hello")
    assert key_id in mintage("trust", "list", *there, status=3)
    assert "junk.pub holds no key to trust" in mintage.err
    assert "Remove the file" in mintage.err
    listed, junk = mintage.json("trust", "list", *there, status=3)
    assert listed["key_id"] == key_id
    assert "junk.pub" in junk["error"]
    assert "Remove the file" in junk["remedy"]


LONG = "模" * 84 + ".mintage"  # 260 bytes, where file systems allow 255


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "nope.mintage"), "mintage export wrote"),
        (("import", LONG), "File name too long"),
        (("import", "x" * 300), "Name a model such as"),
        (("verify", LONG), "File name too long"),
        (("verify", f"./{LONG}"), "File name too long"),
        (("verify", "y/" + "x" * 300), "Name a model such as"),
        (("export", "pets@1", LONG), "Name one of at most 200 bytes"),
        (("export", "pets@1", f"{'x' * 300}/pets.mintage"), "mkdir -p x"),
        (("export", "pets@1", "no such/pets.mintage"), "mkdir -p 'no such'"),
    ],
)
def test_a_path_that_cannot_be_is_an_error_with_a_remedy_and_makes_nothing(
    mintage: Terminal, home: Path, words: tuple[str, ...], said: str
) -> None:
    before = sorted(Path.cwd().iterdir())
    mintage(*words, "--home", home, status=2)
    assert said in mintage.err
    assert sorted(Path.cwd().iterdir()) == before


def test_a_file_that_is_named_like_a_model_is_told_how_to_be_a_path(
    mintage: Terminal, home: Path
) -> None:
    Path("key.dat").write_text("hello")
    mintage("verify", "key.dat", "--home", home, status=2)
    assert "key.dat is a file or folder here, and no model has that name" in mintage.err
    assert "mintage verify ./key.dat" in mintage.err
    mintage("verify", "./key.dat", "--home", home, status=2)
    assert "nothing that Mintage signs" in mintage.err
    Path("pets").write_text("hello")
    assert "pets@1 is as it was signed" in mintage("verify", "pets", "--home", home)
    mintage("verify", "none.dat", "--home", home, status=2)
    assert "There is no model 'none.dat'" in mintage.err
    mintage("verify", "none.txt", "--home", home, status=2)
    assert "There is no file or folder none.txt" in mintage.err


def test_a_model_is_exported_while_it_is_served(mintage: Terminal, home: Path) -> None:
    mintage("publish", "pets", "--product", "pets", "--home", home)
    words = ["serve", "--port", "0", "--operator-port", "0", "--home", str(home)]
    server = subprocess.Popen(
        [sys.executable, "-m", "mintage", *words], stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        assert "http://" in server.stdout.readline()
        mintage("export", "pets", "--home", home)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0
    mintage("verify", "pets-1.mintage", "--home", home)


def test_the_group_says_what_it_is_for() -> None:
    assert trust.trust_keys.info.help
    assert {command.name for command in trust.trust_keys.registered_commands} == {
        "add",
        "list",
        "remove",
        "update",
    }


def test_a_bill_of_materials_travels_with_its_model_and_is_shown(
    mintage: Terminal, home: Path, publisher: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    mintage("export", "pets@1", "pets.mintage", "--home", home)
    mintage("trust", "add", publisher, "--yes", "--home", other)
    mintage("import", "pets.mintage", "--home", other)
    here, there = ((folder / "models/pets/1/bom.json").read_bytes() for folder in (home, other))
    assert here == there
    (shown,) = (
        each for each in mintage.json("show", "pets@1", "--home", other) if each["kind"] == "model"
    )
    assert shown["bill_of_materials"]["format"] == "CycloneDX 1.6"
    words = " ".join(mintage("show", "pets@1", "--home", other).split())
    count = shown["bill_of_materials"]["components"]
    assert f"bill of materials CycloneDX 1.6, {count} components" in words
