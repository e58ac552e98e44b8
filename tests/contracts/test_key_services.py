"""What every key service keeps: ours, and one that a plug-in might bring."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mintage.app import sealing
from mintage.app.root import App
from mintage.core import registry
from mintage.core.errors import ConfigError, DependencyDown, SealBroken
from mintage.core.files import read_whole, write_atomic
from mintage.core.ports import KeyService, WrappingKey
from mintage.core.settings import load_settings
from mintage.trust.sealing.wrapping import wrapping_key


class FakeKms:
    """A service in this process; each address has keys of its own, the newest wraps."""

    name = "fake"

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {"eu/1": [secrets.token_bytes(32)]}
        self.is_away = False

    def open(self, address: str) -> WrappingKey:
        if address not in self.keys:
            raise ConfigError(f"There is no key {address}.")
        return FakeKey(self, address)


class FakeKey:
    def __init__(self, service: FakeKms, address: str) -> None:
        self._service, self._address = service, address
        self.reference = f"fake:{address}"

    def current(self) -> str:
        return f"v{len(self._keys())}"

    def wrap(self, secret: bytes, context: bytes) -> tuple[str, bytes]:
        nonce = secrets.token_bytes(12)
        return self.current(), nonce + AESGCM(self._keys()[-1]).encrypt(nonce, secret, context)

    def unwrap(self, wrapped_by: str, wrapped: bytes, context: bytes) -> bytes:
        key = self._keys()[int(wrapped_by.removeprefix("v")) - 1]
        try:
            return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], context)
        except InvalidTag as error:
            raise SealBroken("Not wrapped here.") from error

    def _keys(self) -> list[bytes]:
        if self._service.is_away:
            raise DependencyDown("The key service does not answer.")
        return self._service.keys[self._address]


@pytest.fixture
def service() -> Iterator[FakeKms]:
    registry.key_services.cache_clear()
    made = FakeKms()
    registry.key_services().register("fake", lambda: made)
    yield made
    registry.key_services.cache_clear()


@pytest.fixture(params=["fake:eu/1", "file", "env:KEK"])
def key(
    request: pytest.FixtureRequest,
    service: FakeKms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> WrappingKey:
    """Ours keep the same contract."""
    reference = str(request.param)
    made = sealing.usable_key(f"file:{tmp_path / 'kek'}", tmp_path / "home")
    monkeypatch.setenv("KEK", (tmp_path / "kek").read_text())
    return wrapping_key(made if reference == "file" else reference)


def test_a_service_is_one(service: FakeKms) -> None:
    assert isinstance(registry.key_services().get("fake"), KeyService)


def test_what_is_wrapped_unwraps_with_its_context_alone(key: WrappingKey) -> None:
    secret = secrets.token_bytes(32)
    wrapped_by, wrapped = key.wrap(secret, b"ours")
    assert wrapped_by == key.current()
    assert secret not in wrapped
    assert key.wrap(secret, b"ours")[1] != wrapped, "not twice the same"
    assert key.unwrap(wrapped_by, wrapped, b"ours") == secret
    for changed in (wrapped[:-1], bytes([wrapped[0] ^ 1]) + wrapped[1:]):
        with pytest.raises(SealBroken):
            key.unwrap(wrapped_by, changed, b"ours")
    with pytest.raises(SealBroken):
        key.unwrap(wrapped_by, wrapped, b"theirs")


def test_its_reference_opens_it_again(key: WrappingKey) -> None:
    wrapped_by, wrapped = key.wrap(bytes(32), b"")
    assert wrapping_key(key.reference).unwrap(wrapped_by, wrapped, b"") == bytes(32)


@pytest.mark.parametrize("reference", ["nobody:eu/1", "fake:eu/2", "eu/1", "file:", ""])
def test_what_is_no_key_is_refused(service: FakeKms, reference: str) -> None:
    with pytest.raises(ConfigError):
        wrapping_key(reference)


def test_a_workspace_is_sealed_and_rotated_by_a_service(service: FakeKms, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", seal_key="fake:eu/1")
    with App(settings) as app:
        app.capture.customers.add("Ada")
        with pytest.raises(ConfigError, match="still gives the key"):
            sealing.rotate(app.workspace)
        service.keys["eu/1"].append(secrets.token_bytes(32))
        assert sealing.rotate(app.workspace).wrapped_by == "v2"
        service.keys["eu/1"][0] = bytes(32)  # the old one is gone for good
        path = app.workspace.home / "runs" / "run_1" / "run.json"
        write_atomic(path, b"{}")
    with App(load_settings(home=tmp_path / "home"), make=False) as app:
        assert app.capture.customers.find("Ada")
        assert read_whole(path) == b"{}"
    service.is_away = True
    with pytest.raises(DependencyDown, match="does not answer"):
        App(load_settings(home=tmp_path / "home"), make=False)
