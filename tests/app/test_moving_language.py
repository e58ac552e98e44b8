"""A language model leaves one workspace and arrives at another, whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.app.machine import Machine
from tests.language_bundle import FILES, MANIFEST

from mintage.app import moving
from mintage.app.language import OWN, TokenPrices
from mintage.app.workspace_check import examine_workspace
from mintage.bundle.language import load_language, write_language_bundle
from mintage.core.clock import SystemClock
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    RequestError,
    SignatureMismatch,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    """Where ``chats@1`` is."""
    machine = Machine(tmp_path / "here")
    with machine.app:
        signer = machine.app.keys.signer("bundle")
        write_language_bundle(tmp_path / "made", MANIFEST, FILES, signer, "chats@1")
        machine.moving.import_(tmp_path / "made")
        yield machine


@pytest.fixture
def there(here: Machine, tmp_path: Path) -> Iterator[Machine]:
    """A new workspace on another machine, which believes what the first one signs."""
    machine = Machine(tmp_path / "there")
    with machine.app:
        machine.moving.trust(here.app.keys.signer("bundle").public)
        yield machine


@pytest.fixture
def folder(here: Machine, tmp_path: Path) -> Path:
    return Path(here.moving.export("chats@1", tmp_path / "stick")["path"])


def test_it_goes_as_a_folder_and_is_the_same(here: Machine, there: Machine, folder: Path) -> None:
    done = there.moving.import_(folder)
    digest = here.app.create.bundles.find_language("chats@1").digest
    assert (done["outcome"], done["bundle_digest"]) == ("imported", digest)
    assert there.app.create.bundles.find_language("chats").digest == digest
    assert there.leaves() == ["key.trusted", "model.imported"]
    for name, data in FILES.items():
        assert (there.home / "models/chats/1" / name).read_bytes() == data
    assert there.moving.verify("chats@1").subject == "chats@1"
    with pytest.raises(DataError, match="run of chats is not in this workspace"):
        there.app.tuning.report("chats")


def test_an_export_says_what_was_written_and_replaces_nothing_of_others(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = here.moving.export("chats")
    assert (done["path"], done["sha256"], done["own_key"]) == ("chats-1", None, True)
    written = tmp_path / "chats-1"
    assert done["bytes"] == sum(path.stat().st_size for path in written.iterdir())
    made = written.stat().st_ino
    here.moving.export("chats")  # the very same: left as it is
    assert written.stat().st_ino == made
    (written / "card.md").write_bytes(b"changed")
    with pytest.raises(ConfigError, match="is there already, with other content"):
        here.moving.export("chats")
    here.moving.export("chats", force=True)
    assert (written / "card.md").read_bytes() == FILES["card.md"]
    (tmp_path / "letters/chats-1").mkdir(parents=True)
    (tmp_path / "letters/chats-1/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already, with other content"):
        here.moving.export("chats", Path("letters"), force=True)
    assert (tmp_path / "letters/chats-1/mine.txt").read_text() == "mine"


def test_a_second_import_does_nothing_and_one_that_was_damaged_is_made_whole(
    there: Machine, folder: Path
) -> None:
    there.moving.import_(folder)
    assert there.moving.import_(folder)["outcome"] == "present"
    weights = there.home / "models/chats/1/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert there.moving.import_(folder)["outcome"] == "restored"
    assert weights.read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("name", [*sorted(FILES), "bundle.json", "signature.json"])
def test_a_changed_file_is_refused_and_leaves_no_trace(
    there: Machine, folder: Path, name: str
) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises((SignatureMismatch, DataError)):
        there.moving.import_(folder)
    assert there.models() == []
    assert there.leaves() == ["key.trusted"]


def test_what_changes_between_check_and_copy_does_not_arrive(
    there: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(path: Path, *given: Any) -> object:
        found = load_language(path, *given)
        (folder / "model.safetensors").write_bytes(b"others'")
        return found

    monkeypatch.setattr(moving, "load_language", changing)
    with pytest.raises(SignatureMismatch, match=r"model\.safetensors was changed"):
        there.moving.import_(folder)
    assert there.models() == []
    assert there.leaves() == ["key.trusted"]


def test_a_full_disk_leaves_nothing_behind(
    there: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DependencyDown, match="No space left"):
        there.moving.import_(folder)
    assert there.models() == []


def test_an_older_version_is_sold_again_only_where_that_is_asked_for(
    here: Machine, there: Machine, folder: Path, tmp_path: Path
) -> None:
    signer = here.app.keys.signer("bundle")
    write_language_bundle(tmp_path / "newer", MANIFEST, FILES, signer, "chats@2")
    here.moving.import_(tmp_path / "newer")
    bundles, language = here.app.create.bundles, here.app.language
    prices = TokenPrices("1", "2", None, "EUR")
    for version in (1, 2, 2):
        language.publish(bundles.find_language(f"chats@{version}"), "helper", prices=prices)
    older = bundles.find_language("chats@1")
    with pytest.raises(RequestError, match="chats@1 is older than chats@2, which helper has sold"):
        language.publish(older, "helper", prices=prices)
    language.publish(older, "helper", prices=prices, allow_older=True)
    assert language.show("helper")["upstreams"][0]["model"] == "chats@1"
    language.publish(older, "helper", prices=prices)  # what answers already
    # Elsewhere, where only the newer one was ever taken in and sold.
    there.moving.import_(tmp_path / "newer")
    there.app.language.publish(
        there.app.create.bundles.find_language("chats@2"), "helper", prices=prices
    )
    with pytest.raises(RequestError, match="chats@1 is older than chats@2, which was sold here"):
        there.moving.import_(folder)
    assert there.moving.import_(folder, allow_older=True)["outcome"] == "imported"


def test_what_no_server_answers_with_any_more_since_its_key_was_revoked_is_named(
    here: Machine,
) -> None:
    bundle = here.app.create.bundles.find_language("chats@1")
    here.app.language.publish(bundle, "helper", prices=TokenPrices("1", "2", None, "EUR"))
    assert here.app.signing_again.stopped() == []
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    here.app.signing_keys.revoke(bundle.key_id, "stolen", long_ago)
    (stopped,) = here.app.signing_again.stopped()
    assert (stopped.product, stopped.alias, stopped.model) == ("helper", OWN, "chats@1")
    assert "stolen" in stopped.problem.message
    found = examine_workspace(here.home, SystemClock())
    assert "chats@1" in next(each.found for each in found if each.check == "product helper")
    here.app.language.remove("helper", OWN)
    assert here.app.signing_again.stopped() == []
