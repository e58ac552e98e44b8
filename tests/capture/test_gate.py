from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import event

from mintage.capture.key_limits import KeyLimits
from mintage.capture.keys import ApiKey
from mintage.core.errors import NotAllowed, NotReady, RequestError, Unauthenticated
from mintage.core.money import Price
from mintage.core.ports import Gate
from mintage.core.types import Caller


def test_a_permit_names_customer_key_and_the_price_in_force(shop: Any) -> None:
    gate: Gate = shop.gate
    permit = gate.admit(shop.key_of("Ada"), "pets")
    assert permit.customer == shop.customers.find("Ada").id
    assert permit.customer == shop.gate.caller(shop.key_of("Ada"), "usage").customer
    assert permit.key_id == shop.issued["Ada"].id
    assert (permit.product, permit.plan, permit.plan_version) == ("pets", "standard", 1)
    assert permit.prices == {"image": Price("0.02", "EUR")}


def test_no_malformed_unknown_or_revoked_key_is_told_from_another(shop: Any) -> None:
    revoked = shop.key_of("Ada")
    shop.customers.revoke_key(shop.issued["Ada"].id)
    answers = set()
    for key in (None, "", "mtg_live_nonsense", ApiKey.generate().reveal(), revoked):
        with pytest.raises(Unauthenticated) as refused:
            shop.gate.admit(key, "pets")
        with pytest.raises(Unauthenticated, match=refused.value.message):
            shop.gate.caller(key, "usage")
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


def limited(shop: Any, **said: Any) -> str:
    """A key of Ada's that is bound so."""
    shop.key_of("Ada")
    limits = KeyLimits.asked(shop.clock.now(), **said)
    return shop.customers.issue_key("Ada", limits).key.reveal()


def test_a_key_without_the_scope_may_not(shop: Any) -> None:
    reading, calling = limited(shop, scopes=["usage"]), limited(shop, scopes=["predict"])
    with pytest.raises(NotAllowed, match="'predict'") as refused:
        shop.gate.admit(reading, "pets")
    assert (refused.value.http_status, refused.value.code) == (403, "not_allowed")
    assert shop.gate.caller(reading, "usage") == Caller(shop.customers.find("Ada").id)
    assert shop.gate.admit(calling, "pets")
    for scope in ("usage", "feedback"):
        with pytest.raises(NotAllowed, match=scope):
            shop.gate.caller(calling, scope)


def test_a_key_for_some_products_calls_and_shows_those_alone(shop: Any) -> None:
    shop.sell("birds")
    key = limited(shop, products=["pets"])
    shop.meter.record(shop.usage(permit=shop.gate.admit(key, "pets"))).result()
    other = shop.usage(permit=shop.gate.admit(shop.key_of("Ada"), "birds"))
    hidden = shop.meter.record(other).result()
    for product in ("birds", "never sold"):
        with pytest.raises(NotAllowed, match=product):
            shop.gate.admit(key, product)
    caller = shop.gate.caller(key, "usage")
    assert caller.products == {"pets"}
    (seen,) = shop.history.list_usage(caller.customer, among=caller.products)
    assert seen.product == "pets"
    with pytest.raises(RequestError, match=hidden.id):
        shop.history.find_receipt(hidden.id, caller.customer, caller.products)
    with pytest.raises(RequestError, match=hidden.id):
        shop.history.list_usage(caller.customer, after=hidden.id, among=caller.products)


def test_every_call_is_held_to_the_networks_also_by_a_kept_permit(shop: Any) -> None:
    key = limited(shop, networks=["10.0.0.0/8"])
    for __ in range(2):
        assert shop.gate.admit(key, "pets", "10.1.2.3")
        for outside in ("203.0.113.9", None):
            with pytest.raises(NotAllowed):
                shop.gate.admit(key, "pets", outside)
            with pytest.raises(NotAllowed):
                shop.gate.caller(key, "usage", outside)
    assert shop.gate.caller(key, "usage", "10.1.2.3")


def test_no_kept_permit_outlives_its_key(shop: Any) -> None:
    key = limited(shop, expires="1h")
    permit = shop.gate.admit(key, "pets")
    shop.clock.advance(3599)
    assert shop.gate.admit(key, "pets") is permit
    shop.clock.advance(1)
    with pytest.raises(Unauthenticated) as expired:
        shop.gate.admit(key, "pets")
    with pytest.raises(Unauthenticated) as unknown:
        shop.gate.admit(ApiKey.generate().reveal(), "pets")
    assert str(expired.value) == str(unknown.value)
    with pytest.raises(Unauthenticated):
        shop.gate.caller(key, "usage")


def test_an_expired_key_is_unknown_before_anything_else_is_said_of_it(shop: Any) -> None:
    said = {"scopes": ["usage"], "products": ["pets"], "networks": ["10.0.0.0/8"], "expires": "1h"}
    key = limited(shop, **said)
    shop.clock.advance(3600)
    for product in ("pets", "birds"):
        with pytest.raises(Unauthenticated):
            shop.gate.admit(key, product, "203.0.113.9")
    with pytest.raises(Unauthenticated):
        shop.gate.caller(key, "predict", "203.0.113.9")
