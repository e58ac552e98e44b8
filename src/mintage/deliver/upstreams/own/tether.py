"""Runs a command that ends when whoever began it does, however that ended.

``python -m mintage.deliver.upstreams.own.tether COMMAND …``: its standard input is a pipe from
whoever began it; when that closes, by kill -9 too, the command is ended. Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 5.0


def main() -> int:
    """The command's exit status."""
    # A group of its own, so that what the command begins ends with it.
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True
    )
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *__: None)  # whoever began us decides
    threading.Thread(target=_watch, args=(process,), daemon=True).start()
    return process.wait()


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
