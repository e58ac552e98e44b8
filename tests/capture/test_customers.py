from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import ConfigError, RequestError, Unauthenticated
from mintage.store import schema


def test_a_customer_is_found_by_name_and_by_id(shop: Any) -> None:
    ada = shop.customers.add("  Ada GmbH ")
    assert ada.name == "Ada GmbH"
    assert shop.customers.find("Ada GmbH") == shop.customers.find(ada.id) == ada
    bob = shop.customers.add("Bob")
    assert list(shop.customers.list()) == [ada, bob]


def test_a_second_customer_of_one_name_is_refused(shop: Any) -> None:
    shop.customers.add("Ada")
    with pytest.raises(RequestError, match="already") as refused:
        shop.customers.add("Ada")
    assert refused.value.http_status == 409
    assert len(shop.leaves("customer.added")) == len(shop.customers.list()) == 1


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a" * 201, "cus_01"])
def test_what_is_no_name_is_refused(shop: Any, name: str) -> None:
    with pytest.raises(ConfigError):
        shop.customers.add(name)


def test_an_unknown_customer_and_an_unknown_key_are_named_in_the_error(shop: Any) -> None:
    for ask in (shop.customers.find, shop.customers.issue_key, shop.customers.keys):
        with pytest.raises(RequestError, match="'Nobody'") as missing:
            ask("Nobody")
        assert missing.value.http_status == 404
    with pytest.raises(RequestError, match="'key_none'") as missing:
        shop.customers.revoke_key("key_none")
    assert missing.value.http_status == 404
    assert shop.leaves("key.issued") == []


def test_of_a_key_only_its_digest_and_last_four_are_kept(shop: Any) -> None:
    shop.customers.add("Ada")
    issued = shop.customers.issue_key("Ada")
    [kept] = shop.customers.keys("Ada")
    assert (kept.id, kept.last4, kept.revoked_at) == (issued.id, issued.key.last4, None)
    key = issued.key.reveal().encode()
    shop.gate.admit(issued.key.reveal(), "pets")
    with shop.database.read() as connection:
        rows = [connection.execute(select(table)).all() for table in schema.metadata.sorted_tables]
    stored = repr(rows).encode() + b"".join(
        path.read_bytes() for path in shop.workspace.home.rglob("*") if path.is_file()
    )
    assert sha256_hex(key).encode() in stored
    assert key not in stored
    assert key[3:-6] not in stored


def test_each_change_is_a_row_and_a_leaf(shop: Any) -> None:
    ada = shop.customers.add("Ada")
    issued = shop.customers.issue_key(ada.id)
    revoked = shop.customers.revoke_key(issued.id)
    expected = {
        "customer.added": ada.to_json(),
        "key.issued": revoked.to_json() | {"revoked_at": None},
        "key.revoked": revoked.to_json(),
    }
    for kind, record in expected.items():
        [leaf] = shop.leaves(kind)
        assert leaf["record"] == canonical_json(record | {"kind": kind})


def test_a_revoked_key_stays_as_it_is_when_revoked_again(shop: Any) -> None:
    shop.customers.add("Ada")
    issued = shop.customers.issue_key("Ada")
    first = shop.customers.revoke_key(issued.id)
    shop.clock.advance(60)
    assert shop.customers.revoke_key(issued.id) == first
    assert len(shop.leaves("key.revoked")) == 1


def test_a_revoked_key_is_refused_on_the_next_request_of_every_process(
    shop: Any, reopened: Any
) -> None:
    key, other = shop.key_of("Ada"), reopened()
    assert other.gate.admit(key, "pets").customer == shop.gate.admit(key, "pets").customer
    shop.customers.revoke_key(shop.issued["Ada"].id)
    for gate in (other.gate, shop.gate):
        with pytest.raises(Unauthenticated):
            gate.admit(key, "pets")


def test_another_key_of_the_same_customer_goes_on(shop: Any) -> None:
    first = shop.key_of("Ada")
    second = shop.customers.issue_key("Ada").key.reveal()
    shop.customers.revoke_key(shop.issued["Ada"].id)
    assert shop.gate.admit(second, "pets").key_id != shop.issued["Ada"].id
    with pytest.raises(Unauthenticated):
        shop.gate.admit(first, "pets")
