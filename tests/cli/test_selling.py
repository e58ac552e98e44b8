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
