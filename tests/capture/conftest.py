"""A workspace with one customer, one product and one plan, and what tests do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, insert
from tests.conftest import opened_workspace
from tests.databases import database_url

from mintage.capture.books.invoices import Invoices
from mintage.capture.books.ledger import Ledger
from mintage.capture.customers import Customers
from mintage.capture.gate import KeyGate
from mintage.capture.hours.rollup import Rollup
from mintage.capture.keys import IssuedKey
from mintage.capture.metering import UsageMeter
from mintage.capture.plans import Plans
from mintage.capture.subscriptions import Subscriptions
from mintage.capture.usage import UsageHistory
from mintage.core.types import Permit, ProviderInfo, Usage
from mintage.store import schema
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

__all__ = ["database_url"]


@dataclass
class Shop:
    """All of the room, on one workspace."""

    workspace: Workspace
    keys: KeyRing
    issued: dict[str, IssuedKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        database, clock = self.workspace.database, self.workspace.clock
        self.database, self.clock = database, clock
        self.customers = Customers(database, clock)
        self.plans = Plans(database, clock, self.keys)
        self.gate = KeyGate(database, clock)
        self.meter = UsageMeter(database, self.keys, clock)
        self.history = UsageHistory(database, self.keys)
        self.subscriptions = Subscriptions(database, clock)
        self.invoices = Invoices(database, clock, self.keys)
        self.ledger = Ledger(database)
        self.rollup = Rollup(database, clock)

    def sell(self, product: str, plan: str = "standard") -> None:
        row = {"name": product, "model": "pets", "plan": plan, "created_at": str(self.clock)}
        self.database.write(lambda c: c.execute(insert(schema.products).values(row)) and None)

    def key_of(self, customer: str) -> str:
        """The key of a customer, who is added where there is none yet."""
        if customer not in self.issued:
            self.customers.add(customer)
            self.issued[customer] = self.customers.issue_key(customer)
        return self.issued[customer].key.reveal()

    def permit(self, customer: str = "Ada", product: str = "pets") -> Permit:
        return self.gate.admit(self.key_of(customer), product)

    def usage(self, customer: str = "Ada", permit: Permit | None = None, **changes: Any) -> Usage:
        usage = Usage(
            permit=permit or self.permit(customer),
            provider=ProviderInfo("pets", "3", "b" * 64, "class", "image"),
            alias="stable",
            outcome="ok",
            quantities={"image": 1},
            input_sha256="1" * 64,
            output_sha256="2" * 64,
            latency_seconds=0.0125,
            compute_seconds=0.0071,
            probability=0.93,
        )
        return replace(usage, **changes)

    @contextmanager
    def commits(self) -> Iterator[list[int]]:
        """Counts the commits of writing transactions in its one element."""
        count = [0]

        def count_one(connection: Any) -> None:
            count[0] += bool(connection.get_execution_options().get("mintage_write"))

        event.listen(self.database._engine, "commit", count_one)
        yield count
        event.remove(self.database._engine, "commit", count_one)

    @contextmanager
    def one_batch(self) -> Iterator[None]:
        """What is recorded inside waits, and is committed together."""
        started, go = Event(), Event()
        self.database.submit(lambda _connection: started.set() or go.wait(10))
        started.wait(10)
        yield
        go.set()

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        statement = schema.log_leaves.select().where(schema.log_leaves.c.kind == kind)
        with self.database.read() as connection:
            rows = connection.execute(statement.order_by(schema.log_leaves.c.position)).mappings()
            return [dict(row) for row in rows]


@pytest.fixture
def shop(workspace: Workspace) -> Shop:
    """A shop that sells ``pets`` at the default price."""
    shop = Shop(workspace, KeyRing(workspace.key_folder))
    shop.plans.ensure_default()
    shop.sell("pets")
    return shop


@pytest.fixture
def reopened(shop: Shop, database_url: SecretStr | None) -> Iterator[Callable[[], Shop]]:
    """The same workspace, opened once more as another process would."""
    opened: list[Workspace] = []

    def reopen() -> Shop:
        home, clock = shop.workspace.home, shop.clock
        opened.append(opened_workspace(home, clock, database_url=database_url))
        return Shop(opened[-1], shop.keys)

    yield reopen
    for workspace in opened:
        workspace.close()
