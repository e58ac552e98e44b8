"""Operators: who runs the service, what each may do, and the keys that they say so with.

Whoever has the workspace's folder needs none of them: they are for the admin API.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final, Literal, get_args

from mintage.capture import repository
from mintage.capture.customers import printable
from mintage.capture.keys import OperatorKey, refused
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, MintageError, NotAllowed, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.redaction import without_keys
from mintage.store.engine import Database
from mintage.trust import audit

Role = Literal["viewer", "support", "billing", "admin"]
"""Reads; customers and keys; plans, subscriptions, invoices and credits; all, operators too."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)

_ID_PREFIX = "opr"
_MOST_ADDRESSES = 20
"""From which an operator is logged to come in a day: no more entries, whatever they do."""


@dataclass(frozen=True)
class Operator:
    """Somebody who runs the service."""

    id: str
    name: str
    role: Role
    created_at: str
    revoked_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The operator as lists, the row and the audit log hold them."""
        return dict(vars(self))

    @property
    def actor(self) -> dict[str, str]:
        """How the audit log names whoever did something."""
        return {"operator": self.id, "name": self.name}

    def check(self, role: Role) -> None:
        """Let an operator do what takes this role; all of them may read.

        Raises:
            NotAllowed: theirs is another.
        """
        if role not in ("viewer", self.role) and self.role != "admin":
            raise NotAllowed(
                _(
                    "This takes an operator of the role {role!r}; yours is {given!r}.",
                    role=role,
                    given=self.role,
                ),
                remedy=_("Ask an operator who has it, or one who is 'admin' for the role."),
            )


@dataclass(frozen=True)
class IssuedOperator:
    """An operator with a key just made: the only moment at which it can be shown."""

    operator: Operator
    key: OperatorKey
    until: str | None = None
    """Until when the keys before it are taken yet."""

    def to_json(self) -> dict[str, Any]:
        """The operator with their new key."""
        return {**self.operator.to_json(), "key": self.key.reveal(), "others_until": self.until}


class Operators:
    """The operators of a workspace. One may be named by name or by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._entering = Lock()
        self._day = ""
        self._visits: set[tuple[str, str]] = set()
        self._entered: Counter[str] = Counter()

    def add(self, name: str, role: str) -> IssuedOperator:
        """Add an operator, with a key.

        Raises:
            ConfigError: the name is none, or there is no such role.
            RequestError: somebody has, or had, the name (409).
        """
        name, key, now = printable(name, _("an operator")), OperatorKey.generate(), self._now()
        if name.startswith(f"{_ID_PREFIX}_"):
            raise ConfigError(
                _("{name!r} reads as an operator's id.", name=name),
                remedy=_("Choose another name."),
            )
        operator = Operator(new_id(_ID_PREFIX), name, _role(role), timestamp(now))

        def work(connection: repository.Connection) -> IssuedOperator:
            if repository.find_operator(connection, name):
                raise RequestError(
                    _("There is an operator {name!r} already, or there was.", name=name),
                    remedy=_("Choose another name: the log means one person by it."),
                    http_status=409,
                )
            repository.add_operator(connection, operator.to_json())
            audit.append(connection, "operator.added", operator.to_json())
            return _with_key(connection, operator, key, now)

        return self._database.write(work)

    def list(self) -> Sequence[dict[str, Any]]:
        """Every operator by name, revoked ones too, each with the ends of their keys."""
        with self._database.read() as connection:
            return [
                {**row, "keys": repository.operator_keys_of(connection, row["id"])}
                for row in repository.all_operators(connection)
            ]

    def set_role(self, operator: str, role: str, *, keeps_admin: bool = False) -> Operator:
        """Let an operator do other things, from the next request on.

        With ``keeps_admin`` the last one who is 'admin' stays so: over HTTP nobody could make
        another.

        Raises:
            ConfigError: there is no such role.
            RequestError: no such operator (404), a revoked one, or the last admin (409).
        """
        wanted = _role(role)

        def work(connection: repository.Connection) -> Operator:
            found = _standing(connection, operator)
            if found.role == wanted:
                return found
            if keeps_admin:
                _check_not_last(connection, found)
            changed = replace(found, role=wanted)
            repository.change_operator(connection, found.id, {"role": wanted})
            audit.append(connection, "operator.changed", changed.to_json())
            return changed

        return self._database.write(work)

    def rotate(self, operator: str, overlap_seconds: float) -> IssuedOperator:
        """Make an operator another key; those before it expire when the overlap is over.

        Raises:
            ConfigError: the overlap is longer than there is a calendar for.
            RequestError: no such operator (404), or a revoked one (409).
        """
        key, now = OperatorKey.generate(), self._now()
        try:
            until = timestamp(now + timedelta(seconds=overlap_seconds))
        except OverflowError as error:
            raise ConfigError(
                _("The old key would be taken for too long."), remedy=_("Give it 24h or 7d.")
            ) from error

        def work(connection: repository.Connection) -> IssuedOperator:
            found = _standing(connection, operator)
            repository.expire_operator_keys(connection, found.id, until)
            return _with_key(connection, found, key, now, until)

        return self._database.write(work)

    def revoke(self, operator: str, *, keeps_admin: bool = False) -> Operator:
        """Refuse an operator from the next request on; a revoked one stays as they are.

        Raises:
            RequestError: no such operator (404), or, with ``keeps_admin``, the last admin (409).
        """
        now = timestamp(self._now())

        def work(connection: repository.Connection) -> Operator:
            found = _found(connection, operator)
            if found.revoked_at is None:
                if keeps_admin:
                    _check_not_last(connection, found)
                found = replace(found, revoked_at=now)
                repository.change_operator(connection, found.id, {"revoked_at": now})
                audit.append(connection, "operator.revoked", found.to_json())
            return found

        return self._database.write(work)

    def caller(self, key: str | None) -> Operator:
        """Whose key this is. It is looked up each time: a revocation holds from the next request.

        Raises:
            Unauthenticated: no key, a malformed, an unknown, a revoked, an expired one, or a
                customer's; all alike.
        """
        digest = OperatorKey.parse(key).sha256
        with self._database.read() as connection:
            row = repository.operator_key_by_digest(connection, digest)
        if row is None or not hmac.compare_digest(row.pop("sha256"), digest):
            raise refused()
        ends = row.pop("expires_at")
        if row["revoked_at"] is not None or (ends is not None and ends <= timestamp(self._now())):
            raise refused()
        return Operator(**row)

    def enter(self, key: str | None, address: str | None) -> Operator:
        """``caller``, and log the first time in a day that they come from an address.

        Raises:
            Unauthenticated: as ``caller``.
        """
        found, today = self.caller(key), timestamp(self._now())[:10]
        visit = found.id, address or ""
        with self._entering:
            if self._day != today:
                self._day, self._entered = today, Counter()
                self._visits = set()
            # So many addresses are not one person's: they are no longer told apart.
            if visit in self._visits or self._entered[found.id] >= _MOST_ADDRESSES:
                return found
            self._visits.add(visit)
            self._entered[found.id] += 1
        record = {"id": found.id, "address": address, "entered_at": timestamp(self._now())}

        def work(connection: repository.Connection) -> None:
            audit.append(connection, "operator.entered", record)

        try:
            with audit.acting(found.actor):
                self._database.submit(work, only_adds=True).result()
        except MintageError:
            with self._entering:
                self._visits.discard(visit)
            raise
        return found

    def _now(self) -> datetime:
        return self._clock.now()


def _with_key(
    connection: repository.Connection,
    operator: Operator,
    key: OperatorKey,
    now: datetime,
    until: str | None = None,
) -> IssuedOperator:
    said = {"operator": operator.id, "last4": key.last4, "created_at": timestamp(now)}
    repository.add_operator_key(connection, {**said, "sha256": key.sha256})
    audit.append(connection, "operator.key_issued", {**said, "others_until": until})
    return IssuedOperator(operator, key, until)


def _found(connection: repository.Connection, operator: str) -> Operator:
    row = repository.find_operator(connection, operator)
    if row is None:
        raise RequestError(
            _("There is no operator {name!r}.", name=without_keys(operator)),
            remedy=_("See who there are: mintage operator list, or GET /v1/admin/operators."),
            http_status=404,
        )
    return Operator(**row)


def _standing(connection: repository.Connection, operator: str) -> Operator:
    found = _found(connection, operator)
    if found.revoked_at is not None:
        raise RequestError(
            _("The operator {name!r} is revoked.", name=found.name),
            remedy=_("Add another: mintage operator add NAME --role ROLE"),
            http_status=409,
        )
    return found


def _check_not_last(connection: repository.Connection, found: Operator) -> None:
    """Refuse to leave nobody who may make operators.

    Raises:
        RequestError: there is no other admin (409).
    """
    others = (
        row
        for row in repository.all_operators(connection)
        if row["id"] != found.id and row["role"] == "admin" and row["revoked_at"] is None
    )
    if found.role == "admin" and next(others, None) is None:
        raise RequestError(
            _("{name!r} is the last operator who is 'admin'.", name=found.name),
            remedy=_(
                "Make another one 'admin' first. Whoever has the workspace's folder can do it all "
                "the same: mintage operator."
            ),
            http_status=409,
        )


def _role(text: str) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise ConfigError(
        _("There is no role {role!r}.", role=without_keys(text)[:50]),
        remedy=_("Use one of {roles}.", roles=", ".join(ROLES)),
    )
