"""Small honest stand-ins for capture and bundle, around the real engine and the real routes."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from mintage.api.application import customer_app, operator_app
from mintage.api.logs import logging_to
from mintage.api.server import serve
from mintage.api.service import Sample, Service
from mintage.app.root import App
from mintage.capture.keys import refused
from mintage.cli.serving import service_of
from mintage.core import messages
from mintage.core.errors import ConfigError, DataError, NotAllowed, RequestError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.settings import Settings
from mintage.core.types import (
    FULL_DETAIL,
    SCOPES,
    Answer,
    Caller,
    Detail,
    Permit,
    ProviderInfo,
    Rate,
    Receipt,
    Scope,
    Usage,
)
from mintage.deliver.engine import Engine
from mintage.deliver.products import Pointer, Routing

KEY = "mtg_live_planted_canary_key_0123456789"
T = TypeVar("T")
PRICE = Price("0.02", "EUR")


_LINE = {"kind": "usage", "plan": "basic@1", "unit": "image", "units": 3, "amount": "0.06"}
_PARTY = {"name": "Ada", "language": "zh"}
_DATES = {"issued_at": "2026-12-01T00:00:00.000000Z", "due_at": "2026-12-31T00:00:00.000000Z"}
_INVOICE = {"kind": "invoice", "number": "INV-2026-000001", "currency": "EUR", "period": "2026-11"}
INVOICE: dict[str, Any] = {
    **_INVOICE,
    **_DATES,
    "id": "inv_1",
    "attempt": 1,
    "status": "issued",
    "corrects": None,
    "created_at": "2026-12-01T00:00:00.000000Z",
    "closed_at": None,
    "total": "0.06",
    "credit": "0",
    "paid": "0",
    "credited": "0",
    "to_pay": "0.06",
    "document": {
        **_INVOICE,
        **_DATES,
        "seller": {},
        "customer": _PARTY,
        "lines": [_LINE],
        "taxes": [],
        "net": "0.06",
        "total": "0.06",
    },
}


class Colours:
    """Says whether a picture is warm or cold; gray is unlike anything it was shown."""

    info = ProviderInfo("tones", "3", "a" * 64, task="class", modality="image")

    def __init__(self) -> None:
        self.held = threading.Event()
        self.held.set()
        self.fault: Exception | None = None

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB").resize((4, 4)))
        except OSError as error:
            raise DataError(_("not a JPEG, PNG, WebP, BMP or TIFF picture")) from error

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        self.held.wait(5)
        if self.fault is not None:
            raise self.fault
        return [self._answer(one.reshape(-1, 3).mean(axis=0)) for one in inputs]

    def _answer(self, colour: NDArray[np.float64]) -> Answer:
        red, __, blue = (float(channel) for channel in colour)
        if abs(red - blue) < 8:
            output = {"label": None, "probability": None, "probabilities": None, "unusual": True}
            output["message"] = _("unlike anything this model was shown")
            return Answer("class", output, abstained=True)
        warm = round(0.5 + (red - blue) / 510, 6)
        output = {
            "label": "warm" if warm > 0.5 else "cold",
            "probability": max(warm, round(1 - warm, 6)),
            "probabilities": {"warm": warm, "cold": round(1 - warm, 6)},
            "unusual": False,
        }
        return Answer("class", output, probability=output["probability"], compute_seconds=0.01)


@dataclass(frozen=True)
class Card:
    """What anyone may know of a product."""

    name: str
    task: str
    modality: str
    labels: tuple[str, ...]
    model: str
    model_version: str
    unit: str
    price: Price
    explanation: Price
    prices: Mapping[str, Price]
    rate: Rate | None = None
    detail: Detail = FULL_DETAIL


@dataclass(frozen=True)
class Stored:
    """What an Idempotency-Key was answered with."""

    product: str
    input_sha256: str
    receipt: Receipt
    answer: bytes | None


def _missing(name: str) -> RequestError:
    return RequestError(_("There is no {name!r}.", name=name), remedy=_("Look."), http_status=404)


def _envelope() -> dict[str, str]:
    return {"payload": "eyJwcmljZSI6IjAuMDIifQ==", "payloadType": "application/json"}


class Desk:
    """Gate, Meter, Replays, Accounts and Catalogue of one customer, in memory."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], tuple[Usage, Receipt]] = {}
        self.pending: list[tuple[Usage, Future[Receipt]]] = []
        self.hold = False
        self.fault: Exception | None = None
        self.admitted = 0
        self.scopes: Sequence[Scope] = SCOPES
        self.addresses: list[str | None] = []
        self.names_listed = ["tones"]
        self.expired = False
        self.pdf: bytes | None = b"%PDF-1.3 of an invoice"
        self.public_keys: dict[str, dict[str, str]] = {}
        self.key_list: bytes | None = None

    def admit(self, key: str | None, product: str, address: str | None = None) -> Permit:
        customer = self.caller(key, "predict", address).customer
        if product not in self.names_listed:
            raise _missing(product)
        self.admitted += 1
        return Permit(customer, "key_1", product, "basic", 1, {"image": PRICE}, PRICE.currency)

    def caller(self, key: str | None, scope: Scope, address: str | None) -> Caller:
        self.addresses.append(address)
        if key != KEY:
            raise refused()
        if scope not in self.scopes:
            raise NotAllowed(_("Not this."), remedy=_("Ask."))
        return Caller("cus_1")

    def preview(self, caller: Caller) -> dict[str, Any]:
        return {"customer": caller.customer, "final": False, "documents": []}

    def limits(self, caller: Caller) -> dict[str, Any]:
        said: dict[str, Any] = {"limits": [], "spending": [], "budgets": [], "credit": []}
        return said | {"customer": caller.customer}

    def record(self, usage: Usage) -> Future[Receipt]:
        if self.fault is not None:
            failed: Future[Receipt] = Future()
            failed.set_exception(self.fault)
            return failed
        future: Future[Receipt] = Future()
        self.pending.append((usage, future))
        if not self.hold:
            self.settle()
        return future

    def record_all(self, usages: Sequence[Usage]) -> Future[list[Receipt]]:
        """All or none, as the port says; those of a test are taken one by one."""
        together: Future[list[Receipt]] = Future()
        parts = [self.record(usage) for usage in usages]

        def settle(_: Future[Receipt]) -> None:
            if together.done() or not all(part.done() for part in parts):
                return
            errors = [part.exception() for part in parts if part.exception() is not None]
            if errors:
                together.set_exception(errors[0])
            else:
                together.set_result([part.result() for part in parts])

        for part in parts:
            part.add_done_callback(settle)
        return together

    def settle(self) -> None:
        for usage, future in self.pending:
            event = usage.event_id or f"evt_{len(self.events)}"
            if (usage.origin, event) in self.events:
                future.set_exception(
                    RequestError(_("This event is recorded already."), http_status=409)
                )
                continue
            price = "0.02" if usage.outcome == "ok" else "0"
            receipt = Receipt(f"rcp_{len(self.events)}", event, _envelope, price, "EUR", final=True)
            self.events[usage.origin, event] = (usage, receipt)
            future.set_result(receipt)
        self.pending.clear()

    def find(self, customer: str, event_id: str) -> Stored | None:
        if ("client", event_id) not in self.events:
            return None
        usage, receipt = self.events["client", event_id]
        answer = None if self.expired else usage.stored_answer
        return Stored(usage.permit.product, usage.input_sha256, receipt, answer)

    @property
    def usages(self) -> list[Usage]:
        return [usage for usage, __ in self.events.values()]

    @property
    def outcomes(self) -> list[str]:
        return [usage.outcome for usage in self.usages]

    def usage(
        self,
        caller: Caller,
        *,
        product: str | None,
        period: str | None,
        after: str | None,
        limit: int,
    ):
        if period not in (None, "2026-11"):
            raise ConfigError(_("Not a month: {text!r}.", text=period))
        rows = [
            {"id": receipt.event_id, "receipt": receipt.id, "outcome": usage.outcome}
            for usage, receipt in self.events.values()
            if usage.permit.customer == caller.customer and product in (None, usage.permit.product)
        ]
        return rows[::-1][:limit]

    def receipt(self, caller: Caller, receipt_id: str):
        for usage, receipt in self.events.values():
            if receipt.id == receipt_id and usage.permit.customer == caller.customer:
                return receipt.to_json()
        raise _missing(receipt_id)

    def log(self, caller: Caller) -> dict[str, Any]:
        key = {"key_id": "0" * 64, "algorithm": "Ed25519", "pem": "-"}
        said = {"origin": "tones.example/log", "log": 1, "first_position": 0, "size": 3}
        return {**said, "head": "a note", "witnessed": None, "key": key, "frozen": []}

    def consistency(
        self, caller: Caller, earlier: int, size: int | None, log: int | None
    ) -> dict[str, Any]:
        if not earlier <= (size or 3) <= 3 or log not in (None, 1):
            raise ConfigError(_("No such sizes."))
        said = {"origin": "tones.example/log", "from": earlier, "to": size or 3}
        return {**said, "path": ["ab" * 32], "head": None}

    def usage_totals(self, caller: Caller, period: str, *, product: str | None):
        rows = self.usage(caller, product=product, period=period, after=None, limit=1000)
        outcomes = Counter(row["outcome"] for row in rows)
        said = {"customer": caller.customer, "product": "tones"}
        return [
            {**said, "outcome": outcome, "events": count, "quantities": {"image": count}}
            for outcome, count in outcomes.items()
        ]

    def invoices(self, caller: Caller, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        if after is not None:
            self.invoice(caller, after)
            return []
        found = self.invoice(caller, "INV-2026-000001")
        del found["document"]
        return [found]

    def invoice(self, caller: Caller, number: str) -> dict[str, Any]:
        if number != "INV-2026-000001":
            raise _missing(number)
        return {**INVOICE, "customer": caller.customer}

    def invoice_pdf(self, caller: Caller, number: str) -> bytes:
        self.invoice(caller, number)
        if self.pdf is None:
            raise RequestError(_("This server cannot write it as PDF."), http_status=406)
        return self.pdf

    def invoice_signed(self, caller: Caller, number: str) -> bytes:
        self.invoice(caller, number)
        return b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[]}\n'

    def invoice_evidence(self, caller: Caller, number: str) -> Iterator[bytes]:
        self.invoice(caller, number)
        return iter([b"PK\5\6" + bytes(18)])

    def names(self) -> list[str]:
        return self.names_listed

    def card(self, product: str) -> Card:
        if product not in self.names_listed:
            raise _missing(product)
        labels = ("warm", "cold")
        explanation = Price("0.05", "EUR")
        prices = {"image": PRICE, "explanation": explanation}
        said = (product, "class", "image", labels, "tones", "3", "image")
        return Card(*said, PRICE, explanation, prices)

    def routings(self) -> dict[str, Routing]:
        return {name: Routing(Pointer("tones", 3, "a" * 64)) for name in self.names_listed}

    def epoch(self) -> int | None:
        return None


def drawn(colour: tuple[int, int, int], kind: str = "PNG", side: int = 32) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(stream, kind)
    return stream.getvalue()


class Marked:
    """A catalogue in which every translation is the English in brackets."""

    def gettext(self, text: str) -> str:
        return f"〔{text}〕"


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make what is translated visible, whatever the catalogue holds today; marks a text so."""
    marked = Marked()
    monkeypatch.setattr(messages, "_catalogue", lambda language: marked)
    return marked.gettext


@pytest.fixture
def log() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines so far, each as what it says."""
    stream = io.StringIO()
    with logging_to(stream) as handler:

        def lines() -> list[dict[str, Any]]:
            handler.flush()
            return [json.loads(line) for line in stream.getvalue().splitlines()]

        yield lines


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def provider() -> Colours:
    return Colours()


@pytest.fixture
def draw() -> Callable[..., bytes]:
    return drawn


@pytest.fixture
def warm() -> bytes:
    return drawn((230, 120, 20))


@pytest.fixture
def gray() -> bytes:
    return drawn((120, 120, 120))


@pytest.fixture
def settings() -> Settings:
    return Settings(
        port=0, operator_port=0, max_upload_bytes=100_000, max_queue=4, drain_seconds=3.0
    )


@pytest.fixture
def service(desk: Desk, provider: Colours, settings: Settings) -> Service:
    engine = Engine(
        lambda *_pointer: provider,
        desk,
        threads=2,
        max_queue=settings.max_queue,
        deadline_seconds=2.0,
        poll_seconds=0.05,
    )
    samples = [
        Sample(f"drawing {n}.jpg", drawn((40 * n, 90, 200), "JPEG"), drawn=True) for n in range(6)
    ]
    return Service(
        settings,
        engine,
        gate=desk,
        meter=desk,
        accounts=desk,
        catalogue=desk,
        samples=samples,
        replays=desk,
        public_keys=lambda: desk.public_keys,
        key_list=lambda: desk.key_list,
    )


@contextmanager
def serving(app: App) -> Iterator[Service]:
    """What the routes call, finished as a server does at its end."""
    service = service_of(app)
    try:
        yield service
    finally:
        service.finish()


class InProcess:
    """Calls an application without sockets, on one event loop in a thread of its own."""

    def __init__(self, app: FastAPI, **headers: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._http = httpx.AsyncClient(
            base_url="http://mintage.test",
            headers=headers,
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        )
        self.headers = self._http.headers

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        content = options.get("content")
        if content is not None and not isinstance(content, bytes):
            options["content"] = _streamed(content)
        return self.call(self._http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *__: object) -> None:
        self.call(self._http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


async def _streamed(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def client(service: Service, provider: Colours) -> Iterator[InProcess]:
    with InProcess(customer_app(service), Authorization=f"Bearer {KEY}") as opened:
        yield opened
        provider.held.set()
        opened.call(service.engine.close())


@pytest.fixture
def operator(service: Service) -> Iterator[InProcess]:
    with InProcess(operator_app(service)) as opened:
        yield opened


class Running:
    """A real server in a thread."""

    def __init__(self, service: Service) -> None:
        self.stop = threading.Event()
        self._started = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(service,))
        self.thread.start()
        assert self._started.wait(10), "the server did not start"
        if self.error is not None:
            raise self.error

    def _run(self, service: Service) -> None:
        try:
            serve(service, on_started=self._tell, stop=self.stop)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error
            self._started.set()

    def _tell(self, address: str, operator_address: str) -> None:
        self.address, self.operator_address = address, operator_address
        self._started.set()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive(), "the server did not end"


@pytest.fixture
def running(service: Service, provider: Colours) -> Iterator[Running]:
    server = Running(service)
    yield server
    provider.held.set()
    server.close()
    assert server.error is None


@pytest.fixture
def http(running: Running) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=running.address, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def changed() -> Callable[..., Service]:
    """The same service with other settings."""
    return lambda service, **values: replace(
        service,
        settings=service.settings.model_copy(update=values),
        metrics=type(service.metrics)(),
    )
