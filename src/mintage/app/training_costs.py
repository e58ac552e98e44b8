"""What each published version cost to train: from its run, or as the operator says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from mintage.capture.books.write_off import Training
from mintage.capture.pricing.periods import Period
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.create import repository
from mintage.create.run_files import RECORD_FILE, read_run_file
from mintage.deliver.products import Products, Published
from mintage.store.workspace import Workspace

_MOST_MONTHS = 120
_REMEDY = _("Write it as pets@3=1200 EUR.")


class TrainingCosts:
    """Reads what runs computed; a version that was imported has none here."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._products = Products(workspace.database, workspace.now)

    def all(
        self, hour_cost: Price | None, months: int, said: Sequence[str]
    ) -> tuple[list[Training], list[str]]:
        """Every published version whose cost is known, and the names of the others.

        A run computed as many processor seconds as it took, times its threads.

        Raises:
            ConfigError: no number of months, no cost, or one of what was never published.
        """
        if not 1 <= months <= _MOST_MONTHS:
            raise ConfigError(
                _("Training is written off over 1 to {most} months.", most=_MOST_MONTHS)
            )
        published = self._products.first_published()
        stated = dict(map(_stated, said))
        names = {f"{each.model}@{each.version}" for each in published}
        for name in stated.keys() - names:
            raise ConfigError(
                _("{name} was never published, so nothing of it is written off.", name=name),
                remedy=_("Published are: {names}.", names=", ".join(sorted(names)) or "—"),
            )
        found, unknown = [], []
        for each in published:
            name = f"{each.model}@{each.version}"
            cost = stated.get(name) or self._computed(each, hour_cost)
            if cost is None:
                unknown.append(name)
                continue
            since = Period.containing(datetime.fromisoformat(each.published_at), "UTC")
            amount, currency = cost
            found.append(
                Training(
                    each.product, each.model, str(each.version), currency, amount, since, months
                )
            )
        return found, unknown

    def _computed(self, each: Published, hour_cost: Price | None) -> tuple[Fraction, str] | None:
        if hour_cost is None:
            return None
        with self._workspace.database.read() as connection:
            row = repository.find_model(connection, each.model, each.version)
        if row is None or not row["run"]:
            return None
        try:
            record = read_run_file(self._workspace.run_folder(row["run"]), RECORD_FILE)
            seconds, threads = record["seconds"], record["recipe"].get("threads", 1)
        except (DataError, KeyError):
            return None
        computed = Fraction(str(seconds)) * threads
        return hour_cost.times(1) * computed / 3600, hour_cost.currency


def _stated(said: str) -> tuple[str, tuple[Fraction, str]]:
    name, __, cost = said.partition("=")
    amount, __, currency = cost.strip().partition(" ")
    try:
        exponent_of(currency)
        price = Price(amount, currency)
    except ConfigError as error:
        raise ConfigError(
            _("No cost of training: {said!r}: {reason}", said=said, reason=error.message),
            remedy=_REMEDY,
        ) from error
    return name.strip(), (price.times(1), currency)
