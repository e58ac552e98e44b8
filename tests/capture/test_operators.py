"""Operators: added, given other roles, given other keys, revoked; each a leaf of the log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from mintage.capture.keys import ApiKey, OperatorKey
from mintage.capture.operators import ROLES, Operators
from mintage.core.errors import ConfigError, NotAllowed, RequestError, Unauthenticated
from mintage.core.money import Money
from mintage.store import schema
from mintage.trust import audit


@pytest.fixture
def operators(shop: Any) -> Operators:
    return Operators(shop.database, shop.clock)


def logged(shop: Any, kind: str) -> list[dict[str, Any]]:
    """What the records of a kind say."""
    return [json.loads(leaf["record"]) for leaf in shop.leaves(kind)]


def refusal(operators: Operators, key: str | None) -> tuple[str, str]:
    with pytest.raises(Unauthenticated) as refused:
        operators.caller(key)
    return refused.value.message, refused.value.remedy


def test_an_operators_key_says_who_they_are_and_its_digest_alone_is_kept(
    shop: Any, operators: Operators
) -> None:
    issued = operators.add(" Ada ", "support")
    key = issued.key.reveal()
    assert key.startswith("mtg_op_")
    assert len(key) == len("mtg_op_") + 36
    assert operators.caller(key) == issued.operator
    assert (issued.operator.name, issued.operator.role) == ("Ada", "support")
    with shop.database.read() as connection:
        row = connection.execute(select(schema.operator_keys)).mappings().one()
        records = connection.execute(select(schema.log_leaves.c.record)).scalars().all()
    assert row["sha256"] == issued.key.sha256
    secret = key.removeprefix("mtg_op_").encode()
    assert not any(secret in record for record in records)
    assert secret.decode() not in repr(issued)
    said = {"operator": issued.operator.id, "last4": key[-4:], "created_at": str(shop.clock)}
    assert logged(shop, "operator.key_issued") == [
        {**said, "others_until": None, "kind": "operator.key_issued"}
    ]


def test_none_a_wrong_a_revoked_an_expired_and_a_customers_key_are_refused_alike(
    shop: Any, operators: Operators
) -> None:
    first = operators.add("Ada", "viewer")
    second = operators.rotate("Ada", 0)
    gone = operators.add("Bob", "admin")
    operators.revoke("Bob")
    typo = second.key.reveal()[:-1] + ("0" if second.key.reveal()[-1] != "0" else "1")
    keys = [
        None,
        "",
        "mtg_op_",
        typo,
        first.key.reveal(),
        gone.key.reveal(),
        OperatorKey.generate().reveal(),
        ApiKey.generate().reveal(),
        shop.key_of("Carl"),
    ]
    said = {refusal(operators, key) for key in keys}
    assert len(said) == 1
    assert operators.caller(second.key.reveal()).name == "Ada"
    with pytest.raises(Unauthenticated) as refused:
        shop.gate.caller(second.key.reveal(), "usage")
    assert {(refused.value.message, refused.value.remedy)} == said


def test_of_two_keys_the_old_one_is_taken_until_the_overlap_is_over(
    shop: Any, operators: Operators
) -> None:
    old = operators.add("Ada", "viewer")
    shop.clock.advance(1)
    new = operators.rotate(old.operator.id, 3600)
    shop.clock.advance(3599)
    assert operators.caller(old.key.reveal()) == operators.caller(new.key.reveal())
    shop.clock.advance(1)
    refusal(operators, old.key.reveal())
    assert operators.caller(new.key.reveal()).name == "Ada"
    assert new.until == str(shop.clock)
    (listed,) = operators.list()
    assert [each["expires_at"] for each in listed["keys"]] == [new.until, None]
    assert [leaf["others_until"] for leaf in logged(shop, "operator.key_issued")] == [
        None,
        new.until,
    ]


def test_a_second_rotation_never_lengthens_what_the_first_said(
    shop: Any, operators: Operators
) -> None:
    old = operators.add("Ada", "viewer")
    operators.rotate("Ada", 60)
    operators.rotate("Ada", 3600)
    shop.clock.advance(60)
    refusal(operators, old.key.reveal())


def test_a_role_may_what_it_says_and_no_more() -> None:
    from mintage.capture.operators import Operator

    may = {
        "viewer": {"viewer"},
        "support": {"viewer", "support"},
        "billing": {"viewer", "billing"},
        "admin": set(ROLES),
    }
    for has in ROLES:
        operator = Operator("opr_1", "Ada", has, "2026-11-23T12:00:00.000000Z")
        for wanted in ROLES:
            if wanted in may[has]:
                operator.check(wanted)
            else:
                with pytest.raises(NotAllowed, match=f"'{wanted}'; yours is '{has}'"):
                    operator.check(wanted)


def test_another_role_holds_from_the_next_request_and_is_logged(
    shop: Any, operators: Operators
) -> None:
    issued = operators.add("Ada", "viewer")
    operators.set_role("Ada", "billing")
    operators.set_role("Ada", "billing")
    assert operators.caller(issued.key.reveal()).role == "billing"
    assert [leaf["role"] for leaf in logged(shop, "operator.changed")] == ["billing"]


def test_a_revoked_operator_gets_no_key_no_role_and_no_namesake(
    shop: Any, operators: Operators
) -> None:
    operators.add("Ada", "admin")
    revoked = operators.revoke("Ada")
    assert operators.revoke("Ada") == revoked
    assert len(logged(shop, "operator.revoked")) == 1
    for work in (
        lambda: operators.rotate("Ada", 0),
        lambda: operators.set_role("Ada", "viewer"),
        lambda: operators.add("Ada", "viewer"),
    ):
        with pytest.raises(RequestError) as refused:
            work()
        assert refused.value.http_status == 409


@pytest.mark.parametrize(
    ("name", "role"), [("", "admin"), ("opr_1", "admin"), ("Ada", "root"), ("a\nb", "viewer")]
)
def test_what_is_no_name_or_no_role_is_refused(operators: Operators, name: str, role: str) -> None:
    with pytest.raises(ConfigError):
        operators.add(name, role)
    assert operators.list() == []


def test_whoever_has_the_folder_may_take_the_last_admin_too(operators: Operators) -> None:
    operators.add("Ada", "admin")
    operators.revoke(operators.add("Bob", "admin").operator.id, keeps_admin=True)
    with pytest.raises(RequestError) as refused:
        operators.revoke("Ada", keeps_admin=True)
    assert refused.value.http_status == 409
    assert operators.revoke("Ada").revoked_at is not None
    assert operators.revoke("Ada", keeps_admin=True).revoked_at is not None  # as they were


def test_an_unknown_operator_is_a_404(operators: Operators) -> None:
    with pytest.raises(RequestError, match="'Nobody'") as missing:
        operators.revoke("Nobody")
    assert missing.value.http_status == 404


def test_what_an_operator_does_is_logged_with_their_name_and_the_books_still_hold(
    shop: Any, operators: Operators
) -> None:
    ada = operators.add("Ada", "admin").operator
    with audit.acting(ada.actor):
        owner = shop.customers.add("Carl")
        shop.database.write(
            lambda connection: ledger_post(connection, owner.id, str(shop.clock)) and None
        )
    shop.customers.add("Dora")
    leaves = logged(shop, "customer.added")
    assert [leaf.get("actor") for leaf in leaves] == [{"operator": ada.id, "name": "Ada"}, None]
    assert logged(shop, "ledger.posted")[0]["actor"]["name"] == "Ada"
    assert shop.ledger.check().transactions == 1


def ledger_post(connection: Any, customer: str, moment: str) -> None:
    from mintage.capture.books import ledger

    five = Money.parse("5", "EUR")
    sides = [ledger.Entry("cash:manual", five), ledger.Entry(f"receivable:{customer}", -five)]
    ledger.post(connection, "payment", "pay_1", sides, moment)


def test_an_operator_who_comes_from_ever_new_addresses_fills_no_disk(
    shop: Any, operators: Operators
) -> None:
    key = operators.add("Ada", "viewer").key.reveal()
    for number in range(50):
        for __ in range(2):
            operators.enter(key, f"192.0.2.{number}")
    found = logged(shop, "operator.entered")
    assert [each["address"] for each in found] == [f"192.0.2.{number}" for number in range(20)]
    shop.clock.advance(86_400)
    operators.enter(key, "192.0.2.99")
    assert logged(shop, "operator.entered")[-1]["address"] == "192.0.2.99"
