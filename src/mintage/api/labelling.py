"""The labelling page's own server: on loopback alone, for whoever has the token."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.api import problems
from mintage.api.logs import logging_to
from mintage.api.middleware import Envelope
from mintage.api.pages import label_routes
from mintage.api.protocol import Protocol
from mintage.core.errors import (
    DependencyDown,
    MintageError,
    NotAllowed,
    RequestError,
    Unauthenticated,
)
from mintage.core.messages import Message, _, told
from mintage.core.version import __version__
from mintage.create.labelling import LabelSession
from mintage.modalities.image.screen import MEDIA_TYPE

HOST = "127.0.0.1"
_AHEAD = 6
"""Pictures that the page is told of: what it loads before they are wanted."""
_MOST_BODY_BYTES = 20_000
"""A label of 4,096 characters, of up to four bytes each, and what stands around it."""

# By name alone: behind `ssh -L` the port is another. A page of a stranger's whose name was made to
# mean this machine (DNS rebinding) sends that name.
_OURS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_PAGE = re.compile(r"/|/static/\w+\.\w+|/token")
"""What is open: the page itself, which holds nothing, and the exchange of a ticket."""


class Access:
    """The secrets of one run: a token for every request, and a ticket that buys it once.

    The ticket is for the browser that we start, whose command line other users may read.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.ticket = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._used = False

    def admits(self, authorization: str) -> bool:
        """Whether a request's header carries the token."""
        return secrets.compare_digest(authorization.encode(), f"Bearer {self.token}".encode())

    def redeem(self, ticket: str) -> str:
        """The token, for the ticket.

        Raises:
            Unauthenticated: it is another one, or was used before.
        """
        right = secrets.compare_digest(ticket.encode(errors="replace"), self.ticket.encode())
        with self._lock:
            if not right or self._used:
                raise _no_token()
            self._used = True
        return self.token


class Guard:
    """Lets in nobody without the token, and nobody who calls this machine by another name."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it with the reason why not."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await problems.problem(refusal, scope["state"]["request_id"])(scope, receive, send)

    def _refusal(self, scope: Scope) -> MintageError | None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        if len(named) != 1 or not _OURS.fullmatch(named[0]):
            return NotAllowed(
                _("This server answers only to this machine's own name."),
                remedy=_("Open the address that mintage label printed."),
                http_status=421,
            )
        is_open = _PAGE.fullmatch(scope["path"]) is not None
        if not (is_open or self._access.admits(headers.get("authorization", ""))):
            return _no_token()
        return _too_long() if scope["method"] == "POST" and not _is_short(headers) else None


def _is_short(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    return length.isdecimal() and len(length) < 10 and int(length) <= _MOST_BODY_BYTES


def _too_long() -> RequestError:
    return RequestError(
        _("This request is longer than any decision, or does not say how long it is."),
        remedy=_("Decide on the page."),
        http_status=413,
    )


def _no_token() -> Unauthenticated:
    return Unauthenticated(
        _("This page has no right to these pictures, or no longer."),
        remedy=_("Open the address that mintage label printed."),
    )


class Ticket(BaseModel):
    """What the browser was started with."""

    ticket: str = Field(max_length=200)


class Decided(BaseModel):
    """A label, or none for a skip; ``seconds`` from the picture's appearing to the key."""

    picture: int
    label: str | None = Field(max_length=4096)
    seconds: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0.0


class Resolved(BaseModel):
    """The label that wins."""

    picture: int
    label: str = Field(max_length=4096)


def labelling_app(session: LabelSession, access: Access, following: str) -> FastAPI:
    """The page and what it asks; ``following`` is the command that makes use of the labels.

    Routes that read or write files run in threads.
    """
    app = FastAPI(
        title="Mintage",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)

    @app.exception_handler(DependencyDown)
    async def said_in_full(request: Request, error: DependencyDown) -> Response:
        # Who labels is who runs this: a full disk is theirs to empty.
        return problems.problem(error, request.state.request_id)

    app.include_router(label_routes())
    app.include_router(_progress_routes(session, access, following))
    app.include_router(_decision_routes(session))
    app.add_middleware(Guard, access=access)
    app.add_middleware(Envelope, dull=True)
    return app


def _progress_routes(session: LabelSession, access: Access, following: str) -> APIRouter:
    """What there is to see."""
    router = APIRouter()

    @router.post("/token")
    def token(body: Ticket) -> JSONResponse:
        return JSONResponse({"token": access.redeem(body.ticket)})

    @router.get("/state")
    def state() -> JSONResponse:
        return JSONResponse(_state(session))

    @router.get("/summary")
    def summary() -> JSONResponse:
        found = session.summary() | {"next": following}
        for name in ("undecided", "unreadable"):
            found[name] = [_told(each) for each in found[name]]
        return JSONResponse(found)

    @router.get("/pictures/{number}")
    def picture(number: int) -> Response:
        return Response(session.picture(number), media_type=MEDIA_TYPE)

    @router.get("/disagreements")
    def disagreements() -> JSONResponse:
        return JSONResponse({"disagreements": session.disagreements()})

    return router


def _decision_routes(session: LabelSession) -> APIRouter:
    """What is decided; each answers when it is on disk, with the state that follows."""
    router = APIRouter()

    @router.post("/decisions")
    def decide(body: Decided) -> JSONResponse:
        answer = session.decide(body.picture, body.label, body.seconds)
        shown = answer and {name: answer.get(name) for name in ("label", "probability", "unusual")}
        return JSONResponse(_state(session) | {"answer": shown})

    @router.post("/undo")
    def undo() -> JSONResponse:
        number, action = session.undo()
        undone = None
        if number is not None:
            left = action != "resolve" and session.is_left(number)
            undone = _picture(session, number) | {"left": left}
        return JSONResponse(_state(session) | {"undone": undone})

    @router.post("/again")
    def again() -> JSONResponse:
        session.again()
        return JSONResponse(_state(session))

    @router.post("/resolutions")
    def resolve(body: Resolved) -> JSONResponse:
        session.resolve(body.picture, body.label)
        return JSONResponse(_state(session))

    return router


def _state(session: LabelSession) -> dict[str, Any]:
    ahead = [_picture(session, number) for number in session.upcoming(_AHEAD)]
    return session.state() | {"upcoming": ahead}


def _picture(session: LabelSession, number: int) -> dict[str, Any]:
    return {"picture": number, "name": session.name(number)}


def _told(left_out: dict[str, str]) -> dict[str, str]:
    return left_out | {"reason": told(left_out["reason"])}


OnStarted = Callable[[str, str], None]


def serve_labelling(
    session: LabelSession,
    *,
    following: str,
    port: int = 0,
    on_started: OnStarted,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; what was decided is on disk at any moment.

    ``following`` is the command that makes use of the labels; the page shows it.
    ``on_started`` is told two addresses when both answer: one for people, with the token in its
    fragment, and one for the browser that is started, with the ticket.

    Raises:
        DependencyDown: the port cannot be listened on.
    """
    access = Access()
    with _listen(port) as listening, logging_to(sys.stderr, "text"):
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        addresses = (f"{address}#token={access.token}", f"{address}#ticket={access.ticket}")
        app = labelling_app(session, access, following)
        _Server(app, lambda: on_started(*addresses), stop).run([listening])


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens, and ends without raising its signal again."""

    def __init__(
        self, app: FastAPI, started: Callable[[], None], stop: threading.Event | None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                access_log=False,  # it would show the names of pictures
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._tell = started
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or bool(self._stop and self._stop.is_set())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ends = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in ends}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = Message(str(error) if number is None else os.strerror(number))
        raise DependencyDown(
            _("Cannot listen on {host}:{port}: {reason}.", host=HOST, port=port, reason=reason),
            remedy=_("Choose another with --port, or leave it out for any free one."),
        ) from error
