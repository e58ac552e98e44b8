"""A language model of one's own, the whole way: collected, trained, sold, served, called, paid."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import openai
import pytest
from tests import tiny_language_model as tiny
from tests.conftest import ManualClock
from tests.create.language.conversations import rows, texts, write
from tests.e2e.test_language_models import client_of
from tests.e2e.test_main_job import Server, usage
from tests.e2e.test_resume import done

from mintage.app.root import App
from mintage.core.settings import load_settings

ASKED: list[Any] = [{"role": "user", "content": "What colour is the red fox number 7?"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the commands that a user would type."""
    folder = tmp_path_factory.mktemp("own")
    said = rows()
    tiny.save(folder / "base", texts(said))
    (folder / "tune.toml").write_text(
        f'base = "{folder / "base"}"\nlearning_rate = 0.005\nepochs = 6\nbatch_tokens = 512\n'
    )
    home = folder / "home"
    done(home, "collect", str(write(folder / "chats.jsonl", said)), "--name", "chats")
    trained = done(home, "train", "chats", "--task", "text", "--recipe", str(folder / "tune.toml"))
    measured: Any = trained["evaluation"]
    assert measured["loss"] < measured["base"]["loss"] - 1
    prices = ("--price-input", "0.50", "--price-output", "1.50", "--currency", "EUR")
    costs = ("--cost-input", "0.10", "--cost-output", "0.20")
    sold = done(home, "publish", "chats@1", "--product", "helper", *prices, *costs)
    assert sold["plan"] == "helper@1"
    return home


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    with App(load_settings(home=home)) as app:
        __, issued = app.capture.add_customer("Ada")
    return issued.key.reveal()


@pytest.fixture(scope="module")
def client(home: Path, key: str) -> Iterator[openai.OpenAI]:
    server = Server(home, "--workers", "2")
    with client_of(server.url, key) as made:
        eventually(lambda: is_loaded(made))
        yield made
    assert server.end() == 0


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.2)


def is_loaded(client: openai.OpenAI) -> bool:
    """Until its server is up a call is a 503 that says so, and costs nothing."""
    try:
        chat(client, max_tokens=1)
    except openai.InternalServerError as error:
        if error.status_code == 503 and "being loaded" in str(error):
            return False
        raise
    return True


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="helper", messages=ASKED, **more)


@pytest.mark.timeout(300)
def test_it_answers_openais_client_and_each_token_is_on_the_invoice(
    home: Path, client: openai.OpenAI, key: str
) -> None:
    whole = chat(client, max_tokens=24, temperature=0)
    said = whole.choices[0].message.content
    assert said.startswith("The ")  # it learned how people answer
    parts = list(
        chat(
            client,
            max_tokens=24,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    streamed = "".join(each.choices[0].delta.content or "" for each in parts if each.choices)
    assert streamed == said
    counted = [whole.usage, next(each.usage for each in parts if each.usage)]
    assert counted[0].prompt_tokens == counted[1].prompt_tokens > 0

    events = [each for each in usage(home) if each["outcome"] == "ok"]
    assert {(each["model"], each["model_version"]) for each in events} == {("chats", "1")}
    with App(load_settings(home=home)) as app:
        bundle = app.create.bundles.find_language("chats@1")
    assert {each["bundle_digest"] for each in events} == {bundle.digest}
    assert whole.mintage["receipt"] in {each["receipt"] for each in events}
    totals = Counter[str]()
    for each in events:
        totals.update(each["quantities"])
    million = Fraction(10**6)
    price = (totals["input_token"] / million / 2) + (totals["output_token"] / million * 3 / 2)
    cost = (totals["input_token"] / million / 10) + (totals["output_token"] / million / 5)
    assert sum(Fraction(each["price"]) for each in events) == price
    assert sum(Fraction(each["cost"]) for each in events) == cost

    clock = ManualClock()
    clock.moment = datetime.now(UTC) + timedelta(days=40)
    with App(load_settings(home=home), clock) as app:
        (draft,) = app.billing.run(events[0]["recorded_at"][:7]).drafted
    lines = {line["unit"]: line["units"] for line in draft.document["lines"]}
    assert lines["input_token"] == totals["input_token"]
    assert lines["output_token"] == totals["output_token"]


@pytest.mark.timeout(300)
def test_a_new_version_takes_over_without_a_refused_call(home: Path, client: openai.OpenAI) -> None:
    recipe = f"hub:{home.parent / 'base'}"
    made = done(home, "train", "chats", "--recipe", recipe, "--epochs", "1")
    assert made["model"] == "chats@2"
    sold = done(home, "publish", "chats@2", "--product", "helper")
    assert sold["upstreams"][0]["costs"]["input"] == "0.10"  # as it was declared
    before = len(usage(home))

    def newest() -> str:
        chat(client, max_tokens=1)
        return str(usage(home)[0]["model_version"])

    eventually(lambda: newest() == "2")
    events = usage(home)[: len(usage(home)) - before]
    assert {each["outcome"] for each in events} == {"ok"}
    versions = [each["model_version"] for each in events[::-1]]
    assert versions == sorted(versions)
    done(home, "publish", "chats@1", "--product", "helper", "--allow-older")
    eventually(lambda: newest() == "1")


@pytest.mark.timeout(300)
def test_its_server_goes_with_ours_however_that_ends(home: Path, key: str) -> None:
    server = Server(home)
    with client_of(server.url, key) as client:
        eventually(lambda: is_loaded(client))
        assert children_of(server.process.pid)
        before = children_of(server.process.pid)
        server.end(signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))


@pytest.mark.timeout(300)
def test_a_bundle_that_was_changed_is_not_served(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = home / "models/chats/1"
    before = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(before + b" ")
    try:
        with App(load_settings(home=home)) as app:
            at = app.upstreams.all()["helper"][0].bundle
            assert at is not None
            keeper = app.deliver.model_servers(tmp_path / "addresses.json")
            with keeper.in_background():
                eventually(lambda: "config.json was changed" in caplog.text)
                assert not keeper._servers
    finally:
        (folder / "config.json").write_bytes(before)


def children_of(pid: int) -> set[int]:
    """All processes below one."""
    found, below = set(), {pid}
    if sys.platform != "linux":
        return found
    while below:
        parent = below.pop()
        for task in Path(f"/proc/{parent}/task").iterdir():
            for each in (task / "children").read_text().split():
                found.add(int(each))
                below.add(int(each))
    return found
