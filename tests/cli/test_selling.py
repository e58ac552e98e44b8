"""What is said of prices and trials on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.terminal import Terminal

from mintage.app.root import App


def test_what_an_explanation_costs_is_said_where_prices_are(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    mintage("publish", "pets@1", "--product", "pets", "--price", "0.02", *at)
    assert "explanations: included" in mintage.out
    assert mintage("products", *at).splitlines()[1].split()[-1] == "included"
    mintage("publish", "pets@1", "--product", "pets", "--explanation-price", "0.005", *at)
    assert "pets → pets@1, 0.02 EUR per image" in mintage.out
    assert "explanations: 0.005 EUR" in mintage.out
    (listed,) = mintage.json("products", *at)
    assert (listed["plan"]["price"], listed["plan"]["explanation_price"]) == ("0.02", "0.005")
    wrong = ("publish", "pets@1", "--product", "pets", "--explanation-price", "dear")
    mintage(*wrong, *at, status=2)
    assert "Not an amount: 'dear'." in mintage.err


def test_a_shadow_is_listed_beside_the_stable_version_and_taken_back(
    mintage: Terminal, home: Path
) -> None:
    publish = ("publish", "pets@1", "--product", "pets", "--home", home)
    mintage(*publish, "--shadow", "20%", status=2)
    assert "There is no product 'pets'" in mintage.err
    mintage(*publish)
    done = mintage.json(*publish, "--shadow", "20%")
    assert (done["alias"], done["percent"]) == ("shadow", 20)
    (listed,) = mintage.json("products", "--home", home)
    assert (listed["shadow"]["percent"], listed["canary"]) == (20, None)
    assert "pets@1 (20 %)" in mintage("products", "--home", home)
    mintage(*publish, "--shadow", "20%", "--price", "0.5")
    mintage("rollback", "pets", "--home", home)
    assert "Undone: the publish of pets@1 as shadow. The price stays 0.5 EUR." in mintage.err
    mintage("rollback", "pets", "--home", home)
    (listed,) = mintage.json("products", "--home", home)
    assert listed["shadow"] is None
    mintage(*publish, "--shadow", "20%", "--canary", "5%", status=2)
    assert "not both" in mintage.err


def test_a_rate_is_said_once_and_stays_until_it_is_lifted(mintage: Terminal, home: Path) -> None:
    publish = ("publish", "pets@1", "--product", "pets", "--home", home)
    mintage(*publish, "--rate", "600/minute")
    assert "each customer: 600/minute" in mintage.out
    mintage(*publish, "--price", "0.03")
    assert "each customer: 600/minute" in mintage.out
    assert mintage.json(*publish, "--rate", "none")["plan"]["rate"] is None
    mintage(*publish, "--rate", "often", status=2)
    assert "Not a rate: 'often'." in mintage.err


def test_the_trial_is_an_option_of_serve_and_a_setting(
    mintage: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[int | None] = []

    def instead(app: App, **_options: Any) -> None:
        served.append(app.settings.trial)

    monkeypatch.setattr("mintage.cli.serving.run_server", instead)
    mintage("publish", "pets@1", "--product", "pets", "--home", home)
    mintage("serve", "--home", home)
    mintage("serve", "--trial", 3, "--home", home)
    monkeypatch.setenv("MINTAGE_TRIAL", "7")
    mintage("serve", "--home", home)
    assert served == [None, 3, 7]
    mintage("serve", "--trial", 0, "--home", home, status=2)
    monkeypatch.setenv("MINTAGE_TRIAL", "0")
    mintage("serve", "--home", home, status=2)
    assert "MINTAGE_TRIAL" in mintage.err


def test_a_key_is_bound_listed_and_rotated_by_the_verbs(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    mintage("publish", "pets@1", "--product", "pets", *at)
    mintage("customer", "add", "Ada", *at)
    add = ("key", "add", "Ada", "--scope", "predict,usage", "--product", "pets")
    more = ("--network", "10.0.0.0/8", "--network", "::1", "--expires", "90d", "--name", "ci")
    made = mintage.json(*add, *more, *at)
    assert made["key"].startswith("mtg_live_")
    assert (made["scopes"], made["products"], made["name"]) == (
        ["predict", "usage"],
        ["pets"],
        "ci",
    )
    assert made["networks"] == ["10.0.0.0/8", "::1/128"]
    rotated = mintage.json("key", "rotate", made["key_id"], "--overlap", "1h", *at)
    assert rotated["expires_at"] == made["expires_at"] > rotated["replaced"]["expires_at"]
    first, old, new = mintage.json("key", "list", "Ada", *at)
    assert (first["products"], first["networks"], first["expires_at"]) == (None, None, None)
    assert old == rotated["replaced"]
    assert (new["replaces"], new["name"], new["scopes"]) == (old["id"], "ci", old["scopes"])
    shown = mintage("key", "list", "Ada", *at)
    for word in ("10.0.0.0/8", "predict, usage", "any product", "anywhere", new["expires_at"][:16]):
        assert word in shown
    secret = mintage("key", "rotate", new["id"], "--expires", "2100-01-01", *at).strip()
    assert f"in place of {new['id']}" in mintage.err
    assert secret not in mintage.err
    assert mintage.json("key", "list", "Ada", *at)[-1]["expires_at"][:10] == "2100-01-01"


def test_a_wrong_limit_of_a_key_is_refused_and_no_key_is_ever_quoted(
    mintage: Terminal, home: Path
) -> None:
    at = ("--home", home)
    key = mintage.json("customer", "add", "Ada", *at)["key"]
    for option, value, fault in (
        ("--scope", "admin", "There is no scope 'admin'."),
        ("--scope", "", "There is no scope ''."),
        ("--product", "pest", "There is no product 'pest'."),
        ("--network", "10.0.0.1/8", "Not a network: '10.0.0.1/8'."),
        ("--expires", "soon", "Not a time to expire at: 'soon'."),
        ("--expires", "2020-01-01", "would never be valid"),
        ("--name", key, "Not a name for a key"),
    ):
        mintage("key", "add", "Ada", option, value, *at, status=2)
        assert fault in mintage.err
        assert key not in mintage.err
    assert len(mintage.json("key", "list", "Ada", *at)) == 1
    for words in (("key", "revoke", key), ("key", "rotate", key), ("key", "list", key), (key,)):
        mintage(*words, *at, "--json", status=2)
        assert key[9:20] not in mintage.out + mintage.err
    mintage("--debug", "key", "rotate", key, *at, status=2)
    assert key[9:20] not in mintage.err
    mintage("key", "rotate", "key_none", "--overlap", "long", *at, status=2)
    assert "Not a duration: 'long'." in mintage.err
