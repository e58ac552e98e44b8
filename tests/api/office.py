"""A workspace that sells, behind its operator's port: what tests of the admin routes stand on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from tests.api.conftest import InProcess, serving
from tests.capture.conftest import Shop
from tests.conftest import ManualClock

from mintage.api.admin import PREFIX
from mintage.api.application import operator_app
from mintage.api.service import Service
from mintage.app.root import App
from mintage.capture.operators import ROLES
from mintage.core.settings import load_settings
from mintage.store import schema


@dataclass
class Office:
    """The operator's port of a workspace with usage, and a key for each role."""

    app: App
    shop: Any
    client: InProcess
    service: Service
    keys: dict[str, str]
    home: Path

    def ask(
        self, method: str, path: str, by: str = "admin", status: int = 200, **options: Any
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[by]}"} | options.pop("headers", {})
        said = self.client.request(method, f"{PREFIX}{path}", headers=headers, **options)
        assert said.status_code == status, said.text
        return said.json()

    def get(self, path: str, by: str = "viewer", **options: Any) -> Any:
        return self.ask("GET", path, by, **options)

    def post(self, path: str, by: str = "admin", status: int = 200, **body: Any) -> Any:
        return self.ask("POST", path, by, status, json=body)

    def publish(self) -> None:
        """Have the product point at a model."""
        row = {"product": "pets", "alias": "stable", "model": "pets", "version": 3}
        row |= {"bundle_digest": "b" * 64, "percent": 100, "changed_at": str(self.shop.clock)}
        self.shop.database.write(lambda c: c.execute(insert(schema.aliases).values(row)) and None)

    def actors(self, kind: str) -> list[str | None]:
        """Who did what is logged of this kind, in its order."""
        records = [json.loads(leaf["record"]) for leaf in self.shop.leaves(kind)]
        return [record.get("actor", {}).get("name") for record in records]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    clock, home = ManualClock(), tmp_path / "workspace"
    with App(load_settings(home=home, threads=1), clock) as app:
        shop: Any = Shop(app.workspace, app.keys)
        shop.plans.ensure_default()
        shop.sell("pets")
        for customer, count in (("Ada", 3), ("王小明", 2)):
            for __ in range(count):
                shop.meter.record(shop.usage(customer)).result(10)
        clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
        keys = {role: app.capture.operators.add(role, role).key.reveal() for role in ROLES}
        with serving(app) as service, InProcess(operator_app(service)) as client:
            yield Office(app, shop, client, service, keys, home)
            client.call(service.engine.close())
