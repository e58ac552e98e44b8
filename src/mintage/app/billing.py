"""The verbs of money over one workspace: plans, subscriptions, invoices, the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from mintage.app.books import CheckedBooks, check_books
from mintage.app.capturing import Capturing
from mintage.app.economy import Economy, begun
from mintage.app.evidence import WorkspaceEvidence, evidence_of
from mintage.capture import details, repository
from mintage.capture.books.costs import Spent
from mintage.capture.books.economics import Earned, Economics, together
from mintage.capture.books.export import Exported, Form, export
from mintage.capture.books.invoice import Invoice
from mintage.capture.books.invoices import Invoices
from mintage.capture.books.overdue import Overdue, days_of
from mintage.capture.books.paying import MANUAL
from mintage.capture.books.preview import Previews
from mintage.capture.books.rendering import language_for
from mintage.capture.books.replay import Replay, Replayed
from mintage.capture.books.running import Ran
from mintage.capture.customers import Customer
from mintage.capture.details import NO_DETAILS
from mintage.capture.limits.prepaid import Credit, Credits
from mintage.capture.limits.repository import products_sold
from mintage.capture.limits.standing import Standings
from mintage.capture.payments.desk import Desk
from mintage.capture.plans import Plan
from mintage.capture.pricing import terms_file
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.simulate import Simulated, simulate
from mintage.capture.pricing.terms import Terms
from mintage.capture.subscriptions import Subscription, Subscriptions
from mintage.core import registry
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError, DependencyDown, RequestError
from mintage.core.messages import Language, _
from mintage.core.money import Money, Price, parse_exact, said_money
from mintage.core.progress import Progress
from mintage.core.settings import Settings
from mintage.core.types import EXPLANATION, LANGUAGE_UNITS
from mintage.core.units import Reference
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.openings import log_reading

_BY = {
    "customer": ("customer",),
    "plan": ("plan",),
    "product": ("product",),
    "model": ("model", "model_version"),
}

_UNIT = "image"
_ANY = "any"  # a product that no price names


@dataclass(frozen=True)
class Simulation:
    """What some numbers of units would come to.

    ``seconds_each`` is what answering computed for each unit, None where nothing was measured;
    ``asked_in`` are the other currencies in which upstreams ask for it.
    """

    plan: str
    product: str | None
    unit: str
    rows: Sequence[Simulated]
    seconds_each: float | None
    asked_in: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``plan simulate --json`` says it."""
        return {
            "plan": self.plan,
            "product": self.product,
            "unit": self.unit,
            "seconds_each": self.seconds_each,
            "rows": [row.to_json() for row in self.rows],
        }


class Billing:
    """What is agreed, and what it comes to."""

    def __init__(
        self, workspace: Workspace, settings: Settings, capture: Capturing, keys: KeyRing
    ) -> None:
        self._workspace = workspace
        self._keys = keys
        self._settings = settings
        self._capture = capture
        database, clock = workspace.database, workspace.clock
        self.subscriptions = Subscriptions(database, clock)
        self.credits = Credits(database, clock)
        self.standings = Standings(database, clock)
        self.desk = Desk(database, clock)

    @cached_property
    def economy(self) -> Economy:
        """What was earned over time, and what other ways to charge would earn."""
        return Economy(self._workspace, self.hour_cost)

    @cached_property
    def invoices(self) -> Invoices:
        """The invoices, in the name of whoever MINTAGE_SELLER says.

        Raises:
            ConfigError: that file cannot be read.
        """
        path = self._settings.seller
        seller = NO_DETAILS if path is None else details.read(path)
        return Invoices(self._workspace.database, self._workspace.clock, self._keys, seller)

    def preview(self, customer: str, period: str | None = None) -> dict[str, Any]:
        """What a month of a customer's comes to until now; nothing of it is kept, or owed.

        Raises:
            ConfigError: no month, or one that has not begun.
            RequestError: no such customer (404).
        """
        month = None if period is None else begun(period, self._workspace.clock)
        path = self._settings.seller
        seller = NO_DETAILS if path is None else details.read(path)
        previews = Previews(self._workspace.database, self._workspace.clock, seller)
        return previews.shown(customer, month)

    @cached_property
    def overdue(self) -> Overdue:
        """What is overdue, told after the days that MINTAGE_OVERDUE_DAYS says.

        Raises:
            ConfigError: it says none.
        """
        said = self._settings
        database, clock = self._workspace.database, self._workspace.clock
        return Overdue(database, clock, days_of(said.overdue_days), said.overdue_stop_days)

    def run(self, period: str, customer: str | None = None, *, issue: bool = False) -> Ran:
        """Draft the invoices of a month, of all customers or of one; ``issue`` them at once.

        Raises:
            ConfigError: no month.
            RequestError: no such customer (404).
        """
        owner = None if customer is None else self._capture.customers.find(customer).id
        self.credits.lapse()
        ran = self.invoices.run(Period.parse(period), owner)
        return self.invoices.issue_ran(ran) if issue else ran

    def listed(
        self,
        customer: str | None = None,
        period: str | None = None,
        status: str | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[Invoice]:
        """Invoices and credit notes, the oldest first; or ``limit`` of those that follow ``after``.

        Raises:
            ConfigError: no month.
            RequestError: no such customer, or no such invoice to go on after (404).
        """
        owner = None if customer is None else self._capture.customers.find(customer).id
        month = None if period is None else str(Period.parse(period))
        return self.invoices.list(owner, month, status, after=after, limit=limit)

    def pay(
        self,
        references: Sequence[str],
        amount: str | None,
        payment: str | None,
        *,
        rest_to_credit: bool = False,
        credit: bool = False,
    ) -> list[Invoice]:
        """Note a payment that came by other ways than a provider's; all that is owed, if not said.

        It pays one invoice, or several in their order; ``rest_to_credit`` keeps what is more than
        is owed. With ``credit`` the customer's credit pays, as far as it goes.

        Raises:
            ConfigError: no amount, or neither a payment's reference nor credit alone.
            RequestError: no such invoice (404), or one that is not to be paid so (409).
        """
        if credit:
            if payment is not None or amount is not None or rest_to_credit:
                raise ConfigError(
                    _("What credit pays has no reference, amount or rest."),
                    remedy=_("Leave them out, or --credit."),
                )
            return [self.invoices.pay_by_credit(each) for each in references]
        if payment is None:
            raise ConfigError(
                _("A payment has a reference, so that it counts once."),
                remedy=_("Give the bank's own: --reference TEXT; or pay from --credit."),
            )
        first = self.invoices.find(references[0])
        paid = None if amount is None else Money.parse(amount, first.currency)
        return self.invoices.pay_each(
            references, paid, MANUAL, payment, rest_to_credit=rest_to_credit
        )

    def add_credit(
        self,
        customer: str,
        amount: str,
        payment: str | None,
        expires: str | None = None,
        action: str | None = None,
    ) -> Credit:
        """Note what a customer paid in advance by other ways than a provider's.

        Without a ``payment``'s reference it is given, for nothing, and once for each ``action``,
        where that has a name. ``amount`` is such as 50 EUR.

        Raises:
            ConfigError: no amount, or no time to expire at.
            RequestError: no such customer (404), or a payment that was noted otherwise (409).
        """
        credit = said_money(amount)
        return self.credits.add(
            customer, credit, provider=MANUAL, reference=payment, expires=expires, action=action
        )

    def export(self, period: str, form: Form, customer: str | None = None) -> Exported:
        """What was issued of a month, for tax software: rows, or e-invoices, a file each.

        A document that cannot be said in that form is left out, with its reason.

        Raises:
            ConfigError: no month.
            RequestError: no such customer (404).
        """
        issued = [each for each in self.listed(customer, period) if each.number is not None]
        return export(issued, form)

    def evidence(
        self, reference: str, *, with_costs: bool = False, is_ours: bool = False
    ) -> WorkspaceEvidence:
        """What shows that an issued invoice is right; that it is read is logged.

        ``with_costs``: records say what upstreams asked, which is no customer's business.
        ``is_ours``: it is checked here, so that no receipt need be signed for it.

        Raises:
            RequestError: there is none (404), or it is a draft (409).
        """
        found = self.invoices.find(reference)
        how = {"with_costs": with_costs, "is_ours": is_ours}
        log = self._capture.log
        made = evidence_of(self._workspace, self._keys, log, self.invoices, found, **how)
        if not is_ours:
            log_reading(self._workspace, "evidence", invoice=found.number, with_costs=with_costs)
        return made

    def asked_pdf(self, reference: str) -> bytes:
        """An invoice as PDF, for an operator who asks over HTTP.

        Raises:
            RequestError: there is none (404), or no PDF can be made here (406).
        """
        found = self.invoices.confirmed(self.invoices.find(reference))
        return asked_pdf(found, self._settings.font)

    def pdf(self, found: Invoice, language: Language, font: Path | None = None) -> bytes:
        """An invoice as PDF; ``font`` is embedded where it is needed, else MINTAGE_FONT's.

        Raises:
            ConfigError: no font has all of its characters.
            DependencyDown: the extra ``pdf`` is not installed.
        """
        return invoice_pdf(found, language, font or self._settings.font)

    def credit(
        self,
        invoice: str,
        reason: str,
        *,
        line: int | None = None,
        amount: str | None = None,
        anew: bool = False,
        reference: str | None = None,
    ) -> Invoice:
        """Write a credit note over an invoice, or over an amount of a line, without its tax.

        The same ``reference`` again is the note that was written under it, and writes nothing.

        Raises:
            ConfigError: an amount of no line, no amount, or the usage of a part made free again.
            RequestError: there is no such invoice or line (404), it cannot be credited, or another
                note of it has that reference (409).
        """
        if line is None and amount is None:
            return self.invoices.credit(invoice, reason, anew=anew, named=reference)
        if line is None:
            raise ConfigError(
                _("An amount is credited of a line, and none is named."),
                remedy=_("Name it by its number, counted from 1: --line 1"),
            )
        if anew:
            raise ConfigError(
                _("What is credited in part stays invoiced: --anew is for all of an invoice."),
                remedy=_("Leave --anew out, or --line and --amount."),
            )
        found = self.invoices.find(invoice)
        taken = None if amount is None else Money.parse(amount, found.currency)
        return self.invoices.credit_part(found.id, line, taken, reason, named=reference)

    def economics(
        self,
        period: str,
        by: Sequence[str] = (),
        write_off: int | None = None,
        costs: Sequence[str] = (),
    ) -> tuple[list[Earned], list[str]]:
        """What each customer's use of each model version earned and cost in a month.

        ``by`` adds it up by some of ``customer``, ``plan``, ``product`` and ``model``. Training is
        written off over so many months, if it is; ``costs`` say what it cost (``pets@3=1200
        EUR``). Second come the versions of which nobody knows that.

        Raises:
            ConfigError: no month, another word, or no cost.
        """
        wrong = [name for name in by if name not in _BY]
        if wrong:
            raise ConfigError(
                _("Economics cannot be added up by {name!r}.", name=wrong[0]),
                remedy=_("Use some of {names}.", names=", ".join(_BY)),
            )
        economics = Economics(self._workspace.database, self._workspace.clock)
        month = begun(period, self._workspace.clock)
        rows, unknown = economics.month(month, self.hour_cost()), list[str]()
        if write_off is not None:
            rows, unknown = self.economy.write_off(rows, period, write_off, costs)
        fields = [field for name in by for field in _BY[name]]
        return (together(rows, fields) if fields else rows), unknown

    def replay(self, period: str, references: Sequence[str | Plan]) -> list[Replayed]:
        """A month's recorded usage under other plans, or under files of terms.

        Raises:
            ConfigError: no month, no plan, or one in another currency than is paid in.
            RequestError: there is no such plan (404).
        """
        found = [self._terms(reference) for reference in references]
        plans = [(f"{name}@{version}", terms) for name, version, terms in found]
        replay = Replay(self._workspace.database, self._workspace.clock)
        return replay.month(begun(period, self._workspace.clock), plans, self.hour_cost())

    @property
    def month(self) -> Period:
        """The month that it is, in UTC."""
        return Period.containing(self._workspace.clock.now(), "UTC")

    def check(self, since: str | None = None, progress: Progress | None = None) -> CheckedBooks:
        """Whether all that money rests on holds together: the ledger, documents, credit, usage.

        ``since`` is a month: events before it are not held against the log again.

        Raises:
            ConfigError: no month, or one that has not begun.
        """
        month = None if since is None else begun(since, self._workspace.clock)
        return check_books(self._workspace, month, progress)

    def set_details(self, customer: str, path: Path) -> Customer:
        """What invoices say of a customer from now on, from a TOML file.

        Raises:
            ConfigError: no such file, or details that cannot be.
            RequestError: no such customer (404).
        """
        return self._capture.customers.set_details(customer, details.read(path))

    def begin(self, customer: str, reference: str) -> Subscription:
        """Begin a plan for a customer, in place of those for the same products.

        Raises:
            RequestError: no such customer or plan (404).
        """
        plan = self.plan(reference)
        return self.subscriptions.begin(customer, plan.name, plan.version)

    def set_plan(self, path: Path, name: str | None = None) -> Plan:
        """Put the terms of a TOML file in force, under the file's own name unless one is given.

        Raises:
            ConfigError: no plan is in the file.
        """
        return self.agree(name or path.stem, terms_file.read(path))

    def agree(self, name: str, terms: Terms) -> Plan:
        """Put terms in force.

        Raises:
            ConfigError: not a name, or a unit that no call counts.
        """
        known = registry.modalities()
        units = {EXPLANATION, *LANGUAGE_UNITS, *(known.get(each).unit for each in known)}
        unknown = [charge.unit for charge in terms.charges if charge.unit not in units]
        if unknown:
            raise ConfigError(
                _("No call counts {unit!r}, so none could be priced.", unit=unknown[0]),
                remedy=_("What is counted is: {units}.", units=", ".join(sorted(units))),
            )
        return self._capture.plans.agree(name, terms)

    def unsold(self, terms: Terms) -> list[str]:
        """Products that terms name and that are not sold here yet."""
        with self._workspace.database.read() as connection:
            sold = products_sold(connection)
        named = {product for charge in terms.charges for product in charge.products}
        return sorted(named - set(sold))

    def plan(self, reference: str) -> Plan:
        """A plan by ``name`` or ``name@version``.

        Raises:
            RequestError: there is none (404).
        """
        wanted = Reference.parse(reference, mark="@", kind="plan")
        version = wanted.version
        if version is not None and not version.isdecimal():
            raise ConfigError(
                _("Not a version of a plan: {version!r}.", version=version),
                remedy=_("Write it as {name}@1.", name=wanted.name),
            )
        return self._capture.plans.find(wanted.name, None if version is None else int(version))

    def simulate(
        self,
        reference: str | Plan,
        units: Sequence[int],
        product: str | None = None,
        unit: str | None = None,
    ) -> Simulation:
        """What a month of each number of units comes to under a plan, or under a file of terms.

        A unit costs its share of what the answers that counted it did: where they counted several,
        each bears as much of that as of their list price under the plan.

        What comes from elsewhere than this machine is given as a plan, so that it names no file.

        Raises:
            ConfigError: no plan, or one that charges for nothing of that product and unit.
            RequestError: there is no such plan (404).
        """
        name, version, terms = self._terms(reference)
        unit = unit or _first_unit(terms, product or _ANY)
        if product is None and unit is None:
            products = {each for charge in terms.charges for each in charge.products}
            product = products.pop() if len(products) == 1 else None
            unit = _first_unit(terms, product or _ANY)
        if unit is None or (terms.charges and unit not in terms.charges_of(product or _ANY)):
            raise _not_charged(name, terms, product, unit)
        spent, quantities = self._spent_on(unit, product)
        counted = quantities.get(unit, 0)
        share = _share_of_unit(terms, product or _ANY, unit, quantities)
        cost = spent.cost(terms.currency, self.hour_cost()) if counted else None
        rows = simulate(
            name,
            version,
            terms,
            product=product or _ANY,
            unit=unit,
            units=units,
            cost_each=None if cost is None else cost * share / counted,
            period=Period.containing(self._workspace.clock.now(), terms.timezone),
        )
        seconds = float(Fraction(spent.seconds) * share / counted) if counted else None
        asked_in = sorted(spent.asked.keys() - {terms.currency})
        return Simulation(f"{name}@{version}", product, unit, rows, seconds, asked_in)

    def _terms(self, reference: str | Plan) -> tuple[str, int, Terms]:
        if isinstance(reference, str) and Path(reference).suffix == ".toml":
            path = Path(reference)
            return path.stem, 1, terms_file.read(path)
        plan = self.plan(reference) if isinstance(reference, str) else reference
        return plan.name, plan.version, plan.terms

    def _spent_on(self, unit: str, product: str | None) -> tuple[Spent, Mapping[str, int]]:
        """What answers that counted a unit took, and all that they counted, by unit."""
        with self._workspace.database.read() as connection:
            rows = repository.spent_on_unit(connection, unit, product)
            return Spent.of(rows), repository.counted_with(connection, unit, product)

    def hour_cost(self) -> Price | None:
        """What an hour of one processor costs, if MINTAGE_COMPUTE_COST says it.

        Raises:
            ConfigError: it is no amount and currency.
        """
        said = self._settings.compute_cost
        return None if said is None else hourly(said)


def _first_unit(terms: Terms, product: str) -> str | None:
    """The first unit that terms charge for of a product; without any charge, what is usual."""
    if not terms.charges:
        return _UNIT  # whatever is used costs nothing more
    return next((unit for unit in terms.charges_of(product) if unit != EXPLANATION), None)


def _share_of_unit(
    terms: Terms, product: str, unit: str, quantities: Mapping[str, int]
) -> Fraction:
    """Which share of what answers cost is a unit's: its part of their list price.

    All of it, where that is nothing, or no other unit has a price.
    """
    prices = {
        name: parse_exact(price) / per
        for name, charge in terms.charges_of(product).items()
        for price, per in [charge.list_price]
    }
    worth = {name: prices.get(name, Fraction(0)) * n for name, n in quantities.items()}
    whole = sum(worth.values(), Fraction(0))
    return worth.get(unit, Fraction(0)) / whole if whole and worth.get(unit) else Fraction(1)


def _not_charged(plan: str, terms: Terms, product: str | None, unit: str | None) -> ConfigError:
    products = sorted({each for charge in terms.charges for each in charge.products})
    units = sorted({charge.unit for charge in terms.charges})
    said = {"plan": plan, "product": product, "unit": unit or ""}
    if unit is not None:
        what = _("The plan {plan} has no price for {unit!r} of that product.", **said)
    elif product is not None:
        what = _("The plan {plan} charges for no unit of {product}.", **said)
    else:
        what = _("The plan {plan} charges for no unit of every product.", **said)
    return ConfigError(
        what,
        remedy=_(
            "It has prices for {units}, of {products}: --product NAME, --unit UNIT",
            units=", ".join(units),
            products=", ".join(products) or _("every product"),
        ),
    )


def asked_pdf(found: Invoice, font: Path | None) -> bytes:
    """An invoice as PDF for whoever asks over HTTP, in the customer's language or the one spoken.

    Raises:
        RequestError: none can be made here (406).
    """
    try:
        return invoice_pdf(found, language_for(found.document), font)
    except (ConfigError, DependencyDown) as error:
        raise RequestError(
            _("This server cannot write it as PDF: {reason}", reason=error.message),
            remedy=_("Ask for it as application/json."),
            http_status=406,
        ) from error


def invoice_pdf(found: Invoice, language: Language, font: Path | None) -> bytes:
    """An invoice as PDF.

    Raises:
        ConfigError: no font has all of its characters.
        DependencyDown: the extra ``pdf`` is not installed.
    """
    from mintage.capture.books.pdf import pdf  # noqa: PLC0415 - it needs what may not be installed

    return pdf(found.document, found.status, language, font)


def hourly(said: str) -> Price:
    """What an hour of computing costs, from ``0.05 EUR``.

    Raises:
        ConfigError: no amount and currency.
    """
    amount, __, currency = said.partition(" ")
    try:
        exponent_of(currency)
        return Price(amount, currency)
    except ConfigError as error:
        raise ConfigError(
            _("MINTAGE_COMPUTE_COST: {reason}", reason=error.message),
            remedy=_("Write what an hour of one processor costs you, such as '0.05 EUR'."),
        ) from error
