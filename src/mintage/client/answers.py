"""What a server answered: a JSON object, or a problem that becomes the same error as at home."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from mintage.core.errors import (
    Bug,
    DataError,
    DependencyDown,
    MintageError,
    NotAllowed,
    PaymentDue,
    QuotaReached,
    RequestError,
    ServiceError,
    Unauthenticated,
)
from mintage.core.messages import _
from mintage.core.waiting import asked_to_wait

_BY_STATUS: dict[int, type[MintageError]] = {
    401: Unauthenticated,
    402: PaymentDue,
    403: NotAllowed,
    422: DataError,
    429: QuotaReached,
    500: Bug,
}

_BY_CODE: dict[str, type[MintageError]] = {"idempotency_key_reused": RequestError}  # a 422 too


def document_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; of an error that has none, an empty one.

    Raises:
        DependencyDown: a success without one.
    """
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    if response.is_success:
        raise not_ours(response)
    return {}


def not_ours(response: httpx.Response) -> DependencyDown:
    """The error for an answer that no Mintage server gives."""
    return DependencyDown(
        _("{host} answered with something that is not JSON.", host=response.url.host),
        remedy=_("Check that the address is that of a Mintage server."),
    )


def problem_of(response: httpx.Response, document: dict[str, Any]) -> MintageError:
    """The error that the server's problem names; by its status where it names none of ours."""
    wait = asked_to_wait(response.headers.get("Retry-After"))
    return error_of(
        response.status_code,
        document,
        retry_after_seconds=None if wait is None else math.ceil(wait),
        request_id=response.headers.get("X-Request-Id"),
    )


def error_of(
    status: int,
    document: Mapping[str, Any],
    *,
    retry_after_seconds: int | None = None,
    request_id: str | None = None,
) -> MintageError:
    """``problem_of`` where the problem came by itself, without a head."""
    known = {kind.code: kind for kind in _tree(MintageError)} | _BY_CODE
    fallback: type[MintageError] = ServiceError if status > 500 else RequestError
    kind = known.get(str(document.get("code")), _BY_STATUS.get(status, fallback))
    return kind(
        str(document.get("detail") or "") or _("The server answered {status}.", status=status),
        remedy=str(document.get("remedy") or ""),
        http_status=status,
        retry_after_seconds=retry_after_seconds,
        request_id=request_id,
    )


def unanswered(address: object, error: httpx.RequestError) -> MintageError:
    """The error for a server that gave no answer, or not all of it."""
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(
            _("{base_url} did not answer in time.", base_url=address),
            remedy=_("Try again in a moment, or give the Client a longer timeout_seconds."),
            http_status=504,
        )
    reason = str(error).rstrip(".")
    untrusted = "CERTIFICATE_VERIFY_FAILED" in reason
    return DependencyDown(
        _("{base_url} cannot be reached: {error}.", base_url=address, error=reason),
        remedy=_("If its certificate is your own authority's, give that one's file: ca=PATH.")
        if untrusted
        else _("Check the address, whether it begins with https, and that the server runs."),
    )


def _tree(kind: type[MintageError]) -> Iterator[type[MintageError]]:
    """The errors of ``core``: a room's own kinds may be made of other things than a message."""
    if kind.__module__ == MintageError.__module__:
        yield kind
        for below in kind.__subclasses__():
            yield from _tree(below)
