"""What a request asks for: a model by its product's name, and whether as a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request

from mintage.api.metered import counted
from mintage.api.metrics import UNKNOWN
from mintage.api.routing import ClientGone
from mintage.api.service import Service
from mintage.api.uploads import read_document
from mintage.core.canonical import sha256_hex
from mintage.core.errors import MintageError, RequestError
from mintage.core.messages import _

Kind = Literal["chat/completions", "completions", "embeddings"]
_REMEDY = _("Send one JSON object, as OpenAI's API has it.")


@dataclass(frozen=True)
class Asked:
    """A request's body. Whatever it has that is not known here goes on as it came."""

    kind: Kind
    body: Mapping[str, Any]
    sha256: str

    @classmethod
    async def read(cls, service: Service, request: Request, kind: Kind) -> Asked:
        """Read the body.

        Raises:
            RequestError: it is no JSON object that names a model (400), too large (413) …
            ClientGone: the client left meanwhile.
        """
        try:
            data = await read_document(request, service.settings.max_upload_bytes)
            return cls(kind, _object(data, kind), sha256_hex(data))
        except ClientDisconnect as gone:
            counted(service, request, UNKNOWN, "disconnected")
            raise ClientGone from gone
        except MintageError:
            counted(service, request, UNKNOWN, "refused")
            raise

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

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        found = self.body.get("n")
        return found if type(found) is int and found > 0 else 1

    def forwarded(self) -> Mapping[str, Any]:
        """The body as it goes on: of a stream we always want to know what it used."""
        if not self.streams:
            return self.body
        options = self.body.get("stream_options")
        options = options if isinstance(options, Mapping) else {}
        return {**self.body, "stream_options": {**options, "include_usage": True}}


def _object(data: bytes, kind: Kind) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(_("The body is not JSON."), remedy=_REMEDY) from error
    if not isinstance(found, dict):
        raise RequestError(_("The body is JSON, but not an object."), remedy=_REMEDY)
    model = found.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError(
            _("The field {field!r} is missing.", field="model"),
            remedy=_("Name a product; GET /v1/models lists those of your key."),
        )
    field = {"chat/completions": "messages", "completions": "prompt", "embeddings": "input"}[kind]
    if field not in found:
        raise RequestError(_("The field {field!r} is missing.", field=field), remedy=_REMEDY)
    return found
