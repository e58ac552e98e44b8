"""The labelling page's server: who is let in, what is answered, and what is on disk by then."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import InProcess
from tests.pictures import encoded, jpeg, noise

from mintage.api.labelling import Access, labelling_app, serve_labelling
from mintage.app.labelling import Labelling
from mintage.core.errors import DependencyDown, Unauthenticated
from mintage.create.labelling import LabelSession

NEXT = "mintage collect labels.jsonl --name photos"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(jpeg(number, (60, 40)))
    return folder


@pytest.fixture
def session(photos: Path) -> Iterator[LabelSession]:
    opened = Labelling().open(photos, classes=("good", "bad"), labeller="ada", overlap=1.0)
    yield opened
    opened.close()


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def page(session: LabelSession, access: Access) -> Iterator[InProcess]:
    headers = {"Authorization": f"Bearer {access.token}", "Host": "127.0.0.1:8123"}
    with InProcess(labelling_app(session, access, NEXT), **headers) as opened:
        yield opened


def lines(photos: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (photos / "labels.jsonl").read_text().splitlines()]


# ---- who is let in


@pytest.mark.parametrize(
    "path",
    ["/state", "/summary", "/pictures/0", "/disagreements", "/nothing", "/static/../state"],
)
def test_nothing_is_answered_without_the_token(page: InProcess, access: Access, path: str) -> None:
    for given in ("", "Bearer ", "Bearer wrong", access.token, f"Bearer {access.ticket}"):
        answer = page.get(path, headers={"Authorization": given})
        assert answer.status_code == 401, given
        assert answer.json()["code"] == "unauthenticated"
        assert "0.jpg" not in answer.text


@pytest.mark.parametrize("path", ["/decisions", "/undo", "/again", "/resolutions"])
def test_nothing_is_decided_without_the_token(page: InProcess, photos: Path, path: str) -> None:
    body = {"picture": 0, "label": "good", "seconds": 1}
    answer = page.post(path, json=body, headers={"Authorization": "", "Cookie": "token=x"})
    assert answer.status_code == 401
    assert len(lines(photos)) == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1:80", ""]
)
def test_another_name_for_this_machine_is_refused_even_with_the_token(
    page: InProcess, host: str
) -> None:
    for path in ("/", "/state", "/static/label.js"):
        answer = page.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "Open the address" in answer.json()["remedy"]


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_this_machines_own_names_are_let_in_on_any_port(page: InProcess, host: str) -> None:
    assert page.get("/state", headers={"Host": host}).status_code == 200


def test_the_page_itself_is_open_and_holds_nothing(
    page: InProcess, access: Access, session: LabelSession
) -> None:
    names = ("/", *(f"/static/{name}" for name in ("label.js", "label_words.js", "label.css")))
    for path in (*names, "/static/app.css", "/static/icon.svg"):
        answer = page.get(path, headers={"Authorization": ""})
        assert answer.status_code == 200
        assert not {access.token, access.ticket, session.folder.name} & set(answer.text.split('"'))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    html = page.get("/").text
    assert not re.search(r"\s(on\w+|style)=|https?:", html)


def test_the_ticket_buys_the_token_once(page: InProcess, access: Access) -> None:
    for ticket in ("wrong", "", access.token, "é"):
        with pytest.raises(Unauthenticated):
            access.redeem(ticket)
    answer = page.post("/token", json={"ticket": access.ticket}, headers={"Authorization": ""})
    assert answer.json() == {"token": access.token}
    assert page.post("/token", json={"ticket": access.ticket}).status_code == 401


@pytest.mark.parametrize("body", [b"x" * 20_001, [b"x" * 100]])
def test_a_body_without_end_is_not_read(page: InProcess, body: Any) -> None:
    headers = {"Authorization": "", "Content-Type": "application/json"}
    assert page.post("/token", content=body, headers=headers).status_code == 413


def test_no_secret_is_the_same_twice() -> None:
    secrets = [
        secret for access in (Access(), Access()) for secret in (access.token, access.ticket)
    ]
    assert len(set(secrets)) == 4
    assert all(len(secret) >= 43 for secret in secrets)  # 256 bits


# ---- what is answered


def test_a_decision_is_on_disk_when_it_is_answered(page: InProcess, photos: Path) -> None:
    state = page.get("/state").json()
    assert (state["left"], state["classes"], state["labeller"]) == (5, ["good", "bad"], "ada")
    first = state["upcoming"][0]
    body = {"picture": first["picture"], "label": "bad", "seconds": 0.75}
    after = page.post("/decisions", json=body).json()
    kept = lines(photos)[-1]
    assert (kept["path"], kept["label"], kept["seconds"]) == (first["name"], "bad", 0.75)
    assert (after["left"], after["labelled"], after["answer"]) == (4, 1, None)
    assert first not in after["upcoming"]
    undone = page.post("/undo").json()["undone"]
    assert undone == first | {"left": True}
    page.post("/decisions", json={"picture": first["picture"], "label": None})
    assert lines(photos)[-1]["action"] == "skip"
    assert page.post("/again").json()["left"] == 5


def test_pictures_come_small_enough_and_without_their_metadata(
    page: InProcess, photos: Path
) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = "Home Street 1"
    for number in range(5):
        picture = encoded(noise(number, (60, 40)), exif=exif)
        (photos / f"{number}.jpg").write_bytes(picture)
    answer = page.get("/pictures/0")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert b"Home Street" not in answer.content


def test_an_unreadable_picture_is_a_reason_and_leaves_the_queue(
    page: InProcess, photos: Path
) -> None:
    first = page.get("/state").json()["upcoming"][0]
    (photos / first["name"]).write_bytes(b"no picture")
    answer = page.get(f"/pictures/{first['picture']}")
    assert (answer.status_code, answer.json()["code"]) == (422, "data_error")
    assert first not in page.get("/state").json()["upcoming"]
    (unreadable,) = page.get("/summary").json()["unreadable"]
    assert unreadable["path"] == first["name"]


@pytest.mark.parametrize("number", ["99", "-1", "../0", "0.jpg", "%2e%2e%2fsecret.jpg"])
def test_no_address_leads_to_another_file(page: InProcess, number: str) -> None:
    assert page.get(f"/pictures/{number}").status_code in (404, 400, 422)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"picture": 0},
        {"picture": "a", "label": "good"},
        {"picture": 0, "label": "good", "seconds": -1},
        {"picture": 0, "label": 5},
        {"picture": 0, "label": "ugly"},
        {"picture": 99, "label": "good"},
    ],
)
def test_what_is_no_decision_is_refused_and_not_kept(
    page: InProcess, photos: Path, body: dict[str, Any]
) -> None:
    answer = page.post("/decisions", json=body)
    assert answer.status_code in (400, 404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(lines(photos)) == 1


def test_a_full_disk_is_said_in_full_and_nothing_is_decided(
    page: InProcess, session: LabelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_decisions: object) -> None:
        raise DependencyDown("Writing labels.jsonl failed: No space left on device.")

    monkeypatch.setattr(session.journal, "add", full)
    answer = page.post("/decisions", json={"picture": 0, "label": "good", "seconds": 1})
    assert answer.status_code == 503
    assert "No space left" in answer.json()["detail"]
    assert page.get("/state").json()["left"] == 5


def test_disagreements_are_resolved_over_http(photos: Path, access: Access) -> None:
    for name, label in (("ada", "good"), ("ben", "bad")):
        opened = Labelling().open(photos, classes=("good", "bad"), labeller=name, overlap=1.0)
        opened.decide(0, label, 1.0)
        opened.close()
    opened = Labelling().open(photos, labeller="cleo")
    headers = {"Authorization": f"Bearer {access.token}", "Host": "localhost"}
    with InProcess(labelling_app(opened, access, NEXT), **headers) as page:
        (dispute,) = page.get("/disagreements").json()["disagreements"]
        assert dispute["labels"] == {"ada": "good", "ben": "bad"}
        summary = page.get("/summary", headers={"Accept-Language": "zh"}).json()
        assert summary["agreement"]["alpha"] == 0
        assert summary["next"] == NEXT
        after = page.post("/resolutions", json={"picture": 0, "label": "good"}).json()
        assert after["disagreements"] == 0
        assert page.post("/undo").json()["undone"]["left"] is False
    opened.close()


# ---- the server


def test_it_listens_on_loopback_alone_tells_its_addresses_and_ends(session: LabelSession) -> None:
    told: list[str] = []
    started, stop = threading.Event(), threading.Event()

    def on_started(people: str, browser: str) -> None:
        told.extend((people, browser))
        started.set()

    options = {"on_started": on_started, "stop": stop, "following": NEXT}
    server = threading.Thread(target=serve_labelling, args=(session,), kwargs=options)
    server.start()
    assert started.wait(10)
    people, browser = told
    address, __, token = people.partition("#token=")
    assert address.startswith("http://127.0.0.1:")
    assert browser.startswith(f"{address}#ticket=")
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/state").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/state", headers=headers).json()["left"] == 5
        assert client.get(f"/state?token={token}").status_code == 401  # never in the query
    stop.set()
    server.join(10)
    assert not server.is_alive()


def test_a_port_in_use_is_said_at_once(session: LabelSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DependencyDown, match=f"127.0.0.1:{port}") as refused:
            serve_labelling(session, following=NEXT, port=port, on_started=lambda *__: None)
        assert "--port" in refused.value.remedy
