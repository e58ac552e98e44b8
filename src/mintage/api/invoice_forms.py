"""An invoice as it leaves: JSON for programs, a page or PDF for people, rows for accounting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from mintage.api.heads import header
from mintage.api.openapi import AS_PDF_TOO
from mintage.capture.books import rendering
from mintage.core.messages import Language, current, speaking, weight_of
from mintage.trust.statements import MEDIA_TYPE

Form = Literal["json", "html", "csv", "pdf", "signed"]

_MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "pdf": "application/pdf",
    "signed": MEDIA_TYPE,
}
_TEXT = {"schema": {"type": "string"}}
FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            **AS_PDF_TOO["content"],
            "text/html": _TEXT,
            "text/csv": _TEXT,
            MEDIA_TYPE: {"schema": {"type": "object"}},
        }
    }
}
"""The forms beside JSON, as OpenAPI describes them."""
_VARY = {"Vary": "Accept, Accept-Language"}


def asked_form(request: Request, reference: str) -> tuple[str, Form]:
    """Which invoice is asked for, and how: by what its number ends in, or else by ``Accept``."""
    name, __, ending = reference.rpartition(".")
    for form in _MEDIA_TYPES:
        if name and ending == form:
            return name, form
    return reference, _accepted(header(request.scope, b"accept") or "*/*")


def _accepted(accept: str) -> Form:
    """The form that is liked best; JSON, where nothing speaks against it (RFC 9110 §12.5.1)."""
    weights: dict[str, float] = {}
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weights[kind.lower()] = weight_of(parameters)

    def weight(form: Form) -> float:
        kind = _MEDIA_TYPES[form]
        family = f"{kind.partition('/')[0]}/*"
        return next((weights[name] for name in (kind, family, "*/*") if name in weights), 0.0)

    return max(_MEDIA_TYPES, key=weight)


def written(request: Request, found: Mapping[str, Any], form: Form) -> Response:
    """The invoice as JSON, HTML or CSV; it writes for a while, so not on the event loop.

    What people read is in their language, or else in the customer's.
    """
    if form == "json":
        return JSONResponse(found, headers=_VARY)
    document = found["document"]
    said = header(request.scope, b"accept-language")
    language: Language = rendering.language_for(document, current() if said else None)
    if form == "html":
        text = rendering.html(rendering.standing(found), found["status"], language)
    else:
        with speaking(language):
            text = rendering.csv_text([document])
    headers = {**_kept(f"{found['number'] or found['id']}.{form}"), "Content-Language": language}
    return Response(text, media_type=_MEDIA_TYPES[form], headers=headers)


def as_pdf(data: bytes, name: str) -> Response:
    """The invoice of this number or id, as PDF."""
    return Response(data, media_type=_MEDIA_TYPES["pdf"], headers=_kept(f"{name}.pdf"))


def as_signed(data: bytes, name: str) -> Response:
    """The invoice of this number or id, as it was signed: the very bytes."""
    headers = _kept(f"{name}.signed.json")
    return Response(data, media_type=_MEDIA_TYPES["signed"], headers=headers)


ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}
"""An invoice's evidence, as OpenAPI describes it."""


def as_zip(parts: Iterator[bytes], name: str) -> StreamingResponse:
    """The evidence of the invoice of this number or id, sent as it is made."""
    kept = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(parts, media_type="application/zip", headers=kept)


def _kept(name: str) -> dict[str, str]:
    # To be kept: shown here, its own style would be against the pages' security policy.
    return {**_VARY, "Content-Disposition": f'attachment; filename="{name}"'}
