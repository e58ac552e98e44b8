"""Runs a command that ends when whoever began it does, however that ended.

``python -m mintage.deliver.upstreams.own.tether COMMAND …``: its standard input is a pipe from
whoever began it; when that closes, by kill -9 too, the command is ended. It leads a group of
processes, and whatever the command began ends with the group. Imports nothing of ours.
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


def main() -> None:
    """Run the command, and leave nothing of it behind."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *__: None)  # whoever began us decides
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_us if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads
    )
    threading.Thread(target=_watch, args=(process,), daemon=True).start()
    process.wait()
    os.killpg(0, signal.SIGKILL)  # ourselves with it


def _die_with_us() -> None:
    """Have the kernel end the command where we are killed, and could not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)


def _watch(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    main()
