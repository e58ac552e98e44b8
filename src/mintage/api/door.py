"""Where connections come in; while as many calls are in hand as may be, more are turned away here.

Under a flood a refusal has to cost far less than an answer: here it is a few system calls, no
transport, no parser, and no body is read. Who asks for nothing that is sold is let in all the same:
a page, or whether the server lives.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from mintage.api.tls import Certificate
from mintage.api.turned_away import CALL, LEAVE_SECONDS, Overload, size_of
from mintage.api.turns import WAIT_SECONDS, Turns

_HEAD_BYTES = 4096
_MOST_UNREAD_BYTES = 65_536  # of a socket's 128 KiB that nobody has read
_MOST_AT_ONCE = 64
_MOST_LEAVING = 256
_UNREAD: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux's
_UNREAD_MILLISECONDS = 30_000  # who reads nothing of an answer for so long has left (RFC 5482)
_GOODBYE_SECONDS = 1.0  # for a client's own end of TLS, without which it ends all the same
_PAUSE_SECONDS = 0.1
_log = logging.getLogger(__name__)


class Door:
    """Accepts on a listening socket. Ends like one of asyncio's servers."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        certificate: Certificate | None,
        overload: Overload | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Each connection begins with the context that ``certificate`` has when it comes.

        ``overload`` says when calls are turned away, and with what; ``turns`` when a connection is
        left to another process on the same socket.

        Behind TLS none is turned away here: the refusal could not be read.
        """
        self._listener = listener
        self._protocol = protocol
        self._certificate = certificate
        self._overload = None if certificate else overload
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._leaving: deque[socket.socket] = deque()
        self._left_before = 0
        listener.setblocking(False)
        if _UNREAD is not None:  # whom it lets in has it too
            listener.setsockopt(socket.IPPROTO_TCP, _UNREAD, _UNREAD_MILLISECONDS)
        self._open()

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._listener.fileno())
        while self._leaving:
            self._leaving.popleft().close()

    async def wait_closed(self) -> None:
        """Give up those that are just coming in: none of them has asked for anything."""
        for task in self._coming:
            task.cancel()
        if self._coming:
            await asyncio.wait(self._coming)

    def _open(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._come)

    def _shut(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, then)

    def _come(self) -> None:
        for __ in range(_MOST_AT_ONCE):
            if self._turns is not None and self._turns.is_anothers(len(self._coming)):
                self._shut(WAIT_SECONDS, self._take_even_so)
                return
            if not self._take():
                return

    def _take_even_so(self) -> None:
        """Another had time to take this one; a process that hangs has the fewest and takes none."""
        self._open()
        if self._listener.fileno() >= 0:
            self._take()

    def _take(self) -> bool:
        """Let in or turn away whoever is there; False where nobody is."""
        try:
            connection, ___ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # no more files may be opened
            _log.error("No connection can be accepted: %s.", error.strerror)
            self._see_off()
            self._shut(_PAUSE_SECONDS, self._open)
            return False
        connection.setblocking(False)
        overload = self._overload
        if overload is not None and overload.is_full() and _is_call(connection):
            self._turn_away(connection, overload.refusal())
        else:
            task = self._loop.create_task(self._let_in(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)
        return True

    async def _let_in(self, connection: socket.socket) -> None:
        over_tls: dict[str, Any] = {}
        if self._certificate is not None:
            over_tls["ssl"] = self._certificate.context
            over_tls["ssl_shutdown_timeout"] = _GOODBYE_SECONDS
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, **over_tls)
        except OSError as error:  # it left, or speaks no TLS
            _log.debug("A connection did not come about: %s.", error)
            connection.close()

    def _turn_away(self, connection: socket.socket, refusal: bytes) -> None:
        """Answer, and close a moment later.

        Closed at once, with its request unread, the client's system could throw the answer away.
        """
        try:
            connection.send(refusal)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        if not self._leaving:
            self._left_before = 0
            self._loop.call_later(LEAVE_SECONDS, self._see_off)
        self._leaving.append(connection)
        if len(self._leaving) > _MOST_LEAVING:
            self._leaving.popleft().close()
            self._left_before = max(0, self._left_before - 1)

    def _see_off(self) -> None:
        """Close those that were here at the last look already."""
        for __ in range(min(self._left_before, len(self._leaving))):
            self._leaving.popleft().close()
        self._left_before = len(self._leaving)
        if self._leaving:
            self._loop.call_later(LEAVE_SECONDS, self._see_off)


def _is_call(connection: socket.socket) -> bool:
    """Whether a request is here that begins as a call does, and is sent without being read.

    Whoever sends more than the system takes for us is let in, to be answered where their body is
    read on for a while.
    """
    try:
        head = connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
    except OSError:
        return False
    size = size_of(head) if head.startswith(CALL) else None
    return size is not None and size <= _MOST_UNREAD_BYTES
