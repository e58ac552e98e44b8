"""Alipay (支付宝) by its published rules: signed page payments, queries and notices, RSA2.

RSA2 is SHA256withRSA (PKCS #1 v1.5) over the parameters without ``sign`` and, in a notice, without
``sign_type``, sorted by name and joined as ``name=value&…`` (opendocs.alipay.com, 签名规则). Our
invoice's number is ``out_trade_no``, which Alipay makes one trade of, however often it is asked: so
nothing is made twice, and the address is signed here, without asking anybody.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mintage.core.errors import ConfigError, DependencyDown, NotReady, RequestError, said_by
from mintage.core.messages import _
from mintage.core.money import Money
from mintage.core.settings import Settings, load_settings
from mintage.core.types import Bill, Payment, Requested

GATEWAY = "https://openapi.alipay.com/gateway.do"
CURRENCY = "CNY"
_PAID = ("TRADE_SUCCESS", "TRADE_FINISHED")
_OPEN = ("WAIT_BUYER_PAY", "TRADE_CLOSED")
_UNKNOWN_TRADE = "ACQ.TRADE_NOT_EXIST"
_DONE = "10000"
_BEIJING = timezone(timedelta(hours=8))  # what its timestamps are in; no daylight saving
_SECONDS = 15.0
_LONGEST_SUBJECT = 256


@dataclass(frozen=True)
class Account:
    """An app at Alipay: its id, our private key and Alipay's public one."""

    app_id: str
    private: rsa.RSAPrivateKey
    public: rsa.RSAPublicKey
    gateway: str
    notify_url: str | None

    @classmethod
    def of(cls, settings: Settings) -> Account:
        """What the settings say.

        Raises:
            NotReady: something is not set.
            ConfigError: a file holds no RSA key.
        """
        said = settings.alipay_app_id, settings.alipay_private_key, settings.alipay_public_key
        app_id, private, public = said
        if app_id is None or private is None or public is None:
            raise NotReady(
                _("Alipay is not set up."),
                remedy=_(
                    "Set MINTAGE_ALIPAY_APP_ID, and MINTAGE_ALIPAY_PRIVATE_KEY and "
                    "MINTAGE_ALIPAY_PUBLIC_KEY to the files of your key and of Alipay's."
                ),
            )
        return cls(
            app_id,
            _private(private),
            _public(public),
            settings.alipay_url or GATEWAY,
            settings.alipay_notify_url,
        )

    def sign(self, parameters: Mapping[str, str]) -> str:
        """RSA2 over what is sent, in base64."""
        text = content(parameters, but=("sign",))
        made = self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(made).decode()

    def is_theirs(self, text: bytes, signature: str) -> bool:
        """Whether Alipay signed it."""
        try:
            said = base64.b64decode(signature, validate=True)
            self.public.verify(said, text, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def request(self, method: str, biz: Mapping[str, Any], **more: str) -> dict[str, str]:
        """The signed parameters of a call."""
        parameters = {
            "app_id": self.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": datetime.now(UTC).astimezone(_BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(biz, ensure_ascii=False, separators=(",", ":")),
            **more,
        }
        return parameters | {"sign": self.sign(parameters)}


def content(parameters: Mapping[str, str], but: tuple[str, ...]) -> bytes:
    """What is signed: the parameters that have a value, sorted and joined."""
    kept = sorted((name, value) for name, value in parameters.items() if value and name not in but)
    return "&".join(f"{name}={value}" for name, value in kept).encode()


class Alipay:
    """Implements ``core.ports.PaymentProvider``, in CNY."""

    name = "alipay"
    acknowledgement = "success"

    def asks(self, owed: Money) -> Money:
        """All of it, in CNY: fen are what invoices are rounded to."""
        if owed.currency != CURRENCY:
            raise ConfigError(
                _("Alipay takes payments in CNY, not in {currency}.", currency=owed.currency),
                remedy=_("Have it paid in another way, and note it with mintage invoice pay."),
            )
        return owed

    def push(self, bill: Bill) -> Requested:
        """The address of a page on which it is paid; Alipay hears of it when it is opened."""
        account, owed = Account.of(load_settings()), self.asks(bill.owed)
        biz = {
            "out_trade_no": bill.number,
            "total_amount": owed.amount,
            "subject": bill.number[:_LONGEST_SUBJECT],
            "product_code": "FAST_INSTANT_TRADE_PAY",
        }
        more = {} if account.notify_url is None else {"notify_url": account.notify_url}
        asked = account.request("alipay.trade.page.pay", biz, **more)
        return Requested(bill.number, url=f"{account.gateway}?{urlencode(asked)}")

    def look(self, reference: str) -> Payment | None:
        """What was paid for a number of ours; its answer's signature is verified."""
        account = Account.of(load_settings())
        method = "alipay.trade.query"
        asked = account.request(method, {"out_trade_no": reference})
        try:
            answer = httpx.post(account.gateway, data=asked, timeout=_SECONDS, trust_env=False)
            said = _verified(account, answer.text, f"{method.replace('.', '_')}_response")
        except (httpx.HTTPError, ValueError) as error:
            raise DependencyDown(
                _("Alipay does not answer: {reason}", reason=str(error)[:200]),
                remedy=_("Run the same command again: nothing is made twice."),
            ) from error
        if said.get("sub_code") == _UNKNOWN_TRADE:
            return None
        if said.get("code") != _DONE:
            reason = str(said.get("sub_msg") or said.get("msg"))[:200]
            raise RequestError(
                _("Alipay refuses {about}: {reason}", about=reference, reason=reason),
                remedy=_("Check the app's id, keys and products at open.alipay.com."),
                http_status=409,
            )
        return _payment(said)

    def notified(self, body: bytes, headers: Mapping[str, str]) -> Payment | None:  # noqa: ARG002
        """The payment that a notice tells of; its signature and its app are verified first."""
        account = Account.of(load_settings())
        try:
            said = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
        except ValueError:
            said = {}
        text = content(said, but=("sign", "sign_type"))
        ours = said.get("app_id") == account.app_id and said.get("sign_type") == "RSA2"
        if not ours or not account.is_theirs(text, said.get("sign", "")):
            raise RequestError(
                _("This is no notice of Alipay's to this server."),
                remedy=_("Check MINTAGE_ALIPAY_PUBLIC_KEY: it is Alipay's, not your app's."),
            )
        return _payment(said)


def _payment(said: Mapping[str, Any]) -> Payment | None:
    if said.get("trade_status") not in _PAID:
        return None
    amount = Money.parse(str(said["total_amount"]), CURRENCY)
    return Payment(str(said["trade_no"]), str(said["out_trade_no"]), amount)


def _verified(account: Account, text: str, node: str) -> dict[str, Any]:
    """An answer's node, whose signature is over its very characters; ValueError if it is not."""
    mark = f'"{node}":'
    start = text.index(mark) + len(mark)
    said, end = json.JSONDecoder().raw_decode(text, start)
    signature = json.loads(text).get("sign", "")
    if not account.is_theirs(text[start:end].encode(), signature):
        raise ValueError("its signature is not Alipay's")
    if not isinstance(said, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the answer, not of an argument
    return said


def _read(path: Path) -> bytes:
    """A key's file: PEM, or its base64 alone, as Alipay's tools write it."""
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
    return found


def _private(path: Path) -> rsa.RSAPrivateKey:
    data = _read(path)
    try:
        key = (
            serialization.load_pem_private_key(data, None)
            if data.startswith(b"-----")
            else serialization.load_der_private_key(base64.b64decode(data), None)
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _no_key(path)
    return key


def _public(path: Path) -> rsa.RSAPublicKey:
    data = _read(path)
    try:
        key = (
            serialization.load_pem_public_key(data)
            if data.startswith(b"-----")
            else serialization.load_der_public_key(base64.b64decode(data))
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> ConfigError:
    return ConfigError(
        _("{path} holds no RSA key that can be read.", path=path),
        remedy=_("It is in PEM, or in the base64 that Alipay's tool writes."),
    )
