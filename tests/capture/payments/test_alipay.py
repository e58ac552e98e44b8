"""Alipay's rules, against its own library, and a gateway on loopback that signs as Alipay does."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from alipay.aop.api.util.SignatureUtils import (
    get_sign_content,
    sign_with_rsa2,
    verify_with_rsa,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.capture.payments.test_stripe import bill

from mintage.capture.payments.alipay import Alipay, content
from mintage.core.errors import ConfigError, DependencyDown, NotReady, RequestError
from mintage.core.money import Money

APP = "2013092500031084"


@dataclass
class Keys:
    """Two pairs, as base64 without the lines around it: what Alipay's tools and library take."""

    private: str = field(init=False)
    public: str = field(init=False)

    def __post_init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        own = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.private = base64.encodebytes(own).decode().strip()
        self.public = base64.encodebytes(public).decode().strip()


class AlipayStand(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ours, self.theirs = Keys(), Keys()
        self.trades: dict[str, dict[str, str]] = {}
        self.forge = False
        self.refuses: dict[str, str] | None = None
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def pay(self, number: str, amount: str = "12.34", status: str = "TRADE_SUCCESS") -> None:
        made = {"out_trade_no": number, "trade_no": f"2026112622{len(self.trades):012d}"}
        self.trades[number] = made | {"total_amount": amount, "trade_status": status}

    def notice(self, **changes: str) -> bytes:
        said = {"app_id": APP, "notify_id": "1", "charset": "utf-8", "subject": "铸模 a&b=c"}
        said |= {"out_trade_no": "INV-2026-000001", "trade_no": "20261126220000000001"}
        said |= {"total_amount": "12.34", "trade_status": "TRADE_SUCCESS"} | changes
        sign = sign_with_rsa2(self.theirs.private, get_sign_content(said), "utf-8")
        return urlencode(said | {"sign": sign, "sign_type": "RSA2"}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: AlipayStand

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = dict(parse_qsl(body))
        sign = asked.pop("sign")
        content = get_sign_content(asked).encode()
        assert verify_with_rsa(self.server.ours.public, content, sign)
        number = json.loads(asked["biz_content"])["out_trade_no"]
        found = self.server.trades.get(number)
        missing = {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST"}
        said = missing if found is None else {"code": "10000", "msg": "Success"} | found
        node = json.dumps(self.server.refuses or said | {"buyer": "王"}, ensure_ascii=False)
        signed = sign_with_rsa2(self.server.theirs.private, node, "utf-8")
        if self.server.forge:
            node = node.replace("12.34", "99.99")
        answer = f'{{"alipay_trade_query_response":{node},"sign":"{signed}"}}'.encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html;charset=utf-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Print nothing."""


@pytest.fixture
def alipay_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlipayStand]:
    with AlipayStand() as stand:
        (tmp_path / "app.txt").write_text(stand.ours.private)
        pem = f"-----BEGIN PUBLIC KEY-----\n{stand.theirs.public}\n-----END PUBLIC KEY-----\n"
        (tmp_path / "alipay.pem").write_text(pem)
        monkeypatch.setenv("MINTAGE_ALIPAY_APP_ID", APP)
        monkeypatch.setenv("MINTAGE_ALIPAY_PRIVATE_KEY", str(tmp_path / "app.txt"))
        monkeypatch.setenv("MINTAGE_ALIPAY_PUBLIC_KEY", str(tmp_path / "alipay.pem"))
        monkeypatch.setenv("MINTAGE_ALIPAY_NOTIFY_URL", "https://pets.example/v1/payments/x")
        monkeypatch.setenv("MINTAGE_ALIPAY_URL", f"http://127.0.0.1:{stand.server_port}/gateway.do")
        yield stand


def yuan(**changes: Any) -> Any:
    return bill("12.34", "CNY", **changes)


def test_the_page_to_pay_on_is_signed_as_alipays_library_wants_it(alipay_stand: Any) -> None:
    done = Alipay().push(yuan(number="INV-2026-000001"))
    assert done.reference == "INV-2026-000001"
    said = dict(parse_qsl(urlsplit(str(done.url)).query))
    sign = said.pop("sign")
    assert verify_with_rsa(alipay_stand.ours.public, get_sign_content(said).encode(), sign)
    assert (said["method"], said["sign_type"]) == ("alipay.trade.page.pay", "RSA2")
    assert json.loads(said["biz_content"]) == {
        "out_trade_no": "INV-2026-000001",
        "total_amount": "12.34",
        "subject": "INV-2026-000001",
        "product_code": "FAST_INSTANT_TRADE_PAY",
    }


def test_what_is_signed_is_what_alipays_published_example_says() -> None:
    """The example of a request by hand in the open platform's pages on signing."""
    menu = (
        '{"button":[{"actionParam":"ZFB_HFCZ","actionType":"out","name":"话费充值"},'
        '{"name":"查询","subButton":[{"actionParam":"ZFB_YECX","actionType":"out",'
        '"name":"余额查询"},{"actionParam":"ZFB_LLCX","actionType":"out","name":"流量查询"},'
        '{"actionParam":"ZFB_HFCX","actionType":"out","name":"话费查询"}]},'
        '{"actionParam":"http://m.alipay.com","actionType":"link","name":"最新优惠"}]}'
    )
    asked = {
        "app_id": "2014072300007148",
        "method": "alipay.mobile.public.menu.add",
        "charset": "GBK",
        "sign_type": "RSA2",
        "timestamp": "2014-07-24 03:07:50",
        "biz_content": menu,
        "sign": "e9zEAe4TTQ4LPLQvETPoLGXTiURcxiAKfMVQ6Hrrsx2hmyIEGvSfAQzbLxHrhyZ4",
        "version": "1.0",
    }
    signed = (
        f"app_id=2014072300007148&biz_content={menu}&charset=GBK"
        "&method=alipay.mobile.public.menu.add&sign_type=RSA2"
        "&timestamp=2014-07-24 03:07:50&version=1.0"
    )
    assert content(asked, ("sign",)).decode() == signed


def test_what_is_paid_is_seen_and_a_forged_answer_is_not(alipay_stand: Any) -> None:
    provider = Alipay()
    assert provider.look("INV-2026-000001") is None
    alipay_stand.pay("INV-2026-000001", status="WAIT_BUYER_PAY")
    assert provider.look("INV-2026-000001") is None
    alipay_stand.pay("INV-2026-000001")
    found = provider.look("INV-2026-000001")
    assert found is not None
    assert (found.number, found.amount) == ("INV-2026-000001", Money.parse("12.34", "CNY"))
    alipay_stand.forge = True
    with pytest.raises(DependencyDown, match="signature"):
        provider.look("INV-2026-000001")


def test_a_notice_of_alipays_is_taken_and_no_other(alipay_stand: Any) -> None:
    provider, body = Alipay(), alipay_stand.notice()
    found = provider.notified(body, {})
    assert found is not None
    assert (found.reference, found.amount.amount) == ("20261126220000000001", "12.34")
    assert provider.notified(alipay_stand.notice(trade_status="TRADE_CLOSED"), {}) is None
    alipay_stand.theirs, other = Keys(), alipay_stand.theirs
    forged = alipay_stand.notice()
    alipay_stand.theirs = other
    for wrong in (
        b"",
        b"\xff\xfe",
        b"app_id=1",
        forged,
        body.replace(b"12.34", b"99.99"),
        body.replace(b"RSA2", b"RSA"),
        body + b"&extra=1",
        alipay_stand.notice(app_id="another"),
    ):
        with pytest.raises(RequestError) as refused:
            provider.notified(wrong, {})
        assert refused.value.http_status == 400


def test_a_notice_pays_an_invoice_once(till: Any, alipay_stand: Any) -> None:
    invoice = till.issued("12.34", "CNY")
    till.desk.push(invoice.id, "alipay")
    body = alipay_stand.notice(out_trade_no=invoice.number)
    assert [till.desk.notified("alipay", body, {}).status for __ in range(2)] == ["paid", "known"]
    assert till.balance("cash:alipay") == "12.34"
    assert till.desk.acknowledgement("alipay") == "success"


def test_what_it_cannot_take_and_what_is_not_set_is_said(
    alipay_stand: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="not in EUR"):
        Alipay().push(bill())
    alipay_stand.refuses = {"code": "40002", "msg": "Invalid Arguments", "sub_msg": "no such app"}
    with pytest.raises(RequestError, match="no such app"):
        Alipay().look("INV-2026-000001")
    monkeypatch.setenv("MINTAGE_ALIPAY_URL", "http://127.0.0.1:1/")
    with pytest.raises(DependencyDown):
        Alipay().look("INV-2026-000001")
    (tmp_path / "junk").write_text("no key")
    for path, said in (("junk", "no RSA key"), ("none", "cannot be read")):
        monkeypatch.setenv("MINTAGE_ALIPAY_PRIVATE_KEY", str(tmp_path / path))
        with pytest.raises(ConfigError, match=said):
            Alipay().push(yuan())
    monkeypatch.delenv("MINTAGE_ALIPAY_APP_ID")
    with pytest.raises(NotReady) as refused:
        Alipay().push(yuan())
    assert "MINTAGE_ALIPAY_APP_ID" in refused.value.remedy
