"""Many connections that post whole requests and read the answers' heads, on one thread.

Plain sockets and epoll, since one core must offer far more than a server on another can take: a
request of 47 kB costs 26 µs of the processor, and 11,900 were offered in a second.
"""

from __future__ import annotations

import errno
import re
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_READABLE, _WRITABLE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
_UNDER_WAY = (0, errno.EINPROGRESS, errno.ECONNREFUSED)
"""What connecting may say at once; who is refused is told so again when something is sent."""
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\nconnection:\s*close", re.IGNORECASE)
_MOST_AT_ONCE = 1024
BROKEN = 0
"""The status of a request whose connection ended before its answer."""


@dataclass(frozen=True)
class Answered:
    """What became of a request; moments by ``time.monotonic()``.

    ``due`` is when it should have been sent, ``begun`` when its first byte was, ``told`` when its
    status was read and ``ended`` when the whole answer was.
    """

    status: int
    due: float
    begun: float
    told: float
    ended: float


class _Caller:
    """A connection: idle, or with a request that is being sent or answered."""

    __slots__ = ("begun", "body_left", "due", "head", "message", "sent", "socket", "status", "told")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.message: memoryview | None = None
        self.sent = 0
        self.due = self.begun = self.told = 0.0
        self.head = b""
        self.status = self.body_left = 0


class Crowd:
    """Connections to one address, opened when they are needed and used again where they may be."""

    def __init__(
        self,
        address: tuple[str, int],
        messages: Sequence[bytes],
        *,
        most: int,
        on_answer: Callable[[Answered], None],
    ) -> None:
        """At ``most`` so many at once; ``messages`` are sent in turn."""
        self._address = address
        self._messages = [memoryview(each) for each in messages]
        self._next = 0
        self._most = most
        self._on_answer = on_answer
        self._epoll = select.epoll()
        self._callers: dict[int, _Caller] = {}
        self._idle: list[_Caller] = []
        self.waiting = 0
        """Requests that were begun and have not ended."""

    @property
    def connections(self) -> int:
        """How many are open, or being opened."""
        return len(self._callers)

    def connect(self) -> None:
        """Open one more connection, which sends nothing yet.

        Raises:
            OSError: it cannot be opened.
        """
        self._idle.append(self._opened())

    def post(self, due: float) -> bool:
        """Begin a request on a connection that has nothing to do, or a new one.

        False where there is none and no more may be opened.
        """
        while self._idle:
            caller = self._idle.pop()
            if caller.socket.fileno() >= 0:  # else the server has closed it meanwhile
                break
        else:
            if len(self._callers) >= self._most:
                return False
            caller = self._opened()
        caller.message = self._messages[self._next]
        self._next = (self._next + 1) % len(self._messages)
        caller.sent, caller.due, caller.begun, caller.told = 0, due, 0.0, 0.0
        caller.head, caller.status = b"", 0
        self.waiting += 1
        self._send(caller)
        return True

    def poll(self, timeout_seconds: float) -> None:
        """Send what can be sent and read what has come."""
        for number, event in self._epoll.poll(timeout_seconds, _MOST_AT_ONCE):
            caller = self._callers.get(number)
            if caller is None:
                continue
            if event & select.EPOLLOUT:
                self._send(caller)
            if event & ~select.EPOLLOUT and caller.socket.fileno() >= 0:
                self._receive(caller)

    def close(self) -> None:
        """Let go of everything."""
        for caller in list(self._callers.values()):
            caller.socket.close()
        self._callers.clear()
        self._epoll.close()

    def _opened(self) -> _Caller:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex(self._address)
        if code not in _UNDER_WAY:
            connection.close()
            raise OSError(code, errno.errorcode.get(code, ""))
        caller = _Caller(connection)
        self._callers[connection.fileno()] = caller
        self._epoll.register(connection.fileno(), _READABLE)
        return caller

    def _send(self, caller: _Caller) -> None:
        message = caller.message
        if message is None or caller.sent == len(message):
            self._epoll.modify(caller.socket.fileno(), _READABLE)
            return
        now = time.monotonic()
        try:
            sent = caller.socket.send(message[caller.sent :])
        except BlockingIOError:
            sent = 0
        except OSError:
            # The server reads no more; what it said before is still to be read.
            self._receive(caller)
            return
        if sent and not caller.sent:
            caller.begun = now
        caller.sent += sent
        if caller.sent < len(message):
            self._epoll.modify(caller.socket.fileno(), _WRITABLE)

    def _receive(self, caller: _Caller) -> None:
        try:
            data = caller.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if caller.message is None or not data:
            self._drop(caller)
        elif caller.status:
            caller.body_left -= len(data)
            if caller.body_left <= 0:
                self._end(caller)
        else:
            self._read_head(caller, data)

    def _read_head(self, caller: _Caller, data: bytes) -> None:
        caller.head += data
        head, found, body = caller.head.partition(b"\r\n\r\n")
        if not found:
            return
        caller.told = time.monotonic()
        caller.status = int(head[9:12])
        length = _LENGTH.search(head)
        caller.body_left = (int(length[1]) if length else 0) - len(body)
        if caller.body_left <= 0:
            self._end(caller)

    def _end(self, caller: _Caller) -> None:
        """The answer is here; a connection that is spent, or refused a half, is given up."""
        message, now = caller.message, time.monotonic()
        self._on_answer(Answered(caller.status, caller.due, caller.begun, caller.told, now))
        self.waiting -= 1
        caller.message = None
        if message is None or caller.sent < len(message) or _CLOSES.search(caller.head):
            self._drop(caller)
        else:
            self._idle.append(caller)

    def _drop(self, caller: _Caller) -> None:
        if caller.message is not None:
            now = time.monotonic()
            told = caller.told or now
            self._on_answer(Answered(BROKEN, caller.due, caller.begun or now, told, now))
            self.waiting -= 1
            caller.message = None
        del self._callers[caller.socket.fileno()]
        caller.socket.close()
