"""How customers and operators are served: TLS, addresses, and settings that weaken a promise."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mintage.app.security.weakness import Weakness
from mintage.core.errors import said_by
from mintage.core.machine import is_loopback
from mintage.core.messages import _
from mintage.core.settings import Settings

_SOON = timedelta(days=14)
_LEAST_RSA_BITS, _LEAST_CURVE_BITS = 2048, 256
_WIDEST_PROXIES = 2**16
_VERIFIED = ("verify-full", "verify-ca")


def examine_settings(settings: Settings, now: datetime) -> Iterator[Weakness]:
    """What the settings say of who is served how."""
    if not is_loopback(settings.operator_host):
        yield Weakness(
            "operator.reachable",
            "high",
            _(
                "the operator's port listens on {host}: it has no TLS, and others reach /metrics "
                "and admin",
                host=settings.operator_host,
            ),
            _("Leave MINTAGE_OPERATOR_HOST at 127.0.0.1, and reach it by a tunnel."),
        )
    exposed = not is_loopback(settings.host)
    if exposed and settings.tls_cert is None and settings.behind_proxy is None:
        yield Weakness(
            "tls.missing",
            "high",
            _("customers are served on {host} without TLS", host=settings.host),
            _("Set MINTAGE_TLS_CERT and MINTAGE_TLS_KEY, or MINTAGE_BEHIND_PROXY."),
        )
    elif settings.insecure:
        yield Weakness(
            "tls.insecure",
            "medium",
            _("MINTAGE_INSECURE is set: a server would begin without TLS and not refuse"),
            _("Unset it where TLS is there."),
        )
    yield from _proxies(settings.behind_proxy)
    yield from _durability(settings, exposed=exposed)
    yield from _addresses(settings)
    if settings.tls_cert is not None:
        yield from examine_certificate(settings.tls_cert, now)


def _proxies(addresses: str | None) -> Iterator[Weakness]:
    for address in () if addresses is None else addresses.split(","):
        try:
            network = ipaddress.ip_network(address.strip(), strict=False)
        except ValueError:  # `serve` refuses it, and says so
            continue
        if network.num_addresses > _WIDEST_PROXIES:
            yield Weakness(
                "proxy.wide",
                "medium",
                _("any of {network} is believed to be the proxy", network=network),
                _("Set MINTAGE_BEHIND_PROXY to the proxy's own address."),
            )


def _durability(settings: Settings, *, exposed: bool) -> Iterator[Weakness]:
    if settings.durability != "flush":
        yield Weakness(
            "durability.process",
            "low",
            _("usage is acknowledged before it is on the disk: a power cut loses it"),
            _("Unset MINTAGE_DURABILITY."),
        )
    if settings.heads_folder is None:
        yield Weakness(
            "heads.kept",
            "low",
            _("tree heads of the audit log stay on this machine, where its owner can make it anew"),
            _("Set MINTAGE_HEADS_FOLDER to a folder on another machine."),
        )
    if exposed and not settings.decoders:
        yield Weakness(
            "decoders.inside",
            "low",
            _("strangers' uploads are decoded in the server's own process"),
            _("Set MINTAGE_DECODERS to 2."),
        )


def _addresses(settings: Settings) -> Iterator[Weakness]:
    named = {
        "MINTAGE_STRIPE_URL": settings.stripe_url,
        "MINTAGE_ALIPAY_URL": settings.alipay_url,
        "MINTAGE_ALIPAY_NOTIFY_URL": settings.alipay_notify_url,
    }
    for variable, url in named.items():
        if url is not None and is_plain(url):
            yield Weakness(
                "payment.plain",
                "high",
                _("{variable} is not https", variable=variable),
                _("Set it to an address that begins with https://."),
            )
    if settings.database_url is not None:
        found = urlsplit(settings.database_url.get_secret_value())
        mode = parse_qs(found.query).get("sslmode", [""])[-1]
        if found.hostname and not is_loopback(found.hostname) and mode not in _VERIFIED:
            yield Weakness(
                "database.unverified",
                "high",
                _("the database {host} is not asked to prove who it is", host=found.hostname),
                _("Add sslmode=verify-full and sslrootcert=FILE to MINTAGE_DATABASE_URL."),
            )


def examine_peers(webhooks: Iterable[str], upstreams: Iterable[str]) -> Iterator[Weakness]:
    """Addresses that notices and prompts go to."""
    for url in webhooks:
        if is_plain(url):
            yield Weakness(
                "webhook.plain",
                "medium",
                _("notices go to {url}, and anybody on the way reads them", url=_place(url)),
                _("Add it again with https: mintage webhook add"),
            )
    for url in upstreams:
        if is_plain(url):
            yield Weakness(
                "upstream.plain",
                "medium",
                _(
                    "prompts and their key go to {url}, and anybody on the way reads them",
                    url=_place(url),
                ),
                _("Declare it again with https: mintage product add"),
            )


def is_plain(url: str) -> bool:
    """Whether it is http to another machine."""
    found = urlsplit(url)
    return found.scheme.lower() == "http" and not is_loopback(found.hostname or "")


def _place(url: str) -> str:
    """Without what may be a secret: paths and queries of webhooks often are."""
    found = urlsplit(url)
    return f"{found.scheme}://{found.hostname}"


def examine_certificate(path: Path, now: datetime) -> Iterator[Weakness]:
    """The certificate that customers are shown: the first of the file."""
    remedy = _("Have it renewed; a server shows the new one as soon as it lies there.")
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        said = _("{path} cannot be read: {reason}", path=path, reason=said_by(error))
        yield Weakness("tls.unreadable", "high", said, remedy)
        return
    except ValueError:
        said = _("{path} holds no certificate in PEM", path=path)
        yield Weakness("tls.unreadable", "high", said, remedy)
        return
    ends = certificate.not_valid_after_utc
    day = ends.date().isoformat()
    if ends <= now:
        said = _("the certificate {path} has expired on {day}", path=path, day=day)
        yield Weakness("tls.expired", "critical", said, remedy)
    elif ends <= now + _SOON:
        said = _("the certificate {path} expires on {day}", path=path, day=day)
        yield Weakness("tls.expiring", "medium", said, remedy)
    if certificate.not_valid_before_utc > now:
        said = _("the certificate {path} is not valid yet", path=path)
        yield Weakness("tls.early", "high", said, remedy)
    if _is_weak(certificate):
        said = _("the certificate {path} is made with a weak key or hash", path=path)
        yield Weakness("tls.weak", "high", said, remedy)
    if certificate.issuer == certificate.subject:
        yield Weakness(
            "tls.self_signed",
            "low",
            _(
                "the certificate {path} is signed by itself, so customers cannot check it",
                path=path,
            ),
            _("Take one from an authority that customers know."),
        )


def _is_weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        return True
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < _LEAST_CURVE_BITS:
        return True
    return isinstance(certificate.signature_hash_algorithm, hashes.MD5 | hashes.SHA1)
