"""What a request asks for: a model by its product's name, and whether as a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request

from mintage.api.intake import Place
from mintage.api.metered import counted
from mintage.api.metrics import UNKNOWN
from mintage.api.routing import ClientGone
from mintage.api.service import Service
from mintage.api.uploads import read_document
from mintage.core.canonical import sha256_hex
from mintage.core.errors import MintageError, RequestError
from mintage.core.messages import _
from mintage.deliver.upstreams.events import LARGE_BYTES
from mintage.deliver.upstreams.tokens import bound_of, most_prompt

Kind = Literal["chat/completions", "completions", "embeddings"]
ASKED_WITH: Mapping[Kind, str] = {
    "chat/completions": "messages",
    "completions": "prompt",
    "embeddings": "input",
}
"""The member that each kind of request cannot be without."""
_COPIES = 6  # how often a body is in memory: as text, as values, as it goes on
_MOST_VALUES = 300_000
_REMEDY = _("Send one JSON object, as OpenAI's API has it.")


@dataclass(frozen=True)
class Asked:
    """A request's body. Whatever it has that is not known here goes on as it came."""

    kind: Kind
    body: Mapping[str, Any]
    sha256: str
    size_bytes: int
    most_prompt: int
    """More tokens than its prompt is likely to have."""

    @classmethod
    async def read(cls, service: Service, request: Request, kind: Kind, place: Place) -> Asked:
        """Read the body, which its ``place`` takes account of.

        Raises:
            RequestError: it is no JSON object that names a model (400), too large (413) …
            ClientGone: the client left meanwhile.
        """
        try:
            data = await read_document(request, service.settings.max_upload_bytes)
            place.holds(_COPIES * len(data))
            if len(data) < LARGE_BYTES:
                return cls._of(data, kind)
            return await asyncio.to_thread(cls._of, data, kind)
        except ClientDisconnect as gone:
            counted(service, request, UNKNOWN, "disconnected")
            raise ClientGone from gone
        except MintageError:
            counted(service, request, UNKNOWN, "refused")
            raise

    @classmethod
    def _of(cls, data: bytes, kind: Kind) -> Asked:
        body = _object(data, kind)
        try:
            most = most_prompt(body)
        except RecursionError as error:
            raise RequestError(_("The body is not JSON."), remedy=_REMEDY) from error
        return cls(kind, body, sha256_hex(data), len(data), most)

    @property
    def is_large(self) -> bool:
        """Whether a thread has to spell it."""
        return self.size_bytes >= LARGE_BYTES

    @property
    def product(self) -> str:
        """The name it is sold under."""
        return str(self.body["model"])

    @property
    def streams(self) -> bool:
        """Whether the answer is wanted as it grows."""
        return bool(self.body.get("stream")) and self.kind != "embeddings"

    @property
    def wants_usage(self) -> bool:
        """Whether a stream's last part is to say what was used."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and bool(options.get("include_usage"))

    def forwarded(self, bound: int | None = None) -> Mapping[str, Any]:
        """The body as it goes on: of a stream we always want to know what it used.

        ``bound`` is how many tokens were held for each choice, where the request set no bound.
        """
        body = dict(self.body)
        if self.kind == "embeddings":
            body.pop("stream", None)
            return body
        if bound is not None and bound_of(body) is None:
            body["max_tokens"] = bound
        if self.streams:
            options = body.get("stream_options")
            options = options if isinstance(options, Mapping) else {}
            body["stream_options"] = {**options, "include_usage": True}
        return body


def _object(data: bytes, kind: Kind) -> dict[str, Any]:
    # A million values keep the interpreter's lock for a second in whatever thread.
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise RequestError(_("The body is JSON of too many values."), http_status=413)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(_("The body is not JSON."), remedy=_REMEDY) from error
    if not isinstance(found, dict):
        raise RequestError(_("The body is JSON, but not an object."), remedy=_REMEDY)
    model = found.get("model")
    if not isinstance(model, str) or not model.isprintable() or not model:
        raise RequestError(
            _("The field {field!r} is missing.", field="model"),
            remedy=_("Name a product; GET /v1/models lists those of your key."),
        )
    field = ASKED_WITH[kind]
    if field not in found:
        raise RequestError(_("The field {field!r} is missing.", field=field), remedy=_REMEDY)
    return found
