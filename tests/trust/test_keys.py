from __future__ import annotations

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mintage.core.errors import TrustError
from mintage.trust.keys import KeyRing, PublicKey, Role

ROLES: tuple[Role, ...] = ("data", "bundle", "receipt", "log")


def private_pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def trust(folder: Path, name: str, pem: bytes) -> None:
    (folder / "trusted").mkdir(parents=True, exist_ok=True)
    (folder / "trusted" / f"{name}.pub").write_bytes(pem)


@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_made_once_and_its_file_is_its_owners_alone(tmp_path: Path, role: Role) -> None:
    folder = tmp_path / "keys"
    first = KeyRing(folder).signer(role)
    assert KeyRing(folder).signer(role).key_id == first.key_id
    assert (folder / f"{role}.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == [f"{role}.pem"]


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_signs_its_public_key_confirms_and_nothing_else(
    keys: KeyRing, role: Role
) -> None:
    signature = keys.signer(role).sign(b"data")
    (public,) = keys.public_keys(role)
    assert public.verify(signature, b"data")
    assert not public.verify(signature, b"Data")
    assert not public.verify(signature[:-1] + bytes([signature[-1] ^ 1]), b"data")
    assert not public.verify(b"", b"data")
    assert isinstance(public.key, Ed25519PublicKey) == (role == "log")


def test_roles_have_different_keys(keys: KeyRing) -> None:
    assert len({keys.signer(role).key_id for role in ROLES}) == len(ROLES)


def test_a_key_id_is_the_digest_of_the_public_key_in_der(keys: KeyRing) -> None:
    signer = keys.signer("data")
    der = serialization.load_pem_public_key(signer.public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert signer.key_id == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_reach_is_refused_with_the_line_that_closes_it(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "my keys"
    KeyRing(folder).signer("bundle")
    path = folder / "bundle.pem"
    path.chmod(mode)
    for use in (
        lambda: KeyRing(folder).signer("bundle"),
        lambda: KeyRing(folder).public_keys("bundle"),
    ):
        with pytest.raises(TrustError) as caught:
            use()
        assert f"chmod 600 '{path}'" in caught.value.remedy
    path.chmod(0o600)
    KeyRing(folder).signer("bundle")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        private_pem(Ed25519PrivateKey.generate()),
        private_pem(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["empty", "nonsense", "ed25519", "p384"],
)
def test_a_file_with_another_kind_of_key_is_refused_and_not_replaced(
    keys: KeyRing, tmp_path: Path, content: bytes
) -> None:
    keys.signer("bundle")
    path = tmp_path / "keys" / "bundle.pem"
    path.write_bytes(content)
    with pytest.raises(TrustError, match="P-256"):
        KeyRing(tmp_path / "keys").signer("bundle")
    assert path.read_bytes() == content


def test_verifying_never_makes_a_key(keys: KeyRing, tmp_path: Path) -> None:
    for role in ROLES:
        assert keys.public_keys(role) == ()
    assert not (tmp_path / "keys").exists()


def test_a_key_laid_there_by_hand_is_believed_for_bundles_or_for_what_its_name_says(
    keys: KeyRing, tmp_path: Path
) -> None:
    other = KeyRing(tmp_path / "other")
    trust(tmp_path / "keys", "theirs", other.signer("bundle").public_pem)
    trust(tmp_path / "keys", "their-log", other.signer("log").public_pem)
    trust(tmp_path / "keys", "a.friend", other.signer("bundle").public_pem)
    trust(tmp_path / "keys", "theirs.data", other.signer("data").public_pem)
    own = keys.signer("bundle")
    assert [key.key_id for key in keys.public_keys("bundle")] == [
        own.key_id,
        other.signer("bundle").key_id,
    ]
    assert [key.key_id for key in keys.public_keys("log")] == [other.signer("log").key_id]
    assert [key.key_id for key in keys.public_keys("data")] == [other.signer("data").key_id]
    assert keys.public_keys("receipt") == ()


def test_a_key_that_is_both_ours_and_trusted_counts_once(keys: KeyRing, tmp_path: Path) -> None:
    trust(tmp_path / "keys", "ours", keys.signer("bundle").public_pem)
    assert len(keys.public_keys("bundle")) == 1


def test_a_trusted_file_that_holds_no_key_is_named(keys: KeyRing, tmp_path: Path) -> None:
    trust(tmp_path / "keys", "broken", b"nonsense")
    with pytest.raises(TrustError, match=r"broken\.pub"):
        keys.public_keys("bundle")


def test_rsa_keys_are_refused_with_what_to_use_instead() -> None:
    pem = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(TrustError, match="P-256"):
        PublicKey.from_pem(pem)


def make_together(folder: Path, barrier: threading.Barrier, results: list[str]) -> None:
    ring = KeyRing(folder)
    barrier.wait()
    results.append(ring.signer("receipt").key_id)


def test_threads_that_race_for_a_key_get_the_same_one(tmp_path: Path) -> None:
    for round_number in range(5):
        folder = tmp_path / str(round_number)
        barrier, results = threading.Barrier(8), list[str]()
        threads = [
            threading.Thread(target=make_together, args=(folder, barrier, results))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 8
        assert len(set(results)) == 1
        assert len(list(folder.iterdir())) == 1


def report_key(folder: Path, start: object, results: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    results.put(KeyRing(folder).signer("bundle").key_id)  # type: ignore[attr-defined]


def test_processes_that_race_for_a_key_get_the_same_one(tmp_path: Path) -> None:
    # forkserver: a fork of this process would copy its threads' locks.
    context = multiprocessing.get_context("forkserver")
    start, results = context.Event(), context.Queue()
    folder = tmp_path / "keys"
    processes = [
        context.Process(target=report_key, args=(folder, start, results)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    start.set()
    found = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(timeout=30)
    assert found == {KeyRing(folder).signer("bundle").key_id}
