"""A stand-in for Stripe on loopback, in the shapes that its API reference publishes.

It knows customers, invoices and invoice items, pages its lists, honours Idempotency-Key, and can
break off after any of the requests that create something.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

_KEY = re.compile(r"([^\[]+)((?:\[[^\]]*\])*)")


class StripeStand(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "customers": {},
            "invoices": {},
            "invoiceitems": {},
        }
        self.asked: list[tuple[str, str]] = []
        self.answered: dict[str, dict[str, Any]] = {}
        self.numbers = count(1)
        self.breaks_after: int | None = None
        self.changes = 0
        self.tax = 0
        self.refuses: tuple[int, str, str] | None = None
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def forget_idempotency_keys(self) -> None:
        """As Stripe does after a day."""
        self.answered.clear()

    @contextmanager
    def breaking_after(self, changes: int) -> Iterator[None]:
        """What is created is created, and whoever asked for it does not hear of it."""
        self.changes, self.breaks_after = 0, changes
        yield
        self.breaks_after = None

    def pay(self, invoice: str, amount: int | None = None, currency: str | None = None) -> None:
        found = self.objects["invoices"][invoice]
        found |= {"status": "paid", "amount_paid": found["total"] if amount is None else amount}
        found["currency"] = currency or found["currency"]

    def invoice(self, identifier: str) -> dict[str, Any]:
        found = self.objects["invoices"][identifier]
        if found["status"] == "draft":
            items = self.objects["invoiceitems"].values()
            total = sum(each["amount"] for each in items if each["invoice"] == identifier)
            found |= {"total": total + self.tax, "amount_due": total + self.tax}
        return found

    def create(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        prefix = {"customers": "cus", "invoices": "in", "invoiceitems": "ii"}[kind]
        made = {"id": f"{prefix}_{next(self.numbers):04d}", "metadata": {}, "livemode": False}
        if kind == "invoices":
            assert data["customer"] in self.objects["customers"]
            assert ("due_date" in data) != ("days_until_due" in data)
            made |= {
                "object": "invoice",
                "status": "draft",
                "total": 0,
                "amount_due": 0,
                "amount_paid": 0,
                "hosted_invoice_url": None,
            }
        elif kind == "invoiceitems":
            assert self.objects["invoices"][data["invoice"]]["status"] == "draft"
            made |= {"object": "invoiceitem"}
            data["amount"] = int(data["amount"])
        else:
            made |= {"object": "customer"}
        made |= data
        self.objects[kind][made["id"]] = made
        return made


class _Handler(BaseHTTPRequestHandler):
    server: StripeStand  # HTTP/1.0: a connection that stays open would outlive the test

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        __, ___, kind, *rest = parts.path.split("/")
        query = dict(parse_qsl(parts.query))
        self.server.asked.append(("GET", parts.path))
        if self._refused():
            return
        if rest:
            self._answer(200, self._one(kind, rest[0]))
            return
        wanted = {k: v for k, v in query.items() if k in ("customer", "invoice", "email")}
        found = [
            each
            for each in reversed(self.server.objects[kind].values())
            if all(each.get(name) == value for name, value in wanted.items())
        ]
        after, limit = query.get("starting_after"), min(int(query.get("limit", 10)), 2)
        if after:
            found = found[[each["id"] for each in found].index(after) + 1 :]
        page = [self._one(kind, each["id"]) for each in found[:limit]]
        document = {"object": "list", "url": parts.path, "has_more": len(found) > limit}
        self._answer(200, document | {"data": page})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        __, ___, kind, *rest = self.path.split("/")
        self.server.asked.append(("POST", self.path))
        if self._refused():
            return
        key = self.headers.get("Idempotency-Key")
        if key in self.server.answered:
            self._answer(200, self.server.answered[key])
            return
        done = self._changed(kind, rest, _form(body))
        if key:
            self.server.answered[key] = json.loads(json.dumps(done))
        self.server.changes += 1
        if self.server.breaks_after == self.server.changes:
            self._fail(402, "card_error", "broke off")
            return
        self._answer(200, done)

    def _changed(self, kind: str, rest: list[str], data: dict[str, Any]) -> dict[str, Any]:
        if not rest:
            return self.server.create(kind, data)
        found = self._one(kind, rest[0])
        if rest[1:] == ["finalize"]:
            assert found["status"] == "draft"
            found |= {"status": "open", "hosted_invoice_url": f"https://invoice.example/{rest[0]}"}
        else:
            assert set(data) == {"amount"}
            found["amount"] = int(data["amount"])
        return found

    def _one(self, kind: str, identifier: str) -> dict[str, Any]:
        if kind == "invoices":
            return self.server.invoice(identifier)
        return self.server.objects[kind][identifier]

    def _refused(self) -> bool:
        if not self.headers["Authorization"].startswith("Bearer sk_test_"):
            self._fail(401, "invalid_request_error", "Invalid API Key provided")
            return True
        if self.server.refuses is not None:
            self._fail(*self.server.refuses)
            return True
        return False

    def _fail(self, status: int, kind: str, message: str) -> None:
        self._answer(status, {"error": {"type": kind, "message": message}})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Print nothing."""


def _form(body: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        matched = _KEY.fullmatch(name)
        assert matched is not None
        inner = re.findall(r"\[([^\]]*)\]", matched[2])
        place = found
        if inner:
            place = found.setdefault(matched[1], {})
        place[inner[0] if inner else matched[1]] = value
    return found
