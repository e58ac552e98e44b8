"""A look at a database that may be damaged: nothing is changed, and nothing is raised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Connection, func, select, true
from sqlalchemy.exc import DBAPIError

from mintage.core.errors import ConfigError, MintageError
from mintage.core.messages import _
from mintage.store import data_keys, inventory
from mintage.store.backend import Backend, backend_of
from mintage.store.engine import Database
from mintage.store.schema import log_heads, log_leaves, logs, upstreams

_LATEST = 200


@dataclass(frozen=True)
class Health:
    """What was found; ``damage`` is "" where the database is sound.

    ``latest`` are the newest entries of the audit log as (record, salt, leaf hash); ``gapless``
    says whether its positions run from its first without a gap; ``is_signed`` whether there is a
    head of it; ``frozen`` are the origins of those
    before it, each with why it was frozen; ``datasets`` and ``models`` are the rows of what was not
    removed; ``on_sale`` are product, alias, model and version of each version that answers;
    ``secrets`` are product and name of each upstream that stands, and where its key is;
    ``audits`` are ``inventory.audits_due``.
    """

    damage: str
    remedy: str = ""
    size_bytes: int = 0
    leaves: int = 0
    gapless: bool = True
    is_signed: bool = False
    latest: tuple[tuple[bytes, bytes, bytes], ...] = ()
    frozen: tuple[tuple[str, str], ...] = ()
    datasets: tuple[inventory.Row, ...] = ()
    models: tuple[inventory.Row, ...] = ()
    on_sale: tuple[tuple[str, str, str, int], ...] = ()
    secrets: tuple[tuple[str, str, str], ...] = ()
    audits: tuple[inventory.Row, ...] = ()


def examine(home: Path, database_url: SecretStr | None = None, *, writable: bool) -> Health:
    """Look at the database; ``writable`` says whether files can be made in the folder."""
    try:
        backend = backend_of(home, database_url, writable=writable)
    except MintageError as error:
        return Health(error.message, error.remedy)
    database = Database(backend, ConfigError(_("Nothing is written while examining.")))
    try:
        database.is_current()
        with database.read() as connection:
            return _health(backend, connection)
    except MintageError as error:
        return Health(error.message, error.remedy)
    except DBAPIError as error:
        return Health(_("The database cannot be read: {error}.", error=error.orig))
    finally:
        database.close()


def _health(backend: Backend, connection: Connection) -> Health:
    said = backend.damage(connection)
    if said:
        damaged = _("The database is damaged: {said}.", said=said)
        return Health(damaged, _("Restore the workspace from a backup."))
    known = connection.execute(select(logs).order_by(logs.c.number)).all()
    begin = known[-1].first_position if len(known) > 1 else 0
    position = log_leaves.c.position
    of_ours = position >= begin if begin else true()
    counted = select(func.count(), func.max(position), func.min(position)).where(of_ours)
    count, last, first = connection.execute(counted).one()
    signed = select(func.count()).where(log_heads.c.log == (known[-1].number if known else 0))
    columns = (log_leaves.c.record, log_leaves.c.salt, log_leaves.c.leaf_hash)
    newest = select(*columns).where(of_ours).order_by(position.desc()).limit(_LATEST)
    # Sealed ones only `mintage audit verify` can hash again: it has the key.
    latest = (
        ()
        if data_keys.any_of(connection)
        else tuple(
            (_bytes(record), _bytes(salt), _bytes(leaf_hash))
            for record, salt, leaf_hash in connection.execute(newest)
        )
    )
    u = upstreams.c
    standing = select(u.product, u.name, u.secret).where(u.removed_at.is_(None), u.secret != "")
    return Health(
        "",
        secrets=tuple(
            (str(product), str(name), str(secret))
            for product, name, secret in connection.execute(standing.order_by(u.sequence))
        ),
        size_bytes=backend.size_bytes(connection),
        leaves=count,
        gapless=not count or (first == begin and last == begin + count - 1),
        is_signed=bool(connection.execute(signed).scalar()),
        latest=latest,
        frozen=tuple((each.origin, each.reason or "") for each in known[:-1]),
        datasets=tuple(inventory.all_datasets(connection)),
        models=tuple(inventory.all_models(connection)),
        on_sale=tuple(inventory.on_sale(connection)),
        audits=tuple(inventory.audits_due(connection)),
    )


def _bytes(found: bytes | str) -> bytes:
    """SQLite keeps in any column what it is given; somebody may have given it text."""
    return found.encode() if isinstance(found, str) else found
