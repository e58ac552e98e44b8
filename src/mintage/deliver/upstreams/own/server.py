"""One server of one model: begun, watched, ended."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Final

from mintage.bundle.language import TOKENIZER_FILE
from mintage.core.errors import DependencyDown, missing_extra
from mintage.core.files import failure
from mintage.core.messages import _
from mintage.core.types import ModelServer
from mintage.deliver.upstreams.declared import BundleAt
from mintage.deliver.upstreams.own.addresses import Address

_HOST: Final = "127.0.0.1"
_LOOK_SECONDS = 2.0
_END_SECONDS = 10.0
_LINES_KEPT = 20
# What a model's server may know of our environment: no secret of ours is among it.
_PASSED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "PYTHONPATH"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HF_HOME", "XDG_CACHE_HOME"),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """What a server is to serve, and the folder that it lies in."""

    at: BundleAt
    folder: Path


class Server:
    """The process that serves a model, with a port of its own on loopback.

    Raises (on making):
        DependencyDown: what serves models is not installed, or no process can be begun.
    """

    def __init__(self, model: Model, kind: ModelServer, threads: int) -> None:
        self.model = model
        self.port = _free_port()
        self.begun = time.monotonic()
        self._last: deque[str] = deque(maxlen=_LINES_KEPT)
        tether = [sys.executable, "-m", "mintage.deliver.upstreams.own.tether"]
        words = [*tether, *command(model, kind, self.port)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                words,
                cwd=model.folder.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(threads),
                start_new_session=True,  # a terminal's Ctrl-C is for us alone
            )
        except OSError as error:
            raise failure(error) from error
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def address(self, products: tuple[str, ...]) -> Address:
        """Where it is asked, for what, and for which products."""
        return Address(
            url=f"http://{_HOST}:{self.port}/v1",
            model=_called(self.model),
            bundle=self.model.at.url,
            tokenizer=str(self.model.folder / TOKENIZER_FILE),
            products=products,
        )

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._process.poll() is not None

    def is_healthy(self) -> bool:
        """Whether it answers; a model that is being loaded does not."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_LOOK_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def last_words(self) -> str:
        """The last that it printed, in one line."""
        return " | ".join(self._last)

    def end(self) -> None:
        """Have it end, and wait for that."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # what a killed tether left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._listener.join(_END_SECONDS)

    def _listen(self) -> None:
        with self._process.stdout or BytesIO() as stream:
            for line in stream:
                said = line.decode(errors="replace").strip()
                if said:
                    self._last.append(said)
                    _log.debug("%s: %s", self.model.at.reference, said)


def command(model: Model, kind: ModelServer, port: int) -> list[str]:
    """What serves a model: vLLM where it is installed, else transformers.

    Raises:
        DependencyDown: what is asked for is not installed.
    """
    vllm = shutil.which("vllm", path=os.pathsep.join((str(Path(sys.executable).parent), _path())))
    if kind == "vllm" and vllm is None:
        raise DependencyDown(
            _("This needs {library}, which is not installed.", library="vLLM"),
            remedy=_("Install it with: {command}", command="pip install vllm"),
        )
    if vllm is not None and kind != "transformers":
        served = ["--served-model-name", _called(model)]
        return [vllm, "serve", str(model.folder), "--host", _HOST, "--port", str(port), *served]
    for library in ("transformers", "openai"):  # whose types its server takes
        if importlib.util.find_spec(library) is None:
            raise missing_extra(library, "large")
    begin = "from transformers.cli.transformers import main; main()"
    where = ["--host", _HOST, "--port", str(port)]
    return [sys.executable, "-c", begin, "serve", _called(model), *where]


def _called(model: Model) -> str:
    """What a server calls it: transformers by its path, which is not to tell where we are."""
    return f"./{model.folder.name}"


def _environment(threads: int) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return passed | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
    }


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_HOST, 0))
        port: int = found.getsockname()[1]
        return port
