"""Endpoints: the addresses that notices go to, each with a secret of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from mintage.capture.customers import found_customer
from mintage.capture.notices import TYPES
from mintage.capture.webhooks import repository
from mintage.capture.webhooks.signature import Secret
from mintage.capture.webhooks.target import Target
from mintage.core.canonical import canonical_json
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.keys import KeyRing

OVERLAP_HOURS = 24
"""How long after a rotation messages are signed with the secret before, too."""
_REMOVED = "the endpoint was removed"


@dataclass(frozen=True)
class Endpoint:
    """An address that hears of one customer, or of all; ``types`` are all where it is empty."""

    id: str
    url: str
    customer: str | None
    types: tuple[str, ...]
    private: bool
    generation: int
    secret_sha256: str
    previous_until: str | None
    created_at: str
    removed_at: str | None = None
    name: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As ``webhook list --json`` says it."""
        hidden = ("secret_sha256", "generation", "removed_at")
        said = {key: value for key, value in asdict(self).items() if key not in hidden}
        return said | {"types": list(self.types)}

    def to_row(self) -> repository.Values:
        """As its row holds it."""
        row = asdict(self) | {"types": canonical_json(list(self.types)).decode()}
        return {key: value for key, value in row.items() if key not in ("name", "counts")}

    @classmethod
    def from_row(cls, row: repository.Values) -> Endpoint:
        """Read its row."""
        return cls(**row | {"types": tuple(json.loads(row["types"]))})

    def logged(self) -> dict[str, Any]:
        """What the audit log has of it; a query may be a secret."""
        said = {"id": self.id, "customer": self.customer, "types": list(self.types)}
        return said | {"url": self.url.partition("?")[0], "generation": self.generation}


@dataclass(frozen=True)
class Opened:
    """An endpoint with its secret, which can be shown now and never again."""

    endpoint: Endpoint
    secret: Secret


class Endpoints:
    """The endpoints of a workspace."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def add(
        self,
        url: str,
        customer: str | None = None,
        types: Sequence[str] = (),
        *,
        private: bool = False,
    ) -> Opened:
        """Have notices sent to an address: those of a customer, by name or id, or of all.

        ``types`` are those that it hears; none are all. ``private`` lets it be of one's own
        network.

        Raises:
            ConfigError: an address that nothing may be sent to, or no type.
            RequestError: no such customer (404).
        """
        Target.parse(url, private=private)
        _check_types(types)
        endpoint_id, now = new_id("whe"), timestamp(self._clock.now())
        secret = Secret.derived(self._keys.root_secret(), endpoint_id, 1)

        def work(connection: repository.Connection) -> Endpoint:
            owner = None if customer is None else found_customer(connection, customer)
            made = Endpoint(
                endpoint_id,
                url,
                None if owner is None else owner.id,
                tuple(dict.fromkeys(types)),
                private,
                1,
                secret.sha256,
                None,
                now,
            )
            repository.add_endpoint(connection, made.to_row())
            audit.append(connection, "webhook.added", made.logged())
            return replace(made, name=None if owner is None else owner.name)

        return Opened(self._database.write(work), secret)

    def list(self) -> list[Endpoint]:
        """Those that stand, the oldest first, with how many notices wait, were sent and failed."""
        with self._database.read() as connection:
            rows, counts = repository.all_endpoints(connection), repository.counts(connection)
        return [
            replace(
                Endpoint.from_row(row),
                counts={
                    status: counts.get((row["id"], status), 0)
                    for status in ("waiting", "delivered", "failed")
                },
            )
            for row in rows
        ]

    def remove(self, endpoint: str) -> Endpoint:
        """Send nothing to an endpoint any more; what still waited for it has failed.

        Raises:
            RequestError: there is none (404).
        """

        def work(connection: repository.Connection) -> Endpoint:
            now = timestamp(self._clock.now())
            gone = replace(found_endpoint(connection, endpoint), removed_at=now)
            repository.change_endpoint(connection, gone.id, {"removed_at": now})
            repository.end_deliveries(connection, gone.id, _REMOVED, now)
            audit.append(connection, "webhook.removed", gone.logged())
            return gone

        return self._database.write(work)

    def rotate(self, endpoint: str) -> Opened:
        """Another secret; for ``OVERLAP_HOURS`` messages are signed with the one before, too.

        Raises:
            RequestError: there is none (404).
        """
        root = self._keys.root_secret()

        def work(connection: repository.Connection) -> Opened:
            found, now = found_endpoint(connection, endpoint), self._clock.now()
            secret = Secret.derived(root, found.id, found.generation + 1)
            until = timestamp(now + timedelta(hours=OVERLAP_HOURS))
            turned = replace(
                found,
                generation=found.generation + 1,
                secret_sha256=secret.sha256,
                previous_until=until,
            )
            repository.change_endpoint(connection, found.id, turned.to_row())
            audit.append(connection, "webhook.rotated", turned.logged())
            return Opened(turned, secret)

        return self._database.write(work)


def found_endpoint(connection: repository.Connection, endpoint: str) -> Endpoint:
    """An endpoint that stands, by its id.

    Raises:
        RequestError: there is none (404).
    """
    row = repository.find_endpoint(connection, endpoint)
    if row is None or row["removed_at"] is not None:
        raise RequestError(
            _("There is no webhook {id!r}.", id=endpoint),
            remedy=_("Name one by its id: mintage webhook list"),
            http_status=404,
        )
    return Endpoint.from_row(row)


def _check_types(types: Sequence[str]) -> None:
    wrong = [each for each in types if each not in TYPES]
    if wrong:
        raise ConfigError(
            _("No notice is of the type {name!r}.", name=wrong[0]),
            remedy=_("There are: {names}.", names=", ".join(TYPES)),
        )
