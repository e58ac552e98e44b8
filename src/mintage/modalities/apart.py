"""Decoding in processes of their own, which hold nothing and may use little.

A decoder is where a stranger's bytes reach a large library written in C. In a process of its own a
fault in it costs one call and not the server, and whoever takes the process over finds no keys, no
database and no other customer's picture in it: it has its program, one socket, and limits on
memory, time, files and processes that the system enforces (``setrlimit``).

What is sent is a header in JSON and the bytes; what comes back, pixels or a reason. Nothing is
pickled, and of what comes back nothing is believed but its length.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import resource
import socket
import struct
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.clock import add_elsewhere
from mintage.core.errors import DataError, DependencyDown
from mintage.core.messages import _
from mintage.core.registry import modalities
from mintage.core.types import InputSpec

MEMORY_BYTES = 600_000_000
"""Beyond what the process has when it is ready: the largest picture that is read, of 64 megapixels
and any kind, takes less than 500 MB."""
SECONDS = 10
"""Of one core for one picture; the largest take 2."""

_LENGTHS = struct.Struct("<QQ")  # of the header, of the bytes
_MOST_HEADER_BYTES = 65_536
_WAIT_SECONDS = 3.0 * SECONDS  # on a machine that has other things to do
_START_SECONDS = 60.0
# A process that decodes has no use for the rest, among which may be keys.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
_PROGRAM = "import sys; from mintage.modalities.apart import work; work(int(sys.argv[1]))"
_BROKEN = (OSError, EOFError, ValueError, TypeError, struct.error)
_log = logging.getLogger(__name__)


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    line: socket.socket

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


class Decoders:
    """So many processes that decode; each is begun when it is first needed, and again if it dies.

    Safe to call from many threads: who finds none free waits for one.
    """

    def __init__(
        self, count: int, *, memory_bytes: int = MEMORY_BYTES, seconds: int = SECONDS
    ) -> None:
        """``memory_bytes`` and ``seconds`` are what one picture may take."""
        self._limits = {"memory_bytes": memory_bytes, "seconds": seconds}
        self._free: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for __ in range(count):
            self._free.put(None)
        self.close = weakref.finalize(self, _end_all, self._free)

    def decode(self, modality: str, data: bytes, spec: InputSpec) -> NDArray[np.uint8]:
        """What the modality makes of the bytes: uint8[side, side, 3] of a picture.

        Raises:
            DataError: they are nothing that it reads, or more than a process may take.
            DependencyDown: no process can be begun.
        """
        child = self._free.get()
        if child is not None and child.process.poll() is not None:
            child.end()  # while it waited: no picture's fault
            child = None
        try:
            if child is None:
                child = _begun(self._limits)
            header, body = _asked(child.line, modality, data, spec)
        except _BROKEN as error:
            status = _status_of(child)
            child = None
            _log.warning("A decoder ended over a picture (%s); another takes its place.", status)
            raise DataError(
                _("damaged: it takes more memory or time to decode than a picture may"),
                remedy=_("Export or copy it again from where it came from."),
            ) from error
        finally:
            self._free.put(child)
        if "message" in header:
            raise DataError(str(header["message"]), remedy=str(header.get("remedy", "")))
        # A copy of its own: what came is a view of bytes, which nobody may write to.
        return np.frombuffer(body, np.uint8).reshape(spec.side, spec.side, -1).copy()


def _end_all(free: queue.LifoQueue[_Child | None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            child = free.get_nowait()
            if child is not None:
                child.end()


def _status_of(child: _Child | None) -> str:
    if child is None:
        return "it did not begin"
    # It may be about to end by itself, and then says of what.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(0.2)
    status = child.process.poll()
    child.end()
    return "too slow" if status is None else f"status {status}"


def _begun(limits: dict[str, int]) -> _Child:
    ours, theirs = socket.socketpair()
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is the server's; they end when it does
        )
    child = _Child(process, ours)
    ours.settimeout(_START_SECONDS)
    try:
        _send(ours, limits, b"")
        told, __ = _received(ours, 0)
    except _BROKEN as error:
        child.end()
        raise DependencyDown(
            _("No process that decodes can be begun."),
            remedy=_("Look at the limits of this service on memory and processes."),
            retry_after_seconds=5,
        ) from error
    ours.settimeout(_WAIT_SECONDS)
    if told.get("unbounded"):
        _log.warning("A decoder is not bounded in %s: the system refuses.", told["unbounded"])
    return child


def _asked(
    line: socket.socket, modality: str, data: bytes, spec: InputSpec
) -> tuple[dict[str, Any], bytes]:
    said = {"modality": modality, "side": spec.side, "parameters": dict(spec.parameters)}
    began = time.monotonic()
    _send(line, said, data)
    header, body = _received(line, 3 * spec.side**2)
    # Of one thread, so never more than was waited for, whatever it says.
    add_elsewhere(min(max(0.0, float(header.get("seconds", 0.0))), time.monotonic() - began))
    if "message" not in header and len(body) != 3 * spec.side**2:
        raise ValueError("pixels of another size")
    return header, body


def _send(line: socket.socket, header: dict[str, Any], data: bytes | memoryview) -> None:
    text = json.dumps(header).encode()
    line.sendall(_LENGTHS.pack(len(text), len(data)) + text)
    line.sendall(data)


def _received(line: socket.socket, most_bytes: int) -> tuple[dict[str, Any], bytes]:
    header_bytes, data_bytes = _LENGTHS.unpack(_read(line, _LENGTHS.size))
    if header_bytes > _MOST_HEADER_BYTES or data_bytes > most_bytes:
        raise ValueError("more than was asked for")
    header = json.loads(_read(line, header_bytes))
    if not isinstance(header, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for whatever is no answer
    return header, _read(line, data_bytes)


def _read(line: socket.socket, count: int) -> bytes:
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        received = line.recv_into(view[done:])
        if not received:
            raise EOFError("it ended")
        done += received
    return bytes(data)


def work(descriptor: int) -> None:
    """Decode until the other end is gone; what such a process runs."""
    with socket.socket(fileno=descriptor) as line:
        limits, __ = _received(line, 0)
        kinds = modalities()
        for name in kinds:
            kinds.get(name)  # loaded before it is bounded
        _send(line, {"unbounded": _bound(limits["memory_bytes"])}, b"")
        with contextlib.suppress(EOFError):
            while True:
                said, data = _received(line, sys.maxsize)
                _grant(limits["seconds"])
                _answer(line, said, data)


def _answer(line: socket.socket, said: dict[str, Any], data: bytes) -> None:
    spec = InputSpec(said["modality"], said["side"], said["parameters"])
    began = time.process_time()
    try:
        pixels = modalities().get(spec.modality).decode(data, spec)
    except DataError as error:
        _send(line, {"message": str(error.message), "remedy": str(error.remedy)}, b"")
    else:
        used = {"seconds": time.process_time() - began}
        _send(line, used, np.ascontiguousarray(pixels).data.cast("B"))


def _bound(memory_bytes: int) -> list[str]:
    """From here on: no file written, no process begun, and so much memory more.

    What the system does not let be bounded is named.
    """
    left = [name for name in ("CORE", "FSIZE", "NPROC") if not _limit(name, 0, 0)]
    if sys.platform == "linux":  # elsewhere address space is not bounded, or not what is used
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - one line
            pages = int(stream.read().split()[0])
        most = pages * resource.getpagesize() + memory_bytes
        left += [] if _limit("AS", most, most) else ["AS"]
    return left


def _grant(seconds: int) -> None:
    """So much of a core's time from now on; the system ends the process after it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    __, hard = resource.getrlimit(resource.RLIMIT_CPU)
    _limit("CPU", int(used.ru_utime + used.ru_stime) + 1 + seconds, hard)


def _limit(name: str, soft: int, hard: int) -> bool:
    try:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
    except (ValueError, OSError):
        return False
    return True
