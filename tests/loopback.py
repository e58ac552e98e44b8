"""A real https server on loopback, scripted by a test, and a guard that may reach it."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mintage.sources.guard import Guard

HOST = "files.example"
NAMES = (HOST, "other.example", "inside.example")
LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test's script for the path says, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, dict(self.headers.items())))
        script = self.server.scripts.get(self.path.partition("?")[0], [])
        if not script:
            self.send_error(404)
            return
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Status, headers (``_`` stands for ``-``) and body, exactly as given."""
        self.send_response_only(status)
        for name, content in headers.items():
            self.send_header(name.replace("_", "-"), content)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def end(self) -> None:
        """Say that the stream is over, as TLS demands."""
        with suppress(OSError):
            self.wfile.flush()
            self.request.unwrap()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.request.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """Starts with the ``with`` statement and ends with it."""

    block_on_close = True
    daemon_threads = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.scripts: dict[str, list[Answer]] = {}
        self.closing = threading.Event()
        self.authority, key = _certificate()
        (folder / "server.pem").write_bytes(key + self.authority)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "server.pem")
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error."""

    def script(self, path: str, *answers: Answer) -> str:
        """Answer the path so, one after the other, the last for ever; the address of it."""
        self.scripts[path] = list(answers)
        return self.url(path)

    def url(self, path: str, host: str = HOST) -> str:
        return f"https://{host}:{self.server_port}{path}"

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.authority.decode())

    def resolve(self, host: str, port: int) -> list[str]:
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ["127.0.0.1"]

    def guard(self, **changes: Any) -> Guard:
        return Guard(**{"allow": LOOPBACK, "resolve": self.resolve, "tls": self.trust} | changes)


def file(body: bytes, **headers: str) -> Answer:
    """A server as it should be: validators, ranges, 304 and 416."""

    def answer(handler: Handler) -> None:
        asked = handler.headers
        tag = headers.get("ETag")
        if tag is not None and asked.get("If-None-Match") == tag:
            handler.answer(304, **headers)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))
        known = {tag, headers.get("Last_Modified")}
        if wanted is None or asked.get("If-Range") not in known:
            handler.answer(200, body, Content_Length=str(len(body)), **headers)
            return
        start = int(wanted[1])
        if start >= len(body):
            handler.answer(416, Content_Range=f"bytes */{len(body)}", Content_Length="0")
            return
        part = f"bytes {start}-{len(body) - 1}/{len(body)}"
        length = str(len(body) - start)
        handler.answer(206, body[start:], Content_Range=part, Content_Length=length, **headers)

    return answer


def cut(body: bytes, after: int, *, end: bool = False, **headers: str) -> Answer:
    """Promises the whole body and breaks off, or says that this was all."""

    def answer(handler: Handler) -> None:
        handler.answer(200, body[:after], Content_Length=str(len(body)), **headers)
        if end:
            handler.end()

    return answer


def fixed(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Always the same."""
    return lambda handler: handler.answer(status, body, **headers)


@cache
def _certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for the test's names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in NAMES]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
