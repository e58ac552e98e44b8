"""What may be asked of a server: each a request that can be sent again, and how to read its answer.

Both clients build their calls here and differ in nothing but how they wait.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx

from mintage.client.answers import error_of
from mintage.core.errors import ConfigError, DataError, MintageError, said_by
from mintage.core.ids import new_id
from mintage.core.messages import _, current

T = TypeVar("T")
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A picture: its path, its bytes, or a file opened for reading bytes."""
Explain = bool | Literal["false", "true", "map", "png"]
"""Where an answer comes from: as numbers (``map``), drawn (``png``), or both (True)."""

_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request; ``read`` makes of the answer's JSON what is given back.

    Sent again it does no more than sent once: it only reads, or it has an Idempotency-Key.
    """

    method: str
    address: str
    read: Callable[[dict[str, Any]], T]
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)

    @property
    def request(self) -> dict[str, Any]:
        """The request, as httpx's ``request`` takes it."""
        return {
            "method": self.method,
            "url": self.address,
            "headers": self.headers,
            "params": self.params or None,
            "content": self.content,
        }


def predict(
    product: str, data: bytes, idempotency_key: str | None = None, explain: Explain = False
) -> Call[dict[str, Any]]:
    """One picture; without a key of the caller's the action gets one here, once.

    Raises:
        ConfigError: the key cannot stand in a header.
    """
    headers = {"Content-Type": "application/octet-stream", **_once(idempotency_key)}
    address = f"/v1/products/{quote(product, safe='')}/predict"
    asked = str(explain).lower()
    params = {} if asked == "false" else {"explain": asked}
    return Call("POST", address, dict, _with_language(headers), params, data)


def predict_batch(
    product: str, pictures: Sequence[bytes], idempotency_key: str | None = None
) -> Call[list[dict[str, Any] | MintageError]]:
    """Several pictures in one request, as a form; one key is that of all of them together.

    Raises:
        ConfigError: the key cannot stand in a header, or there are no pictures.
    """
    if not pictures:
        raise ConfigError(_("{count} at once is none.", count=0), remedy=_("Give 1 or more."))
    # A form that httpx writes each time anew would differ from try to try.
    form = httpx.Request("POST", "http://form", files=[("file", (None, each)) for each in pictures])
    headers = {"Content-Type": form.headers["Content-Type"], **_once(idempotency_key)}
    address = f"/v1/products/{quote(product, safe='')}/predict:batch"

    def read(document: dict[str, Any]) -> list[dict[str, Any] | MintageError]:
        results = [_result(each) for each in document["results"]]
        if len(results) != len(pictures):
            raise ValueError(len(results))
        return results

    return Call("POST", address, read, _with_language(headers), content=form.read())


def _result(one: Mapping[str, Any]) -> dict[str, Any] | MintageError:
    """The answer to one of several, or its error."""
    if one["answer"] is not None:
        return dict(one["answer"])
    problem = dict(one["problem"])
    return error_of(int(one["status"]), problem, request_id=problem.get("instance"))


def _once(idempotency_key: str | None) -> dict[str, str]:
    """The header by which an action is carried out once.

    Raises:
        ConfigError: the key cannot stand in a header.
    """
    key = new_id("call") if idempotency_key is None else idempotency_key
    if not _KEY.fullmatch(key):
        raise ConfigError(
            _("Not an Idempotency-Key: {key!r}.", key=key[:80]),
            remedy=_("Use 1 to 255 characters of ASCII, such as a UUID."),
        )
    return {"Idempotency-Key": key}


def usage(product: str | None, after: str | None, limit: int) -> Call[list[dict[str, Any]]]:
    """The customer's own usage events."""
    asked = {"product": product, "after": after, "limit": limit}
    known = {name: value for name, value in asked.items() if value is not None}
    return _get("/v1/usage", lambda document: list(document["usage"]), known)


def receipt(receipt_id: str) -> Call[dict[str, Any]]:
    """One of the customer's own receipts."""
    return _get(f"/v1/receipts/{quote(receipt_id, safe='')}", dict)


def product(name: str) -> Call[dict[str, Any]]:
    """What is sold under a name."""
    return _get(f"/v1/products/{quote(name, safe='')}", dict)


def products() -> Call[list[str]]:
    """The names of what is sold."""
    return _get("/v1/products", lambda document: [each["name"] for each in document["products"]])


def log() -> Call[dict[str, Any]]:
    """The audit log's newest head."""
    return _get("/v1/log", dict)


def log_consistency(earlier: int, size: int | None, log: int | None) -> Call[dict[str, Any]]:
    """That the audit log only grew."""
    asked = {"from": earlier, "to": size, "log": log}
    known = {name: value for name, value in asked.items() if value is not None}
    return _get("/v1/log/consistency", dict, known)


def keys() -> Call[dict[str, Any]]:
    """The public keys."""
    return _get("/v1/keys", dict)


def bytes_of(source: Source) -> bytes:
    """The picture's bytes, read once, so that they can be sent again.

    Raises:
        DataError: it cannot be read.
        ConfigError: a file that was opened as text.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        if isinstance(source, str | os.PathLike):
            return Path(source).read_bytes()
        data = source.read()
    except (OSError, ValueError) as error:
        reason = said_by(error) if isinstance(error, OSError) else error
        raise DataError(
            _("{source} cannot be read: {reason}.", source=source, reason=reason),
            remedy=_("Check that the file exists and that you may read it."),
        ) from error
    if not isinstance(data, bytes):
        raise ConfigError(
            _("{source} was opened as text.", source=source),
            remedy=_("Open it for reading bytes: open(path, 'rb')."),
        )
    return data


def _get(
    address: str, read: Callable[[dict[str, Any]], T], params: Mapping[str, Any] | None = None
) -> Call[T]:
    return Call("GET", address, read, headers=_with_language({}), params=params or {})


def _with_language(headers: Mapping[str, str]) -> dict[str, str]:
    """What the server says comes in the language of whoever calls."""
    return {**headers, "Accept-Language": current()}
