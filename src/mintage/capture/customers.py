"""Customers and the keys they call with. Every change is a row and a leaf of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mintage.capture import repository, tax_numbers
from mintage.capture.details import NO_DETAILS, Details
from mintage.capture.key_limits import UNLIMITED, KeyLimits
from mintage.capture.keys import ApiKey, IssuedKey, KeyInfo, RotatedKey
from mintage.core.canonical import canonical_json
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.redaction import can_be_shown, without_keys
from mintage.store.engine import Database
from mintage.trust import audit

_ID_PREFIX = "cus"
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Customer:
    """Who pays; ``details`` are what invoices say of them."""

    id: str
    name: str
    created_at: str
    details: Details = NO_DETAILS
    erased_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The customer as lists show it."""
        said = asdict(self) | {"details": self.details.to_json()}
        if self.erased_at is None:
            del said["erased_at"]
        return said

    def with_key(self, issued: IssuedKey) -> dict[str, Any]:
        """The customer and a key just made, for the one moment when it is shown."""
        return {**self.to_json(), "key_id": issued.id, "key": issued.key.reveal()}

    def to_row(self) -> repository.Values:
        """The customer as its row holds it."""
        return self.to_json() | {"details": canonical_json(self.details.to_json()).decode()}

    @classmethod
    def from_row(cls, row: repository.Values) -> Customer:
        """Read a customer's row."""
        details = Details.parse(row["details"])
        return cls(row["id"], row["name"], row["created_at"], details, row["erased_at"])


class Customers:
    """The customers of a workspace. A customer may be named by name or by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str) -> Customer:
        """Add a customer.

        Raises:
            ConfigError: the name is empty, longer than 200 characters or not printable.
            RequestError: the name is taken (409).
        """
        customer = Customer(new_id(_ID_PREFIX), _checked_name(name), self._now())

        def work(connection: repository.Connection) -> Customer:
            if repository.find_customer(connection, customer.name):
                raise RequestError(
                    _("There is a customer {name!r} already.", name=customer.name),
                    remedy=_("Choose another name, or go on with that customer."),
                    http_status=409,
                )
            repository.add_customer(connection, customer.to_row())
            audit.append(connection, "customer.added", customer.to_json())
            return customer

        return self._database.write(work)

    def find(self, customer: str) -> Customer:
        """The customer of this name or id.

        Raises:
            RequestError: there is none (404).
        """
        with self._database.read() as connection:
            return found_customer(connection, customer)

    def list(self, *, after: str | None = None, limit: int | None = None) -> Sequence[Customer]:
        """Every customer, by name; or a page of ``limit``, which follows the customer ``after``.

        Raises:
            RequestError: there is no such customer to go on after (404).
        """
        with self._database.read() as connection:
            last = None if after is None else found_customer(connection, after).id
            rows = repository.all_customers(connection, last, limit)
        return [Customer.from_row(row) for row in rows]

    def set_details(self, customer: str, details: Details) -> Customer:
        """What invoices say of a customer from now on; issued ones stay as they are.

        Raises:
            ConfigError: a tax number that cannot be one.
            RequestError: no such customer (404), or it was erased (409).
        """
        tax_numbers.check(details.tax_number, details.country)

        def work(connection: repository.Connection) -> Customer:
            changed = replace(_living(connection, customer), details=details)
            repository.change_customer(
                connection, changed.id, {"details": changed.to_row()["details"]}
            )
            audit.append(connection, "customer.changed", changed.to_json())
            return changed

        return self._database.write(work)

    def issue_key(
        self, customer: str, limits: KeyLimits = UNLIMITED, *, name: str | None = None
    ) -> IssuedKey:
        """Make a key; ``key.reveal()`` can be shown now and never again.

        Raises:
            ConfigError: the name is no name.
            RequestError: no such customer, or no such product among its limits (404), or it was
                erased (409).
        """
        name = None if name is None else printable(name, _("a key"))
        key, key_id, now = ApiKey.generate(), new_id("key"), self._now()

        def work(connection: repository.Connection) -> IssuedKey:
            owner = _living(connection, customer)
            for product in limits.products or ():
                _check_sold(connection, product)
            info = KeyInfo(key_id, owner.id, key.last4, now, name=name, limits=limits)
            return _issued(connection, info, key)

        return self._database.write(work)

    def rotate_key(
        self, key_id: str, overlap_seconds: float, *, expires_at: str | None = None
    ) -> RotatedKey:
        """Make a key with another one's limits, which expires when the overlap is over.

        ``expires_at`` is the new one's end, if it is to have another.

        Raises:
            ConfigError: the overlap is longer than there is a calendar for.
            RequestError: no such key (404), or it is not taken any more, or has been rotated (409).
        """
        key, new, now = ApiKey.generate(), new_id("key"), self._clock.now()
        try:
            end = timestamp(now + timedelta(seconds=overlap_seconds))
        except OverflowError as error:
            raise ConfigError(
                _("The old key would be taken for too long."), remedy=_("Give it 24h or 7d.")
            ) from error

        def work(connection: repository.Connection) -> RotatedKey:
            old = _found_key(connection, key_id)
            _check_rotatable(connection, old, now)
            limits = replace(old.limits, expires_at=expires_at or old.limits.expires_at)
            info = KeyInfo(
                new,
                old.customer,
                key.last4,
                timestamp(now),
                name=old.name,
                limits=limits,
                replaces=old.id,
            )
            issued = _issued(connection, info, key)
            ends = min(end, old.limits.expires_at or end)
            replaced = replace(old, limits=replace(old.limits, expires_at=ends))
            repository.expire_key(connection, old.id, ends)
            audit.append(connection, "key.rotated", replaced.to_json())
            return RotatedKey(issued, replaced)

        return self._database.write(work)

    def revoke_key(self, key_id: str) -> KeyInfo:
        """Revoke a key from the next request on; a revoked one stays as it is.

        Raises:
            RequestError: no such key (404).
        """
        now = self._now()

        def work(connection: repository.Connection) -> KeyInfo:
            found = _found_key(connection, key_id)
            if found.revoked_at is None:
                found = replace(found, revoked_at=now)
                repository.revoke_key(connection, key_id, now)
                audit.append(connection, "key.revoked", found.to_json())
            return found

        return self._database.write(work)

    def keys(self, customer: str) -> Sequence[KeyInfo]:
        """A customer's keys, oldest first, revoked ones too.

        Raises:
            RequestError: no such customer (404).
        """
        with self._database.read() as connection:
            owner = found_customer(connection, customer)
            return [KeyInfo.from_row(row) for row in repository.keys_of(connection, owner.id)]

    def expired_keys(self) -> Sequence[KeyInfo]:
        """The keys of all customers whose time is over and that nobody revoked."""
        with self._database.read() as connection:
            rows = repository.expired_keys(connection, self._now())
        return [KeyInfo.from_row(row) for row in rows]

    def _now(self) -> str:
        return timestamp(self._clock.now())


def found_customer(connection: repository.Connection, customer: str) -> Customer:
    """The customer of this name or id.

    Raises:
        RequestError: there is none (404).
    """
    row = repository.find_customer(connection, customer)
    if row is None:
        raise RequestError(
            _("There is no customer {customer!r}.", customer=customer),
            remedy=_("Name one that exists, or add this one: mintage customer add NAME"),
            http_status=404,
        )
    return Customer.from_row(row)


def _living(connection: repository.Connection, customer: str) -> Customer:
    found = found_customer(connection, customer)
    if found.erased_at is not None:
        raise RequestError(
            _("{customer} was erased: nothing is kept of them any more.", customer=found.id),
            remedy=_("Add another customer."),
            http_status=409,
        )
    return found


def _found_key(connection: repository.Connection, key_id: str) -> KeyInfo:
    row = repository.find_key(connection, key_id)
    if row is None:
        raise RequestError(
            _("There is no key {key_id!r}.", key_id=without_keys(key_id)),
            remedy=_("Name a key by its id, which starts with 'key_'."),
            http_status=404,
        )
    return KeyInfo.from_row(row)


def _issued(connection: repository.Connection, info: KeyInfo, key: ApiKey) -> IssuedKey:
    repository.add_key(connection, info.to_row() | {"sha256": key.sha256})
    audit.append(connection, "key.issued", info.to_json())
    return IssuedKey(info, key)


def _check_sold(connection: repository.Connection, product: str) -> None:
    if repository.offer(connection, product) is None:
        raise RequestError(
            _("There is no product {name!r}.", name=product),
            remedy=_("See what is sold here: GET /v1/products, or mintage products."),
            http_status=404,
        )


def _check_rotatable(connection: repository.Connection, old: KeyInfo, now: datetime) -> None:
    successor = repository.key_that_replaces(connection, old.id)
    if successor is not None:
        raise RequestError(
            _("The key {key_id} has been rotated.", key_id=old.id),
            remedy=_("Rotate the one that took its place: {successor}.", successor=successor),
            http_status=409,
        )
    if old.revoked_at is not None or old.limits.have_ended(now):
        raise RequestError(
            _("The key {key_id} is revoked or has expired.", key_id=old.id),
            remedy=_("Make another one: mintage key add {customer}", customer=old.customer),
            http_status=409,
        )


def _checked_name(name: str) -> str:
    name = printable(name, _("a customer"))
    if name.startswith(f"{_ID_PREFIX}_"):
        raise ConfigError(
            _("{name!r} reads as a customer's id.", name=name), remedy=_("Choose another name.")
        )
    return name


def printable(name: str, bearer: str) -> str:
    """The name, without the space around it.

    Raises:
        ConfigError: it is empty, longer than 200 characters, not printable, or has a key in it.
    """
    name = name.strip()
    if not can_be_shown(name, _LONGEST_NAME):
        raise ConfigError(
            _("Not a name for {bearer}: {name!r}.", bearer=bearer, name=without_keys(name)[:50]),
            remedy=_("Use 1 to {most} printable characters, no API key.", most=_LONGEST_NAME),
        )
    return name
