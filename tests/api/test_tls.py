"""TLS: from whom it is demanded, what is spoken, and a certificate that changes meanwhile."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.api.conftest import KEY, Running

from mintage.api.tls import certificate_of
from mintage.core.errors import ConfigError
from mintage.core.machine import is_loopback
from mintage.core.settings import Settings

PREDICT = "/v1/products/tones/predict"
Pair = tuple[Path, Path]


def made(folder: Path, name: str, key: rsa.RSAPrivateKey | None = None) -> Pair:
    """A certificate for 127.0.0.1, signed by itself, and its key: ECDSA where none is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pair = folder / f"{name}.crt", folder / f"{name}.key"
    pair[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return made(tmp_path, "first")


@pytest.fixture
def secure(service, changed, provider, pair: Pair) -> Iterator[Running]:
    server = Running(changed(service, tls_cert=pair[0], tls_key=pair[1]))
    yield server
    provider.held.set()
    server.close()
    assert server.error is None


def shown(server: Running, **versions: ssl.TLSVersion) -> tuple[str, str]:
    """The name on the certificate that a new connection is shown, and the version spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, version in versions.items():
        setattr(context, name, version)
    url = httpx.URL(server.address)
    with (
        socket.create_connection((url.host, url.port), 5) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        certificate = x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"")
        return certificate.subject.rfc4514_string(), wrapped.version() or ""


def test_a_call_over_tls_is_answered_and_told_to_stay_with_it(secure, pair: Pair, warm) -> None:
    assert secure.address.startswith("https://")
    context = ssl.create_default_context(cafile=str(pair[0]))
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=secure.address, verify=context, trust_env=False) as client:
        answer = client.post(PREDICT, content=warm, headers=headers)
        page = client.get("/")
    assert answer.json()["output"]["label"] == "warm"
    for response in (answer, page):
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_1_3_is_preferred_and_1_2_is_the_floor(secure) -> None:
    assert shown(secure)[1] == "TLSv1.3"
    assert shown(secure, maximum_version=ssl.TLSVersion.TLSv1_2)[1] == "TLSv1.2"
    with pytest.raises((ssl.SSLError, OSError)):
        shown(secure, maximum_version=ssl.TLSVersion.TLSv1_1)


def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on(
    secure, pair: Pair, tmp_path: Path, warm, caplog
) -> None:
    context = ssl.create_default_context(cafile=str(pair[0]))
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=secure.address, verify=context, trust_env=False) as client:
        assert client.post(PREDICT, content=warm, headers=headers).status_code == 200
        second = made(tmp_path, "second")
        pair[0].write_bytes(second[0].read_bytes())  # half of a pair is no pair yet
        _eventually(lambda: any("not used" in each.getMessage() for each in caplog.records))
        assert shown(secure)[0] == "CN=first"
        pair[1].write_bytes(second[1].read_bytes())
        _eventually(lambda: shown(secure)[0] == "CN=second")
        # The pool's one connection began with the first, whose maker is the one it believes.
        assert client.post(PREDICT, content=warm, headers=headers).status_code == 200


def test_an_idle_connection_does_not_hold_up_the_servers_end(secure, pair: Pair) -> None:
    context = ssl.create_default_context(cafile=str(pair[0]))
    with httpx.Client(base_url=secure.address, verify=context, trust_env=False) as client:
        assert client.get("/v2/health/live").status_code == 200
        secure.stop.set()
        secure.thread.join(10)  # a client in no hurry ends its side when it is asked next
        assert not secure.thread.is_alive()


@pytest.mark.parametrize("way", ["ECDSA to RSA", "RSA to ECDSA"])
def test_a_certificate_with_another_kind_of_key_replaces_the_old_one_for_all(
    service, changed, provider, tmp_path: Path, warm, way: str
) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = (None, rsa_key) if way == "ECDSA to RSA" else (rsa_key, None)
    first, second = made(tmp_path, "first", kinds[0]), made(tmp_path, "second", kinds[1])
    context = ssl.create_default_context(cafile=str(first[0]))
    headers = {"Authorization": f"Bearer {KEY}"}
    server = Running(changed(service, tls_cert=first[0], tls_key=first[1]))
    try:
        with httpx.Client(base_url=server.address, verify=context, trust_env=False) as client:
            assert client.post(PREDICT, content=warm, headers=headers).status_code == 200
            for old, new in zip(first, second, strict=True):
                new.replace(old)
            _eventually(lambda: shown(server)[0] == "CN=second")
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):  # both offer both
                assert shown(server, maximum_version=version)[0] == "CN=second"
            # The open connection began with the first, whose maker is the one it believes.
            assert client.post(PREDICT, content=warm, headers=headers).status_code == 200
    finally:
        server.close()


def _eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_is_served_without_tls(address: str) -> None:
    assert is_loopback(address)
    assert certificate_of(Settings(host=address)) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7", "models.example.com"])
def test_others_are_served_without_tls_only_where_it_is_said_aloud(address: str) -> None:
    with pytest.raises(ConfigError, match="unencrypted") as refused:
        certificate_of(Settings(host=address))
    assert "--insecure" in refused.value.remedy
    assert certificate_of(Settings(host=address, insecure=True)) is None
    assert certificate_of(Settings(host=address, behind_proxy="10.0.0.2")) is None


@pytest.mark.parametrize("named", ["", "*", "nonsense", "10.0.0.2,", "10.0.0.2, 300.1.1.1"])
def test_a_proxy_that_is_no_address_shelters_nobody(named: str) -> None:
    with pytest.raises(ConfigError, match="Not a proxy's address"):
        certificate_of(Settings(host="0.0.0.0", behind_proxy=named))
    for good in ("127.0.0.1", "10.0.0.0/8, ::1"):
        assert certificate_of(Settings(host="0.0.0.0", behind_proxy=good)) is None


@pytest.mark.parametrize("shelter", ["nothing", "tls", "proxy"])
def test_whatever_customers_have_the_operators_port_stays_on_this_machine(
    pair: Pair, shelter: str
) -> None:
    given = {
        "nothing": {},
        "tls": {"tls_cert": pair[0], "tls_key": pair[1]},
        "proxy": {"behind_proxy": "10.0.0.2"},
    }[shelter]
    certificate_of(Settings(operator_host="127.0.0.1", **given))
    with pytest.raises(
        ConfigError, match=r"0\.0\.0\.0 .* operator's port, which has no TLS"
    ) as said:
        certificate_of(Settings(operator_host="0.0.0.0", **given))
    assert "MINTAGE_OPERATOR_HOST" in said.value.remedy
    certificate_of(Settings(operator_host="0.0.0.0", insecure=True, **given))


def test_what_is_no_pair_is_refused_with_what_is_wrong(pair: Pair, tmp_path: Path) -> None:
    other = made(tmp_path, "other")
    missing = tmp_path / "nowhere.crt"
    for certificate, key, said in (
        (pair[0], other[1], "no pair"),
        (pair[1], pair[0], "no pair"),
        (missing, pair[1], "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            certificate_of(Settings(tls_cert=certificate, tls_key=key))
    with pytest.raises(ConfigError, match="needs a certificate and its key"):
        certificate_of(Settings(tls_cert=pair[0]))


@pytest.mark.parametrize(("proxy", "believed"), [("127.0.0.1", True), ("10.9.9.9", False)])
def test_only_a_named_proxy_is_believed_that_its_client_came_over_tls(
    service, changed, proxy: str, believed: bool
) -> None:
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    server = Running(changed(service, behind_proxy=proxy))
    try:
        page = httpx.get(f"{server.address}/", headers=told, trust_env=False)
        assert ("Strict-Transport-Security" in page.headers) is believed
    finally:
        server.close()
