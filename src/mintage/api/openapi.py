"""What FastAPI cannot read off a signature: bodies read by hand, problems, the key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from mintage.api.explanations import Explain
from mintage.api.models import (
    FeedbackDocument,
    ImageDocument,
    InferProblem,
    InferRequest,
    LanguageProblem,
    Problem,
)
from mintage.api.problems import MEDIA_TYPE
from mintage.api.uploads import PICTURES
from mintage.core.messages import told

_TITLES = {
    400: "The request is malformed.",
    401: "No valid key.",
    402: "Money is missing.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    406: "It cannot be had in the form that was asked for.",
    408: "The body came too slowly.",
    409: "The first call with this Idempotency-Key still runs, or its answer is no longer kept.",
    413: "The upload is too large.",
    415: "A content type that is not read.",
    422: "The bytes are no picture that can be read, or the Idempotency-Key is another call's.",
    429: "A limit is reached; see Retry-After.",
    500: "Our mistake; it has an incident id.",
    503: "Not now; see Retry-After.",
    504: "Not answered in time.",
}
_TEXTS = {"summary", "description"}
_BINARY = {"type": "string", "format": "binary"}

PDF = "application/pdf"
AS_PDF_TOO: dict[str, Any] = {"content": {PDF: {"schema": _BINARY}}}
AUTHORIZED: dict[str, Any] = {"security": [{"key": []}]}
SECURITY_SCHEMES = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
OPERATOR_SCHEMES = {
    "operator": {"type": "http", "scheme": "bearer", "description": "An operator's key."}
}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "One id per action: charged once, and answered alike for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_JSON_BYTES = "Inference-Header-Content-Length"
_HEADER_BYTES = {
    "name": _JSON_BYTES,
    "in": "header",
    "required": False,
    "description": "How many bytes of the body are JSON, where tensors follow as bytes.",
    "schema": {"type": "integer", "minimum": 0},
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's id: the caller's own where it is well-formed, else a new"
        " one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "In how many seconds to send it again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Policy": {
        "description": "The plan's rate, if it has one: its name, calls (q), seconds (w).",
        "schema": {"type": "string", "examples": ['"basic";q=600;w=60']},
    },
    "RateLimit": {
        "description": "What is left of that rate: calls (r), and in how many seconds it is whole"
        " again (t).",
        "schema": {"type": "string", "examples": ['"basic";r=599;t=1']},
    },
    "Idempotent-Replayed": {
        "description": "The first call with this Idempotency-Key got this answer; it is free now.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "X-Mintage-Receipt": {
        "description": "The receipt's id; GET /v1/receipts/{receipt} has it.",
        "schema": {"type": "string"},
    },
    "X-Mintage-Price": {
        "description": "What this call costs, as the plan stands.",
        "schema": {"type": "string", "examples": ["0.00042 USD"]},
    },
    "X-Mintage-Deidentified": {
        "description": "For how many values of each kind the model got placeholders.",
        "schema": {"type": "string", "examples": ["email=2, phone=1"]},
    },
    _JSON_BYTES: {
        "description": "How many bytes of the answer are JSON, where tensors follow as bytes.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
_LATER = {429, 503, 504}  # refused for now
_UNCOUNTED = {401, 402, 403, 404}  # refused before the plan's rate is looked at
_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "required": False,
    "description": "Also where in the picture the answer comes from: ``map`` as numbers, "
    "``png`` drawn over the picture, ``true`` both. Priced as the plan says.",
    "schema": {"type": "string", "enum": list(get_args(Explain)), "default": "false"},
}
PREDICT_BODY: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY_KEY, _EXPLAIN],
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"schema": _BINARY} for kind in PICTURES},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": _BINARY},
                    "required": ["file"],
                }
            },
            "application/json": {"schema": ImageDocument.model_json_schema()},
        },
    },
}
FEEDBACK_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": FeedbackDocument.model_json_schema()}},
    },
}
ONE_ANSWER = (400, 401, 402, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)
"""How a call for one answer may be refused."""
MOST_AT_ONCE = 64
"""Pictures of one ``predict:batch``."""
BATCH_BODY: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY_KEY],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": _BINARY,
                            "minItems": 1,
                            "maxItems": MOST_AT_ONCE,
                        }
                    },
                    "required": ["file"],
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "contentEncoding": "base64"},
                            "minItems": 1,
                            "maxItems": MOST_AT_ONCE,
                        }
                    },
                    "required": ["images"],
                }
            },
        },
    },
}
INFER_BODY: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY_KEY, _HEADER_BYTES],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{InferRequest.__name__}"}
            },
            "application/octet-stream": {"schema": _BINARY},
        },
    },
}


_EVENTS = "text/event-stream"


def language_body(asked: str, *, streams: bool) -> dict[str, Any]:
    """What a language model is asked with, as far as it is known here."""
    properties: dict[str, Any] = {
        "model": {"type": "string", "minLength": 1, "description": "A product's name."},
        asked: {"description": "As OpenAI's API has it."},
    }
    if streams:
        properties["stream"] = {"type": "boolean", "default": False}
    schema = {
        "type": "object",
        "properties": properties,
        "required": ["model", asked],
        "additionalProperties": True,
    }
    return {
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def language_sold(*, streams: bool, asked: bool = True) -> dict[int | str, dict[str, Any]]:
    """What a route of language models says; ``asked``: it sells an answer."""
    if not asked:
        return _as_openai(problems(401, 403))
    found = sold(*ONE_ANSWER)
    if streams:
        found[200]["content"] = {_EVENTS: {"schema": {"type": "string"}}}
    found[200]["headers"] |= _named(
        "X-Mintage-Receipt", "X-Mintage-Price", "X-Mintage-Deidentified"
    )
    return _as_openai(found)


def _as_openai(found: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": f"#/components/schemas/{LanguageProblem.__name__}"}
    for status, response in found.items():
        if status != 200:
            response["content"] = {"application/json": {"schema": schema}}
    return found


def problems(*statuses: int, of: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, each as problem+json."""
    schema = {"$ref": f"#/components/schemas/{of.__name__}"}
    return {
        status: {
            "description": _TITLES[status],
            "headers": _named("Retry-After") if status in _LATER else {},
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in (*statuses, 500)
    }


def sold(
    *statuses: int, of: type[Problem] = Problem, replayed: bool = True, binary: bool = False
) -> dict[int | str, dict[str, Any]]:
    """What a route that sells answers says: ``problems``, and the headers of its answers.

    ``replayed``: they say whether they are repeated; ``binary``: they may be bytes behind JSON.
    """
    answer: dict[str, Any] = {"headers": _named("Idempotent-Replayed") if replayed else {}}
    if binary:
        answer["headers"] |= _named(_JSON_BYTES)
        answer["content"] = {"application/octet-stream": {"schema": _BINARY}}
    found = {200: answer, **problems(*statuses, of=of)}
    found[409]["headers"] |= _named("Retry-After")  # the first call still runs
    for status in found.keys() - _UNCOUNTED:
        found[status]["headers"] |= _named("RateLimit", "RateLimit-Policy")
    return found


def complete(
    document: dict[str, Any],
    models: Iterable[type[BaseModel]] = (InferProblem, InferRequest, LanguageProblem),
    schemes: dict[str, Any] = SECURITY_SCHEMES,
) -> dict[str, Any]:
    """Add the schemas that only hand-read bodies and problems name; drop the framework's own."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    named: tuple[type[BaseModel], ...] = (Problem, *models)
    for model in named:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = schemes
    components["headers"] = _HEADERS
    for path, operations in document["paths"].items():
        kind = InferProblem if path.startswith("/v2") else Problem
        for operation in operations.values():
            _mend(operation["responses"], kind)
            for response in operation["responses"].values():
                response.setdefault("headers", {}).update(_named("X-Request-Id"))
    return document


def texts(document: Any) -> Iterator[str]:
    """Every text of the document that people read; the catalogue of messages holds them."""
    if isinstance(document, dict):
        for name, found in document.items():
            if name in _TEXTS and isinstance(found, str):
                yield found
            else:
                yield from texts(found)
    elif isinstance(document, list):
        for found in document:
            yield from texts(found)


def told_document(document: Any) -> Any:
    """The document with those texts in the current language."""
    if isinstance(document, dict):
        return {
            name: told(found) if name in _TEXTS and isinstance(found, str) else told_document(found)
            for name, found in document.items()
        }
    return [told_document(found) for found in document] if isinstance(document, list) else document


def _named(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _mend(responses: dict[str, Any], kind: type[Problem]) -> None:
    for status in responses.keys() & {"200", "201", "204"}:
        responses[status]["description"] = "Done."
    # FastAPI announces its own answer to invalid parameters; ours is a 400 problem.
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
        responses.setdefault("400", problems(400, of=kind)[400])
