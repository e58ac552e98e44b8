from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper
from tests.app.machine import Machine

from mintage.app import moving
from mintage.app.moving import Moving
from mintage.app.verifying import Verifying
from mintage.bundle.archive import pack, unpack
from mintage.bundle.format import Manifest, write_bundle
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    RequestError,
    SignatureMismatch,
)
from mintage.core.progress import Silent
from mintage.trust.keys import KeyRing


@pytest.fixture
def here(home: Path) -> Iterator[Machine]:
    """Where ``pets@1`` was trained."""
    machine = Machine(home)
    with machine.app:
        yield machine


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Machine]:
    """A new workspace on another machine."""
    machine = Machine(tmp_path / "there")
    with machine.app:
        yield machine


@pytest.fixture
def archive(here: Machine, tmp_path: Path) -> Path:
    return Path(here.moving.export("pets@1", tmp_path / "pets.mintage")["path"])


@pytest.fixture
def trusting(here: Machine, there: Machine) -> Machine:
    """The other machine, which believes what this one signs."""
    there.moving.trust(here.app.keys.signer("bundle").public)
    return there


def test_a_model_goes_from_one_workspace_to_another_and_answers_alike(
    here: Machine, trusting: Machine, archive: Path, trained_home: Path
) -> None:
    done = trusting.moving.import_(archive)
    key_id = here.app.keys.signer("bundle").key_id
    digest = here.app.create.model("pets@1").digest
    assert done == {
        "model": "pets@1",
        "outcome": "imported",
        "bundle_digest": digest,
        "key_id": key_id,
    }
    assert trusting.leaves() == ["key.trusted", "model.imported"]
    before, after = (machine.home / "models/pets/1" for machine in (here, trusting))
    names = sorted(path.name for path in before.iterdir())
    assert sorted(path.name for path in after.iterdir()) == names
    for name in names:
        assert (after / name).read_bytes() == (before / name).read_bytes()
    pictures = [trained_home.parent / "photos/light/003.jpg"]
    one, other = (m.app.create.predict("pets", pictures) for m in (here, trusting))
    assert one[0]["output"] == other[0]["output"]
    assert trusting.app.create.evaluate("pets") == here.app.create.evaluate("pets")
    photos = trained_home.parent / "photos"
    assert trusting.app.create.evaluate("pets", data=photos)["accuracy"] > 0.9
    assert trusting.app.capture.audit()["records"] == 4  # two keys, the import, the evaluation


def test_what_did_not_come_along_is_said_and_nothing_crashes(
    trusting: Machine, archive: Path
) -> None:
    trusting.moving.import_(archive)
    with pytest.raises(RequestError, match="There is no dataset 'pets'"):
        trusting.app.create.inspect("pets")
    with pytest.raises(DataError, match="run of pets is not in this workspace"):
        trusting.app.create.report("pets")


def test_the_same_model_exports_to_the_same_bytes_wherever_it_is(
    here: Machine, trusting: Machine, archive: Path, tmp_path: Path
) -> None:
    trusting.moving.import_(archive)
    again = here.moving.export("pets", tmp_path / "again.mintage")
    onward = trusting.moving.export("pets", tmp_path / "onward.mintage")
    assert archive.read_bytes() == Path(again["path"]).read_bytes()
    assert archive.read_bytes() == Path(onward["path"]).read_bytes()
    assert (again["own_key"], onward["own_key"]) == (True, False)
    assert again["sha256"] == onward["sha256"]
    assert again["bytes"] == archive.stat().st_size


def test_processes_in_other_zones_and_umasks_export_the_same_bytes(
    home: Path, tmp_path: Path
) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from mintage.app.moving import Moving\nfrom mintage.app.root import App\n"
        "os.umask(int(sys.argv[2], 8))\n"
        "with App() as app:\n"
        "    moving = Moving(app.workspace, app.keys, app.create)\n"
        "    print(moving.export('pets', Path(sys.argv[1]))['sha256'])\n"
    )
    found = set()
    for number, (umask, zone) in enumerate((("002", "Asia/Kathmandu"), ("077", "Etc/GMT+12"))):
        target = tmp_path / f"{number}.mintage"
        done = subprocess.run(
            [sys.executable, "-c", program, str(target), umask],
            env=os.environ | {"TZ": zone, "MINTAGE_HOME": str(home), "PYTHONHASHSEED": umask},
            capture_output=True,
            check=True,
        )
        found.add((done.stdout, target.read_bytes()))
    assert len(found) == 1


def test_an_export_has_a_name_of_its_own_and_replaces_nothing_unasked(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert here.moving.export("pets@latest")["path"] == "pets-1.mintage"
    (tmp_path / "stick").mkdir()
    assert here.moving.export("pets", Path("stick"))["path"] == "stick/pets-1.mintage"
    target = tmp_path / "pets-1.mintage"
    made = target.stat().st_mtime_ns
    here.moving.export("pets")
    assert target.stat().st_mtime_ns == made
    target.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="is there already") as caught:
        here.moving.export("pets")
    assert "--force" in caught.value.remedy
    assert target.read_bytes() == b"mine"
    here.moving.export("pets", force=True)
    assert target.read_bytes() == (tmp_path / "stick/pets-1.mintage").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.mintage*")) == ["pets-1.mintage"]


def test_what_does_not_verify_is_not_exported(here: Machine, tmp_path: Path) -> None:
    card = here.home / "models/pets/1/card.md"
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(SignatureMismatch, match=r"card\.md was changed"):
        here.moving.export("pets", tmp_path / "x.mintage")
    assert not (tmp_path / "x.mintage").exists()


def test_an_untrusted_key_is_named_with_what_would_trust_it(
    here: Machine, there: Machine, archive: Path
) -> None:
    key_id = here.app.keys.signer("bundle").key_id
    there.app.keys.signer("bundle")
    for __ in range(2):
        with pytest.raises(SignatureMismatch, match=f"names the key {key_id}, which is not") as no:
            there.moving.import_(archive)
        assert "mintage trust add publisher.pub" in no.value.remedy
        assert no.value.exit_status == 3
        there.moving.trust(here.app.keys.signer("data").public)  # another key does not help
    assert there.models() == []
    shutil.rmtree(there.home / "keys")
    nobody = Moving(there.app.workspace, KeyRing(there.home / "keys"), there.app.create)
    with pytest.raises(SignatureMismatch, match=f"No key is trusted here.*{key_id}"):
        nobody.import_(archive)


def changed(change: Callable[[dict[str, bytes]], None]) -> Callable[[bytes], bytes]:
    """Takes an archive apart, changes its files and packs them as Mintage does."""

    def work(data: bytes) -> bytes:
        files = unpack(data)
        change(files)
        return pack(files)

    return work


def _flip(files: dict[str, bytes]) -> None:
    middle = len(files["model.onnx"]) // 2
    data = files["model.onnx"]
    files["model.onnx"] = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _rename(files: dict[str, bytes]) -> None:
    import base64

    signature = json.loads(files["signature.json"])
    envelope = signature["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b'"pets@1"', b'"pets@9"')
    envelope["payload"] = base64.b64encode(payload).decode()
    files["signature.json"] = json.dumps(signature, sort_keys=True).encode()


def _bomb(data: bytes) -> bytes:
    import io

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name in unpack(data):
            made.writestr(name, bytes(50_000_000))
    assert len(target.getvalue()) < 1_000_000
    return target.getvalue()


@pytest.mark.parametrize(
    ("tamper", "error", "message"),
    [
        (changed(_flip), SignatureMismatch, r"model\.onnx was changed"),
        (changed(_rename), SignatureMismatch, "no trusted key, or what it signs was changed"),
        (changed(lambda files: files.pop("card.md")), SignatureMismatch, r"card\.md is missing"),
        (changed(lambda files: files.pop("signature.json")), SignatureMismatch, "is not signed"),
        (
            changed(lambda files: files.update({"columns.json": b"{}"})),
            SignatureMismatch,
            "not signed",
        ),
        (lambda data: data[: len(data) // 2], DataError, "ends too early"),
        (lambda data: data[:-10], DataError, "its bytes are not"),
        (lambda data: data + b"!", DataError, "its bytes are not"),
        (_bomb, DataError, "is compressed"),
    ],
    ids=["byte", "subject", "removed", "unsigned", "added", "cut", "cut-end", "trailing", "bomb"],
)
def test_an_archive_that_was_tampered_with_leaves_no_trace(
    trusting: Machine,
    archive: Path,
    tamper: Callable[[bytes], bytes],
    error: type[Exception],
    message: str,
) -> None:
    archive.write_bytes(tamper(archive.read_bytes()))
    with pytest.raises(error, match=message):
        trusting.moving.import_(archive)
    assert trusting.models() == []
    assert trusting.leaves() == ["key.trusted"]


def resigned(
    machine: Machine,
    path: Path,
    subject: str,
    change: Callable[[Manifest], Manifest],
    **others: bytes,
) -> Path:
    """Another bundle by the same maker, as ``subject``."""
    bundle = machine.app.create.model("pets@1")
    files = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    files |= {"model.onnx": others["model"]} if others else {}
    folder = path.parent / "resigned"
    signer = machine.app.keys.signer("bundle")
    write_bundle(folder, change(bundle.manifest), files, signer, subject)
    path.write_bytes(pack({file.name: file.read_bytes() for file in folder.iterdir()}))
    return path


def test_a_signature_of_another_bundle_does_not_fit(
    here: Machine, trusting: Machine, archive: Path, tmp_path: Path
) -> None:
    other = resigned(here, tmp_path / "other", "pets@2", lambda found: replace(found, seed=7))
    files = unpack(archive.read_bytes()) | {
        "signature.json": unpack(other.read_bytes())["signature.json"]
    }
    archive.write_bytes(pack(files))
    with pytest.raises(SignatureMismatch, match=r"bundle\.json was changed"):
        trusting.moving.import_(archive)
    assert trusting.models() == []


def test_a_second_import_does_nothing_and_says_so(trusting: Machine, archive: Path) -> None:
    trusting.moving.import_(archive)
    folder = trusting.home / "models/pets/1"
    made = folder.stat().st_ino
    assert trusting.moving.import_(archive)["outcome"] == "present"
    assert folder.stat().st_ino == made
    assert trusting.leaves() == ["key.trusted", "model.imported"]


def test_an_import_mends_what_was_damaged_here(trusting: Machine, archive: Path) -> None:
    trusting.moving.import_(archive)
    (trusting.home / "models/pets/1/card.md").write_text("changed")
    assert trusting.moving.import_(archive)["outcome"] == "restored"
    trusting.app.create.model("pets@1")
    assert trusting.leaves()[-1] == "model.restored"
    assert trusting.models() == ["pets/1"]


def test_another_model_of_the_same_name_and_version_is_never_replaced(
    here: Machine, trusting: Machine, archive: Path, tmp_path: Path
) -> None:
    trusting.moving.import_(archive)
    other = resigned(here, tmp_path / "other", "pets@1", lambda found: replace(found, seed=7))
    before = trusting.app.create.model("pets@1").digest
    with pytest.raises(DataError, match="There is another pets@1 here already") as caught:
        trusting.moving.import_(other)
    assert "mintage remove pets@1" in caught.value.remedy
    assert trusting.app.create.model("pets@1").digest == before
    with pytest.raises(DataError, match="another pets@1"):
        here.moving.import_(other)


def test_a_version_that_was_removed_can_be_imported_again(trusting: Machine, archive: Path) -> None:
    from mintage.create import repository as models

    trusting.moving.import_(archive)
    record: dict[str, Any] = {"name": "pets", "version": 1}
    trusting.app.workspace.database.write(
        lambda connection: models.remove(connection, "model", record, "2026-11-23")
    )
    with pytest.raises(RequestError):
        trusting.app.create.model("pets@1")
    assert trusting.moving.import_(archive)["outcome"] == "imported"
    assert trusting.app.create.model("pets@1").subject == "pets@1"


@pytest.mark.parametrize("subject", ["pets", "pets@", "pets@0", "pets@01", "pets@-1", "pets@v1"])
def test_what_was_signed_as_no_models_version_is_refused(
    here: Machine, trusting: Machine, tmp_path: Path, subject: str
) -> None:
    path = resigned(here, tmp_path / "odd", subject, lambda found: found)
    with pytest.raises(DataError, match="which is no model's version"):
        trusting.moving.import_(path)
    assert trusting.models() == []


@pytest.mark.parametrize("subject", ["../pets@1", "a/b@1", ".@1", "..@1", "@1"])
def test_a_name_that_would_lead_elsewhere_is_refused_though_a_trusted_key_signed_it(
    here: Machine, trusting: Machine, tmp_path: Path, subject: str
) -> None:
    path = resigned(here, tmp_path / "odd", subject, lambda found: found)
    with pytest.raises(ConfigError, match="Not a name for a model"):
        trusting.moving.import_(path)
    assert trusting.models() == []


def test_a_graph_that_may_not_be_opened_is_not_imported_though_a_trusted_key_signed_it(
    here: Machine, trusting: Machine, tmp_path: Path
) -> None:
    graph = onnx.load_model_from_string(here.app.create.model("pets@1").model)
    graph.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=graph.graph))
    path = resigned(
        here, tmp_path / "odd", "pets@2", lambda found: found, model=graph.SerializeToString()
    )
    with pytest.raises(DataError, match="'Loop' is not run here"):
        trusting.moving.import_(path)
    assert trusting.models() == []


def test_a_folder_and_a_file_that_is_not_there_are_told_apart(
    there: Machine, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is a folder, not an archive"):
        there.moving.import_(home / "models/pets/1")
    with pytest.raises(DataError, match="No such file"):
        there.moving.import_(tmp_path / "none.mintage")


def test_an_import_that_fails_half_way_leaves_no_model(
    trusting: Machine, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DependencyDown("no room")

    with monkeypatch.context() as patch:
        patch.setattr(moving.bundles, "add_imported", broken)
        with pytest.raises(DependencyDown):
            trusting.moving.import_(archive)
    with pytest.raises(RequestError):
        trusting.app.create.model("pets@1")
    assert trusting.moving.import_(archive)["outcome"] == "imported"
    assert trusting.models() == ["pets/1"]


def test_two_processes_that_import_at_once_make_one_model(trusting: Machine, archive: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from mintage.app.moving import Moving\nfrom mintage.app.root import App\n"
        "with App() as app:\n"
        "    moving = Moving(app.workspace, app.keys, app.create)\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(moving.import_(Path(sys.argv[1]))['outcome'])\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(archive)],
            env=os.environ | {"MINTAGE_HOME": str(trusting.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for __ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outcomes = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert outcomes == ["imported", "present", "present"]
    assert trusting.leaves() == ["key.trusted", "model.imported"]
    assert trusting.models() == ["pets/1"]


def test_verify_takes_a_model_a_folder_and_an_archive(
    trusting: Machine, archive: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifying(trusting.app.keys, trusting.app)

    def digest(reference: object) -> str:
        document = verifier.verify(str(reference), Silent()).document
        assert document["model"] == "pets@1"
        return str(document["bundle_digest"])

    monkeypatch.chdir(archive.parent)
    by_name = digest("pets.mintage")
    assert digest(archive) == by_name
    assert digest(home / "models/pets/1") == by_name
    with pytest.raises(RequestError):
        digest("pets@1")  # verifying takes nothing in
    trusting.moving.import_(archive)
    assert digest("pets@1") == by_name
    archive.write_bytes(changed(_flip)(archive.read_bytes()))
    with pytest.raises(SignatureMismatch):
        digest("pets.mintage")


def test_a_key_that_is_trusted_no_longer_closes_what_it_signed(
    here: Machine, trusting: Machine, archive: Path
) -> None:
    trusting.moving.import_(archive)
    (key,) = trusting.moving.trusted()
    assert key["roles"] == ["bundle"]
    assert key["key_id"] == here.app.keys.signer("bundle").key_id
    trusting.moving.distrust(key["key_id"][:16])
    with pytest.raises(SignatureMismatch, match="No key is trusted here"):
        trusting.app.create.model("pets@1")


def test_an_export_is_an_entry_of_the_log_and_one_that_is_refused_is_none(
    here: Machine, tmp_path: Path
) -> None:
    before = here.leaves().count("data.read")
    here.moving.export("pets@1", tmp_path / "again.mintage")
    with pytest.raises(RequestError):
        here.moving.export("pets@9", tmp_path / "none.mintage")
    assert here.leaves().count("data.read") == before + 1
