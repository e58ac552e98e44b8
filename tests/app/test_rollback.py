"""Nobody goes back to an older signed bundle unseen: neither by a verb nor by swapping files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.machine import Machine

from mintage.app.root import App
from mintage.bundle.archive import pack
from mintage.bundle.format import write_bundle
from mintage.core.errors import RequestError, SignatureMismatch
from mintage.core.settings import load_settings


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Iterator[Machine]:
    """``pets@1`` and a ``pets@2`` of the same maker; the newer one is sold."""
    machine = Machine(home)
    with machine.app:
        machine.moving.import_(archive_of(machine, tmp_path / "pets-2.mintage", "pets@2", seed=7))
        machine.app.publishing.publish("pets@1", "pets", price="0.02")
        machine.app.publishing.publish("pets@2", "pets", price="0.03")
        yield machine


def archive_of(machine: Machine, path: Path, subject: str, seed: int) -> Path:
    """A bundle by this machine's key, signed as ``subject``."""
    bundle = machine.app.create.model("pets@1")
    files = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    folder = path.with_suffix("")
    signer = machine.app.keys.signer("bundle")
    write_bundle(folder, replace(bundle.manifest, seed=seed), files, signer, subject)
    path.write_bytes(pack({file.name: file.read_bytes() for file in folder.iterdir()}))
    return path


def test_an_older_version_is_sold_again_only_where_that_is_asked_for(shop: Machine) -> None:
    publishing = shop.app.publishing
    logged = shop.leaves()
    with pytest.raises(RequestError, match=r"pets@1 is older than pets@2") as caught:
        publishing.publish("pets@1", "pets", price="9")
    assert caught.value.http_status == 409
    assert shop.leaves() == logged  # its price was not set either
    assert publishing.catalogue()[0]["plan"]["price"] == "0.03"
    assert publishing.publish("pets@1", "pets", allow_older=True)["model"] == "pets@1"
    assert publishing.rollback("pets")["aliases"] == {"stable": "pets@2"}
    assert publishing.rollback("pets")["aliases"] == {"stable": "pets@1"}


def test_an_older_version_is_taken_in_only_where_that_is_asked_for(
    shop: Machine, tmp_path: Path
) -> None:
    there = Machine(tmp_path / "there")
    with there.app:
        there.moving.trust(shop.app.keys.signer("bundle").public)
        there.moving.import_(tmp_path / "pets-2.mintage")
        older = archive_of(shop, tmp_path / "older.mintage", "pets@1", seed=9)
        there.app.publishing.publish("pets@2", "animals")
        with pytest.raises(RequestError, match="pets@1 is older than pets@2, which was sold here"):
            there.moving.import_(older)
        assert there.models() == ["pets/2"]
        assert there.leaves().count("model.imported") == 1
        # What was sold and got damaged comes back as it was.
        (there.home / "models/pets/2/card.md").write_text("changed")
        assert there.moving.import_(tmp_path / "pets-2.mintage")["outcome"] == "restored"
        assert there.moving.import_(older, allow_older=True)["outcome"] == "imported"


def _swap_folders(home: Path, _resigned: Path) -> None:
    shutil.rmtree(home / "models/pets/2")
    shutil.copytree(home / "models/pets/1", home / "models/pets/2")


def _swap_for_another_signed_so(home: Path, resigned: Path) -> None:
    shutil.rmtree(home / "models/pets/2")
    shutil.copytree(resigned, home / "models/pets/2")


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (_swap_folders, "signed as pets@1, not as pets@2"),
        (_swap_for_another_signed_so, "pets@2 is not the bundle that was"),
    ],
)
def test_an_old_bundle_put_in_the_place_of_the_new_one_is_refused_by_name_and_by_digest(
    shop: Machine, tmp_path: Path, swap, said: str
) -> None:
    archive_of(
        shop, tmp_path / "once.mintage", "pets@2", seed=1
    )  # by the very key, never published
    swap(shop.home, tmp_path / "once")
    with pytest.raises(SignatureMismatch, match=said):
        shop.app.create.model("pets@2")
    with App(load_settings(home=shop.home, threads=1)) as app:
        with pytest.raises(SignatureMismatch, match=said):
            app.deliver.serving()
        with pytest.raises(SignatureMismatch, match=said):
            app.publishing.publish("pets@2", "pets")


def test_a_server_that_starts_answers_with_what_was_published_last_and_nothing_older(
    shop: Machine, trained_home: Path
) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()

    async def answered(app: App) -> str:
        engine = app.deliver.serving().engine
        await engine.start()
        try:
            return (await engine.answer("pets", picture)).info.version
        finally:
            await engine.close()

    with App(load_settings(home=shop.home, threads=1)) as app:
        assert asyncio.run(answered(app)) == "2"
