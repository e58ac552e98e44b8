"""What is declared of an upstream, where its key is, and what it asks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.errors import ConfigError, RequestError
from mintage.deliver.upstreams.declarations import Upstreams
from mintage.deliver.upstreams.declared import Costs, Upstream, base_of, name_of
from mintage.deliver.upstreams.secret import Secret
from mintage.store.workspace import Workspace

COUNTS = st.integers(0, 10**9)


def upstream(name: str = "one", **more: Any) -> Upstream:
    said = {"product": "assistant", "url": "http://127.0.0.1:1/v1", "model": "m"}
    return Upstream(name=name, **said | more)


@given(COUNTS, COUNTS, COUNTS)
def test_a_cost_is_exact(fresh: int, cached: int, output: int) -> None:
    costs = Costs("USD", "0.27", "1.10", "0.07", "0.001")
    quantities = {"request": 1, "input_token": fresh + cached, "output_token": output}
    exact = (
        Fraction("0.27") * fresh + Fraction("0.07") * cached + Fraction("1.1") * output
    ) / 10**6 + Fraction("0.001")
    assert Fraction(costs.of(quantities, cached)) == exact
    # Where a plan prices cached tokens apart, they are apart in the event: it costs the same.
    apart = quantities | {"input_token": fresh, "cached_input_token": cached}
    assert Fraction(costs.of(apart, cached)) == exact


@pytest.mark.parametrize(
    ("each", "tokens", "cost"),
    [
        ("0.27", 0, "0"),
        ("0.0000011", 1, "0.000000000002"),
        ("0.000001", 10, "0.00000000001"),
        ("2.50", 4_000_000, "10"),
    ],
)
def test_a_cost_is_rounded_up_to_12_decimals_and_spelled_without_idle_zeros(
    each: str, tokens: int, cost: str
) -> None:
    assert Costs("USD", input=each).of({"input_token": tokens}) == cost


@pytest.mark.parametrize("costs", [("XXQ",), ("USD", "-1"), ("USD", "1", "a lot")])
def test_what_is_no_cost_is_refused(costs: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        Costs(*costs)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://api.example.com", "https://api.example.com/v1"),
        ("https://api.example.com/", "https://api.example.com/v1"),
        ("http://localhost:8000/openai/v2/", "http://localhost:8000/openai/v2"),
    ],
)
def test_an_address_is_the_base_of_an_api(given: str, base: str) -> None:
    assert base_of(given) == base


@pytest.mark.parametrize(
    "address",
    [
        "api.example.com",
        "ftp://x",
        "https://",
        "https://me:hunter2@x",
        "https://x?key=1",
        "http://[",
        "https://x:port",
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "https://100.100.100.200",
    ],
)
def test_what_is_no_address_is_refused_and_a_password_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        base_of(address)
    assert "hunter2" not in str(refused.value)


def test_an_upstream_without_a_name_has_its_hosts() -> None:
    assert name_of("https://api.example.com/v1") == "api.example.com"
    assert name_of("http://127.0.0.1:8000/v1") == "127.0.0.1-8000"


@pytest.mark.parametrize(
    "more",
    [
        {"name": "No Name"},
        {"model": ""},
        {"model": "m" * 121},
        {"weight": 0},
        {"place": 0},
        {"most_output": 0},
        {"deadline_seconds": 0},
        {"deadline_seconds": 601},
    ],
)
def test_what_no_upstream_can_be_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        upstream(**more)


def test_a_key_is_read_where_it_is_and_said_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted\n")
    path = tmp_path / "key"
    path.write_text("sk-planted\n")
    path.chmod(0o600)
    for secret in (Secret.at("UPSTREAM_KEY", None), Secret.at(None, path)):
        found = secret.read()
        assert found is not None
        assert found.get_secret_value() == "sk-planted"
        assert "planted" not in f"{secret} {found!r} {upstream(secret=secret)}"
    assert Secret().read() is None


def test_a_key_that_others_can_read_or_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("sk-planted")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="read by others"):
        Secret.at(None, path).read()
    path.chmod(0o600)
    path.write_text("")
    with pytest.raises(ConfigError, match="empty"):
        Secret.at(None, path).read()
    monkeypatch.delenv("UPSTREAM_KEY", raising=False)
    for secret in (Secret.at(None, tmp_path / "nothing"), Secret.at("UPSTREAM_KEY", None)):
        with pytest.raises(ConfigError):
            secret.read()
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted\r\nX-Other: 1")
    with pytest.raises(ConfigError) as refused:
        Secret.at("UPSTREAM_KEY", None).read()
    assert "planted" not in str(refused.value)
    # Whoever pastes the key itself is not told it again.
    with pytest.raises(ConfigError) as refused:
        Secret.at("sk-planted-key", None)
    assert "planted" not in str(refused.value)
    with pytest.raises(ConfigError):
        Secret.at("UPSTREAM_KEY", path)


def test_upstreams_stand_in_their_order_until_they_are_removed(workspace: Workspace) -> None:
    upstreams = Upstreams(workspace.database, workspace.now)
    costs = Costs("CNY", "2", "8", "0.5")
    upstreams.declare(upstream("second", place=2, costs=costs), "standard")
    upstreams.declare(upstream("first", secret=Secret("env:KEY")), "standard")
    upstreams.declare(upstream("third", place=2, model="was"), "standard")
    upstreams.declare(upstream("third", place=2, model="is"), "standard")
    found = upstreams.of("assistant")
    assert [each.name for each in found] == ["first", "second", "third"]
    assert found[1] == upstream("second", place=2, costs=costs)
    assert found[1].digest == upstream("second", place=2, costs=costs).digest
    assert found[2].model == "is"
    epoch = upstreams.epoch()
    upstreams.remove("assistant", "first")
    assert upstreams.epoch() != epoch
    assert [each.name for each in upstreams.of("assistant")] == ["second", "third"]
    with pytest.raises(RequestError) as refused:
        upstreams.remove("assistant", "first")
    assert refused.value.http_status == 404
    assert upstreams.of("another") == ()
