"""Calls a served Mintage over HTTP; its problems become the same errors as at home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from mintage.core.errors import (
    Bug,
    ConfigError,
    DataError,
    DependencyDown,
    MintageError,
    NotAllowed,
    PaymentDue,
    QuotaReached,
    RequestError,
    ServiceError,
    Unauthenticated,
    said_by,
)
from mintage.core.messages import _, current
from mintage.core.version import __version__

_BY_STATUS: dict[int, type[MintageError]] = {
    401: Unauthenticated,
    402: PaymentDue,
    403: NotAllowed,
    422: DataError,
    429: QuotaReached,
    500: Bug,
}

_BY_CODE: dict[str, type[MintageError]] = {"idempotency_key_reused": RequestError}  # a 422 too


class Client:
    """One customer's connection to a server; safe to use from several threads.

    What the server says comes in the language of whoever calls. An error that it answered with has
    a ``request_id``: whoever runs the service finds the call in the log by it.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigError: the address is none of http or https.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                _("Not an address: {url!r}.", url=url), remedy=_("Write http://HOST:PORT.")
            )
        headers = {"User-Agent": f"mintage/{__version__}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        # No proxy or netrc from the environment: the key goes where it was told to go.
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False
        )

    def predict(
        self, product: str, source: Path | str | bytes, *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Send one picture, a path or its bytes; the answer with receipt and price.

        The same ``idempotency_key`` and picture are charged once, and for 24 hours answered alike.

        Raises:
            DataError: the file cannot be read, or the bytes are no picture.
            MintageError: whatever the server says.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        address = f"/v1/products/{quote(product, safe='')}/predict"
        return self._call("POST", address, content=_bytes_of(source), headers=headers)

    def usage(
        self, *, product: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The customer's own usage events, newest first; ``after`` is a page's last receipt."""
        asked = {"product": product, "after": after, "limit": limit}
        known = {name: value for name, value in asked.items() if value is not None}
        found: list[dict[str, Any]] = self._call("GET", "/v1/usage", params=known)["usage"]
        return found

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """One of the customer's own receipts.

        Raises:
            RequestError: there is none such (404).
        """
        return self._call("GET", f"/v1/receipts/{quote(receipt_id, safe='')}")

    def product(self, name: str) -> dict[str, Any]:
        """A product's task, labels, version and price.

        Raises:
            RequestError: there is none such (404).
        """
        return self._call("GET", f"/v1/products/{quote(name, safe='')}")

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: str, address: str, **options: Any) -> dict[str, Any]:
        try:
            headers = options.pop("headers", {}) | {"Accept-Language": current()}
            response = self._http.request(method, address, headers=headers, **options)
        except httpx.TimeoutException as error:
            raise ServiceError(
                _("{base_url} did not answer in time.", base_url=self._http.base_url),
                remedy=_("Try again in a moment, or give the Client a longer timeout_seconds."),
                http_status=504,
            ) from error
        except httpx.TransportError as error:
            raise DependencyDown(
                _(
                    "{base_url} cannot be reached: {error}.",
                    base_url=self._http.base_url,
                    error=error,
                ),
                remedy=_("Check the address, and that the server runs."),
            ) from error
        document = _document(response)
        if not response.is_success:
            raise _error(response, document)
        return document


def _bytes_of(source: Path | str | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise DataError(
            _(
                "{source} cannot be read: {reason}.",
                source=source,
                reason=said_by(error),
            ),
            remedy=_("Check that the file exists and that you may read it."),
        ) from error


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    if response.is_success:
        raise DependencyDown(
            _("{host} answered with something that is not JSON.", host=response.url.host),
            remedy=_("Check that the address is that of a Mintage server."),
        )
    return {}


def _error(response: httpx.Response, document: dict[str, Any]) -> MintageError:
    """The error that the server's problem names; by its status where it names none of ours."""
    status = response.status_code
    known = {kind.code: kind for kind in _tree(MintageError)} | _BY_CODE
    fallback: type[MintageError] = ServiceError if status > 500 else RequestError
    kind = known.get(str(document.get("code")), _BY_STATUS.get(status, fallback))
    wait = response.headers.get("Retry-After", "")
    error = kind(
        str(document.get("detail") or "") or _("The server answered {status}.", status=status),
        remedy=str(document.get("remedy") or ""),
        http_status=status,
        retry_after_seconds=int(wait) if wait.isdecimal() else None,
    )
    error.request_id = response.headers.get("X-Request-Id")
    return error


def _tree(kind: type[MintageError]) -> Iterator[type[MintageError]]:
    """The errors of ``core``: a room's own kinds may be made of other things than a message."""
    if kind.__module__ == MintageError.__module__:
        yield kind
        for below in kind.__subclasses__():
            yield from _tree(below)
