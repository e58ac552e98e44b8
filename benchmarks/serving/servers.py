"""Servers in processes of their own, on cores of their own, watched from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.common import BENTOML_PYTHON, LITSERVE_PYTHON, ROOT, Failed, absent
from benchmarks.peers.settings import BATCH, BUNDLE
from benchmarks.serving.asking import HOST, Asking
from benchmarks.serving.lab import Shop

_START_SECONDS = 60.0
_END_SECONDS = 20.0


@dataclass(frozen=True)
class Start:
    """How a server is started and asked; ``port`` is where it listens."""

    command: Sequence[str]
    port: int
    asking: Asking
    environment: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    start: Start
    pid: int
    messages: list[Path]
    picture: bytes

    def ask(self) -> tuple[int, Any]:
        """One request more; see ``Asking.ask``."""
        return self.start.asking.ask(self.picture, self.start.port)

    def resident(self) -> int:
        """Bytes of all its processes."""
        return sum(processes.memory_bytes(pid).get("resident", 0) for pid in self._family())

    def highest(self) -> int:
        """Bytes: the most that each of its processes ever had, together; no less than the peak."""
        return sum(processes.memory_bytes(pid).get("highest", 0) for pid in self._family())

    def descriptors(self) -> int:
        """Files and sockets of all its processes."""
        return sum(map(processes.descriptors, self._family()))

    def processor_seconds(self) -> float:
        """What its processes have used; those that ended are forgotten."""
        return sum(map(processes.processor_seconds, self._family()))

    def _family(self) -> list[int]:
        return processes.family(self.pid)


@contextmanager
def running(start: Start, pictures: list[bytes], cores: Sequence[int]) -> Iterator[Server]:
    """The server, from its first right answer on, and its end.

    Raises:
        Failed: it does not start to answer.
    """
    command = [*processes.pinned(cores), *start.command]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        messages = start.asking.write(pictures, start.port, folder / "messages")
        log = folder / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "MINTAGE_LANG": "en", **start.environment},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        server = Server(start, process.pid, messages, pictures[0])
        try:
            _await(server, process, log)
            yield server
        finally:
            _end(process)


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end, said = time.monotonic() + _START_SECONDS, "nothing"
    while time.monotonic() < end and process.poll() is None:
        try:
            status, answer = server.ask()
        except OSError:
            time.sleep(0.1)
            continue
        if status == 200:
            return
        said = f"{status} {answer}"
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-4000:]
    raise Failed(f"{' '.join(server.start.command)} answered {said}\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """In order if it can; whatever of it is then left is killed."""
    members = {pid: processes.began(pid) for pid in processes.family(process.pid)}
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # By number and beginning: the number alone may be another's by now.
    left = [pid for pid, moment in members.items() if moment and processes.began(pid) == moment]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + _END_SECONDS
    while any(map(processes.memory_bytes, left)) and time.monotonic() < end:
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@cache
def has(verb: str, option: str = "") -> bool:
    """Whether this Mintage has the verb, and the verb the option."""
    words = [sys.executable, "-m", "mintage", verb, "--help"]
    environment = os.environ | {"MINTAGE_LANG": "en", "COLUMNS": "200"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    return done.returncode == 0 and option in done.stdout


def mintage(shop: Shop, product: str, workers: int = 1) -> Start:
    """``mintage serve`` as it is started by who uses it: everything on."""
    port = free_port()
    command = [sys.executable, "-m", "mintage", "serve", "--home", str(shop.home)]
    command += ["--port", str(port), "--operator-port", "0"]
    if has("serve", "--workers"):
        command += ["--workers", str(workers)]
    elif workers > 1:
        raise Failed("mintage serve has no --workers.")
    return Start(command, port, _ours(shop, product))


def unmetered(shop: Shop, product: str) -> Start:
    """Our server without key check, metering and receipts."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.ours.unmetered"]
    command += [f"--home={shop.home}", f"--port={port}"]
    return Start(command, port, _ours(shop, product))


def _ours(shop: Shop, product: str) -> Asking:
    path = f"/v1/products/{product}/predict"
    return Asking(path, {"Authorization": f"Bearer {shop.key}"})


def starlette(shop: Shop, product: str) -> Start:
    """Starlette and ONNX Runtime by hand, under uvicorn."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.starlette_app", f"--port={port}"]
    return Start(command, port, Asking("/predict"), _given(shop, product))


def litserve(shop: Shop, product: str, *, batches: bool = False) -> Start:
    """LitServe with one worker."""
    port = free_port()
    python = there(LITSERVE_PYTHON)
    command = [python, "-m", "benchmarks.peers.litserve_app", f"--port={port}"]
    command += [f"--batch={BATCH if batches else 1}"]
    versions = version_of(python, "litserve")
    return Start(command, port, Asking("/predict"), _given(shop, product), versions)


def bentoml(shop: Shop, product: str, *, batches: bool = False) -> Start:
    """BentoML with one worker; its batches take forms alone."""
    port = free_port()
    python = there(BENTOML_PYTHON)
    service = "Batches" if batches else "Picture"
    command = [python, "-m", "bentoml", "serve", f"benchmarks.peers.bentoml_app:{service}"]
    command += ["--host", HOST, "--port", str(port)]
    environment = _given(shop, product) | {
        "BENTOML_HOME": str(shop.home.parent / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    asking = Asking("/predict", form_field="pictures" if batches else "")
    return Start(command, port, asking, environment, version_of(python, "bentoml"))


def _given(shop: Shop, product: str) -> dict[str, str]:
    return {BUNDLE: str(shop.bundle(product))}


def there(python: Path) -> str:
    """A peer's interpreter; raises Failed where nobody installed it."""
    if not python.exists():
        raise Failed(absent(python))
    return str(python)


@cache
def version_of(python: str, library: str) -> dict[str, str]:
    """Which version of a library an interpreter has, under its name."""
    words = f"import importlib.metadata as found; print(found.version({library!r}))"
    said = subprocess.run([python, "-c", words], capture_output=True, text=True, check=True)
    return {library: said.stdout.strip()}
