"""TLS for customers: 1.2 at least, a certificate that is taken anew when its file changes."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from pathlib import Path

from mintage.core.errors import ConfigError, said_by
from mintage.core.machine import is_loopback
from mintage.core.messages import _
from mintage.core.settings import Settings

_LOOK_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Certificate:
    """The pair of files that a server shows, and the context that its connections begin with.

    A new pair makes a new context: one that had another kind of key would keep its old pair beside
    the new one (OpenSSL has a place for each kind), and go on showing it to whoever speaks both.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both.

        Raises:
            ConfigError: they cannot be read, or do not belong together.
        """
        self._files = certificate, key
        self._seen = self._moments()
        self.context = self._fresh()

    async def watch(self) -> None:
        """Show a new certificate from the next connection on, if it opens.

        Connections that are open go on with the old one.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            moments = self._moments()
            if None in moments or moments == self._seen:
                continue
            self._seen = moments
            try:
                # Of two files that are being replaced one may be the old one still.
                self.context = self._fresh()
            except ConfigError as error:
                _log.error("The new certificate is not used: %s", error)
            else:
                _log.info("A new certificate is shown from now on.")

    def _moments(self) -> tuple[int | None, ...]:
        return tuple(_modified(path) for path in self._files)

    def _fresh(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(*self._files, password=_no_password)
        except ssl.SSLError as error:
            raise ConfigError(
                _(
                    "{certificate} and {key} are no pair of certificate and key in PEM: {reason}.",
                    certificate=self._files[0],
                    key=self._files[1],
                    reason=error.reason or str(error),
                ),
                remedy=_("Give the full chain with --tls-cert and its private key with --tls-key."),
            ) from error
        except OSError as error:
            raise ConfigError(
                _(
                    "{certificate} or {key} cannot be read: {reason}.",
                    certificate=self._files[0],
                    key=self._files[1],
                    reason=said_by(error),
                ),
                remedy=_("Check both paths, and that the server's user may read them."),
            ) from error
        return context


def certificate_of(settings: Settings) -> Certificate | None:
    """What customers are shown; None where they are served without TLS, as they may be.

    Raises:
        ConfigError: others than this machine would be served without TLS and nobody said so
            (the operator's port never has it), or half of a pair is given.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError(
            _("TLS needs a certificate and its key."),
            remedy=_("Say both: --tls-cert FILE and --tls-key FILE."),
        )
    _check_proxies(settings.behind_proxy)
    _check_openness(settings)
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


def _check_proxies(addresses: str | None) -> None:
    """Whether a proxy that was named is an address, or a network, or several of them."""
    for address in () if addresses is None else addresses.split(","):
        try:
            ipaddress.ip_network(address.strip(), strict=False)
        except ValueError as error:
            raise ConfigError(
                _("Not a proxy's address: {address!r}.", address=address),
                remedy=_(
                    "Give its IP address or network, such as --behind-proxy 127.0.0.1 or "
                    "10.0.0.0/8,::1."
                ),
            ) from error


def _check_openness(settings: Settings) -> None:
    """Whether nobody but this machine is served without TLS, unless it was said aloud."""
    if settings.insecure:
        return
    if not is_loopback(settings.operator_host):  # it has no TLS, whatever customers have
        raise ConfigError(
            _(
                "On {host} others than this machine would reach the operator's port, which has "
                "no TLS.",
                host=settings.operator_host,
            ),
            remedy=_(
                "Leave MINTAGE_OPERATOR_HOST at 127.0.0.1, and reach it by a tunnel or a proxy "
                "that has TLS; or say --insecure."
            ),
        )
    sheltered = settings.tls_cert is not None or settings.behind_proxy is not None
    if not sheltered and not is_loopback(settings.host):
        raise ConfigError(
            _(
                "On {host} others than this machine are served, and keys and pictures would "
                "travel unencrypted.",
                host=settings.host,
            ),
            remedy=_(
                "Give --tls-cert and --tls-key; or name the proxy that has TLS with "
                "--behind-proxy ADDRESS; or say --insecure."
            ),
        )


def _no_password() -> str:
    """OpenSSL would ask the terminal, in the middle of a server's start."""
    return ""


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
