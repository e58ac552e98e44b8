from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from mintage.capture.key_limits import KeyLimits
from mintage.capture.keys import ApiKey
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
    assert key[9:-6] not in stored


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


def test_a_key_says_in_lists_what_it_is_bound_to(shop: Any) -> None:
    shop.customers.add("Ada")
    limits = KeyLimits.asked(
        shop.clock.now(), scopes=["predict"], products=["pets"], networks=["::1"], expires="90d"
    )
    issued = shop.customers.issue_key("Ada", limits, name=" ci ")
    [kept] = shop.customers.keys("Ada")
    assert kept == issued.info
    assert (kept.name, kept.limits) == ("ci", limits)
    [leaf] = shop.leaves("key.issued")
    assert leaf["record"] == canonical_json(kept.to_json() | {"kind": "key.issued"})


def test_a_key_for_a_product_that_is_not_sold_is_refused(shop: Any) -> None:
    shop.customers.add("Ada")
    with pytest.raises(RequestError, match="'pest'") as refused:
        shop.customers.issue_key("Ada", KeyLimits(products=("pets", "pest")))
    assert refused.value.http_status == 404
    assert list(shop.customers.keys("Ada")) == []


def test_an_api_key_is_no_name_and_is_not_repeated(shop: Any) -> None:
    secret = ApiKey.generate().reveal()
    shop.customers.add("Ada")
    for attempt in (
        lambda: shop.customers.add(f"Ada {secret}"),
        lambda: shop.customers.issue_key("Ada", name=secret),
        lambda: shop.customers.revoke_key(secret),
        lambda: shop.customers.rotate_key(secret, 0),
    ):
        with pytest.raises((ConfigError, RequestError)) as refused:
            attempt()
        assert secret[9:20] not in f"{refused.value}"


def test_a_rotated_key_and_the_one_in_its_place_are_both_taken_until_the_overlap_is_over(
    shop: Any, reopened: Any
) -> None:
    old, other = shop.key_of("Ada"), reopened()
    shop.gate.admit(old, "pets")
    other.gate.admit(old, "pets")
    rotated = shop.customers.rotate_key(shop.issued["Ada"].id, 3600)
    new = rotated.issued.key.reveal()
    assert new != old
    for gate in (shop.gate, other.gate):
        assert gate.admit(old, "pets").customer == gate.admit(new, "pets").customer
    shop.clock.advance(3600)
    for gate in (shop.gate, other.gate):
        assert gate.admit(new, "pets").key_id == rotated.issued.id
        with pytest.raises(Unauthenticated):
            gate.admit(old, "pets")


def test_a_rotation_keeps_name_limits_and_end_and_never_lengthens_the_old_ones(shop: Any) -> None:
    shop.customers.add("Ada")
    limits = KeyLimits.asked(shop.clock.now(), scopes=["predict"], products=["pets"], expires="1h")
    first = shop.customers.issue_key("Ada", limits, name="ci")
    rotated = shop.customers.rotate_key(first.id, 86_400)
    assert rotated.replaced == first.info
    new = rotated.issued.info
    assert (new.name, new.limits, new.replaces) == ("ci", limits, first.id)
    later = shop.customers.rotate_key(new.id, 0, expires_at="2027-01-01T00:00:00.000000Z")
    assert later.issued.info.limits == replace(limits, expires_at="2027-01-01T00:00:00.000000Z")
    assert later.replaced.limits.expires_at == str(shop.clock)
    assert [key.replaces for key in shop.customers.keys("Ada")] == [None, first.id, new.id]


def test_a_rotation_is_two_leaves(shop: Any) -> None:
    shop.key_of("Ada")
    rotated = shop.customers.rotate_key(shop.issued["Ada"].id, 60)
    [leaf] = shop.leaves("key.rotated")
    assert leaf["record"] == canonical_json(rotated.replaced.to_json() | {"kind": "key.rotated"})
    issued = shop.leaves("key.issued")[-1]
    record = rotated.issued.info.to_json() | {"kind": "key.issued"}
    assert issued["record"] == canonical_json(record)
    assert rotated.replaced in shop.customers.keys("Ada")


def test_a_key_is_rotated_once_and_only_while_it_is_taken(shop: Any) -> None:
    shop.key_of("Ada")
    first = shop.issued["Ada"].id
    second = shop.customers.rotate_key(first, 60).issued.id
    with pytest.raises(RequestError, match="has been rotated") as refused:
        shop.customers.rotate_key(first, 60)
    assert second in refused.value.remedy
    shop.customers.revoke_key(second)
    with pytest.raises(RequestError, match="revoked or has expired"):
        shop.customers.rotate_key(second, 60)
    limits = KeyLimits.asked(shop.clock.now(), expires="1h")
    third = shop.customers.issue_key("Ada", limits).id
    shop.clock.advance(3600)
    with pytest.raises(RequestError, match="revoked or has expired") as late:
        shop.customers.rotate_key(third, 60)
    assert late.value.http_status == refused.value.http_status == 409
    with pytest.raises(ConfigError, match="too long"):
        shop.customers.rotate_key(third, 1e15)
