from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.loopback import Server, file
from tests.pictures import two_classes

from mintage.cli.get import get
from mintage.core.errors import ConfigError, DataError
from mintage.datasets import public
from mintage.sources.https import PublicFile


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    photos = two_classes(tmp_path_factory.mktemp("photos"), each=12)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(photos.rglob("*.jpg")):
            archive.write(path, path.relative_to(photos).as_posix())
        archive.writestr("dark/bad.jpg", b"bad")
    return stream.getvalue()


@pytest.fixture
def server(tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The public set ``pets``, small and on loopback."""
    monkeypatch.chdir(tmp_path)
    with Server(tmp_path) as running:
        url = running.script("/pets.zip", file(packed))
        small = PublicFile("pets.zip", len(packed), hashlib.sha256(packed).hexdigest(), (url,))
        monkeypatch.setattr(public, "SETS", (replace(public.find("pets"), file=small),))
        monkeypatch.setattr("mintage.app.downloads.Guard", running.guard)
        yield running


class Verb:
    """Runs the verb as the command line would, without the entry point."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.cli = typer.Typer(pretty_exceptions_enable=False)
        self.cli.command()(get)

    def __call__(self, *words: object) -> tuple[str, str]:
        typer.main.get_command(self.cli)(list(map(str, words)), standalone_mode=False)
        return self.capsys.readouterr()

    def json(self, *words: object) -> Any:
        return json.loads(self(*words, "--json")[0])


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str]) -> Verb:
    return Verb(capsys)


def test_what_comes_is_said_before_and_what_to_do_next_after(verb: Verb, server: Server) -> None:
    out, err = verb("pets")
    said = " ".join(err.split())
    before = said.index("Downloading pets.zip from files.example")
    for word in ("Cats vs. Dogs", "licence: Microsoft Research", "from: https://files.example"):
        assert 0 <= said.index(word) < before
    assert "The file stays at" in said
    assert said.endswith("Next: mintage train pets --time 5m")
    shown = " ".join(out.split())
    for word in ("examples 24", "dark 12", "light 12", "left out, each with its reason 1"):
        assert word in shown
    out, err = verb("pets")
    assert "It was collected already." in err
    assert len(server.asked) == 1


def test_json_is_one_document(verb: Verb, server: Server, packed: bytes, tmp_path: Path) -> None:
    found = verb.json("pets", "--name", "mine", "--home", tmp_path / "home")
    assert found["set"] == "pets"
    assert found["dataset"] == "mine"
    assert found["classes"] == {"dark": 12, "light": 12}
    assert (found["new"], found["examples"], len(found["skipped"])) == (True, 24, 1)
    assert found["sha256"] == hashlib.sha256(packed).hexdigest()
    assert Path(found["file"]) == tmp_path / "home/downloads/pets.zip"
    assert Path(found["file"]).read_bytes() == packed


def test_a_file_of_ones_own_is_named_with_from(
    verb: Verb, server: Server, packed: bytes, tmp_path: Path
) -> None:
    (tmp_path / "mine.zip").write_bytes(packed)
    __, err = verb("pets", "--from", "mine.zip")
    assert "from: mine.zip" in err
    assert "The file stays" not in err
    assert server.asked == []
    with pytest.raises(DataError, match=r"expected pets\.zip"):
        verb("pets", "--from", tmp_path)


def test_the_sets_are_listed_with_licence_size_and_page(verb: Verb) -> None:
    out, __ = verb("--list")
    for word in ("pets", "not commercial", "825 MB", public.SETS[0].page):
        assert word in " ".join(out.split())
    (listed,) = verb.json("--list")
    assert listed["size"] == 824_887_076
    assert listed["addresses"] == list(public.SETS[0].file.addresses)


@pytest.mark.parametrize(("words", "says"), [((), "Which public set"), (("cats",), "'cats'")])
def test_a_set_that_is_not_known_is_answered_with_those_that_are(
    verb: Verb, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        verb(*words)
    assert refused.value.remedy
