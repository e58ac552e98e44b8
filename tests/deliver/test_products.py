"""Products: publishing is rows and a leaf in one transaction."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from mintage.core.errors import ConfigError, RequestError
from mintage.deliver.products import Pointer, Products, Routing
from mintage.store import schema
from mintage.store.workspace import Workspace

DIGEST, OTHER = "a" * 64, "b" * 64
MODELS = [("cats-and-dogs", 3, DIGEST), ("pets", 1, DIGEST), ("pets", 2, OTHER)]


@pytest.fixture
def products(workspace: Workspace) -> Products:
    """With three models to publish."""
    shared = {"dataset": "pets", "dataset_version": "c" * 64, "run": "run_1", "created_at": "now"}
    rows = [
        {"name": name, "version": version, "bundle_digest": digest, "log_position": 0, **shared}
        for name, version, digest in MODELS
    ]
    workspace.database.write(lambda connection: connection.execute(schema.models.insert(), rows))
    return Products(workspace.database, workspace.now)


def leaves(workspace: Workspace) -> list[dict]:
    with workspace.database.read() as connection:
        rows = connection.execute(select(schema.log_leaves.c.record)).scalars().all()
    return [json.loads(row) for row in rows]


def test_a_shadow_stands_beside_the_stable_version_until_the_next_publish(products) -> None:
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "basic", "shadow", 20)
    stable, other = Pointer("pets", 1, DIGEST), Pointer("pets", 2, OTHER)
    assert products.routing("pets") == Routing(stable, percent=20, shadow=other)
    products.publish("pets", "pets", 2, OTHER, "basic", "canary", 5)
    assert products.routing("pets") == Routing(stable, other, 5)
    products.rollback("pets", products.before("pets"))
    assert products.routing("pets") == Routing(stable, percent=20, shadow=other)
    products.rollback("pets", products.before("pets"))
    assert products.routing("pets") == Routing(stable)


def test_publishing_makes_the_product_its_alias_and_one_leaf(products, workspace) -> None:
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "per-picture")
    assert products.get("pets").plan == "per-picture"
    assert products.routing("pets").stable == Pointer("cats-and-dogs", 3, DIGEST)
    [leaf] = leaves(workspace)
    assert leaf["product"] == "pets"
    assert leaf["bundle_digest"] == DIGEST
    assert (leaf["version"], leaf["plan"]) == (3, "per-picture")


def test_publishing_again_moves_the_alias_and_the_log_keeps_both(products, workspace) -> None:
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "better")
    assert products.routings() == {"pets": Routing(Pointer("pets", 2, OTHER))}
    assert [product.plan for product in products.list()] == ["better"]
    assert [leaf["version"] for leaf in leaves(workspace)] == [1, 2]


def test_another_process_sees_the_publish_at_once(products, workspace) -> None:
    from mintage.store.backend import backend_of
    from mintage.store.engine import Database

    other = Database(backend_of(workspace.home, None))
    try:
        products.publish("pets", "pets", 1, DIGEST, "basic")
        assert Products(other, workspace.now).routing("pets").stable.version == 1
    finally:
        other.close()


def test_a_publish_whose_leaf_fails_leaves_no_row(products, workspace, monkeypatch) -> None:
    from mintage.deliver import products as module

    def refuse(*_args: object) -> None:
        raise ArithmeticError("no leaf")

    monkeypatch.setattr(module.audit, "append", refuse)
    with pytest.raises(ArithmeticError, match="no leaf"):
        products.publish("pets", "pets", 1, DIGEST, "basic")
    assert products.list() == []
    assert products.routings() == {}


def test_an_unknown_product_is_a_404(products) -> None:
    for ask in (products.get, products.routing):
        with pytest.raises(RequestError) as missing:
            ask("nothing")
        assert missing.value.http_status == 404


def test_a_name_that_could_not_stand_in_an_address_is_refused(products) -> None:
    with pytest.raises(ConfigError):
        products.publish("../pets", "pets", 1, DIGEST, "basic")


def test_a_model_that_was_removed_in_the_meantime_is_not_published(products, workspace) -> None:
    gone = schema.models.update().where(schema.models.c.name == "cats-and-dogs")
    workspace.database.write(lambda connection: connection.execute(gone.values(removed_at="now")))
    with pytest.raises(RequestError, match="no model cats-and-dogs@3"):
        products.publish("pets", "cats-and-dogs", 3, DIGEST, "basic")
    assert products.list() == []
    assert leaves(workspace) == []


def test_a_canary_stands_beside_the_stable_version_until_one_becomes_stable(products) -> None:
    with pytest.raises(RequestError, match="no stable version") as refused:
        products.publish("pets", "pets", 2, OTHER, "basic", "canary", 5)
    assert refused.value.http_status == 409
    assert products.list() == []
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "basic", "canary", 5)
    stable, canary = Pointer("pets", 1, DIGEST), Pointer("pets", 2, OTHER)
    assert products.routing("pets") == Routing(stable, canary, 5)
    products.publish("pets", "pets", 2, OTHER, "basic", "canary", 50)
    assert products.routing("pets").percent == 50
    products.publish("pets", "pets", 2, OTHER, "basic")
    assert products.routing("pets") == Routing(canary)


def test_each_rollback_takes_one_publish_back_and_the_log_keeps_all(products, workspace) -> None:
    stable, canary = Pointer("pets", 1, DIGEST), Pointer("pets", 2, OTHER)
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "basic", "canary", 5)
    products.publish("pets", "pets", 2, OTHER, "basic")
    expected = [Routing(stable, canary, 5), Routing(stable)]
    for routing in expected:
        undone = products.rollback("pets", products.before("pets"))
        assert products.routing("pets") == undone.routing == routing
    with pytest.raises(RequestError, match="nothing to go back to") as refused:
        products.before("pets")
    assert refused.value.http_status == 409
    kinds = [leaf["kind"] for leaf in leaves(workspace)]
    assert kinds == ["product.published"] * 3 + ["product.rolled_back"] * 2
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "basic")
    assert products.before("pets") == Routing(stable)


def test_a_rollback_that_was_overtaken_or_has_lost_its_model_changes_nothing(
    products, workspace
) -> None:
    for version, digest in ((1, DIGEST), (2, OTHER)):
        products.publish("pets", "pets", version, digest, "basic")
    seen = products.before("pets")
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "basic")
    with pytest.raises(RequestError, match="meanwhile"):
        products.rollback("pets", seen)
    gone = schema.models.update().where(schema.models.c.version == 2)
    workspace.database.write(lambda connection: connection.execute(gone.values(removed_at="now")))
    with pytest.raises(RequestError, match="no model pets@2"):
        products.rollback("pets", products.before("pets"))
    assert products.routing("pets").stable.version == 3


def test_every_publish_changes_the_number_that_servers_watch(products) -> None:
    seen = [products.epoch()]
    for version, digest in ((1, DIGEST), (2, OTHER)):
        products.publish("pets", "pets", version, digest, "basic")
        seen.append(products.epoch())
    products.rollback("pets", products.before("pets"))
    seen.append(products.epoch())
    assert len(set(seen)) == 4


def test_an_older_version_than_was_ever_sold_is_published_only_where_that_is_asked_for(
    products, workspace
) -> None:
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 1, DIGEST, "dearer")  # what answers already
    products.publish("pets", "pets", 2, OTHER, "basic")
    logged = leaves(workspace)
    for trial in (None, "canary", "shadow"):
        with pytest.raises(RequestError, match=r"pets@1 is older than pets@2, which pets has sold"):
            products.publish("pets", "pets", 1, DIGEST, "basic", trial, 10)
    with pytest.raises(RequestError) as caught:
        products.check_not_older("pets", Pointer("pets", 1, DIGEST))
    assert caught.value.http_status == 409
    assert "mintage rollback pets" in caught.value.remedy
    assert "--allow-older" in caught.value.remedy
    assert leaves(workspace) == logged
    products.publish("others", "pets", 1, DIGEST, "basic")  # which never sold a newer one
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "basic")
    products.publish("pets", "pets", 1, DIGEST, "basic", allow_older=True)
    assert products.routing("pets").stable.version == 1


def test_what_was_taken_back_counts_as_sold_and_what_stands_again_may_change_its_price(
    products,
) -> None:
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "basic")
    products.rollback("pets", products.before("pets"))
    products.publish("pets", "pets", 1, DIGEST, "dearer")
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "basic")
    with pytest.raises(RequestError, match="older than pets@2"):
        products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "basic")


def test_of_two_publishes_at_once_the_older_one_is_refused_or_came_first(products) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def publish(pair: tuple[int, str]) -> bool:
        try:
            products.publish("pets", "pets", *pair, "basic")
        except RequestError:
            return False
        return True

    for __ in range(5):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(publish, [(2, OTHER), (1, DIGEST)]))
        assert products.routing("pets").stable.version == 2
