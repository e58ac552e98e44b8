"""Products: publishing is rows and a leaf in one transaction."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from mintage.core.errors import ConfigError, RequestError
from mintage.deliver.products import Pointer, Products
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


def test_publishing_makes_the_product_its_alias_and_one_leaf(products, workspace) -> None:
    products.publish("pets", "cats-and-dogs", 3, DIGEST, "per-picture")
    assert products.get("pets").plan == "per-picture"
    assert products.alias("pets") == Pointer("cats-and-dogs", 3, DIGEST)
    [leaf] = leaves(workspace)
    assert leaf["product"] == "pets"
    assert leaf["bundle_digest"] == DIGEST
    assert (leaf["version"], leaf["plan"]) == (3, "per-picture")


def test_publishing_again_moves_the_alias_and_the_log_keeps_both(products, workspace) -> None:
    products.publish("pets", "pets", 1, DIGEST, "basic")
    products.publish("pets", "pets", 2, OTHER, "better")
    assert products.pointers() == {"pets": Pointer("pets", 2, OTHER)}
    assert [product.plan for product in products.list()] == ["better"]
    assert [leaf["version"] for leaf in leaves(workspace)] == [1, 2]


def test_another_process_sees_the_publish_at_once(products, workspace) -> None:
    from mintage.store.engine import Database

    other = Database(workspace.database.path)
    try:
        products.publish("pets", "pets", 1, DIGEST, "basic")
        assert Products(other, workspace.now).alias("pets").version == 1
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
    assert products.pointers() == {}


def test_an_unknown_product_is_a_404(products) -> None:
    for ask in (products.get, products.alias):
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
