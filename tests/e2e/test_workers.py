"""Several processes behind one port: who dies is replaced, and nobody else notices."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.e2e.test_main_job import ROUNDS, Server, sold, usage

from mintage.app.root import App
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.terms import Terms
from mintage.core.settings import load_settings

__all__ = ["sold"]  # a fixture


@pytest.fixture
def server(sold: tuple[Path, str]) -> Iterator[Server]:
    running = Server(sold[0], "--workers", "2")
    yield running
    if running.process.poll() is None:
        running.end()


def picture_of(trained_home: Path) -> bytes:
    return (trained_home.parent / "photos/light/003.jpg").read_bytes()


def address_of(server: Server) -> tuple[str, int]:
    url = httpx.URL(server.url)
    return url.host, url.port or 80


def workers(server: Server) -> list[int]:
    """The processes that the supervisor began, without the interpreter's own helper."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    found = [int(each) for each in children.read_text().split()]
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def count_of(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.operator}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_sixty_four_calls_at_once_against_a_limit_of_five_are_five(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    home, key = sold
    terms = Terms("EUR", (replace(Charge.plain("image", "0.02"), hard_limit=5),))
    with App(load_settings(home=home)) as app:
        app.capture.plans.agree("standard", terms)
    url, body = f"{server.url}/v1/products/pets/predict", picture_of(trained_home)
    statuses: list[int] = []

    def customer() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(headers=headers, trust_env=False, timeout=60) as client:
            statuses.append(client.post(url, content=body).status_code)

    threads = [threading.Thread(target=customer) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered, refused = statuses.count(200), statuses.count(429)
    assert (answered, refused + statuses.count(503)) == (5, 59)  # 503: the machine was full
    assert refused
    said = httpx.get(
        f"{server.url}/v1/limits", headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ).json()
    (limit,) = said["limits"]
    assert (limit["used"], limit["held"], limit["hard_limit"]) == (5, 0, 5)
    assert len([event for event in usage(home) if event["outcome"] == "ok"]) == 5


def test_a_worker_killed_under_load_costs_its_own_calls_alone_and_is_replaced(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    home, key = sold
    url, body = f"{server.url}/v1/products/pets/predict", picture_of(trained_home)
    assert len(workers(server)) == 2
    acknowledged: list[str] = []
    refused: list[str] = []
    broken: list[Exception] = []
    over = threading.Event()

    def customer() -> None:
        headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
            while not over.is_set():
                try:
                    answer = client.post(url, content=body)
                except httpx.TransportError as error:
                    broken.append(error)
                else:
                    if answer.status_code == 200:
                        acknowledged.append(answer.json()["receipt"]["id"])
                    else:
                        refused.append(answer.text)

    threads = [threading.Thread(target=customer) for _ in range(4)]
    for thread in threads:
        thread.start()
    chance = random.Random(20261126)
    try:
        for __ in range(ROUNDS):
            so_far = len(acknowledged)
            eventually(lambda: len(acknowledged) > so_far + 20)  # noqa: B023 - within this turn
            time.sleep(chance.uniform(0, 0.3))
            killed = chance.choice(workers(server))
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: len(workers(server)) == 2 and killed not in workers(server))  # noqa: B023
    finally:
        over.set()
        for thread in threads:
            thread.join()
    # At most what each customer had; the next test tells the survivor's from the dead one's.
    assert len(broken) <= ROUNDS * len(threads)
    assert refused == []
    recorded = [event["receipt"] for event in usage(home)]
    assert len(recorded) == len(set(recorded))
    assert set(acknowledged) <= set(recorded)
    assert len(recorded) - len(acknowledged) <= ROUNDS * len(threads)
    # What the dead ones had counted is still in the sum.
    assert count_of(server, "mintage_receipts_total") >= len(acknowledged) - ROUNDS * len(threads)


def begun_calls(server: Server, key: str, body: bytes, count: int) -> list[socket.socket]:
    """Calls that lack their last byte, taken one after another."""
    head = (
        f"POST /v1/products/pets/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )
    halves = []
    for __ in range(count):
        halves.append(socket.create_connection(address_of(server)))
        halves[-1].sendall(head.encode() + body[:-1])
        time.sleep(0.05)
    return halves


def ended(half: socket.socket, last: bytes) -> int | None:
    """The status of the answer to a begun call; None where its worker is no more."""
    with half:
        try:
            half.sendall(last)
            return int(half.recv(4096).split()[1])
        except (ConnectionError, IndexError):
            return None


def test_open_connections_are_shared_evenly_and_a_dead_worker_takes_none_of_the_others(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    body = picture_of(trained_home)
    halves = begun_calls(server, sold[1], body, 8)
    os.kill(workers(server)[0], signal.SIGKILL)
    statuses = [ended(half, body[-1:]) for half in halves]
    assert set(statuses) == {None, 200}
    assert 3 <= statuses.count(200) <= 5  # on an idle machine 4


def test_while_the_last_calls_end_nobody_is_kept_waiting_at_the_door(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    body = picture_of(trained_home)
    halves = begun_calls(server, sold[1], body, 2)
    server.process.send_signal(signal.SIGTERM)

    def is_refused() -> bool:
        try:
            socket.create_connection(address_of(server)).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(is_refused, seconds=2)
    assert [ended(half, body[-1:]) for half in halves] == [200, 200]
    server.process.communicate(timeout=30)
    assert server.process.returncode == 0


def test_a_publish_and_a_revocation_reach_every_worker(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    home, key = sold
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}

    def statuses() -> set[int]:
        url = f"{server.url}/v1/products/pets/predict"
        return {
            httpx.post(
                url, content=picture_of(trained_home), headers=headers, trust_env=False
            ).status_code
            for _ in range(8)
        }

    assert statuses() == {200}
    with App(load_settings(home=home, threads=1)) as app:
        customer = app.capture.customers.find("Ada")
        (kept,) = app.capture.customers.keys(customer.id)
        app.capture.customers.revoke_key(kept.id)
    assert statuses() == {401}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_all_of_them_end_in_order(server: Server, how: signal.Signals) -> None:
    pids = workers(server)
    assert server.end(how) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ctrl_c_in_a_terminal_reaches_all_of_them_and_calls_in_flight_are_answered(
    sold: tuple[Path, str], trained_home: Path
) -> None:
    home, key = sold
    server = Server(home, "--workers", "2", process_group=0)
    body = picture_of(trained_home)
    halves = begun_calls(server, key, body, 4)
    time.sleep(0.5)  # all of them are taken, and wait for their last byte
    pids = workers(server)
    for pid in pids:  # what the terminal says is the supervisor's to hear, however late it does
        os.kill(pid, signal.SIGINT)
    time.sleep(0.5)
    assert httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code == 200
    assert workers(server) == pids
    os.killpg(server.process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert [ended(half, body[-1:]) for half in halves] == [200] * 4
    server.process.communicate(timeout=30)
    assert server.process.returncode == 0


def test_when_the_supervisor_is_killed_its_workers_end_and_the_port_is_free(
    sold: tuple[Path, str], server: Server
) -> None:
    pids = workers(server)
    server.end(signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v2/health/live", trust_env=False)


def test_what_an_operator_changes_holds_in_every_process_from_the_next_call_on(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    home, __ = sold
    with App(load_settings(home=home, threads=1)) as app:
        operator = app.capture.operators.add("ops", "admin").key.reveal()
    admin = httpx.Client(
        base_url=f"{server.operator}/v1/admin",
        headers={"Authorization": f"Bearer {operator}"},
        trust_env=False,
    )
    body = picture_of(trained_home)

    def called(key: str) -> set[int]:
        """What connections of their own, which both processes take, are answered."""
        headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        url = f"{server.url}/v1/products/pets/predict"
        asked = [
            httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
            for __ in range(8)
        ]
        return {answer.status_code for answer in asked}

    with admin:
        made = admin.post("/customers", json={"name": "Bob"}).json()
        assert called(made["key"]) == {200}
        assert len(admin.get("/usage", params={"customer": "Bob"}).json()["usage"]) == 8
        revoked = admin.post(f"/keys/{made['key_id']}/revoke")
        assert revoked.json()["revoked_at"]
        assert called(made["key"]) == {401}
        with App(load_settings(home=home, threads=1)) as app:
            app.capture.operators.revoke("ops")
        assert admin.get("/customers").status_code == 401
    with App(load_settings(home=home, threads=1)) as app:
        records = app.capture.log.check()
        assert records > 10
        end = time.monotonic() + 60
        while (head := app.capture.log.latest()) is None or head.size < records:
            assert time.monotonic() < end, "the supervisor signs what its workers log"
            time.sleep(0.1)
        assert app.capture.audit()["records"] >= records
