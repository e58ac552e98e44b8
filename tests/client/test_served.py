"""Both clients against a real server behind a bad wire: one action is one usage event."""

from __future__ import annotations

import asyncio
import io
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import KEY, Colours, Desk, Running
from tests.api.test_tls import Pair
from tests.client.wire import Fault, Wire

from mintage.client import AsyncClient, Client
from mintage.core import errors

Connect = Callable[..., Client]
String = Callable[..., Wire]
FAULTS: list[Fault] = ["refuse", "cut request", "lose answer", "cut answer", "busy"]


def test_what_a_server_offers_is_read(
    connect: Connect, running: Running, desk: Desk, warm: bytes
) -> None:
    desk.public_keys = {"receipt": {"key_id": "k", "algorithm": "a", "pem": "p"}}
    client = connect(running.address)
    answer = client.predict("tones", warm)
    assert answer["output"]["label"] == "warm"
    assert client.receipt(answer["receipt"]["id"])["id"] == answer["receipt"]["id"]
    assert [event["id"] for event in client.usage(product="tones")] == [answer["id"]]
    assert client.products() == ["tones"]
    assert client.product("tones")["labels"] == ["warm", "cold"]
    assert client.keys() == desk.public_keys
    size = client.log()["size"]
    proof = client.log_consistency(1)
    assert (proof["from"], proof["to"]) == (1, size)
    assert client.log_consistency(1, 2, log=1)["to"] == 2
    with pytest.raises(errors.RequestError) as missing:
        client.receipt("rcp_none")
    assert missing.value.http_status == 404


@pytest.mark.parametrize(
    "given", [str, Path, bytes, bytearray, memoryview, io.BytesIO, "opened"], ids=str
)
def test_a_picture_is_a_path_its_bytes_or_an_open_file(
    connect: Connect, running: Running, warm: bytes, tmp_path: Path, given: Any
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(warm)
    client = connect(running.address)
    if given == "opened":
        with path.open("rb") as stream:
            answer = client.predict("tones", stream)
    else:
        answer = client.predict("tones", given(path if given in (str, Path) else warm))
    assert answer["output"]["label"] == "warm"


def test_several_pictures_of_one_call_have_each_its_answer_or_its_error(
    connect: Connect, running: Running, desk: Desk, warm: bytes, gray: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(warm)
    client = connect(running.address)
    first, bad, last = client.predict_batch("tones", [path, b"no picture", io.BytesIO(gray)])
    assert first["output"]["label"] == "warm"
    assert last["output"]["unusual"] is True
    assert isinstance(bad, errors.DataError)
    assert bad.http_status == 422
    assert bad.request_id
    assert desk.outcomes.count("ok") == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_several_pictures_over_a_bad_wire_are_each_charged_once(
    connect: Connect, wire: String, desk: Desk, draw: Callable[..., bytes], fault: Fault
) -> None:
    pictures = [draw((10 * number, 90, 130)) for number in range(4)]
    found = connect(wire(fault, fault).address).predict_batch("tones", pictures)
    assert [each["output"]["label"] for each in found] == ["cold"] * 4
    assert len(desk.events) == 4


def test_the_same_pictures_with_one_key_are_charged_once_and_those_that_failed_tried_again(
    connect: Connect, running: Running, desk: Desk, provider: Colours, warm: bytes, gray: bytes
) -> None:
    client = connect(running.address)
    provider.fault = RuntimeError("for now")
    assert all(
        isinstance(each, errors.Bug)
        for each in client.predict_batch("tones", [warm, gray], idempotency_key="order 7")
    )
    provider.fault = None
    first, again = (
        client.predict_batch("tones", [warm, gray], idempotency_key="order 7") for __ in range(2)
    )
    assert [each["id"] for each in first] == [each["id"] for each in again]
    assert len([usage for usage in desk.usages if usage.origin == "client"]) == 2


def test_what_concerns_all_pictures_of_a_call_is_raised(
    connect: Connect, running: Running, desk: Desk, warm: bytes, tmp_path: Path
) -> None:
    client = connect(running.address)
    for sources, kind in (
        ([], errors.ConfigError),
        ([warm, tmp_path / "nothing.jpg"], errors.DataError),
        ([warm] * 65, errors.RequestError),
    ):
        with pytest.raises(kind):
            client.predict_batch("tones", sources)
    with pytest.raises(errors.Unauthenticated):
        connect(running.address, "mtg_live_wrong").predict_batch("tones", [warm])
    assert desk.events == {}


def test_a_server_of_a_private_authority_is_reached_with_its_certificate(
    secure: Running, pair: Pair, connect: Connect, warm: bytes
) -> None:
    certificate, __ = pair
    context = ssl.create_default_context(cafile=certificate)
    for ca in (certificate, str(certificate), context):
        answer = connect(secure.address, ca=ca).predict("tones", warm)
        assert answer["output"]["label"] == "warm"
    with pytest.raises(errors.DependencyDown, match="CERTIFICATE_VERIFY_FAILED"):
        connect(secure.address, retries=0).predict("tones", warm)


def test_certificates_that_cannot_be_read_are_said(connect: Connect, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for ca in (empty, tmp_path / "nothing.pem", tmp_path, "nul\0.pem"):
        with pytest.raises(errors.ConfigError, match="certificates in") as refused:
            connect("https://127.0.0.1", ca=ca)
        assert "PEM" in refused.value.remedy


def test_a_proxy_is_gone_through_where_one_is_given(
    connect: Connect, wire: String, warm: bytes
) -> None:
    """Nothing listens at the address: only the proxy, which relays, makes an answer of it."""
    proxy = wire()
    answer = connect("http://127.0.0.1:9", proxy=proxy.address).predict("tones", warm)
    assert answer["output"]["label"] == "warm"
    assert len(proxy.met) == 1


@pytest.mark.parametrize(
    "proxy", ["", "proxy:3128", "socks5://h", "http://", "http://u:secret@h:x"]
)
def test_an_address_that_no_proxy_has_is_refused_without_its_password(
    connect: Connect, proxy: str
) -> None:
    with pytest.raises(errors.ConfigError, match="proxy") as refused:
        connect("http://127.0.0.1:9", proxy=proxy)
    assert "secret" not in str(refused.value)


def test_what_cannot_be_read_is_said_and_nothing_is_sent(
    connect: Connect, running: Running, desk: Desk, tmp_path: Path
) -> None:
    client = connect(running.address)
    closed = io.BytesIO(b"x")
    closed.close()
    for source, kind in (
        (tmp_path / "nothing.jpg", errors.DataError),
        (tmp_path, errors.DataError),
        ("nul\0.jpg", errors.DataError),
        (closed, errors.DataError),
        (io.StringIO("text"), errors.ConfigError),
    ):
        with pytest.raises(kind):
            client.predict("tones", source)
    assert desk.admitted == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_bad_wire_costs_time_and_never_a_second_charge(
    connect: Connect, wire: String, desk: Desk, warm: bytes, fault: Fault, times: int
) -> None:
    bad = wire(*[fault] * times)
    answer = connect(bad.address, retries=times).predict("tones", warm)
    assert answer["output"]["label"] == "warm"
    assert desk.outcomes == ["ok"]
    assert bad.met[:times] == [fault] * times


def test_an_answer_that_was_lost_is_the_one_that_is_told(
    connect: Connect, wire: String, desk: Desk, warm: bytes
) -> None:
    answer = connect(wire("lose answer", "cut answer").address).predict("tones", warm)
    [(usage, receipt)] = desk.events.values()
    assert (answer["id"], answer["receipt"]["id"]) == (receipt.event_id, receipt.id)
    assert usage.origin == "client"


def test_without_retries_the_fault_is_told(
    connect: Connect, wire: String, desk: Desk, warm: bytes
) -> None:
    client = connect(wire(*FAULTS).address, retries=0)
    for fault in FAULTS:
        with pytest.raises(errors.ServiceError) as failed:
            client.predict("tones", warm)
        assert failed.value.http_status == 503, fault
        assert failed.value.remedy or fault == "busy"


def test_a_server_that_says_nothing_is_given_up_in_time_and_asked_again(
    connect: Connect, wire: String, desk: Desk, warm: bytes
) -> None:
    bad = wire("say nothing")
    answer = connect(bad.address, timeout_seconds=1.0, retries=9).predict("tones", warm)
    assert answer["output"]["label"] == "warm"
    assert desk.outcomes == ["ok"]


def test_the_overall_deadline_ends_it_whatever_else_may_be_tried(
    connect: Connect, wire: String, warm: bytes
) -> None:
    bad = wire(*["say nothing"] * 50)
    client = connect(bad.address, timeout_seconds=0.2, deadline_seconds=0.5, retries=50)
    with pytest.raises(errors.ServiceError) as late:
        client.predict("tones", warm)
    assert late.value.http_status == 504
    assert len(bad.met) < 5


def test_a_first_try_that_still_runs_is_waited_for_and_its_answer_taken(
    connect: Connect, running: Running, desk: Desk, provider: Colours, warm: bytes
) -> None:
    """The client gave up too early: the second try finds the first one at work (409)."""
    desk.hold = True
    client = connect(running.address, timeout_seconds=0.5, retries=9)
    released = threading.Timer(1.5, settle, [desk])
    released.start()
    answer = client.predict("tones", warm)
    released.join()
    assert answer["output"]["label"] == "warm"
    assert len(desk.events) == 1


def settle(desk: Desk) -> None:
    desk.hold = False
    desk.settle()


def test_each_action_has_a_key_of_its_own_and_the_callers_where_given(
    connect: Connect, running: Running, desk: Desk, warm: bytes, gray: bytes
) -> None:
    client = connect(running.address)
    first, second = client.predict("tones", warm), client.predict("tones", warm)
    assert first["id"] != second["id"]
    once = [client.predict("tones", warm, idempotency_key="order 7")["id"] for __ in range(3)]
    assert len(set(once)) == 1
    assert len(desk.events) == 3
    with pytest.raises(errors.RequestError) as reused:
        client.predict("tones", gray, idempotency_key="order 7")
    assert reused.value.http_status == 422


@pytest.mark.parametrize("key", ["", " ", "line\nfeed", "Schlüssel", "x" * 256])
def test_a_key_that_cannot_stand_in_a_header_is_refused_here(
    connect: Connect, running: Running, desk: Desk, warm: bytes, key: str
) -> None:
    with pytest.raises(errors.ConfigError, match="Idempotency-Key"):
        connect(running.address).predict("tones", warm, idempotency_key=key)
    with pytest.raises(errors.ConfigError, match="no API key") as refused:
        connect(running.address, key=f"mtg_live_{key}\n")
    assert "mtg_live_" not in f"{refused.value}"
    assert desk.admitted == 0


@pytest.mark.parametrize(
    ("product", "key", "picture", "kind"),
    [
        ("tones", "mtg_live_wrong", b"", errors.Unauthenticated),
        ("nothing", KEY, b"", errors.RequestError),
        ("tones", KEY, b"no picture", errors.DataError),
        ("tones", KEY, bytes(200_000), errors.RequestError),
    ],
)
def test_what_is_refused_is_sent_once(
    connect: Connect,
    wire: String,
    desk: Desk,
    product: str,
    key: str,
    picture: bytes,
    kind: type[errors.MintageError],
) -> None:
    straight = wire()
    with pytest.raises(kind):
        connect(straight.address, key).predict(product, picture)
    assert len(straight.met) == 1
    assert desk.admitted <= 1


def test_connections_are_kept_for_the_next_call(
    connect: Connect, wire: String, warm: bytes
) -> None:
    straight = wire()
    client = connect(straight.address)
    for __ in range(5):
        client.predict("tones", warm)
    assert len(straight.met) == 1


def test_many_pictures_come_in_their_order_each_charged_once_over_a_bad_wire(
    connect: Connect, wire: String, desk: Desk, draw: Callable[..., bytes], tmp_path: Path
) -> None:
    files = []
    for number in range(24):
        path = tmp_path / f"{number:02}.png"
        if number % 6 != 5:
            path.write_bytes(draw((10 * number, 90, 130)))
        files.append(path)
    bad = wire(*FAULTS)
    found = list(connect(bad.address, retries=5).predict_many("tones", files, at_once=3))
    assert [path for path, __ in found] == files
    for number, (__, got) in enumerate(found):
        if number % 6 == 5:
            assert isinstance(got, errors.DataError)
        else:
            assert got["output"]["unusual"] is (abs(10 * number - 130) < 8)
    assert len(desk.events) == 20
    assert len({usage.input_sha256 for usage in desk.usages}) == 20


def test_more_at_once_than_a_pool_usually_has_is_what_was_asked_for(
    connect: Connect, running: Running, warm: bytes
) -> None:
    """The server takes four at a time and sends the others away; they come again."""
    client = connect(running.address, retries=50)
    found = list(client.predict_many("tones", [warm] * 12, at_once=12))
    assert [got["output"]["label"] for __, got in found] == ["warm"] * 12


async def test_a_cancelled_call_leaves_no_connection_open(
    wire: String, warm: bytes, until: Callable[..., Any]
) -> None:
    bad = wire("say nothing")
    async with AsyncClient(bad.address, KEY) as client:
        call = asyncio.create_task(client.predict("tones", warm))
        await until(lambda: bad.met)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not bad.open)
        assert (await client.predict("tones", warm))["output"]["label"] == "warm"
    await until(lambda: not bad.open)


async def test_a_call_cancelled_while_it_waits_to_try_again_sends_no_more(
    wire: String, desk: Desk, warm: bytes, until: Callable[..., Any]
) -> None:
    bad = wire(*["refuse"] * 9)
    async with AsyncClient(bad.address, KEY, retries=9) as client:
        call = asyncio.create_task(client.predict("tones", warm))
        await until(lambda: bad.met)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        met = len(bad.met)
        await asyncio.sleep(0.6)  # longer than it would have waited
    assert len(bad.met) == met
    assert desk.events == {}


async def test_leaving_many_early_cancels_what_is_under_way(
    wire: String, warm: bytes, until: Callable[..., Any]
) -> None:
    bad = wire()
    async with AsyncClient(bad.address, KEY) as client:
        pairs = client.predict_many("tones", [warm] * 50, at_once=3)
        assert (await anext(pairs))[1]["output"]["label"] == "warm"
        await pairs.aclose()
    await until(lambda: not bad.open)


def test_closing_a_client_closes_its_connections(wire: String, warm: bytes) -> None:
    straight = wire()
    client = Client(straight.address, KEY)
    client.predict("tones", warm)
    assert straight.open
    client.close()
    for __ in range(200):
        if not straight.open:
            break
        threading.Event().wait(0.02)
    assert not straight.open
