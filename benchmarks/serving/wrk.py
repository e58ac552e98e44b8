"""wrk, the load generator: connections that each send the next request when one is answered."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from benchmarks.common import Failed, Result
from benchmarks.processes import pinned
from benchmarks.serving.asking import HOST

SCRIPT = Path(__file__).with_name("post.lua")
_TIMEOUT_SECONDS = 10
_ERRORS = ("connect", "read", "write", "status", "timeout")


def missing() -> str:
    """Why it cannot be used; "" where it can."""
    return "" if shutil.which("wrk") else "wrk is not there; make bench-serve installs it with apt"


def version() -> str:
    """Such as 4.1.0."""
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else "unknown"


class Wrk:
    """A run of wrk, from its start until it is asked what it counted; ends with ``with``."""

    def __init__(
        self,
        messages: Sequence[Path],
        port: int,
        *,
        seconds: float,
        connections: int,
        cores: Sequence[int],
    ) -> None:
        """Start it, on these cores alone; ``messages`` are whole requests, sent in turn."""
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until the end
        command = [*pinned(cores), "wrk", "--threads=1", f"--connections={connections}"]
        command += [f"--duration={max(1, round(seconds))}s", f"--timeout={_TIMEOUT_SECONDS}s"]
        command += [f"--script={SCRIPT}", f"http://{HOST}:{port}/", "--", *map(str, messages)]
        self._process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.STDOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()

    def stop(self) -> None:
        """End it before its time; it then says what it has counted so far."""
        self._process.send_signal(signal.SIGINT)

    def result(self) -> Result:
        """Wait for its end; see ``counted``."""
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read()
        if code:
            raise Failed(f"wrk ended with {code}:\n{said[-2000:]}")
        return counted(said)


def counted(said: str) -> Result:
    """What the script's last line says.

    ``rate`` counts answers of less than 400, a second; ``failures`` is all else that can happen,
    ``p50``, ``p99`` and ``longest`` are seconds.

    Raises:
        Failed: there was no answer at all.
    """
    found: dict[str, int] = json.loads(said.rstrip().splitlines()[-1])
    seconds = found["microseconds"] / 1e6
    good = found["requests"] - found["status"]
    if not good:
        raise Failed(f"wrk got no answer in {seconds:.0f} s: {found}")
    return {
        "requests": found["requests"],
        "seconds": round(seconds, 3),
        "rate": round(good / seconds, 2),
        "failures": sum(found[name] for name in _ERRORS),
        "errors": {name: found[name] for name in _ERRORS if found[name]},
        **{name: found[name] / 1e6 for name in ("p50", "p99", "longest")},
    }
