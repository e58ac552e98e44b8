"""A small shop: what the commands of the documents are run on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.console import Shell
from tests.pictures import encoded, jpeg, noise, two_classes

Open = Callable[[str], Shell]


@pytest.fixture(scope="session")
def stocked(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace (``.mintage``: pets@1, pets@2, a product, a customer) and files."""
    folder = tmp_path_factory.mktemp("stocked")
    shutil.copytree(trained_home, folder / ".mintage")
    _files(folder, trained_home.parent / "photos")
    environment = {name: text for name, text in os.environ.items() if name[:8] != "MINTAGE_"}
    environment |= {"MINTAGE_LANG": "en", "MINTAGE_THREADS": "1"}

    def mintage(*words: str) -> str:
        command = [sys.executable, "-m", "mintage", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    mintage("train", "pets", "--recipe", "seed-cnn", "--epochs", "4", "--seed", "1")
    mintage("publish", "pets@1", "--product", "pets", "--price", "0.02")
    key = json.loads(mintage("customer", "add", "Ada", "--json"))["key"]
    (folder / "key.txt").write_text(key)
    from mintage.client import Client

    shell = Shell(folder, folder.parent / "tools", "en")
    with shell.server() as addresses, Client(addresses["http://127.0.0.1:8000"], key) as client:
        client.predict("pets", folder / "cat.jpg")
    return folder


def _files(folder: Path, photos: Path) -> None:
    """What the documents' commands read, made on the spot."""
    shutil.copytree(photos, folder / "photos")
    more = two_classes(folder / "more", each=30, size=(44, 33))
    for label in ("dark", "light"):
        for number in range(15):  # pictures that photos does not have
            picture = jpeg(5000 + number + 100 * (label == "light"), (44, 33))
            (more / label / f"new-{number:02}.jpg").write_bytes(picture)
    shutil.copy(folder / "photos/light/003.jpg", folder / "cat.jpg")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for path in sorted((folder / "photos").rglob("*.jpg")):
            archive.write(path, path.relative_to(folder))
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in _some(folder)]
    (folder / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    chinese = [row.replace(",dark", ",暗").replace(",light", ",亮") for row in rows]
    (folder / "标签.csv").write_bytes(("path,label\n" + "\n".join(chinese)).encode("gb18030"))
    _chinese_zip(folder)
    _phone(folder)
    _holiday(folder)
    for split in ("train", "test"):
        shutil.copytree(folder / "photos", folder / "splits" / split)


def _some(folder: Path) -> list[Path]:
    return [
        path
        for label in ("dark", "light")
        for path in sorted((folder / "photos" / label).iterdir())
    ]


def _chinese_zip(folder: Path) -> None:
    """As Chinese Windows writes it: names in GBK, and no flag that says so."""
    with zipfile.ZipFile(folder / "照片.zip", "w") as archive:
        for path in _some(folder):
            label = {"dark": "黑暗", "light": "明亮"}[path.parent.name]
            archive.writestr(_Gbk(f"照片/{label}/图片{path.name}"), path.read_bytes())


class _Gbk(zipfile.ZipInfo):
    """An entry whose name is written in GBK, without the flag that would say another."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own name
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def _phone(folder: Path) -> None:
    """A folder as a phone gives it: pictures, and one that is not read."""
    two_classes(folder / "phone", each=8)
    (folder / "phone/dark/IMG_0001.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (folder / "phone/light/notes.txt").write_text("not a picture")
    (folder / "phone/light/broken.jpg").write_bytes(jpeg(7)[:300])


def _holiday(folder: Path) -> None:
    """Photographs that say where they were taken."""
    from PIL import Image

    two_classes(folder / "holiday", each=8)
    exif = Image.Exif()
    exif[0x010E] = "Home Street 1"
    (folder / "holiday/dark/000.jpg").write_bytes(encoded(noise(900), quality=92, exif=exif))


@pytest.fixture
def open_shell(stocked: Path, tmp_path: Path) -> Open:
    """A shell, in a language, over a copy of the shop that may be changed."""

    def opened(language: str) -> Shell:
        folder = tmp_path / "shop"
        shutil.copytree(stocked, folder, symlinks=True)
        shell = Shell(folder, tmp_path / "tools", language)
        shell.environment["MINTAGE_KEY"] = (folder / "key.txt").read_text()
        return shell

    return opened
