from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.loopback import HOST, LOOPBACK, Handler, Server, cut, file, fixed

from mintage.core import files
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    MintageError,
    NotReady,
    SignatureMismatch,
    TrustError,
)
from mintage.sources import https
from mintage.sources.guard import Guard, Pace, WebAddress, is_public
from mintage.sources.headers import safe_name
from mintage.sources.https import Downloaded, Limits, download

BODY = bytes(range(256)) * 2000  # half a megabyte: several reads
SHA = hashlib.sha256(BODY).hexdigest()
TAG = '"v1"'
OTHER = BODY[::-1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.zip"


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.said: list[str] = []
        self.notes: list[str] = []
        self.totals: list[float | None] = []

    def start(self, title: str, total: float | None = None) -> None:
        self.titles.append(title)
        self.totals.append(total)

    def advance(self, done: float, note: str = "") -> None:
        self.notes.append(note)

    def finish(self) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)


class Interrupted(Told):
    """Ctrl-C while bytes come."""

    def advance(self, done: float, note: str = "") -> None:
        if done > 100_000:
            raise KeyboardInterrupt


def fetch(server: Server, url: str, target: Path, **options: Any) -> Downloaded:
    options = {"guard": server.guard(), "sleep": lambda seconds: None} | options
    return download(url, target, **options)


def parts(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if ".part" in path.name)


def ranges(server: Server) -> list[str | None]:
    return [headers.get("Range") for __, headers in server.asked]


# Addresses


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://files.example/a.zip", "Only https is opened, not 'http'"),
        ("ftp://files.example/a.zip", "Only https"),
        ("file:///etc/passwd", "Only https"),
        ("photos/", "Only https"),
        ("https://user:secret@files.example/", "holds a user's name"),
        ("https://user@files.example/", "holds a user's name"),
        ("https://@files.example/", "holds a user's name"),
        ("https:///a.zip", "names no host"),
        ("https://files.example:0/", "names no host"),
        ("https://files.example:99999/", "not an address"),
        ("https://files.example:x/", "not an address"),
        ("https://files.example/a b", "not an address"),
        ("https://files.example/\r\nX: y", "not an address"),
        ("https://files.example\\@127.0.0.1/", "not an address"),
        ("https://2130706433/", "not an address"),
        ("https://0177.0.0.1/", "not an address"),
        ("https://0x7f.1/", "not an address"),
        ("https://127.1/", "not an address"),
        ("https://[fe80::1%25eth0]/", "not an address"),
        ("https://[::1/", "not an address"),
        ("https://a..b/", "not an address"),
    ],
)
def test_an_address_that_could_mean_something_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        WebAddress.parse(text)
    assert refused.value.remedy
    assert "secret" not in str(refused.value)


def test_an_address_is_written_in_one_way() -> None:
    address = WebAddress.parse("https://Files.Example.:443/ä/%20?q=1&r=/ü#fragment")
    assert address.url == "https://files.example/%C3%A4/%20?q=1&r=/%C3%BC"
    assert address.shown == "https://files.example/%C3%A4/%20"
    assert WebAddress.parse("https://bücher.example").url == "https://xn--bcher-kva.example/"
    assert WebAddress.parse("https://[2606:4700:0::1]:8443/x").authority == "[2606:4700::1]:8443"
    assert WebAddress.parse("https://１２７.0.0.1/").host == "127.0.0.1"


CLOSED = (
    "0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.254 127.0.0.1 127.8.8.8 172.16.0.1 192.168.1.1",
    "169.254.169.254 168.63.129.16 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.7",
    "172.31.255.255 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255",
    ":: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808 100::1 2001::1 2001:0:a00:1::1 2001:db8::1 2002:a00:1::1 2002:7f00:1::",
    "3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1",
)
OPEN = "8.8.8.8 172.32.0.1 100.128.0.1 2606:4700::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808::1"


@pytest.mark.parametrize("text", " ".join(CLOSED).split())
def test_an_address_that_is_not_public_is_known_as_such(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    guard = Guard(resolve=lambda host, port: ["8.8.8.8", text])
    with pytest.raises(ConfigError, match=r"name\.example leads to .* not a public address"):
        guard.addresses(WebAddress.parse("https://name.example/"))


@pytest.mark.parametrize("text", OPEN.split())
def test_a_public_address_is_called(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "[::ffff:169.254.169.254]"])
def test_a_number_for_a_host_is_checked_as_a_name_is(host: str) -> None:
    with pytest.raises(ConfigError, match="not a public address"):
        Guard().addresses(WebAddress.parse(f"https://{host}/"))


# Connections


def test_a_file_comes_whole_with_its_digest_and_names(server: Server, target: Path) -> None:
    url = server.script("/a/pets.zip", file(BODY, ETag=TAG, Content_Type="application/zip; x=y"))
    told = Told()
    found = fetch(server, url + "?token=secret", target, sha256=SHA, progress=told)
    assert found == Downloaded(target, url, SHA, len(BODY), "pets.zip", "application/zip", new=True)
    assert target.read_bytes() == BODY
    assert told.titles == [f"Downloading file.zip from {HOST}", "Checking file.zip"]
    assert told.totals == [len(BODY), None]
    assert told.notes[-1] == "512 kB / 512 kB"
    (path, headers) = server.asked[0]
    assert path == "/a/pets.zip?token=secret"
    assert headers["Host"] == f"{HOST}:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"
    kept = {path.name: path.read_text() for path in target.parent.glob("*.json")}
    assert list(kept) == ["file.zip.json"]
    assert "secret" not in kept["file.zip.json"]


def test_the_name_is_looked_up_once_so_a_second_answer_does_not_matter(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    def never(*_words: object, **_options: object) -> None:
        raise AssertionError("a second look-up")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    url = server.script("/x", file(BODY))
    assert fetch(server, url, target, guard=server.guard(resolve=rebinding)).sha256 == SHA
    assert asked == [HOST]
    with pytest.raises(ConfigError, match=r"127\.0\.0\.2, which is not a public address"):
        fetch(server, url, target.with_name("again"), guard=server.guard(resolve=rebinding))


def test_one_closed_address_among_several_closes_the_name(server: Server, target: Path) -> None:
    guard = server.guard(resolve=lambda host, port: ["127.0.0.1", "192.168.0.1"])
    with pytest.raises(ConfigError, match=r"192\.168\.0\.1"):
        fetch(server, server.script("/x", file(BODY)), target, guard=guard)
    assert server.asked == []


def test_the_next_address_is_tried_where_one_does_not_answer(server: Server, target: Path) -> None:
    twice = (*LOOPBACK, ipaddress.ip_network("::1/128"))
    guard = server.guard(allow=twice, resolve=lambda host, port: ["::1", "127.0.0.1"])
    assert fetch(server, server.script("/x", file(BODY)), target, guard=guard).sha256 == SHA


def test_loopback_is_refused_unless_a_test_allows_it(server: Server, target: Path) -> None:
    guard = Guard(resolve=server.resolve, tls=server.trust)
    with pytest.raises(ConfigError, match=r"files\.example leads to 127\.0\.0\.1"):
        fetch(server, server.script("/x", file(BODY)), target, guard=guard)
    assert server.asked == []
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("tls", [ssl.create_default_context, None])
def test_a_certificate_that_does_not_fit_ends_it(server: Server, target: Path, tls: Any) -> None:
    changes = {"resolve": lambda host, port: ["127.0.0.1"]} | ({"tls": tls} if tls else {})
    server.script("/x", file(BODY))
    url = server.url("/x", HOST if tls else "wrong.example")
    with pytest.raises(TrustError, match=r"certificate of .*\.example cannot be verified"):
        fetch(server, url, target, guard=server.guard(**changes))
    assert server.asked == []


def test_an_unknown_name_is_said_at_once(server: Server, target: Path) -> None:
    with pytest.raises(DependencyDown, match=r"nowhere\.example was not found"):
        fetch(server, server.url("/x", "nowhere.example"), target)


def test_a_proxy_of_the_environment_is_not_used(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(server, server.script("/x", file(BODY)), target).sha256 == SHA


# Redirects


def test_a_redirect_is_followed_and_each_name_checked(server: Server, target: Path) -> None:
    end = server.script("/end.zip", file(BODY))
    server.script("/middle", fixed(302, Location="/end.zip"))
    start = server.script("/start", fixed(301, Location=server.url("/middle", "other.example")))
    found = fetch(server, start, target)
    assert found.sha256 == SHA
    assert found.url == start != end
    hosts = [headers["Host"].partition(":")[0] for __, headers in server.asked]
    assert hosts == [HOST, "other.example", "other.example"]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://inside.example/", r"inside\.example leads to 10\.0\.0\.7"),
        ("https://169.254.169.254/latest/meta-data/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("http://files.example/a.zip", "Only https is opened"),
        ("file:///etc/passwd", "Only https is opened"),
        ("//user:word@files.example/", "user's name"),
        ("https://[::1", "not an address"),
    ],
)
def test_a_redirect_to_what_may_not_be_called_is_refused(
    server: Server, target: Path, location: str, says: str
) -> None:
    def resolve(host: str, port: int) -> list[str]:
        return {"inside.example": ["10.0.0.7"], HOST: ["127.0.0.1"]}.get(host, [host.strip("[]")])

    url = server.script("/start", fixed(302, Location=location))
    with pytest.raises(DataError, match=f"leads elsewhere.*{says}"):
        fetch(server, url, target, guard=server.guard(resolve=resolve))
    assert len(server.asked) == 1


def test_redirects_end(server: Server, target: Path) -> None:
    url = server.script("/round", fixed(307, Location="/round"))
    with pytest.raises(DataError, match="more than 5 other addresses"):
        fetch(server, url, target)
    assert len(server.asked) == 6


# What comes


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (fixed(404), r"not there \(404\)"),
        (fixed(410), r"not there \(410\)"),
        (fixed(302), r"not there \(302\)"),
        (fixed(304), r"not there \(304\)"),
        (fixed(204), r"not there \(204\)"),
        (fixed(401), r"not open to all \(401\)"),
        (fixed(403), r"not open to all \(403\)"),
        (fixed(200, b"x", Content_Encoding="gzip", Content_Length="1"), "packed as gzip"),
        (fixed(200, Content_Length="200000000000"), r"larger than 10 GB"),
    ],
)
def test_an_answer_that_is_no_file_is_refused_once(
    server: Server, target: Path, answer: Any, says: str
) -> None:
    with pytest.raises(DataError, match=says) as refused:
        fetch(server, server.script("/x", answer), target)
    assert refused.value.remedy
    assert len(server.asked) == 1
    assert list(target.parent.iterdir()) == []


def chunked(body: bytes, *, whole: bool = True) -> Any:
    def answer(handler: Handler) -> None:
        sized = b"%x\r\n%s\r\n" % (len(body), body)
        handler.answer(200, sized + (b"0\r\n\r\n" if whole else b""), Transfer_Encoding="chunked")

    return answer


def closing(body: bytes, *, end: bool = True) -> Any:
    def answer(handler: Handler) -> None:
        handler.answer(200, body, Connection="close")
        if end:
            handler.end()

    return answer


@pytest.mark.parametrize("answer", [chunked(BODY), closing(BODY)])
def test_a_body_without_a_length_is_counted_as_it_comes(
    server: Server, target: Path, answer: Any
) -> None:
    url = server.script("/x", answer)
    assert fetch(server, url, target).sha256 == SHA
    target.unlink()
    with pytest.raises(DataError, match="larger than 300 kB"):
        fetch(server, url, target, limits=Limits(most_bytes=300_000))
    assert parts(target) == []


@pytest.mark.parametrize(
    "answer",
    [
        chunked(BODY, whole=False),
        closing(BODY, end=False),
        cut(BODY, 300_000),
        cut(BODY, 300_000, end=True),
    ],
)
def test_a_body_that_breaks_off_is_never_taken_for_whole(
    server: Server, target: Path, answer: Any
) -> None:
    with pytest.raises(DependencyDown, match=r"did not come: .* (broke off|ended after)"):
        fetch(server, server.script("/x", answer), target, limits=Limits(tries=2))
    assert len(server.asked) == 2
    assert not target.exists()


def test_more_than_was_promised_is_not_taken(server: Server, target: Path) -> None:
    url = server.script("/x", fixed(200, BODY + b"more", Content_Length=str(len(BODY))))
    assert fetch(server, url, target, sha256=SHA).size == len(BODY)


def test_a_wrong_digest_removes_the_file_and_says_both(server: Server, target: Path) -> None:
    url = server.script("/x", file(OTHER, ETag=TAG))
    with pytest.raises(SignatureMismatch) as refused:
        fetch(server, url, target, sha256=SHA)
    assert SHA in str(refused.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(refused.value)
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_written(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(target.parent.parent)
    monkeypatch.setattr(https.shutil, "disk_usage", lambda path: usage._replace(free=64_100_000))
    with pytest.raises(DependencyDown, match=r"512 kB more .* the disk has 64 MB left") as full:
        fetch(server, server.script("/x", file(BODY)), target)
    assert "Make room" in full.value.remedy


def dripping(handler: Handler) -> None:
    handler.answer(200, Content_Length=str(len(BODY)))
    drip(handler)


def drip(handler: Handler) -> None:
    try:
        while not handler.server.closing.wait(0.01):
            handler.wfile.write(b"x")
            handler.wfile.flush()
    except OSError:
        pass  # the client has left


def silent(handler: Handler) -> None:
    handler.server.closing.wait()


def chattering(handler: Handler) -> None:
    try:
        while not handler.server.closing.is_set():
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    except OSError:
        pass  # the client has left


@pytest.mark.parametrize("answer", [dripping, drip, silent, chattering])
def test_a_server_that_only_drips_does_not_hold_us(
    server: Server, target: Path, answer: Any
) -> None:
    limits = Limits(stall_seconds=0.2, stall_bytes=1000, tries=1)
    with pytest.raises(DependencyDown, match="too slow"):
        fetch(server, server.script("/x", answer), target, limits=limits)
    server.closing.set()


def test_a_head_has_to_be_there_in_time_and_is_never_large() -> None:
    pace = Pace(seconds=10, least_bytes=1000)
    pace.add(9.0, 900_000)
    assert pace.left() == 1.0
    pace.add(1.0, 0)
    with pytest.raises(TimeoutError):
        pace.left()
    flood = Pace(seconds=10, least_bytes=1000)
    flood.add(0.0, 1_000_001)
    with pytest.raises(TimeoutError):
        flood.left()
    flood.in_head = False
    assert flood.left() == 10.0


def test_a_body_may_take_long_if_enough_comes_in_every_window() -> None:
    pace = Pace(seconds=10, least_bytes=1000, in_head=False)
    for __ in range(100):
        pace.add(10.0, 1000)
        assert pace.left() == 10.0
    pace.add(10.0, 999)
    with pytest.raises(TimeoutError):
        pace.left()


def test_the_end_of_a_window_is_no_end_of_the_file(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(handler: Handler) -> None:
        handler.answer(200, Content_Length=str(len(BODY)))
        for start in range(0, len(BODY), 64_000):
            handler.wfile.write(BODY[start : start + 64_000])
            handler.server.closing.wait(0.03)

    short = Pace(seconds=0.01, least_bytes=0, in_head=False)
    monkeypatch.setattr(https, "Pace", lambda seconds, least_bytes: short)
    whole = server.script("/x", slowly)
    assert fetch(server, whole, target, limits=Limits(tries=1)).sha256 == SHA


# Going on


@pytest.mark.parametrize(
    "validator", [{"ETag": TAG}, {"Last_Modified": "Mon, 23 Nov 2026 12:00:00 GMT"}]
)
def test_a_dropped_connection_goes_on_where_it_ended(
    server: Server, target: Path, validator: dict[str, str]
) -> None:
    url = server.script("/x", cut(BODY, 300_000, **validator), file(BODY, **validator))
    told, waits = Told(), []
    found = fetch(server, url, target, sha256=SHA, progress=told, sleep=waits.append)
    assert found.size == len(BODY)
    assert ranges(server) == [None, "bytes=300000-"]
    assert server.asked[1][1]["If-Range"] in validator.values()
    assert waits == [1.0]
    assert told.said == [f"{HOST} broke off in the middle; trying again in 1 s."]


def test_ctrl_c_keeps_what_came_and_the_next_command_goes_on(server: Server, target: Path) -> None:
    url = server.script("/x", file(BODY, ETag=TAG))
    progress = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        fetch(server, url, target, progress=progress)
    assert progress.said == ["Interrupted. Run the same command again to go on: what came is kept."]
    have = target.with_name("file.zip.part").stat().st_size
    assert have > 0
    assert fetch(server, url, target, sha256=SHA).path == target
    assert ranges(server) == [None, f"bytes={have}-"]
    assert parts(target) == []


@pytest.mark.parametrize("validator", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_proof_that_it_is_the_same_file_it_begins_anew(
    server: Server, target: Path, validator: dict[str, str]
) -> None:
    url = server.script("/x", cut(BODY, 300_000, **validator), file(BODY, **validator))
    assert fetch(server, url, target).sha256 == SHA
    assert ranges(server) == [None, None]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, target: Path) -> None:
    whole = fixed(200, BODY, Content_Length=str(len(BODY)), ETag=TAG)
    told = Told()
    url = server.script("/x", cut(BODY, 300_000, ETag=TAG), whole)
    assert fetch(server, url, target, progress=told).sha256 == SHA
    assert ranges(server) == [None, "bytes=300000-"]
    assert "file.zip begins anew." in told.said


def test_a_file_that_changed_meanwhile_begins_anew(server: Server, target: Path) -> None:
    url = server.script("/x", cut(BODY, 300_000, ETag=TAG), file(OTHER, ETag='"v2"'))
    fetch(server, url, target)
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize(
    "lie",
    [
        fixed(206, OTHER, Content_Range="bytes 0-511999/512000", Content_Length="512000"),
        fixed(206, OTHER[:9], Content_Range="bytes 300000-300008/512000", Content_Length="9"),
        fixed(206, OTHER[:9], Content_Range="bytes 300000-511999/512000", Content_Length="9"),
        fixed(206, OTHER, Content_Range="bytes 0-511999/512000", Content_Length="212000"),
        fixed(206, OTHER, Content_Range="bytes 300000-300008/512000", Content_Length="212000"),
        fixed(206, OTHER[:9], Content_Range="pages 1-2/3", Content_Length="9"),
        fixed(206, OTHER[:9], Content_Range=f"bytes 0-1/{'9' * 5000}", Content_Length="9"),
        fixed(206, OTHER[:9], Content_Length="9"),
        fixed(
            206,
            OTHER[300_000:],
            Content_Range="bytes 300000-511999/512000",
            Content_Length="212000",
            ETag='"v2"',
        ),
        fixed(416, Content_Range="bytes */9", Content_Length="0"),
        fixed(416, Content_Length="0"),
    ],
)
def test_a_part_that_does_not_fit_is_thrown_away(server: Server, target: Path, lie: Any) -> None:
    url = server.script("/x", cut(BODY, 300_000, ETag=TAG), lie, file(BODY, ETag=TAG))
    assert fetch(server, url, target).sha256 == SHA
    assert ranges(server) == [None, "bytes=300000-", None]


def test_a_part_that_was_not_asked_for_is_refused(server: Server, target: Path) -> None:
    lie = fixed(206, b"x", Content_Range="bytes 0-0/1", Content_Length="1")
    with pytest.raises(DependencyDown, match="another part"):
        fetch(server, server.script("/x", lie), target, limits=Limits(tries=2))
    assert list(target.parent.iterdir()) == []


def test_a_part_that_was_already_whole_is_only_checked(server: Server, target: Path) -> None:
    url = server.script("/x", file(BODY, ETag=TAG))
    fetch(server, url, target)
    target.replace(target.with_name("file.zip.part"))
    target.with_name("file.zip.json").replace(target.with_name("file.zip.part.json"))
    assert fetch(server, url, target, sha256=SHA).name == "x"
    assert ranges(server) == [None, f"bytes={len(BODY)}-"]


def test_damaged_notes_or_those_of_another_address_begin_anew(server: Server, target: Path) -> None:
    first = server.script("/1", cut(BODY, 300_000, ETag=TAG))
    second = server.script("/2", cut(OTHER, 200_000, ETag=TAG))
    for url in (first, second):
        with pytest.raises(DependencyDown):
            fetch(server, url, target, limits=Limits(tries=1))
    notes = target.with_name("file.zip.part.json")
    server.script("/2", file(OTHER, ETag=TAG))
    notes.write_text(notes.read_text()[:-9])
    fetch(server, second, target)
    assert target.read_bytes() == OTHER
    assert ranges(server) == [None, None, None]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_later(server: Server, target: Path, status: int) -> None:
    waits: list[float] = []
    url = server.script("/x", fixed(status), fixed(status, Retry_After="7"), file(BODY))
    assert fetch(server, url, target, sleep=waits.append).sha256 == SHA
    assert waits == [1.0, 7.0]


def test_a_date_to_come_back_at_is_understood(server: Server, target: Path) -> None:
    waits: list[float] = []
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    broken = fixed(503, Retry_After="soon")
    url = server.script("/x", fixed(503, Retry_After=later), broken, file(BODY))
    fetch(server, url, target, sleep=waits.append)
    assert 0 < waits[0] <= 50
    assert waits[1] == 2.0


@pytest.mark.parametrize(
    "said",
    [
        "9" * 400,
        "9" * 5000,
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_a_time_to_wait_that_is_no_time_counts_as_none(
    server: Server, target: Path, said: str
) -> None:
    waits: list[float] = []
    url = server.script("/x", fixed(503, Retry_After=said), file(BODY))
    fetch(server, url, target, sleep=waits.append)
    assert waits == [1.0]


@pytest.mark.parametrize("named", ["filename*" + "9" * 5000 + "=x", "filename*=idna'x'%ff%fe"])
def test_a_name_that_cannot_be_decoded_counts_as_none(
    server: Server, target: Path, named: str
) -> None:
    url = server.script("/own.zip", file(BODY, Content_Disposition=f"attachment; {named}"))
    assert fetch(server, url, target).name == "own.zip"


def test_a_wait_that_is_too_long_is_said_instead(server: Server, target: Path) -> None:
    url = server.script("/x", fixed(503, Retry_After="3600"))
    with pytest.raises(DependencyDown, match="asks to wait 3600 s") as refused:
        fetch(server, url, target)
    assert refused.value.retry_after_seconds == 3600
    assert len(server.asked) == 1


def test_tries_are_bounded_and_what_came_is_kept(server: Server, target: Path) -> None:
    waits: list[float] = []
    url = server.script("/x", cut(BODY, 300_000, ETag=TAG), fixed(503))
    with pytest.raises(DependencyDown, match=r"did not come: it answered 503") as refused:
        fetch(server, url, target, sleep=waits.append)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert "what came is kept" in refused.value.remedy
    assert target.with_name("file.zip.part").stat().st_size == 300_000


def test_nobody_listening_is_said(server: Server, target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://{HOST}:{free.getsockname()[1]}/x"
        with pytest.raises(DependencyDown, match="broke off"):
            fetch(server, url, target)


# What is there already


def test_a_file_with_the_right_digest_is_used_without_asking(server: Server, target: Path) -> None:
    url = server.script("/pets.zip", file(BODY))
    fetch(server, url, target, sha256=SHA)
    found = fetch(server, url, target, sha256=SHA)
    assert (found.new, found.name, found.size) == (False, "pets.zip", len(BODY))
    assert len(server.asked) == 1


def test_a_file_with_another_digest_is_fetched_anew(server: Server, target: Path) -> None:
    url = server.script("/x", file(BODY, ETag=TAG))
    fetch(server, url, target)
    target.write_bytes(b"damaged")
    assert fetch(server, url, target, sha256=SHA).new
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("new", [False, True])
def test_a_kept_file_is_used_while_the_server_says_that_it_is_the_same(
    server: Server, target: Path, new: bool
) -> None:
    url = server.script("/x", file(BODY, ETag=TAG))
    fetch(server, url, target)
    if new:
        server.script("/x", file(OTHER, ETag='"v2"'))
    found = fetch(server, url, target)
    assert found.new == new
    assert target.read_bytes() == (OTHER if new else BODY)
    assert found.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert server.asked[1][1]["If-None-Match"] == TAG
    assert parts(target) == []


def test_a_kept_file_is_asked_after_by_date_where_there_is_no_tag(
    server: Server, target: Path
) -> None:
    day = "Mon, 23 Nov 2026 12:00:00 GMT"
    url = server.script("/x", file(BODY, Last_Modified=day), fixed(304))
    fetch(server, url, target)
    assert not fetch(server, url, target).new
    assert server.asked[1][1]["If-Modified-Since"] == day


def test_two_processes_do_not_write_one_file(server: Server, target: Path) -> None:
    url = server.script("/x", file(BODY))

    class Second(Told):
        def advance(self, done: float, note: str = "") -> None:
            with pytest.raises(NotReady, match="by another process"):
                fetch(server, url, target)

    assert fetch(server, url, target, progress=Second()).sha256 == SHA
    assert len(server.asked) == 1


def test_a_part_that_another_process_just_finished_is_not_written_to(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished_meanwhile(stream: Any, how: int) -> None:
        target.with_name("file.zip.part").replace(target)

    monkeypatch.setattr(files.fcntl, "flock", finished_meanwhile)
    with pytest.raises(NotReady, match="by another process"):
        fetch(server, server.script("/x", file(BODY)), target)
    assert server.asked == []


def test_a_folder_that_may_not_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MintageError) as refused:
        fetch(server, server.script("/x", file(BODY)), tmp_path / "file" / "x.zip")
    assert refused.value.remedy


# Names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("pets.zip", "pets.zip"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\猫 1.zip", "猫_1.zip"),
        (".hidden", "hidden"),
        ("a\nb;c.csv", "a_b_c.csv"),
        ("..", "download"),
        ("", "download"),
        ("x" * 300 + ".zip", "x" * 80 + ".zip"),
    ],
)
def test_a_server_cannot_choose_where_its_file_lies(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert os.sep not in safe_name(name)


def test_the_servers_own_name_for_the_file_is_taken(server: Server, target: Path) -> None:
    said = "attachment; filename*=UTF-8''../%E7%8C%AB.zip"
    url = server.script("/get.php", file(BODY, Content_Disposition=said))
    assert fetch(server, url, target).name == "猫.zip"
    assert fetch(server, server.script("/", file(BODY)), target).name == "download"
