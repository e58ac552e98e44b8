from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mintage.core.canonical import sha256_hex
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    MintageError,
    RequestError,
    TrustError,
)
from mintage.store.workspace import Workspace
from mintage.trust import repository, trusted
from mintage.trust.key_files import read_public_key
from mintage.trust.keys import KeyRing, PublicKey, Role
from mintage.trust.trusted import TrustedKeys


@pytest.fixture
def ring(workspace: Workspace) -> KeyRing:
    return KeyRing(workspace.key_folder)


@pytest.fixture
def believed(workspace: Workspace, ring: KeyRing) -> TrustedKeys:
    return TrustedKeys(workspace.database, ring, workspace.now)


@pytest.fixture
def publisher(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "publisher")


def leaves(workspace: Workspace) -> list[tuple[str, dict]]:
    with workspace.database.read() as connection:
        return [(row.kind, json.loads(row.record)) for row in repository.read_rows(connection)]


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_key_is_believed_from_add_to_remove_and_the_log_says_both(
    workspace: Workspace, ring: KeyRing, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("bundle").public
    assert believed.add(key)
    (file,) = believed.list()
    assert file.path == workspace.key_folder / "trusted" / f"{key.key_id[:32]}.pub"
    assert file.path.read_bytes() == key.pem
    assert ring.public_keys("bundle") == (key,)
    assert ring.public_keys("log") == ()
    assert believed.remove(key.key_id[:8]) == (key, ["bundle"])
    assert ring.public_keys("bundle") == ()
    record = {
        "key_id": key.key_id,
        "algorithm": "ECDSA P-256",
        "roles": ["bundle"],
        "changed_at": "2026-11-23T12:00:00.000000Z",
    }
    assert leaves(workspace) == [
        ("key.trusted", record | {"kind": "key.trusted"}),
        ("key.distrusted", record | {"kind": "key.distrusted"}),
    ]


def test_the_same_key_added_twice_even_at_once_is_added_once(
    workspace: Workspace, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("bundle").public
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda __: believed.add(key), range(8)))
    assert sorted(added) == [False] * 7 + [True]
    assert not believed.add(key)
    assert [kind for kind, __ in leaves(workspace)] == ["key.trusted"]


def test_a_log_key_is_believed_for_the_log_alone(
    ring: KeyRing, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("log").public
    assert (key.algorithm, key.usual_role) == ("Ed25519", "log")
    with pytest.raises(ConfigError, match="role bundle are not made with Ed25519") as caught:
        believed.add(key, ["log", "bundle"])
    assert "--role" in caught.value.remedy
    believed.add(key)
    assert ring.public_keys("log") == (key,)
    assert ring.public_keys("bundle") == ()


def test_a_key_that_was_laid_there_by_hand_can_be_removed(
    workspace: Workspace, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("bundle").public
    believed.add(key)
    folder = workspace.key_folder / "trusted"
    (folder / "again.pub").write_bytes(key.pem)
    believed.remove(key.key_id.upper())
    assert list(folder.iterdir()) == []


def test_the_folder_of_the_private_keys_stays_its_owners_alone(
    workspace: Workspace, believed: TrustedKeys, publisher: KeyRing
) -> None:
    believed.add(publisher.signer("bundle").public)
    assert workspace.key_folder.stat().st_mode & 0o777 == 0o700


def test_a_publishers_key_is_believed_for_bundles_until_more_is_asked_for(
    workspace: Workspace, ring: KeyRing, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("bundle").public
    believed.add(key)
    believed_in = [role for role in get_args(Role) if ring.public_keys(role)]
    assert believed_in == ["bundle"]
    assert believed.add(key, ["bundle", "receipt"])
    assert not believed.add(key, ["receipt"])
    assert ring.public_keys("receipt") == (key,)
    assert ring.public_keys("data") == ()
    names = sorted(file.path.name for file in believed.list())
    assert names == [f"{key.key_id[:32]}.pub", f"{key.key_id[:32]}.receipt.pub"]
    assert [record["roles"] for __, record in leaves(workspace)] == [["bundle"], ["receipt"]]
    assert believed.remove(key.key_id) == (key, ["bundle", "receipt"])
    assert not believed.list()


class _NoCommit:
    """A database whose next commit fails after the work was done, as a full disk makes it."""

    def __init__(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(work: Callable[[Any], Any]) -> None:
            def then_fail(connection: Any) -> None:
                work(connection)
                raise DependencyDown("no room")

            write(then_fail)

        write = workspace.database.write
        monkeypatch.setattr(workspace.database, "write", failing)


def test_no_key_is_believed_or_removed_where_the_record_is_not_committed(
    workspace: Workspace,
    ring: KeyRing,
    believed: TrustedKeys,
    publisher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, other = publisher.signer("bundle").public, publisher.signer("data").public
    believed.add(key)
    before = leaves(workspace)
    with monkeypatch.context() as patch:
        _NoCommit(workspace, patch)
        with pytest.raises(DependencyDown):
            believed.add(other)
        with pytest.raises(DependencyDown):
            believed.remove(key.key_id)
    assert ring.public_keys("bundle") == (key,)
    assert leaves(workspace) == before
    assert len(list(ring.trusted_folder.iterdir())) == 1


def test_the_leaf_is_on_disk_before_the_file_and_the_same_verb_again_finishes(
    workspace: Workspace,
    believed: TrustedKeys,
    publisher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = publisher.signer("bundle").public
    seen: list[str] = []

    def full(*_: object, **__: object) -> None:
        seen.extend(kind for kind, __ in leaves(workspace))  # by a connection of its own
        raise DependencyDown("no room")

    with monkeypatch.context() as patch:
        patch.setattr(trusted, "write_atomic", full)
        with pytest.raises(DependencyDown):
            believed.add(key)
    assert seen == ["key.trusted"]
    assert not believed.list()
    assert believed.add(key)
    assert len(believed.list()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_: full())
        with pytest.raises(DependencyDown):
            believed.remove(key.key_id)
    assert seen[-1] == "key.distrusted"
    believed.remove(key.key_id)
    assert not believed.list()


def test_junk_among_the_keys_is_named_and_hinders_neither_add_nor_remove(
    workspace: Workspace, ring: KeyRing, believed: TrustedKeys, publisher: KeyRing
) -> None:
    key = publisher.signer("bundle").public
    believed.add(key)
    folder = ring.trusted_folder
    saved(folder / "broken.pub", b"nonsense")
    saved(folder / "theirs.log.pub", key.pem)
    (folder / "folder.pub").mkdir()
    assert [file.key for file in believed.list()] == [key]
    junk = {path.name: error for path, error in believed.junk().items()}
    assert sorted(junk) == ["broken.pub", "folder.pub", "theirs.log.pub"]
    assert "not a public key" in junk["broken.pub"].message
    assert "Is a directory" in junk["folder.pub"].message
    assert "role log are not made with ECDSA" in junk["theirs.log.pub"].message
    assert all("Remove the file" in error.remedy for error in junk.values())
    assert not believed.add(key)
    assert believed.add(publisher.signer("data").public, ["data"])
    believed.remove(key.key_id)


def test_what_no_one_key_has_is_not_removed(
    workspace: Workspace, believed: TrustedKeys, publisher: KeyRing
) -> None:
    believed.add(publisher.signer("bundle").public)
    before = leaves(workspace)
    wrong: dict[str, type[MintageError]] = {
        "0" * 64: RequestError,
        "abc": ConfigError,
        "../bundle": ConfigError,
        "": ConfigError,
    }
    for key_id, error in wrong.items():
        with pytest.raises(error):
            believed.remove(key_id)
    assert leaves(workspace) == before
    assert len(believed.list()) == 1


def test_an_id_that_two_keys_share_asks_for_more_digits(
    believed: TrustedKeys, publisher: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    believed.add(publisher.signer("bundle").public)
    believed.add(publisher.signer("data").public)
    alike = property(lambda key: "aaaaaaaa" + sha256_hex(key.pem)[8:])
    monkeypatch.setattr(PublicKey, "key_id", alike)
    with pytest.raises(ConfigError, match="2 keys begin with aaaaaaaa"):
        believed.find("aaaaaaaa")


def test_a_public_key_is_read_however_its_lines_end(tmp_path: Path, publisher: KeyRing) -> None:
    pem = publisher.signer("bundle").public_pem
    for number, content in enumerate((pem, pem.replace(b"\n", b"\r\n"), b"\nMy key:\n" + pem)):
        path = saved(tmp_path / f"{number}.pub", content)
        assert read_public_key(path).key_id == publisher.signer("bundle").key_id


def test_a_private_key_given_by_mistake_is_refused_with_what_to_do(
    tmp_path: Path, publisher: KeyRing
) -> None:
    for role in ("bundle", "log"):
        publisher.signer(role)
        with pytest.raises(TrustError, match="holds a private key") as caught:
            read_public_key(tmp_path / "publisher" / f"{role}.pem")
        assert "public-key bundle" in caught.value.remedy
        assert caught.value.exit_status == 3
    both = publisher.signer("bundle").public_pem + (tmp_path / "publisher/log.pem").read_bytes()
    with pytest.raises(TrustError, match="holds a private key"):
        read_public_key(saved(tmp_path / "both.pem", both))


def test_what_is_no_single_key_is_refused(tmp_path: Path, publisher: KeyRing) -> None:
    pem = publisher.signer("bundle").public_pem
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    weak = rsa.generate_private_key(65537, 2048).public_key()
    other = ec.generate_private_key(ec.SECP256K1()).public_key()
    refused: list[tuple[bytes, type[MintageError], str]] = [
        (b"", TrustError, "not a public key"),
        (b"\x00" * 1000, TrustError, "not a public key"),
        (b"ssh-ed25519 AAAA", TrustError, "not a public key"),
        (pem[:60], TrustError, "not a public key"),
        (pem + publisher.signer("data").public_pem, DataError, "2 keys where one belongs"),
        (weak.public_bytes(serialization.Encoding.PEM, spki), TrustError, "not verified with"),
        (other.public_bytes(serialization.Encoding.PEM, spki), TrustError, "not verified with"),
    ]
    for content, error, message in refused:
        with pytest.raises(error, match=message):
            read_public_key(saved(tmp_path / "x.pub", content))
    for path in (tmp_path, tmp_path / "none.pub"):
        with pytest.raises(DataError, match="cannot be read"):
            read_public_key(path)
