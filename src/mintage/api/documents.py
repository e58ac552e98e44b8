"""Bodies that are documents, not pictures: what such a route takes is JSON."""

from __future__ import annotations

from starlette.requests import Request

from mintage.api.uploads import content_type
from mintage.core.errors import RequestError
from mintage.core.messages import Message, _

_READ = {"application/json", "application/octet-stream"}


def check_document(request: Request, remedy: Message) -> None:
    """Refuse a body that says it is no document, before it is read.

    What says nothing of its kind, or that it is bytes, may be one: so tritonclient sends JSON.

    Raises:
        RequestError: another content type, or the body is compressed (415).
    """
    try:
        kind, __ = content_type(request)
    except RequestError as error:  # its remedy is for pictures
        raise RequestError(error.message, remedy=remedy, http_status=415) from error
    if kind not in _READ:
        raise RequestError(
            _("A body of type {media_type!r} is not read.", media_type=kind[:80]),
            remedy=remedy,
            http_status=415,
        )
