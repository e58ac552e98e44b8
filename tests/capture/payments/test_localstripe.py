"""Against ``localstripe``, a stand-in for Stripe that others wrote, as a real second process.

It has no finalising of invoices, so that an invoice is made there in its own way; customers,
payments and signed messages are as at Stripe.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import stripe
from tests.capture.payments.conftest import SECRET
from tests.capture.payments.test_stripe import bill

from mintage.capture.payments.stripe import Stripe, _payer
from mintage.core.errors import RequestError
from mintage.core.money import Money

KEY = "sk_test_of_the_test_alone"
AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    # It keeps its objects in a file of a fixed name in the temporary folder.
    code = (
        "import sys, localstripe.resources as r; r.Store.dump_to_disk = lambda self: None;"
        "from localstripe.server import start; start()"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, "--port", str(port), "--from-scratch"]
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    httpx.get(f"{address}/v1/balance", headers=AUTH, trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
            monkeypatch.setenv("MINTAGE_STRIPE_URL", address)
            monkeypatch.setenv("MINTAGE_STRIPE_KEY", KEY)
            monkeypatch.setenv("MINTAGE_STRIPE_WEBHOOK_SECRET", SECRET)
            yield address
        finally:
            process.terminate()


class Till(ThreadingHTTPServer):
    """Hands what comes to our provider, as the server's route does."""

    def __init__(self, desk: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.desk = desk
        self.came: list[Any] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Till

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            found, status = self.server.desk.notified("stripe", body, headers), 204
        except RequestError as error:
            found, status = error, error.http_status
        self.server.came.append(found)
        self.send_response_only(status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Print nothing."""


def post(address: str, path: str, **data: Any) -> dict[str, Any]:
    answer = httpx.post(f"{address}{path}", data=data, headers=AUTH, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.content else {}


def _listed(address: str, kind: str) -> list[dict[str, Any]]:
    found = httpx.get(f"{address}/v1/{kind}", headers=AUTH, trust_env=False).json()
    return list(found["data"])


def _card(address: str, customer: str, number: str) -> None:
    """Give a customer a card, from which is paid from now on."""
    card = {"number": number, "exp_month": "12", "exp_year": "2090", "cvc": "123"}
    said = {f"card[{name}]": value for name, value in card.items()}
    method = post(address, "/v1/payment_methods", type="card", **said)["id"]
    post(address, f"/v1/payment_methods/{method}/attach", customer=customer)
    default = {"invoice_settings[default_payment_method]": method}
    post(address, f"/v1/customers/{customer}", **default)


def test_a_customer_is_made_there_once(local: str) -> None:
    client = stripe.StripeClient(KEY, base_addresses={"api": local})
    first = _payer(client, bill())
    assert first.startswith("cus_")
    assert _payer(client, bill()) == first
    assert _payer(client, bill(customer="cus_bea")) != first
    listed = _listed(local, "customers")
    assert sorted(each["metadata"]["mintage_customer"] for each in listed) == ["cus_ada", "cus_bea"]


def test_an_invoice_paid_there_is_paid_here_by_its_message_or_by_asking(
    local: str, till: Any
) -> None:
    invoice = till.issued()
    customer = post(local, "/v1/customers", name="Ada")["id"]
    with Till(till.desk) as server:
        hook = {"url": f"http://127.0.0.1:{server.server_port}/", "secret": SECRET}
        post(local, "/_config/webhooks/ours", **hook)
        product = post(local, "/v1/products", name="Pets", type="service")["id"]
        plan = {"currency": "eur", "interval": "month", "product": product, "amount": 1234}
        price = post(local, "/v1/plans", **plan)["id"]
        _card(local, customer, "4000000000000341")  # is declined when it is charged
        post(local, "/v1/subscriptions", customer=customer, **{"items[0][plan]": price})
        (made,) = _listed(local, "invoices")
        post(local, f"/v1/invoices/{made['id']}", **{"metadata[mintage_invoice]": invoice.number})
        assert Stripe().look(made["id"]) is None
        _card(local, customer, "4242424242424242")
        post(local, f"/v1/invoices/{made['id']}/pay")
        asked = Stripe().look(made["id"])
        assert asked is not None
        assert (asked.number, asked.amount) == (invoice.number, Money.parse("12.34", "EUR"))
        until = time.monotonic() + 15
        while time.monotonic() < until and not any(server.came):
            time.sleep(0.05)
    (found,) = filter(None, server.came)
    assert (found.status, found.payment) == ("paid", asked)
    assert till.shop.invoices.find(invoice.id).status == "paid"
    assert till.balance("cash:stripe") == "12.34"


def test_its_messages_under_another_secret_are_refused(local: str, till: Any) -> None:
    with Till(till.desk) as server:
        hook = {"url": f"http://127.0.0.1:{server.server_port}/", "secret": "whsec_of_another"}
        post(local, "/_config/webhooks/ours", **hook)
        post(local, "/v1/customers", name="Ada")
        until = time.monotonic() + 15
        while time.monotonic() < until and not server.came:
            time.sleep(0.05)
    assert isinstance(server.came[0], RequestError)
