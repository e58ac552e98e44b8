from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import event

from mintage.capture.keys import ApiKey
from mintage.core.errors import NotReady, RequestError, Unauthenticated
from mintage.core.money import Price
from mintage.core.ports import Gate


def test_a_permit_names_customer_key_and_the_price_in_force(shop: Any) -> None:
    gate: Gate = shop.gate
    permit = gate.admit(shop.key_of("Ada"), "pets")
    assert permit.customer == shop.customers.find("Ada").id
    assert permit.customer == shop.gate.customer(shop.key_of("Ada"))
    assert permit.key_id == shop.issued["Ada"].id
    assert (permit.product, permit.plan, permit.plan_version) == ("pets", "standard", 1)
    assert permit.prices == {"image": Price("0.02", "EUR")}


def test_no_malformed_unknown_or_revoked_key_is_told_from_another(shop: Any) -> None:
    revoked = shop.key_of("Ada")
    shop.customers.revoke_key(shop.issued["Ada"].id)
    answers = set()
    for key in (None, "", "mk_nonsense", ApiKey.generate().reveal(), revoked):
        with pytest.raises(Unauthenticated) as refused:
            shop.gate.admit(key, "pets")
        with pytest.raises(Unauthenticated, match=refused.value.message):
            shop.gate.customer(key)
        error = refused.value
        answers.add((str(error), error.remedy, error.http_status, error.code))
        assert error.__cause__ is None
        assert error.__context__ is None
    assert len(answers) == 1


def test_a_permit_is_kept_until_a_key_a_plan_or_a_product_changes(shop: Any) -> None:
    key, asked = shop.key_of("Ada"), []
    event.listen(shop.database._engine, "begin", asked.append)
    assert shop.gate.admit(key, "pets") == shop.gate.admit(key, "pets")
    shop.meter.record(shop.usage(permit=shop.gate.admit(key, "pets"))).result()
    asked.clear()
    shop.gate.admit(key, "pets")
    assert not asked  # what is metered changes nothing
    shop.plans.set("standard", "0.05", "EUR", unit="image", per=1)
    assert shop.gate.admit(key, "pets").prices["image"] == Price("0.05", "EUR")


def test_a_key_revoked_by_another_process_is_refused_from_the_next_call_on(shop: Any) -> None:
    key, number = shop.key_of("Ada"), shop.issued["Ada"].id
    shop.gate.admit(key, "pets")
    program = (
        "import sys; from pathlib import Path\n"
        "from mintage.app.root import App\n"
        "from mintage.core.settings import load_settings\n"
        "with App(load_settings(home=Path(sys.argv[1]))) as app:\n"
        "    app.capture.customers.revoke_key(sys.argv[2])\n"
    )
    subprocess.run([sys.executable, "-c", program, shop.workspace.home, number], check=True)
    with pytest.raises(Unauthenticated):
        shop.gate.admit(key, "pets")


def test_a_typo_is_refused_without_asking_the_database(shop: Any) -> None:
    key = shop.key_of("Ada")
    typo = key[:-1] + ("0" if key[-1] != "0" else "1")
    shop.database.close()
    with pytest.raises(Unauthenticated):
        shop.gate.admit(typo, "pets")


def test_a_stranger_cannot_learn_which_products_there_are(shop: Any) -> None:
    for product in ("pets", "secret"):
        with pytest.raises(Unauthenticated):
            shop.gate.admit(ApiKey.generate().reveal(), product)
    with pytest.raises(RequestError, match="'secret'") as missing:
        shop.gate.admit(shop.key_of("Ada"), "secret")
    assert missing.value.http_status == 404
    assert missing.value.remedy == "GET /v1/products lists what is sold here."


def test_a_product_whose_plan_was_never_set_is_not_ready(shop: Any) -> None:
    shop.sell("birds", plan="gold")
    with pytest.raises(NotReady, match="no price"):
        shop.gate.admit(shop.key_of("Ada"), "birds")
    shop.plans.set("gold", "1.50", "USD")
    assert shop.gate.admit(shop.key_of("Ada"), "birds").prices["image"] == Price("1.5", "USD")
