"""The files in ``deploy``: well-formed by the programs that read them, and in step with Mintage."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.docs.conftest import Open

from mintage.api import uploads
from mintage.api.metrics import Metrics, audits_text
from mintage.core.background import Rounds
from mintage.core.settings import Settings
from mintage.core.types import Batch

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAME = "models.example.com"


def _needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# ---- systemd


class _Unit(configparser.ConfigParser):
    """A unit file: names may come twice, and keep their case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _unit() -> tuple[dict[str, str], dict[str, str]]:
    """The service's lines, and its environment."""
    text = (DEPLOY / "mintage.service").read_text()
    environment = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
    parser = _Unit(strict=False, interpolation=None)
    parser.read_string(text)
    return dict(parser["Service"]), environment


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = _needs("systemd-analyze")
    text = (DEPLOY / "mintage.service").read_text()
    unit = tmp_path / "mintage.service"
    # The program is not installed where tests run.
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    assert _run(analyze, "verify", unit) == ""


def test_the_unit_leaves_time_for_the_drain() -> None:
    service, environment = _unit()
    drain = float(environment["MINTAGE_DRAIN_SECONDS"])
    assert drain == Settings.model_fields["drain_seconds"].default
    lame_duck = Settings.model_fields["lame_duck_seconds"].default
    # Both servers may take the whole of it, one after the other; the engine's deadline is 10 s.
    assert float(service["TimeoutStopSec"]) >= lame_duck + 2 * drain + 15
    assert service["KillSignal"] == "SIGTERM"
    assert service["KillMode"] == "mixed"  # the supervisor passes it on to its workers


def test_the_unit_sets_only_what_is_a_setting_and_keeps_to_loopback() -> None:
    __, environment = _unit()
    assert {f"MINTAGE_{name.upper()}" for name in Settings.model_fields} >= set(environment)
    assert environment["MINTAGE_HOST"] == environment["MINTAGE_OPERATOR_HOST"] == "127.0.0.1"
    limit = Settings.model_fields["max_upload_bytes"].default
    assert int(environment["MINTAGE_MAX_UPLOAD_BYTES"]) == limit


def test_the_unit_is_hardened_and_writes_to_its_own_folder_alone() -> None:
    service, environment = _unit()
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["User"] != "root"
    assert "MemoryMax" in service
    state = Path("/var/lib") / service["StateDirectory"]
    assert state in Path(environment["MINTAGE_HOME"]).parents


def test_the_unit_does_not_repeat_what_will_fail_again() -> None:
    from mintage.core.errors import InputError, TrustError

    service, __ = _unit()
    never = {int(each) for each in service["RestartPreventExitStatus"].split()}
    assert never == {InputError.exit_status, TrustError.exit_status}


# ---- proxies

_SIZES = {"m": 2**20, "MiB": 2**20}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nginx.conf", r"client_max_body_size (\d+)(m);"),
        ("Caddyfile", r"max_size (\d+)(MiB)"),
    ],
)
def test_a_proxy_lets_every_upload_through_that_mintage_may_take(file: str, line: str) -> None:
    found = re.search(line, (DEPLOY / file).read_text())
    assert found
    most = Settings.model_fields["max_upload_bytes"].default
    assert int(found[1]) * _SIZES[found[2]] > uploads._most_json_bytes(most)


@pytest.mark.parametrize("file", ["nginx.conf", "Caddyfile"])
def test_a_proxy_never_leads_to_the_operators_port(file: str) -> None:
    text = (DEPLOY / file).read_text()
    assert str(Settings.model_fields["port"].default) in text
    assert str(Settings.model_fields["operator_port"].default) not in text


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        listening = [
            opened.enter_context(socket.create_server(("127.0.0.1", 0))) for __ in range(count)
        ]
        return [each.getsockname()[1] for each in listening]


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _configuration(folder: Path, upstream: str) -> tuple[Path, int]:
    """A whole nginx configuration around our file, and its port."""
    plain, secure = _free_ports(2)
    _certificate(folder)
    site = (DEPLOY / "nginx.conf").read_text()
    for ours, here in (
        ("127.0.0.1:8000", upstream),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ", f"listen 127.0.0.1:{secure} "),
        ("/etc/ssl/mintage/", f"{folder}/"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert ours in site
        site = site.replace(ours, here)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # A worker that root starts becomes another user, who could not reach the test's folder.
    user = "user root; " if os.geteuid() == 0 else ""
    whole = folder / "whole.conf"
    whole.write_text(
        f"{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ {places} access_log off;\n{site}\n}}\n"
    )
    return whole, secure


@contextlib.contextmanager
def _nginx(program: str, whole: Path, port: int) -> Iterator[None]:
    command = [program, "-e", str(whole.parent / "error.log"), "-c", str(whole)]
    _run(*command, "-t")
    process = subprocess.Popen(command)
    try:
        for __ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_a_call_through_nginx_is_answered_with_its_own_id_and_touches_no_disk_of_the_proxy(
    open_shell: Open, tmp_path: Path
) -> None:
    program = _needs("nginx")
    shell = open_shell("en")
    key = shell.environment["MINTAGE_KEY"]
    with shell.server() as addresses:
        upstream = addresses["http://127.0.0.1:8000"].removeprefix("http://")
        whole, port = _configuration(tmp_path, upstream)
        context = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        with (
            _nginx(program, whole, port),
            httpx.Client(
                base_url=f"https://127.0.0.1:{port}",
                verify=context,
                headers={"Host": NAME, "Authorization": f"Bearer {key}"},
                timeout=30,
                trust_env=False,
            ) as client,
        ):
            picture = (shell.folder / "cat.jpg").read_bytes()
            extensions = {"sni_hostname": NAME}
            answer = client.post(
                "/v1/products/pets/predict",
                content=picture,
                headers={"Content-Type": "image/jpeg", "X-Request-Id": "from-the-caller"},
                extensions=extensions,
            )
            too_large = client.post(
                "/v1/products/pets/predict",
                content=bytes(21_000_000),
                headers={"Content-Type": "image/jpeg"},
                extensions=extensions,
            )
            metrics = client.get("/metrics", extensions=extensions)
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"]["label"] == "light"
    assert answer.headers["X-Request-Id"] == "from-the-caller"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert too_large.status_code == 413
    assert too_large.json()["code"] == "request_error"  # Mintage's own words, not the proxy's page
    assert metrics.status_code == 404
    logged = (tmp_path / "mintage.log").read_text()
    assert "from-the-caller" in logged
    assert key not in logged
    assert list((tmp_path / "client_body").rglob("*")) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nginx.conf", r"^    keepalive_timeout (\d+)s;"),
        ("Caddyfile", r"^\t+keepalive (\d+)s"),
    ],
)
def test_a_proxy_lets_go_of_an_idle_connection_before_mintage_does(file: str, line: str) -> None:
    """Else it sends a call into one that is just being closed: 502, and a POST is not repeated."""
    found = re.search(line, (DEPLOY / file).read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) <= Settings.model_fields["keep_alive_seconds"].default - 10


def test_caddy_can_read_the_caddyfile() -> None:
    caddy = _needs("caddy")
    said = _run(caddy, "validate", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile")
    assert "Valid configuration" in said


# ---- Prometheus


def _exposed() -> dict[str, set[str]]:
    """Every series that ``/metrics`` may have, with its labels."""
    metrics = Metrics()
    metrics.call("pets", "1", "ok")
    metrics.answered("pets", 0.1)
    metrics.batch("pets", Batch("1", 1, (0.1,), 0.1, 0.1))
    metrics.watch(lambda: {"pets": 1})
    Rounds("heads", lambda: None, "No head")
    text = (metrics.render() + audits_text({"pets@1": None})).decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)\{(.*?)\}", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def test_every_metric_in_the_alerts_is_exposed() -> None:
    text = (DEPLOY / "alerts.yml").read_text()
    expressions = re.findall(r"^ +expr: (.*?)(?=^ +for:)", text, re.MULTILINE | re.DOTALL)
    assert len(expressions) == text.count("- alert:")
    exposed = _exposed()
    named = set(re.findall(r"\bmintage_\w+", " ".join(expressions)))
    assert named
    assert named <= set(exposed)
    for name, matched in re.findall(r"\b(mintage_\w+)\{(\w+)", text):
        assert matched in exposed[name]


def test_every_outcome_in_the_alerts_is_one_that_calls_can_have() -> None:
    from typing import get_args

    from mintage.core.errors import Unauthenticated
    from mintage.core.types import Outcome

    text = (DEPLOY / "alerts.yml").read_text()
    named = {
        each for found in re.findall(r'outcome=~?"([^"]+)"', text) for each in found.split("|")
    }
    calls = "".join(
        (ROOT / f"src/mintage/api/{name}.py").read_text() for name in ("calls", "metered")
    )
    known = {*get_args(Outcome), Unauthenticated.code}
    assert named
    for each in named - known:
        assert f'"{each}"' in calls, each


def test_the_page_about_watching_names_every_alert_and_every_metric() -> None:
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in _exposed()}
    families = {name for name in families if name != "mintage_calls" and name != "mintage_receipts"}
    for page in ("watch.md", "watch.zh-CN.md"):
        text = (ROOT / "docs/how-to" / page).read_text()
        for name in (*alerts, *families):
            assert f"`{name}" in text, name


def test_the_queues_alert_is_at_half_of_the_queue() -> None:
    text = (DEPLOY / "alerts.yml").read_text()
    found = re.search(r"mintage_queue_length\) > (\d+)", text)
    assert found
    assert 2 * int(found[1]) == Settings.model_fields["max_queue"].default


def test_prometheus_can_read_its_files() -> None:
    promtool = _needs("promtool")
    assert "SUCCESS" in _run(promtool, "check", "config", DEPLOY / "prometheus.yml")


def test_prometheus_is_sent_to_the_operators_port() -> None:
    port = Settings.model_fields["operator_port"].default
    assert f'"127.0.0.1:{port}"' in (DEPLOY / "prometheus.yml").read_text()


# ---- container


def test_the_container_is_made_of_what_is_there_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    build, run = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    copied = [
        name
        for line in re.findall(r"^COPY (?!--)(.*)$", build, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert copied
    kept = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in kept
    assert re.search(r"^USER 10001$", run, re.MULTILINE)
    assert re.search(r"^VOLUME /data$", run, re.MULTILINE)
    assert "COPY src" not in run
    assert "[train]" not in text
    for name in re.findall(r"MINTAGE_(\w+)=", run):
        assert name.lower() in Settings.model_fields
