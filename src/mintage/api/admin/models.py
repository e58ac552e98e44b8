"""What travels over the admin routes, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mintage.capture.operators import Role
from mintage.capture.pricing.terms_file import TermsTable

_Name = Annotated[str, Field(max_length=200)]
_Word = Annotated[str, Field(max_length=100)]
_Words = Annotated[list[_Name], Field(max_length=100)]
_Next = Annotated[str | None, Field(description="What to go on after; null where the list ends.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class NewCustomer(_Body):
    """A customer to add."""

    name: _Name


class TaxRate(_Body):
    """A tax that is due."""

    name: str = Field(examples=["VAT"])
    percent: str = Field(description="A decimal string.", examples=["19"])


class CustomerDetails(_Body):
    """What invoices say of a customer; all may be left out."""

    legal_name: str = Field("", description="In China: 发票抬头.")
    address: str = ""
    country: str = ""
    tax_number: str = Field("", description="In China: 纳税人识别号.")
    bank: str = Field("", description="In China: 开户行.")
    bank_account: str = ""
    phone: str = ""
    email: str = ""
    language: str = Field("", examples=["en", "zh"])
    taxes: list[TaxRate] = []


class AdminCustomer(_Shown):
    """Who pays."""

    id: str
    name: str
    created_at: str
    details: CustomerDetails


class CustomerWithKey(AdminCustomer):
    """A customer just added; the key is shown now and never again."""

    key_id: str
    key: str


class CustomerPage(_Shown):
    """Customers, by name."""

    customers: list[AdminCustomer]
    next: _Next


class BeginPlan(_Body):
    """A plan to begin."""

    plan: _Name = Field(examples=["gold", "gold@2"])


class CancelPlan(_Body):
    """How a plan ends."""

    at_month_end: bool = Field(False, description="Not now, but with the month.")


class Begun(_Shown):
    """A customer's use of one version of a plan."""

    id: str
    customer: str
    plan: str
    plan_version: int
    started_at: str
    ended_at: str | None
    ended_by: Literal["change", "cancel"] | None


class BegunPage(_Shown):
    """The plans that a customer has begun, the oldest first."""

    plans: list[Begun]
    next: _Next


class NewKey(_Body):
    """What a key is bound to; an empty list binds it to nothing."""

    scopes: _Words = Field([], examples=[["predict"]])
    products: _Words = []
    networks: _Words = Field([], examples=[["10.0.0.0/8"]])
    expires: _Word | None = Field(None, examples=["90d", "2027-01-31"])
    budget: _Word | None = Field(
        None, description="What its calls may come to in a month.", examples=["10 EUR"]
    )
    name: _Name | None = None


class RotateKey(_Body):
    """How long the old key is taken yet, and when the new one ends."""

    overlap: _Word = Field("24h", examples=["24h", "0s"])
    expires: _Word | None = Field(None, examples=["90d", "2027-01-31"])


class ShownKey(_Shown):
    """A key as lists show it; never the key itself."""

    id: str
    customer: str
    name: str | None
    last4: str
    scopes: list[str]
    products: list[str] | None
    networks: list[str] | None
    expires_at: str | None
    budget: str | None
    replaces: str | None
    created_at: str
    revoked_at: str | None


class KeyPage(_Shown):
    """A customer's keys, the oldest first."""

    keys: list[ShownKey]
    next: _Next


class IssuedKeyShown(_Shown):
    """A key just made, shown now and never again."""

    customer: str
    key_id: str
    key: str
    name: str | None
    scopes: list[str]
    products: list[str] | None
    networks: list[str] | None
    expires_at: str | None
    budget: str | None


class RotatedKeyShown(IssuedKeyShown):
    """A key in place of another."""

    replaced: ShownKey


class NewCredit(_Body):
    """What a customer paid in advance, or is given."""

    customer: _Name
    amount: _Word = Field(examples=["50 EUR"])
    payment: _Name | None = Field(
        None, description="The payment's reference; without one it is given, for nothing."
    )
    expires: _Word | None = Field(None, examples=["365d", "2027-12-31"])


class CreditRows(BaseModel):
    """Credits and what is left of them, the oldest first."""

    credits: list[dict[str, Any]]
    next: _Next


class ShownPlan(BaseModel):
    """One version of a plan, with all its terms."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: int
    created_at: str
    currency: str
    charges: list[dict[str, Any]]


class PlanPage(_Shown):
    """Every version of every plan, by name and version."""

    plans: list[ShownPlan]
    next: _Next


class Simulate(_Body):
    """A plan or terms to try out, and numbers of units a month."""

    plan: _Name | None = Field(None, examples=["gold@2"])
    terms: TermsTable | None = None
    units: list[Annotated[int, Field(ge=0, le=10**15)]] = Field(
        [10, 100, 1000, 10000, 100000, 1000000], min_length=1, max_length=100
    )
    product: _Name | None = None
    unit: _Name | None = Field(None, description="Null is the first that has a price.")


class SimulatedShown(_Shown):
    """What each number of units comes to."""

    plan: str
    product: str | None
    unit: str
    seconds_each: float | None = Field(
        description="What answering computed for each unit; null where nothing was measured."
    )
    rows: list[dict[str, Any]]


class UsagePage(_Shown):
    """Usage events, the newest first."""

    usage: list[dict[str, Any]]
    next: _Next


class RunInvoices(_Body):
    """A month to draw up."""

    period: _Word = Field(examples=["2026-11"])
    customer: _Name | None = None
    issue: bool = Field(False, description="Issue what is drafted.")


class PushInvoice(_Body):
    """Who is to collect an invoice."""

    provider: _Name = Field(examples=["stripe"])


class SyncPayments(_Body):
    """Whom to ask what was paid."""

    provider: _Name | None = Field(None, description="Null is all that were asked to collect.")


class DismissPayment(_Body):
    """A payment that is in nobody's books, and how it was set right."""

    reference: _Name = Field(description="As the provider names it.")
    reason: Annotated[str, Field(min_length=1, max_length=200, examples=["sent back"])]
    provider: _Name | None = Field(None, description="Where several have the reference.")


class PayInvoice(_Body):
    """A payment that came; the same reference counts once."""

    reference: _Name | None = Field(
        None, description="What tells it from others, such as the bank's own; null for credit."
    )
    amount: _Word | None = Field(None, description="Null is all that is owed.", examples=["12.50"])
    also: list[_Name] = Field(
        [], max_length=100, description="Further invoices that it pays, in their order."
    )
    rest_to_credit: bool = Field(False, description="What is more than is owed becomes credit.")
    credit: bool = Field(False, description="From the customer's credit, as far as it goes.")


class CreditInvoice(_Body):
    """Why an invoice is credited; under the same reference, once."""

    reason: Annotated[str, Field(min_length=1, max_length=400)]
    line: int | None = Field(None, ge=1, description="Only a part: of this line, from 1.")
    amount: _Word | None = Field(
        None, description="How much of it, without tax; null is all that is left."
    )
    anew: bool = Field(False, description="Let the usage that it took be invoiced again.")
    reference: _Name | None = Field(
        None,
        description="What tells it from others of the invoice; sent again, nothing is written.",
    )


class AdminInvoice(_Shown):
    """An invoice or a credit note; ``document`` never changes once it is issued."""

    id: str
    kind: str
    number: str | None
    customer: str
    currency: str
    period: str
    attempt: int
    status: str
    corrects: str | None
    document: dict[str, Any]
    created_at: str
    issued_at: str | None
    due_at: str | None
    closed_at: str | None
    total: str = Field(description="A decimal string in major units.")
    credit: str = Field(description="What the customer's credit paid of it.")
    paid: str = Field(description="What other ways paid of it.")
    credited: str = Field(description="What credit notes took back of it.")
    to_pay: str


class InvoicePage(_Shown):
    """Invoices and credit notes, the oldest first."""

    invoices: list[AdminInvoice]
    next: _Next


class RanInvoices(_Shown):
    """What a run came to; ``waiting`` says of whom there is none yet, and why."""

    period: str
    drafted: list[AdminInvoice]
    standing: list[AdminInvoice]
    credited: list[AdminInvoice]
    waiting: list[list[str]]
    is_over: bool = Field(description="Whether the month is, in UTC.")


class OverdueInvoices(_Shown):
    """Invoices that were due and are not paid, the longest first, with what is owed."""

    invoices: list[dict[str, Any]]


class PushedInvoice(_Shown):
    """What a provider was asked to collect, and where it can be paid."""

    number: str
    provider: str
    reference: str
    url: str | None
    asked: str
    currency: str


class FoundPayment(_Shown):
    """What came of a payment; ``credit`` is what of it is the customer's, since it was not owed."""

    status: Literal["paid", "part", "credited", "known", "mismatch"] = Field(
        description="All or a part of what was owed is paid; nothing was owed; it was known; or "
        "it is in nobody's books."
    )
    provider: str
    reason: str | None
    reference: str
    number: str
    amount: str
    currency: str
    credit: str | None


class Mismatch(_Shown):
    """A payment that the books cannot say; ``invoice`` is null where none has its number."""

    provider: str
    reference: str
    invoice: str | None
    number: str
    amount: str
    currency: str
    reason: str
    received_at: str
    dismissed_at: str | None
    dismissed_reason: str | None


class SyncedPayments(_Shown):
    """What providers took; ``failed`` did not answer, ``mismatches`` pay nothing by themselves."""

    payments: list[FoundPayment]
    failed: list[dict[str, Any]]
    mismatches: list[Mismatch]


class ExportedInvoices(_Shown):
    """Files for tax software, by name; ``left_out`` cannot be said in that form."""

    files: dict[str, str]
    written: list[str]
    left_out: list[dict[str, str]]


class EventsOfLine(_Shown):
    """The usage events that a line was computed from."""

    events: list[dict[str, Any]]


class CheckedUsage(_Shown):
    """Usage events held against the audit log."""

    events: int
    erased: int = Field(description="Of these, calls of erased customers: only hashes are left.")
    missing: int
    extra: int
    changed: int
    first: list[dict[str, Any]] = Field(description="The first that are not as they were logged.")


class CheckedLedger(_Shown):
    """The ledger's balances, by account and currency; it holds, or this is a problem."""

    transactions: int
    accounts: dict[str, dict[str, str]]
    events: int = Field(description="How many usage events are summed up as recorded.")
    logged: CheckedUsage
    faults: list[str] = Field(description="None: where something is wrong, this is a problem.")


class EarnedRows(_Shown):
    """Revenue, cost and margin; of some versions nobody knows what training cost."""

    rows: list[dict[str, Any]]
    unknown_training_costs: list[str] = []


class ReplayPlans(_Body):
    """A month, and the plans or terms to price its usage by."""

    period: _Word = Field(examples=["2026-11"])
    plans: Annotated[list[_Name], Field(max_length=20)] = Field([], examples=[["gold"]])
    terms: Annotated[dict[_Name, TermsTable], Field(max_length=20)] = Field(
        {}, description="Terms that are no plan yet, by a name of your own."
    )


class ProductRows(_Shown):
    """What is sold, and which model answers for it."""

    products: list[dict[str, Any]]


class NewOperator(_Body):
    """An operator to add."""

    name: _Name
    role: Role


class RoleOfOperator(_Body):
    """What an operator may do."""

    role: Role


class RotateOperator(_Body):
    """How long the keys before are taken yet."""

    overlap: _Word = Field("24h", examples=["24h", "0s"])


class ShownOperator(_Shown):
    """Somebody who runs the service."""

    id: str
    name: str
    role: Role
    created_at: str
    revoked_at: str | None


class OperatorKeyShown(_Shown):
    """An operator's key as lists show it."""

    last4: str
    created_at: str
    expires_at: str | None


class ListedOperator(ShownOperator):
    """An operator, and what their keys are told apart by."""

    keys: list[OperatorKeyShown]


class OperatorPage(_Shown):
    """Operators, by name."""

    operators: list[ListedOperator]
    next: _Next


class IssuedOperatorShown(ShownOperator):
    """An operator with a key just made, shown now and never again."""

    key: str
    others_until: str | None = Field(description="Until when the keys before it are taken yet.")


class AdminReceipt(_Shown):
    """A receipt: its statement as it reads, and the signed envelope."""

    statement: dict[str, Any]
    id: str
    event: str
    envelope: dict[str, Any]


BODIES: tuple[type[BaseModel], ...] = (TermsTable, CustomerDetails, *_Body.__subclasses__())
"""What hand-read bodies are described by."""
