"""No pickle exists anywhere: not in the code, not in what is written, not in what is taken in."""

from __future__ import annotations

import ast
import pickle
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import mintage
from mintage.bundle.archive import unpack
from mintage.core.errors import DataError, MintageError
from mintage.core.registry import modalities
from mintage.core.types import Skipped, SourceListing
from mintage.modalities.safe_tensors import check_file
from mintage.sources.location import attempt, list_source

ROOT = Path(__file__).parents[2]
INSTALLED = Path(mintage.__file__).parent
TREES = sorted({INSTALLED, ROOT / "src/mintage", ROOT / "tools"})
FILES = [path for tree in TREES for path in sorted(tree.rglob("*.py"))]

MODULES = {
    *("pickle", "cPickle", "_pickle", "pickletools", "dill", "cloudpickle", "joblib", "shelve"),
    *("marshal", "jsonpickle", "copyreg", "imp"),
}
"""What makes objects of bytes by running what the bytes say."""
LOADERS = {
    *(("torch", "load"), ("torch", "save"), ("torch.jit", "load")),
    *(("yaml", "load"), ("yaml", "unsafe_load")),
}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "extractall", "unpack_archive"}
FLAGS = {"allow_pickle": False, "trust_remote_code": False, "weights_only": True}
"""Where one of these is said, it is said so."""


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = getattr(node, "module", None) or ""
    names = {each.name for each in node.names}
    yield from (f"imports {each}" for each in names | {module} if each.split(".")[0] in MODULES)
    if module == "torch" and names & {"load", "save"}:
        yield "imports torch.load"


def calls(node: ast.Call, packed: bool) -> Iterator[str]:
    """``packed``: the program has to do with zips or tars."""
    called = name_of(node.func)
    owner, __, method = called.rpartition(".")
    said = {each.arg: each.value for each in node.keywords}
    named = node.args[0] if node.args else None
    if (
        called in CALLS
        or method in METHODS
        or (owner, method) in LOADERS
        or (method == "extract" and packed)
        or (method == "import_module" and getattr(named, "value", "") in MODULES)
    ):
        yield f"calls {called}"
    if (owner, method) == ("np", "save") and "allow_pickle" not in said:
        yield f"calls {called} without allow_pickle=False"
    for flag, right in FLAGS.items():
        value = said.get(flag)
        if value is not None and getattr(value, "value", None) is not right:
            yield f"says {flag}={ast.unparse(value)}"


def faults(text: str) -> Iterator[str]:
    """Each way in which a program might load a pickle, or run what a file says."""
    packed = "tarfile" in text or "zipfile" in text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        elif isinstance(node, ast.Call):
            yield from calls(node, packed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:]))
def test_no_line_of_the_program_can_load_a_pickle(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import joblib",
        "from shelve import open",
        "import os, marshal",
        "importlib.import_module('dill')",
        "torch.load(path)",
        "torch.save(x, path)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=wanted)",
        "np.save(path, array)",
        "pandas.read_pickle(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "tar.extractall(folder)",
        "with zipfile.ZipFile(path) as archive: archive.extract(name)",
        "shutil.unpack_archive(path)",
    ],
)
def test_whoever_writes_such_a_line_is_told(line: str) -> None:
    assert list(faults(line))


def test_all_of_the_program_is_looked_at() -> None:
    assert len(FILES) > 300
    loaded = {
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.startswith("mintage.") and isinstance(module, types.ModuleType) and module.__file__
    }
    assert loaded <= set(FILES)


class Runs:
    """An object whose pickle runs a program as it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["photos", "photos.zip", "photos.csv", "photos.jsonl", "x.pkl"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_by_what_it_is_whatever_its_name(
    name: str, protocol: int, tmp_path: Path
) -> None:
    location, trace = tmp_path / name, tmp_path / "it-ran"
    location.write_bytes(pickle.dumps(Runs(trace), protocol))
    with pytest.raises(DataError, match="a pickle, which is never opened") as refused:
        list_source(location, modalities().get("image"), "label")
    assert refused.value.remedy
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_among_pictures_is_named_and_never_run(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    data = pickle.dumps(Runs(trace), protocol)
    with pytest.raises(DataError, match="not a JPEG, PNG, WebP, BMP or TIFF picture") as refused:
        modalities().get("image").ingest(data)
    assert protocol < 2 or "a pickle, which is never opened" in refused.value.message
    assert not trace.exists()


def taken_in(path: Path, scratch: Path) -> bool:
    """Whether any door makes something of such a file; of a zip what is in it is looked at too."""
    image, model, data = modalities().get("image"), scratch / "model.safetensors", path.read_bytes()
    model.write_bytes(data)
    doors: list[Callable[[], object]] = [
        lambda: image.ingest(data),
        lambda: examples(list_source(path, image, "label")[1]),
        lambda: check_file(model),
        lambda: unpack(data),
    ]
    for door in doors:
        with suppress(MintageError):
            if door():
                return True
    return False


def examples(listing: SourceListing) -> list[object]:
    """What is made of a listing's examples, without those that are left out with a reason."""
    ingest = modalities().get("image").ingest
    made = [attempt(found, ingest) for found in listing.examples]
    return [each for each in made if not isinstance(each, Skipped)]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "as torch packs it"])
def test_a_pickle_gets_in_by_no_door(protocol: int, packed: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "model.bin", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps(Runs(trace), protocol))
    if packed:
        data = path.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
    assert not taken_in(path, tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["photos.tar", "photos.zip", "photos.csv", "photos"])
def test_a_tar_is_refused_by_what_it_is_whatever_its_name(
    name: str, form: int, tmp_path: Path
) -> None:
    location = tmp_path / name
    with tarfile.open(location, "w", format=form) as tar:
        link = tarfile.TarInfo("cats/1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("../../evil.jpg"))
    with pytest.raises(DataError, match="is a tar, which is not opened here") as refused:
        list_source(location, modalities().get("image"), "label")
    assert refused.value.remedy
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_tar_from_before_posix_is_known_by_its_checksum(tmp_path: Path) -> None:
    location = tmp_path / "old.csv"
    with tarfile.open(location, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("cats/1.jpg"))
    data = bytearray(location.read_bytes())
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    location.write_bytes(data)
    with tarfile.open(location) as tar:
        assert tar.getnames() == ["cats/1.jpg"]
    with pytest.raises(DataError, match="is a tar"):
        list_source(location, modalities().get("image"), "label")


@pytest.mark.parametrize(("suffix", "name"), [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")])
def test_a_packed_tar_is_refused_as_what_it_is_packed_with(
    suffix: str, name: str, tmp_path: Path
) -> None:
    location = tmp_path / "photos.zip"
    with tarfile.open(location, f"w:{suffix}") as tar:
        tar.addfile(tarfile.TarInfo("cats/1.jpg"))
    with pytest.raises(DataError, match=f"is packed with {name}"):
        list_source(location, modalities().get("image"), "label")


def test_a_tar_among_pictures_is_named(tmp_path: Path) -> None:
    location = tmp_path / "x.tar"
    with tarfile.open(location, "w") as tar:
        tar.addfile(tarfile.TarInfo("cats/1.jpg"))
    with pytest.raises(DataError, match="but a tar; unpack it first"):
        modalities().get("image").ingest(location.read_bytes())
