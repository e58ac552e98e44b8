"""Runs a command that ends when whoever began it does, however that ended.

``python -m mintage.deliver.upstreams.own.tether COMMAND …``: its standard input is a pipe from
whoever began it; when that closes, by kill -9 too, the command is ended. Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    """The command's exit status."""
    # A group of its own, so that what the command begins ends with it.
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_us if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads
    )
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *__: None)  # whoever began us decides
    threading.Thread(target=_watch, args=(process,), daemon=True).start()
    return process.wait()


def _die_with_us() -> None:
    """Have the kernel end the command where we are killed, and could not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
