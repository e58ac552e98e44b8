"""Each weakness is planted, found by its code, and where a machine can mend it, mended."""

import datetime as dt
import json
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from tests.conftest import ManualClock

from mintage.app.auditing import Wanted
from mintage.app.root import App
from mintage.app.sealing import usable_key
from mintage.app.security.permissions import examine_permissions
from mintage.app.security.serving import examine_certificate, examine_peers, examine_settings
from mintage.app.security.weakness import SEVERITIES, Weakness, at_least
from mintage.core.settings import Settings, load_settings

QUIET = ("heads.kept", "advisories.none", "data.unsealed")
"""What is found of any workspace that is used as it comes."""


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    with App(load_settings(home=tmp_path / "w", threads=1), clock) as opened:
        yield opened


def codes(app: App, advisories: Path | None = None) -> dict[str, Weakness]:
    found = {each.code: each for each in app.security.examine(advisories)}
    return {code: each for code, each in found.items() if code not in QUIET}


def said(settings: Settings, clock: ManualClock) -> dict[str, str]:
    found = examine_settings(settings, clock.now())
    return {each.code: each.severity for each in found if each.code not in QUIET}


def test_a_workspace_as_it_comes_has_nothing_to_be_mended(app: App) -> None:
    app.capture.customers.add("Ada")
    app.capture.log.tree_head()
    assert codes(app) == {}


def test_the_worst_comes_first_and_severities_have_an_order() -> None:
    assert SEVERITIES[0] == "critical"
    assert at_least("critical", "high")
    assert at_least("high", "high")
    assert not at_least("medium", "high")


def test_loose_permissions_are_found_mended_and_the_change_is_in_the_log(app: App) -> None:
    home = app.workspace.home
    app.capture.log.tree_head()
    home.chmod(0o755)
    (home / "keys/log.pem").chmod(0o644)
    (home / "keys").chmod(0o775)
    found = codes(app)
    assert {code: each.severity for code, each in found.items()} == {
        "key.readable": "critical",
        "key.writable": "critical",
        "workspace.readable": "high",
    }
    mended = app.security.mend([*found.values()])
    assert {each.code for each in mended} == {"key.readable", "key.writable", "workspace.readable"}
    assert codes(app) == {}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "keys/log.pem").stat().st_mode) == 0o600
    (entry,) = app.auditing.show(Wanted(kinds=["security.mended"]))
    assert {each["code"] for each in entry.record["mended"]} == {each.code for each in mended}
    assert f"chmod 700 {home}" in json.dumps(entry.record)
    assert entry.at == str(app.workspace.clock)


def test_personal_data_that_lies_open_is_found_whether_all_of_it_does_or_a_planted_value(
    app: App, tmp_path: Path, clock: ManualClock
) -> None:
    def found(app: App) -> list[tuple[str, str, str]]:
        said = [each for each in app.security.examine() if each.code.startswith("data.")]
        return [(each.code, each.severity, str(each.found)) for each in said]

    app.capture.customers.add("Ada")
    ((code, severity, columns),) = found(app)
    assert (code, severity) == ("data.unsealed", "medium")
    assert "customers.name" in columns
    key = usable_key(f"file:{tmp_path / 'kek'}", tmp_path / "sealed")
    settings = load_settings(home=tmp_path / "sealed", threads=1, seal_key=key)
    with App(settings, clock) as sealed:
        ada = sealed.capture.customers.add("Ada").id
        assert found(sealed) == []
        with sqlite3.connect(sealed.workspace.home / "mintage.db") as database:
            database.execute("UPDATE customers SET name = 'Eve' WHERE id = ?", [ada])
        ((code, severity, columns),) = found(sealed)
    assert (code, severity) == ("data.planted", "critical")
    assert columns.endswith(": customers.name")


def test_a_folder_on_the_way_in_which_everybody_writes_is_found(app: App) -> None:
    above = app.workspace.home.parent
    above.chmod(0o777)
    try:
        (found,) = examine_permissions(app.workspace.home, app.settings)
        assert found.code == "path.writable"
        assert f"chmod o-w {above}" in found.remedy
        above.chmod(0o1777)  # as /tmp has it: nobody removes what is another's
        assert not [*examine_permissions(app.workspace.home, app.settings)]
    finally:
        above.chmod(0o700)


def test_keys_outside_of_the_workspace_are_looked_at_too(app: App, tmp_path: Path) -> None:
    key = tmp_path / "tls.key"
    key.write_text("a key")
    key.chmod(0o644)
    settings = app.settings.model_copy(update={"tls_key": key})
    (found,) = examine_permissions(app.workspace.home, settings)
    assert (found.code, found.severity) == ("key.readable", "critical")
    key.chmod(0o640)  # a group of its own is how proxies share one
    assert not [*examine_permissions(app.workspace.home, settings)]


def test_an_expired_api_key_is_found_and_revoked(app: App, clock: ManualClock) -> None:
    customer = app.capture.customers.add("Ada")
    key = app.capture.issue_key(customer.id, expires="1d")
    assert codes(app) == {}
    clock.advance(2 * 86_400)
    found = codes(app)
    assert key.id in found["api_key.expired"].found
    app.security.mend([*found.values()])
    assert codes(app) == {}
    (kept,) = app.capture.customers.keys(customer.id)
    assert kept.revoked_at == str(clock)


def test_a_revoked_signing_key_that_lies_there_to_sign_is_found(app: App) -> None:
    old = app.keys.signer("bundle")
    before = (app.workspace.home / "keys/bundle.pem").read_bytes()
    app.signing_keys.revoke(old.key_id, "leaked")
    assert codes(app) == {}
    (app.workspace.home / "keys/bundle.pem").write_bytes(before)
    app.keys.look_again()
    assert codes(app)["key.revoked_in_use"].severity == "critical"


def test_old_and_misplaced_signing_keys_are_found(app: App, clock: ManualClock) -> None:
    app.keys.signer("data")
    app.signing_keys.publish()
    app.signing_keys.rotate("data")
    assert set(codes(app)) == {"key.root_here"}
    clock.advance(366 * 86_400)
    assert codes(app)["key.old"].severity == "medium"


def test_a_tampered_bundle_and_a_tampered_dataset_are_found(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        assert codes(app) == {}
        model = home / "models/pets/1/model.onnx"
        data = model.read_bytes()
        model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        found = codes(app)
        assert found["bundle.tampered"].severity == "critical"
        assert "model.onnx" in found["bundle.tampered"].found
        assert found["bundle.tampered"].mend is None
        model.write_bytes(data)
        (card,) = (home / "datasets/pets").glob("*/card.json")
        card.write_bytes(card.read_bytes() + b" ")
        assert "card.json" in codes(app)["bundle.tampered"].found


def test_a_bundle_in_the_place_of_another_is_found_by_its_digest(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        with sqlite3.connect(home / "mintage.db") as connection:
            connection.execute("UPDATE models SET bundle_digest = 'ab'")
        connection.close()
        assert "not the bundle that was signed here" in codes(app)["bundle.tampered"].found


def test_a_rewritten_log_is_found(app: App) -> None:
    app.capture.customers.add("Ada")
    app.capture.log.tree_head()
    with sqlite3.connect(app.workspace.home / "mintage.db") as connection:
        connection.execute("UPDATE log_leaves SET record = X'7B7D' WHERE position = 0")
    connection.close()
    assert codes(app)["log.damaged"].severity == "critical"


def test_a_known_bad_dependency_is_found(app: App, tmp_path: Path) -> None:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "NumPy"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
    }
    bad = {"id": "GHSA-1", "affected": [affected], "database_specific": {"severity": "HIGH"}}
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    found = codes(app, tmp_path / "bad.json")
    assert found["dependency.vulnerable"].severity == "high"
    assert "GHSA-1" in found["dependency.vulnerable"].found
    assert "advisories.age" in found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        ({"operator_host": "0.0.0.0"}, {"operator.reachable": "high"}),
        ({"host": "10.0.0.1", "decoders": 2}, {"tls.missing": "high"}),
        ({"host": "10.0.0.1", "behind_proxy": "10.0.0.2"}, {"decoders.inside": "low"}),
        ({"insecure": True}, {"tls.insecure": "medium"}),
        ({"behind_proxy": "0.0.0.0/0"}, {"proxy.wide": "medium"}),
        ({"behind_proxy": "no address, 10.0.0.0/24"}, {}),
        ({"durability": "process"}, {"durability.process": "low"}),
        ({"stripe_url": "http://pay.example.com"}, {"payment.plain": "high"}),
        ({"stripe_url": "http://localhost:1"}, {}),
        (
            {"database_url": SecretStr("postgresql+psycopg://u:p@db.example.com/m")},
            {"database.unverified": "high"},
        ),
        (
            {"database_url": SecretStr("postgresql://u:p@db.example.com/m?sslmode=verify-full")},
            {},
        ),
        ({"database_url": SecretStr("postgresql://u:p@localhost/m")}, {}),
    ],
)
def test_settings_that_weaken_a_promise_are_found(
    clock: ManualClock, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    assert said(load_settings(**settings), clock) == expected


def test_heads_that_stay_on_this_machine_are_told_of(clock: ManualClock, tmp_path: Path) -> None:
    def found(settings: Settings) -> list[str]:
        return [each.code for each in examine_settings(settings, clock.now())]

    assert found(load_settings()) == ["heads.kept"]
    assert found(load_settings(heads_folder=tmp_path)) == []


def test_addresses_without_tls_are_found_and_what_may_be_secret_in_them_is_not_told() -> None:
    found = [*examine_peers(["http://hooks.example.com/SECRET", "https://a.example.com"], [])]
    assert [each.code for each in found] == ["webhook.plain"]
    assert "http://hooks.example.com," in found[0].found
    assert "SECRET" not in repr(found)
    (upstream,) = examine_peers(["http://127.0.0.1:9/x"], ["http://10.0.0.7/v1"])
    assert upstream.code == "upstream.plain"


def certificate(path: Path, days: tuple[int, int], *, bits: int = 2048) -> Path:
    now = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
    key = rsa.generate_private_key(65537, bits)
    subject, issuer = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in ("example.com", "an authority")
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("days", "bits", "expected"),
    [
        ((-10, 90), 2048, []),
        ((-90, -1), 2048, ["tls.expired"]),
        ((-90, 5), 2048, ["tls.expiring"]),
        ((1, 90), 2048, ["tls.early"]),
        ((-10, 90), 1024, ["tls.weak"]),
    ],
)
def test_a_certificate_that_will_not_do_is_found(
    tmp_path: Path, clock: ManualClock, days: tuple[int, int], bits: int, expected: list[str]
) -> None:
    path = certificate(tmp_path / "cert.pem", days, bits=bits)
    assert [each.code for each in examine_certificate(path, clock.now())] == expected


def test_a_certificate_that_is_none_is_found(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "cert.pem").write_text("none")
    for path in (tmp_path / "cert.pem", tmp_path / "nowhere.pem"):
        assert [each.code for each in examine_certificate(path, clock.now())] == ["tls.unreadable"]
