"""The way to a server: by whose certificates it is trusted, and through which proxy it is asked."""

from __future__ import annotations

import os
import ssl

import httpx

from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _

CA = str | os.PathLike[str] | ssl.SSLContext


def trusting(ca: CA | None) -> ssl.SSLContext | bool:
    """What httpx verifies a server by: a file of certificates in PEM, or a context as it is.

    Raises:
        ConfigError: the file cannot be read, or has no certificate in it.
    """
    if ca is None or isinstance(ca, ssl.SSLContext):
        return ca or True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        reason: object = said_by(error) if isinstance(error, OSError) else error
        if isinstance(error, ssl.SSLError):
            reason = error.reason
        raise ConfigError(
            _("The certificates in {path} cannot be read: {reason}.", path=ca, reason=reason),
            remedy=_("Give a file in PEM with the certificate of the authority."),
        ) from error


def through(proxy: str | None) -> httpx.Proxy | None:
    """The proxy at an address, which may hold a name and a password.

    Raises:
        ConfigError: it is none of http or https.
    """
    if proxy is None:
        return None
    try:
        url = httpx.URL(proxy)
        if url.scheme in ("http", "https") and url.host:
            return httpx.Proxy(url)
    except (httpx.InvalidURL, TypeError, ValueError):
        pass
    raise ConfigError(_("The proxy's address cannot be used."), remedy=_("Write http://HOST:PORT."))
