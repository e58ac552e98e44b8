"""Work that goes on beside other work until that ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(
    work: Callable[[threading.Event], None], name: str, *, patience_seconds: float
) -> Iterator[None]:
    """Do it in a thread of this name until the block ends.

    ``work`` looks at the event that it is given, and returns once that is set; who waits for it
    waits so long at most.
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(patience_seconds)
