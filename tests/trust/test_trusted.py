from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.trusted import TrustedKeys, read_public_key


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
    (path,) = believed.list()
    assert path == workspace.key_folder / "trusted" / f"{key.key_id[:32]}.pub"
    assert path.read_bytes() == key.pem
    assert ring.public_keys("bundle") == (key,)
    assert ring.public_keys("log") == ()
    assert believed.remove(key.key_id[:8]).key_id == key.key_id
    assert ring.public_keys("bundle") == ()
    record = {
        "key_id": key.key_id,
        "algorithm": "ECDSA P-256",
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
    assert (key.algorithm, key.roles) == ("Ed25519", ("log",))
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


def test_a_file_that_cannot_be_written_leaves_no_leaf(
    workspace: Workspace,
    believed: TrustedKeys,
    publisher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DependencyDown("no room")

    monkeypatch.setattr(trusted, "write_atomic", full)
    with pytest.raises(DependencyDown):
        believed.add(publisher.signer("bundle").public)
    assert leaves(workspace) == []
    assert not believed.list()


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
