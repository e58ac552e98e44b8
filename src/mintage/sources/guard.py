"""Who may be called: an https address whose name leads to public networks alone.

Whoever opens addresses that others name can be led to what only that machine reaches (server-side
request forgery): a router, a cloud's metadata, a database on loopback. So a name is looked up once,
each of its addresses is checked, and the connection is made to the very address that was checked;
a second answer of the name server (DNS rebinding) is never asked for. The certificate is still
verified against the name. No proxy is used, whatever the environment says: it would look the name
up again, where nothing here can check the answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import quote, urljoin, urlsplit

from mintage.core.errors import ConfigError, DependencyDown, TrustError
from mintage.core.messages import _

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

_HTTPS = 443
_MOST_ADDRESSES = 4
_MOST_HEAD_BYTES = 1_000_000
_UNWRITTEN = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")
# What a path and a query may hold as it is (RFC 3986 §3.3, §3.4); all else is percent-encoded.
_AS_IT_IS = "/:@!$&'()*+,;=-._~%?"

# Refused beside what `ipaddress` knows, whose tables differ between patch releases of Python:
# special-purpose blocks of IANA, and a cloud's metadata on an address that looks public.
_CLOSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
# Where clouds tell their machines who they are, with keys: nobody's own network, so not even an
# operator who allows private addresses means them. Link-local (AWS, Azure, GCP and others), and
# those of Azure, Alibaba, Oracle, and AWS over IPv6.
_METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(block)
    for block in (
        "169.254.0.0/16",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "fe80::/10",
        "fd00:ec2::254/128",
    )
)
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class WebAddress:
    """An https address, taken apart; ``target`` is the path with the query, as it is sent."""

    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address strictly: what two readers could understand differently is refused.

        Raises:
            ConfigError: not https, with a user's name, or with no host that can be one.
        """
        parts = None
        if not _UNWRITTEN.search(text):
            try:
                parts = urlsplit(text)
                port = _HTTPS if parts.port is None else parts.port
                host = _host(parts.hostname or "")
            except ValueError:  # brackets, a port or a name that cannot be
                parts = None
        if parts is None:
            raise ConfigError(
                _("This is not an address that can be read."),
                remedy=_("Write it as https://HOST/FILE, without spaces."),
            )
        if parts.scheme != "https":
            raise ConfigError(
                _("Only https is opened, not {scheme!r}.", scheme=parts.scheme or "nothing"),
                remedy=_("Write it as https://HOST/FILE, or download the file and give its path."),
            )
        if "@" in parts.netloc:  # the password is not repeated
            raise ConfigError(
                _("The address of {host} holds a user's name or password.", host=host),
                remedy=_("Leave out what stands before the @, or download the file yourself."),
            )
        if not host or not port:
            raise ConfigError(
                _("The address names no host."), remedy=_("Write it as https://HOST/FILE.")
            )
        query = f"?{parts.query}" if parts.query else ""
        return cls(host, port, quote((parts.path or "/") + query, safe=_AS_IT_IS))

    def joined(self, location: str) -> Self:
        """Where a redirect from here leads (RFC 3986 §5); raises ConfigError as ``parse`` does."""
        try:
            return self.parse(urljoin(self.url, location))
        except ValueError:
            return self.parse(location)

    @property
    def authority(self) -> str:
        """Host and port as they stand in an address and in the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address."""
        return f"https://{self.authority}{self.target}"

    @property
    def shown(self) -> str:
        """The address without its query, which may be a secret: what people see."""
        return f"https://{self.authority}{self.target.partition('?')[0]}"


def _host(name: str) -> str:
    """ASCII and lower case; raises ValueError for what is neither a name nor an address."""
    if ":" in name:
        if "%" in name:
            raise ValueError("a zone")
        return str(ipaddress.IPv6Address(name))
    host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    if _NUMBER.fullmatch(host):  # 2130706433, 0177.1 and 0x7f.1 are 127.0.0.1 to some readers
        return str(ipaddress.IPv4Address(host))
    return host


def is_public(address: IPAddress) -> bool:
    """Whether it is reached over the public internet; an address inside an address decides."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _CLOSED)
    )


def is_metadata(address: IPAddress) -> bool:
    """Whether a cloud answers there for its own machines, or only this cable's neighbours do."""
    inner = _inner(address)
    if inner is not None:
        return is_metadata(inner)
    return any(address in network for network in _METADATA)


def _inner(address: IPAddress) -> ipaddress.IPv4Address | None:
    """The address that an address of IPv6 wraps: mapped, 6to4, or of a NAT64."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def look_up(host: str, port: int) -> list[str]:
    """Every address of a name, by the machine's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass
class Pace:
    """The least that must arrive: ``least_bytes`` in every ``seconds`` of waiting.

    A time limit for a single read is not enough: a server that sends a byte now and then, or
    answers ``100 Continue`` without end, would hold the connection for ever. So the head of an
    answer has to be there within the first ``seconds``, whatever its size.
    """

    seconds: float
    least_bytes: int
    in_head: bool = True
    _waited: float = 0.0
    _received: int = 0

    def left(self) -> float:
        """Seconds that the next read may take."""
        if self.in_head and self._received > _MOST_HEAD_BYTES:
            raise TimeoutError("an answer without a body")
        if self._waited >= self.seconds:
            if self.in_head or self._received < self.least_bytes:
                raise TimeoutError("too slow")
            self._waited, self._received = 0.0, 0
        return max(0.001, self.seconds - self._waited)

    def add(self, waited: float, received: int) -> None:
        """A read has ended."""
        self._waited += waited
        self._received += received


class _PacedSocket(ssl.SSLSocket):
    """The one place through which every received byte passes, headers too."""

    pace: Pace

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        while True:
            self.settimeout(self.pace.left())
            began, received = time.monotonic(), None
            try:
                received = super().recv_into(buffer, nbytes, flags)
            except TimeoutError:
                continue  # the end of a window; the pace decides whether enough came in it
            finally:
                self.pace.add(time.monotonic() - began, received or 0)
            return received


@dataclass(frozen=True)
class Guard:
    """Opens connections to public servers, each verified by its certificate.

    ``allow`` lets tests reach their own server on loopback; no setting, option or variable
    reaches it.
    """

    allow: tuple[Network, ...] = ()
    resolve: Resolver = look_up
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def addresses(self, address: WebAddress) -> list[IPAddress]:
        """Where a name leads, looked up once; one closed address closes the whole name.

        Raises:
            ConfigError: an address that is not public.
            DependencyDown: the name is not known.
        """
        try:
            found = self.resolve(address.host, address.port)
        except socket.gaierror as error:
            if error.errno != socket.EAI_NONAME:
                raise
            found = ()
        if not found:
            raise DependencyDown(
                _("The name {host} was not found.", host=address.host),
                remedy=_("Check its spelling and this machine's connection."),
            )
        addresses = [ipaddress.ip_address(each) for each in found]
        for each in addresses:
            allowed = any(each in network for network in self.allow) and not is_metadata(each)
            if not is_public(each) and not allowed:
                raise ConfigError(
                    _(
                        "{host} leads to {address}, which is not a public address.",
                        host=address.host,
                        address=each,
                    ),
                    remedy=_("Only public servers are called; download it and give its path."),
                )
        return addresses

    def connect(self, address: WebAddress, *, seconds: float, pace: Pace) -> ssl.SSLSocket:
        """A verified connection to one of the addresses that were checked.

        Raises:
            ConfigError: an address that is not public.
            DependencyDown: the name is not known.
            TrustError: the certificate is not one for this name.
            OSError: nobody answers.
        """
        addresses = self.addresses(address)[:_MOST_ADDRESSES]
        for each in addresses[:-1]:
            try:
                plain = _dial(each, address.port, seconds)
                break
            except OSError:
                continue
        else:
            plain = _dial(addresses[-1], address.port, seconds)
        context = self.tls()
        context.sslsocket_class = _PacedSocket
        try:
            # A body that ends without TLS saying so was cut: that is an error, not its end.
            wrapped = context.wrap_socket(
                plain, server_hostname=address.host, suppress_ragged_eofs=False
            )
        except ssl.SSLCertVerificationError as error:
            raise TrustError(
                _(
                    "The certificate of {host} cannot be verified: {reason}.",
                    host=address.host,
                    reason=error.verify_message.rstrip("."),
                ),
                remedy=_(
                    "Nothing was sent. Check the address and this machine's clock; "
                    "SSL_CERT_FILE names certificates of your own."
                ),
            ) from error
        finally:
            plain.close()  # wrap_socket has taken the connection over, or has failed
        paced = cast("_PacedSocket", wrapped)
        paced.pace = pace
        return paced


def _dial(address: IPAddress, port: int, seconds: float) -> socket.socket:
    """Connect to a number, never to a name."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.settimeout(seconds)
        plain.connect((str(address), port))
    except BaseException:
        plain.close()
        raise
    return plain
