"""An erasure says what goes dark with it: each entry once, and none that is not what was logged."""

from __future__ import annotations

import json

import pytest
from tests import erased
from tests.capture.conftest import Shop
from tests.conftest import ManualClock
from tests.erased import ORIGIN, Dark, darkened, sell_free

from mintage.app import sealing
from mintage.capture.erasing.erasing import erase
from mintage.core.errors import LogForked, RequestError
from mintage.store.workspace import Workspace
from mintage.trust import erasures, merkle
from mintage.trust.audit import AuditLog
from mintage.trust.erasures import ERASED, Erasures
from mintage.trust.keys import KeyRing


@pytest.fixture
def shop(sealed: Workspace, keys: KeyRing) -> Shop:
    shop = Shop(sealed, keys)
    sell_free(shop)
    return shop


@pytest.fixture
def log(sealed: Workspace, keys: KeyRing, clock: ManualClock) -> AuditLog:
    return AuditLog(sealed.database, keys, ORIGIN, clock)


def call(shop: Shop, *customers: str) -> None:
    for each in customers:
        shop.meter.record(shop.usage(each)).result(10)


def test_the_root_is_rfc_6962s_over_position_and_leaf_hash(
    sealed: Workspace, keys: KeyRing
) -> None:
    dark = darkened(sealed, keys, signed=False)
    gone = [row for row in dark.rows() if row.erased]
    leaves = [merkle.leaf_hash(row.position.to_bytes(8, "big") + row.leaf_hash) for row in gone]
    (said,) = [json.loads(row.record) for row in dark.rows(ERASED)]
    assert said["entries"] == len(gone)
    assert said["entries_root"] == merkle.root(leaves).hex()
    assert said["data_keys"] == sorted({row.key for row in gone})
    assert said == {"kind": ERASED, **dark.erased.to_json()}


def test_all_keys_of_a_customer_are_named_however_many_pages_their_entries_take(
    shop: Shop, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "_PAGE", 2)
    monkeypatch.setattr(erasures, "_TOGETHER", 1)
    call(shop, "Ada", "Ben", "Ada")
    sealing.renew(shop.workspace)
    call(shop, "Ben", "Ada", "Cem")
    for who, count in (("Ada", 2), ("Ben", 2), ("Cem", 1)):
        assert len(erase(shop.workspace, who).data_keys) == count
        call(shop, "Dan")
        log.tree_head()
    (found,) = log.examine()
    assert found.fault is None
    assert found.erased == sum(row.erased for row in log.entries()) > 6
    assert log.tree_head().origin == ORIGIN


def test_an_erasing_covers_up_nothing_that_was_done_to_the_log_before(
    shop: Shop, log: AuditLog
) -> None:
    call(shop, "Ada", "Ben")
    log.tree_head()
    dark = Dark(shop, log, erased=None)  # type: ignore[arg-type]
    ada, ben = (f"customer/{shop.customers.find(who).id}" for who in ("Ada", "Ben"))
    ((ada_key,), (ben_key,)) = dark.keys_of(ada), dark.keys_of(ben)
    call_of_ben = next(row for row in dark.rows("usage") if row.key == ben_key)
    dark.mark(call_of_ben.position, ada_key)
    with pytest.raises(LogForked, match=f"position {call_of_ben.position} was changed"):
        erase(shop.workspace, "Ada")
    assert shop.customers.find("Ada").erased_at is None
    assert not any(row.erased for row in dark.rows())
    (looked,) = log.examine()
    log.begin_anew(looked)
    # What is damaged is known now, and stands in a frozen log.
    assert erase(shop.workspace, "Ada").damaged == 1
    first, second = log.examine()
    assert first.is_frozen
    assert second.fault is None


def test_a_key_that_somebody_destroyed_is_no_erasure(shop: Shop, log: AuditLog) -> None:
    call(shop, "Ada")
    dark = Dark(shop, log, erased=None)  # type: ignore[arg-type]
    ada = f"customer/{shop.customers.find('Ada').id}"
    dark.destroy(ada)
    with pytest.raises(RequestError, match="was erased already"):
        erase(shop.workspace, shop.customers.list()[0].id)
    with pytest.raises(LogForked, match="no erasure accounts for it"):
        log.check()
    dark.execute("UPDATE data_keys SET destroyed_at = NULL WHERE owner = :owner", owner=ada)
    with pytest.raises(LogForked, match="was changed after it was logged"):
        erase(shop.workspace, shop.customers.list()[0].id)


def test_an_erasure_that_comes_while_the_log_is_read_is_known_too(shop: Shop) -> None:
    call(shop, "Ada", "Ben")
    log = AuditLog(shop.database, shop.keys, ORIGIN, shop.workspace.clock)
    erase(shop.workspace, "Ada")
    known = Erasures()
    for __ in range(2):
        rows = [row for row in log.entries() if row.erased]
        with shop.database.read() as connection:
            said_by = {known.of(connection, row) for row in rows}
        assert said_by == {row.position for row in log.entries(kinds=(ERASED,))}
        if len(said_by) == 1:
            erase(shop.workspace, "Ben")


def test_an_entry_that_was_erased_is_proved_by_its_hash_and_says_by_which(
    sealed: Workspace, keys: KeyRing
) -> None:
    dark = darkened(sealed, keys, signed=True)
    row = next(row for row in dark.rows("usage") if row.erased)
    (erasure,) = dark.rows(ERASED)
    proof = dark.log.inclusion(row.position)
    proof.verify()
    said = proof.to_json(with_record=True)
    assert said["erased_by"] == erasure.position
    assert not {"record", "salt"} & said.keys()
    erased.another_customers_key(dark)
    last = dark.rows("usage")[-1]
    with pytest.raises(LogForked, match="no erasure accounts for it"):
        dark.log.inclusion(last.position)
