"""Products that upstreams answer for, at the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.terminal import Terminal

LIST = """
currency = "USD"
dated = 2020-01-01
source = "https://example.com/pricing"

[models.talker]
input = "0.27"
output = "1.10"
"""


def test_what_an_upstream_asks_is_taken_from_a_dated_list(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    (tmp_path / "prices.toml").write_text(LIST)
    add = ("product", "add", "assistant", "--upstream", "https://example.com", "--model", "talker")
    prices = ("--price-input", "1", "--price-output", "4")
    listed = ("--cost-list", "prices.toml")
    mintage(*add, *prices, *listed, "--cost-input", "1", "--currency", "USD", *at, status=2)
    assert "not both" in mintage.err
    mintage(*add, *prices, *listed, *at)  # the prices are in the list's currency
    assert "The price list is of 2020-01-01" in mintage.err
    mintage("product", "show", "assistant", *at)
    assert "asks what https://example.com/pricing said on 2020-01-01" in mintage.err
    (upstream,) = mintage.json("product", "show", "assistant", *at)["upstreams"]
    assert upstream["costs"]["dated"] == "2020-01-01"
    assert mintage.json("plan", "show", "assistant", *at)["currency"] == "USD"


def test_the_plan_that_the_guide_shows_can_be_set_and_sold_by(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    guide = Path(__file__).parents[2] / "docs/how-to/language-models.md"
    blocks = re.findall(r"```toml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    (plan,) = [block for block in blocks if "[[charges]]" in block]
    (tmp_path / "tokens.toml").write_text(plan, encoding="utf-8")
    mintage("plan", "set", tmp_path / "tokens.toml", *at)
    upstream = ("--upstream", "https://example.com", "--model", "talker", "--plan", "tokens")
    mintage("product", "add", "assistant", *upstream, *at)
    assert mintage.json("product", "show", "assistant", *at)["plan"] == "tokens@1"


def test_what_is_not_said_anew_of_an_upstream_holds_on(mintage: Terminal, tmp_path: Path) -> None:
    at = ("--home", tmp_path / "home")
    prices = ("--price-input", "1", "--price-output", "4", "--currency", "USD")
    costs = ("--cost-input", "0.27", "--cost-output", "1.10")

    def add(*more: object, url: str = "https://example.com", model: str = "talker") -> dict:
        declared = ("--upstream", url, "--model", model, "--name", "theirs")
        said = mintage.json("product", "add", "assistant", *declared, *more, *at)
        (upstream,) = said["upstreams"]
        return {name: upstream[name] for name in ("costs", "secret", "place")}

    first = add(*prices, *costs, "--secret-env", "UPSTREAM_KEY")
    assert (first["costs"]["input"], first["secret"]) == ("0.27", "env:UPSTREAM_KEY")
    assert add("--place", 2) == first | {"place": 2}
    assert "is not known" not in mintage.err
    other = add(model="thinker")  # the address's key, but what it asks is not known
    assert (other["costs"], other["secret"]) == (None, "env:UPSTREAM_KEY")
    assert "is not known" in mintage.err
    moved = add(url="https://elsewhere.example.com", model="thinker")
    assert moved["secret"] == ""  # another host gets no key that was not meant for it


def test_personal_data_stays_unless_it_is_said_that_it_may_leave(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    prices = ("--price-input", "1", "--price-output", "4", "--currency", "USD")

    def add(name: str, *more: object) -> None:
        declared = ("--upstream", "https://example.com", "--model", "talker", "--name", name)
        mintage("product", "add", "assistant", *declared, *more, *at)

    def shown() -> dict[str, list[str]]:
        found = mintage.json("product", "show", "assistant", *at)["upstreams"]
        return {each["name"]: each["deidentify"] for each in found}

    add("remote", "--deidentify", "phone,email", *prices)
    assert shown() == {"remote": ["email", "phone"]}
    add("remote", "--place", 2)
    assert shown() == {"remote": ["email", "phone"]}
    assert "gets personal data" not in mintage.err
    add("local")
    assert (
        "local gets personal data that others of this product do not: email, phone." in mintage.err
    )
    mintage("product", "show", "assistant", *at)
    assert "remote gets placeholders for email, phone." in mintage.err
    assert "local gets personal data" in mintage.err
    add("remote", "--deidentify", "none")
    assert shown() == {"remote": [], "local": []}
    mintage(
        "product", "add", "assistant", "--upstream", "https://example.com", "--model", "talker",
        "--deidentify", "name", *at, status=2,
    )  # fmt: skip
    assert "No kind of personal data that can be replaced: 'name'" in mintage.err


def test_what_is_sold_by_the_token_has_all_of_its_prices_in_the_list(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    add = ("product", "add", "assistant", "--upstream", "https://example.com", "--model", "talker")
    prices = ("--price-input", "1", "--price-cached-input", "0.5", "--price-output", "4")
    mintage(*add, *prices, "--currency", "USD", "--cost-hour", "2.50", *at)
    said = " ".join(mintage("products", *at).split())
    assert "1, 4, 0.5 USD 1,000,000 × input_token, output_token, cached_input_token" in said
    (sold,) = mintage.json("products", *at)
    assert sold["plan"]["prices"]["output_token"] == {"amount": "4", "per": 1_000_000}
    assert "2.50 an hour" in mintage("product", "show", "assistant", *at)
    (upstream,) = mintage.json("product", "show", "assistant", *at)["upstreams"]
    assert upstream["costs"]["hour"] == "2.50"


def test_a_server_that_has_no_key_for_an_upstream_says_so_as_it_starts(
    mintage: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", tmp_path / "home")
    add = ("product", "add", "assistant", "--upstream", "https://example.com", "--model", "talker")
    prices = ("--price-input", "1", "--price-output", "4", "--currency", "USD")
    mintage(*add, *prices, "--secret-env", "UPSTREAM_KEY", *at)

    def started(*_given: object, **_more: object) -> None:
        """In place of a server."""

    monkeypatch.setattr("mintage.cli.serving.run_server", started)
    mintage("serve", *at)
    said = " ".join(mintage.err.split())
    assert "The environment variable UPSTREAM_KEY is not set." in said
    assert "example.com cannot be asked for assistant" in said
    doctor = {each["check"]: each for each in mintage.json("doctor", *at)}
    assert doctor["key of example.com"]["status"] == "warning"
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted")
    mintage("serve", *at)
    assert "UPSTREAM_KEY" not in mintage.err
    doctor = {each["check"]: each for each in mintage.json("doctor", *at)}
    assert doctor["keys of upstreams"]["status"] == "ok"
    assert "sk-planted" not in str(doctor)
