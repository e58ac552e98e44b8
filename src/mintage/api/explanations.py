"""Explanations over HTTP: as numbers, as a picture or as both, beside the answer they explain."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal, get_args

from starlette.requests import Request

from mintage.api.problems import malformed
from mintage.api.service import Explained, Explanations, Service, Told, Version
from mintage.bundle.occlusion import where
from mintage.core.effort import Effort
from mintage.core.errors import MintageError, Overloaded, RequestError
from mintage.core.messages import _, told
from mintage.core.types import Detail, Permit

Explain = Literal["false", "true", "map", "png"]
"""What ``?explain=`` asks for: nothing, both, the numbers, the picture."""

_DECIMALS = 4


def asked(request: Request) -> Explain:
    """What a call asks for by ``?explain=``.

    Raises:
        RequestError: nothing that there is (400).
    """
    if not request.scope["query_string"]:
        return "false"
    given = request.query_params.get("explain", "false")
    known: tuple[Explain, ...] = get_args(Explain)
    for each in known:
        if given == each:
            return each
    expected = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
    fault = {"loc": ("query", "explain"), "type": "literal_error", "ctx": {"expected": expected}}
    raise malformed(fault)


def none_asked(request: Request) -> None:
    """Refuse to explain the answers to several pictures at once.

    Raises:
        RequestError: that is asked for (400).
    """
    if asked(request) != "false":
        raise RequestError(
            _("Answers to several pictures at once are not explained."),
            remedy=_("Leave explain out, or send each picture alone to predict?explain=true."),
        )


def check(service: Service, product: str) -> None:
    """Refuse early, before a body is read.

    Raises:
        RequestError: this server explains nothing (404).
        Overloaded: as many wait for an explanation as may.
    """
    try:
        _lane(service).check()
    except Overloaded:
        service.metrics.explanation(product, "shed")
        raise


async def explained(
    service: Service, permit: Permit, data: bytes, explain: Explain, by: Version, effort: Effort
) -> Told:
    """The answer with its explanation; what becomes of each is counted, and what it takes.

    Raises:
        MintageError: there is no answer, no explanation, or neither.
    """
    product, drawn = permit.product, explain in ("true", "png")
    try:
        lane = _lane(service)
        found = await lane.explain(product, data, drawn=drawn, by=by, effort=effort)
    except Overloaded:
        service.metrics.explanation(product, "shed")
        raise
    except MintageError as error:
        missed = error.http_status == 504
        service.metrics.explanation(product, "timeout" if missed else "error")
        raise
    except Exception:
        service.metrics.explanation(product, "error")
        raise
    service.metrics.explanation(product, "abstain" if found.map is None else "ok")
    return Told.of(found, permit.detail, _document(found, explain, permit.detail))


def _lane(service: Service) -> Explanations:
    if service.explanations is None:
        raise RequestError(
            _("This server explains no answers."),
            remedy=_("Send the picture without asking for an explanation."),
            http_status=404,
        )
    return service.explanations


def _document(found: Explained, explain: Explain, detail: Detail) -> Mapping[str, Any] | None:
    """The explanation as JSON, in the current language; None where the model abstains."""
    if found.map is None:
        return None
    document: dict[str, Any] = {
        "label": found.answer.output["label"],
        "where": told(where(found.map)),
        "drop": _figure(float(found.map.max()), detail),
    }
    if explain in ("true", "map"):
        values = [_figure(value, detail) for value in found.map.ravel().tolist()]
        document["map"] = {"shape": list(found.map.shape), "values": values}
    if found.png is not None:
        document["png"] = base64.b64encode(found.png).decode()
    return document


def _figure(value: float, detail: Detail) -> float:
    """How far a probability falls: no more of it than is told of the probability itself."""
    return detail.rounded(round(value, _DECIMALS))
