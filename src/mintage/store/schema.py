"""The tables. A fact is a row and a leaf of the audit log, made in one transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)


def _name(context: Any) -> str:
    return str(context.get_current_parameters()["name"])


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# What was removed keeps its row, with `removed_at`: a version's number is never given twice.

# The audit log: positions have no gap, and the first log's are the indices in its Merkle tree.
log_leaves = Table(
    "log_leaves",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
)

# A log that was found damaged is frozen, and another begun behind it: positions go on, and an
# index is a position less `first_position`. The first has no row before its first signed head.
logs = Table(
    "logs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("origin", String(200), nullable=False, unique=True),
    Column("first_position", BigInteger, nullable=False),
    Column("begun_at", String(32), nullable=False),
    Column("frozen_at", String(32)),
    Column("frozen_size", BigInteger),  # of its last good head; 0 where there is none
    Column("reason", Text),  # why it was frozen
)

# The trees' inner hashes: of level k, the roots over 256 to the k leaves each, where all are there.
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# What was signed, in the transaction of the nodes below it.
log_heads = Table(
    "log_heads",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", String(32), nullable=False),
)

# What witnesses said of heads: a line of a signed note each.
log_cosignatures = Table(
    "log_cosignatures",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(200), primary_key=True),
    Column("line", Text, nullable=False),
    Column("taken_at", String(32), nullable=False),
)

# The largest head of each log of others that was cosigned here as a witness.
witnessed_heads = Table(
    "witnessed_heads",
    metadata,
    Column("origin", String(200), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("witnessed_at", String(32), nullable=False),
)

# Documents as they were signed when they were issued, set or measured; none ever changes. One whose
# key was revoked is signed again, and kept under the next number.
statements = Table(
    "statements",
    metadata,
    Column("name", String(200), primary_key=True),  # invoice/INV-2026-000001, plan/basic@3
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1 as it was issued
    Column("envelope", Text, nullable=False),  # DSSE, in the one spelling that it has
)

# In a sealed workspace: what encrypts for each customer, each dataset and the workspace itself, and
# that only as the key-encryption key wraps it. The newest that is not retired seals; a destroyed
# one has nothing left to unwrap. An open workspace has no row.
data_keys = Table(
    "data_keys",
    metadata,
    Column("number", Integer, primary_key=True),
    Column(
        "owner", String(140), nullable=False, index=True
    ),  # customer/ID, dataset/NAME, workspace
    Column("wrapped", LargeBinary),  # NULL: it was destroyed
    Column("wrapped_by", String(200), nullable=False),  # the id of that key-encryption key
    Column("made_at", String(32), nullable=False),
    Column("retired_at", String(32)),
    Column("destroyed_at", String(32)),
)

# The version of each sealed file that lies there: an older one is not taken.
sealed_files = Table(
    "sealed_files",
    metadata,
    Column("name", String(400), primary_key=True),
    Column("version", BigInteger, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("modality", String(20), nullable=False),
    Column("task", String(20), nullable=False),
    Column("examples", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("log_position", Integer, nullable=False),
    Column("removed_at", String(32)),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("dataset", String(64), nullable=False),
    Column("dataset_version", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("model", String(64)),
    Column("model_version", Integer),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("removed_at", String(32)),
)

models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("bundle_digest", String(64), nullable=False),
    Column("dataset", String(64), nullable=False),
    Column("dataset_version", String(64), nullable=False),
    Column("run", String(40), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("log_position", Integer, nullable=False),
    Column("removed_at", String(32)),
)

# When a model's version was looked over again, and when it is to be the next time; what was found
# is the statement `audit/ID`.
model_audits = Table(
    "model_audits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("audited_at", String(32), nullable=False),
    Column("due_at", String(32), nullable=False),
    Index(None, "model", "version"),
)

plans = Table(
    "plans",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("terms", Text, nullable=False),  # canonical JSON
    Column("created_at", String(32), nullable=False),
)

products = Table(
    "products",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("product", String(64), ForeignKey("products.name"), primary_key=True),
    Column("alias", String(20), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("changed_at", String(32), nullable=False),
)

# Every publish, so that one can be taken back; `aliases` is what those that stand come to.
publications = Table(
    "publications",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("product", String(64), ForeignKey("products.name"), nullable=False, index=True),
    Column("alias", String(20), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("published_at", String(32), nullable=False),
    Column("undone_at", String(32)),
)

# Servers of others that answer for a product, as they were declared; a removed one stays, since
# events name it.
upstreams = Table(
    "upstreams",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("product", String(64), ForeignKey("products.name"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("model", String(120), nullable=False),
    Column("secret", Text, nullable=False),  # where it is: env:NAME, file:PATH, or "" for none
    Column("place", Integer, nullable=False),  # the lowest is asked first
    Column("weight", Integer, nullable=False),  # among those of one place
    Column("deadline_seconds", Float, nullable=False),
    Column("most_output", Integer, nullable=False),  # tokens of an answer that names no bound
    Column("tokenizer", Text, nullable=False),  # a tokenizer.json that counts where it does not
    Column("costs", Text, nullable=False),  # canonical JSON
    Column("deidentify", Text, nullable=False),  # what is replaced before it leaves: email,phone
    Column("digest", String(64), nullable=False),
    Column("declared_at", String(32), nullable=False),
    Column("removed_at", String(32)),
)

customers = Table(
    "customers",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    # What it is found by: the name itself where that is not sealed.
    Column("name_key", String(200), nullable=False, unique=True, default=_name),
    Column("created_at", String(32), nullable=False),
    Column("details", Text, nullable=False, server_default="{}"),  # for invoices, as canonical JSON
    Column("erased_at", String(32)),
)

# Which version of a plan a customer has begun, and until when: what months are shared by.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("customer", String(40), ForeignKey("customers.id"), nullable=False, index=True),
    Column("plan", String(64), nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("ended_by", String(10)),  # change or cancel
)

# Only the digest of a key is kept; `last4` lets people tell their keys apart.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("customer", String(40), ForeignKey("customers.id"), nullable=False),
    Column("name", Text),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("last4", String(4), nullable=False),
    Column("scopes", Text, nullable=False),  # canonical JSON, as the two below; NULL is no limit
    Column("products", Text),
    Column("networks", Text),
    Column("budget", String(60)),  # for a month, such as 10 EUR
    Column("expires_at", String(32)),
    Column("replaces", String(40), ForeignKey("api_keys.id"), unique=True),
    Column("created_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
)

# Who runs the service, and the keys that they use its admin API with: digests, as of any key.
operators = Table(
    "operators",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),  # for ever: the log names it
    Column("name_key", String(200), nullable=False, unique=True, default=_name),
    Column("role", String(10), nullable=False),  # viewer, support, billing or admin
    Column("created_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
)

operator_keys = Table(
    "operator_keys",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("operator", String(40), ForeignKey("operators.id"), nullable=False, index=True),
    Column("last4", String(4), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
)

usage_events = Table(
    "usage_events",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("customer", String(40), nullable=False),
    Column("origin", String(40), nullable=False),
    Column("id", String(80), nullable=False),
    Column("receipt", String(40), nullable=False, unique=True),
    Column("api_key", String(40), nullable=False),
    Column("product", String(64), nullable=False),
    Column("alias", String(20), nullable=False),
    Column("provider_model", String(120), nullable=False),
    Column("provider_version", String(64), nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("quantities", Text, nullable=False),  # canonical JSON: {"image": 1}
    Column("input_sha256", String(64), nullable=False),
    Column("output_sha256", String(64), nullable=False),
    Column("probability", Float),
    Column("abstained", Boolean, nullable=False),
    Column("latency_seconds", Float, nullable=False),
    Column("compute_seconds", Float, nullable=False),
    Column("plan", String(64), nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("price", String(60), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("final", Boolean, nullable=False),
    Column("counted_by", String(12), nullable=False),  # upstream or tokenizer; "" by ourselves
    Column("cost_picos", BigInteger, nullable=False),  # what an upstream asks for it, in 10⁻¹²
    Column("cost_currency", String(3), nullable=False),  # XXX where nobody knows what it asks
    Column("recorded_at", String(32), nullable=False),
    Column("log_position", Integer, nullable=False),
    UniqueConstraint("customer", "origin", "id"),
    Index(None, "customer", "sequence"),
)

# What a customer has used of what is limited: a count of units, or 10⁻⁹ of a currency's unit, for
# each month. It changes in the transaction of the event that it counts.
usage_counters = Table(
    "usage_counters",
    metadata,
    Column("counter", String(300), primary_key=True),
    Column("customer", String(40), nullable=False),
    Column("plan", String(64), nullable=False),  # '' where it is a key's budget
    Column("used", BigInteger, nullable=False),
    Index(None, "customer", "plan"),
)

# What calls under way have reserved of it, or of a balance; each returns by itself when its lease
# is over.
holds = Table(
    "holds",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("counter", String(300), primary_key=True, index=True),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", String(32), nullable=False),
)

# What was paid in advance, or given; `spent_nanos` is what calls and invoices took of it.
customer_credits = Table(
    "credits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("customer", String(40), ForeignKey("customers.id"), nullable=False, index=True),
    Column("origin", String(10), nullable=False),  # paid, given, returned or surplus
    Column("currency", String(3), nullable=False),
    Column("nanos", BigInteger, nullable=False),
    Column("spent_nanos", BigInteger, nullable=False),
    Column("provider", String(40)),
    Column("reference", String(200)),
    Column("added_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("ended_at", String(32)),  # when it lapsed or was paid back
    UniqueConstraint("provider", "reference"),
)

# What calls took of credits in a month, and how much of that its invoices have counted as paid.
credit_draws = Table(
    "credit_draws",
    metadata,
    Column("customer", String(40), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("period", String(7), primary_key=True),
    Column("drawn_nanos", BigInteger, nullable=False),
    Column("applied_nanos", BigInteger, nullable=False),
)

# Usage by the hour: what invoices and economics are computed from. Rows are only added: each step
# sums up the events after the step before, up to and including the sequence that is its name.
rollup_steps = Table(
    "rollup_steps",
    metadata,
    Column("step", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("made_at", String(32), nullable=False),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("customer", String(40), primary_key=True),
    Column("hour", String(13), primary_key=True),  # 2026-11-26T14, in UTC
    Column("step", BigInteger, primary_key=True),
    Column("product", String(64), primary_key=True),
    Column("provider_model", String(120), primary_key=True),
    Column("provider_version", String(64), primary_key=True),
    Column("plan", String(64), primary_key=True),
    Column("plan_version", Integer, primary_key=True),
    Column("outcome", String(12), primary_key=True),
    Column("unit", String(64), primary_key=True),  # '' where nothing was counted
    Column("cost_currency", String(3), primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    # Of an event with several units the first carries it, its seconds and its cost.
    Column("events", Integer, nullable=False),
    Column("compute_seconds", Float, nullable=False),
    Column("cost_picos", BigInteger, nullable=False),
    sqlite_with_rowid=False,  # its key is all but four columns: half the size, and sooner read
)

# An invoice or a credit note. What is issued never changes but in its status.
invoices = Table(
    "invoices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(12), nullable=False),  # invoice or credit_note
    Column("number", String(40), unique=True),  # from the issue on
    Column("customer", String(40), ForeignKey("customers.id"), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("period", String(7), nullable=False),
    Column("attempt", Integer, nullable=False),  # after one was voided or credited, the next
    Column("status", String(10), nullable=False),  # draft, issued, paid, void, credited, replaced
    Column("corrects", String(40), index=True),
    Column("document", Text, nullable=False),  # canonical JSON
    Column("total_nanos", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("issued_at", String(32)),
    Column("due_at", String(32)),
    Column("closed_at", String(32)),
    UniqueConstraint("customer", "period", "currency", "kind", "attempt"),
)

# Which steps of the rollup an invoice took of a plan's month: nothing is billed twice, or lost.
billed = Table(
    "billed",
    metadata,
    Column("invoice", String(40), ForeignKey("invoices.id"), primary_key=True),
    Column("period", String(7), primary_key=True),
    Column("plan", String(64), primary_key=True),
    Column("plan_version", Integer, primary_key=True),
    Column("customer", String(40), nullable=False),
    Column("until_step", BigInteger, nullable=False),
    Column("disposition", String(10), nullable=False),  # billed, late or rejected
    Index(None, "customer", "period"),
)

# The last number that each series of documents has given.
numbers = Table(
    "numbers",
    metadata,
    Column("series", String(20), primary_key=True),
    Column("last", Integer, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("invoice", String(40), nullable=False, index=True),
    Column("provider", String(40), nullable=False),
    Column("reference", String(200), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("nanos", BigInteger, nullable=False),
    Column("received_at", String(32), nullable=False),
    UniqueConstraint("provider", "reference", "invoice"),  # one transfer may pay several
)

# What payment providers were asked to collect.
payment_requests = Table(
    "payment_requests",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("invoice", String(40), ForeignKey("invoices.id"), primary_key=True),
    Column("reference", String(200), nullable=False),  # what the provider calls it
    Column("payer", String(200)),  # and the customer
    Column("url", Text),
    Column("currency", String(3), nullable=False),
    Column("nanos", BigInteger, nullable=False),
    Column("pushed_at", String(32), nullable=False),
)

# How many days after it was due an invoice was told of as overdue: each is told once.
reminders = Table(
    "reminders",
    metadata,
    Column("invoice", String(40), ForeignKey("invoices.id"), primary_key=True),
    Column("days", Integer, primary_key=True),
    Column("told_at", String(32), nullable=False),
)

# Money that a provider took and that is in nobody's books, because those cannot say it.
payment_mismatches = Table(
    "payment_mismatches",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("reference", String(200), primary_key=True),
    Column("invoice", String(40)),  # NULL: none has the number
    Column("number", String(200), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("nanos", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("dismissed_at", String(32)),  # NULL: it waits for somebody to set it right
    Column("dismissed_reason", Text),
)

# Double entry, append-only: every transaction sums to zero in each currency.
ledger_transactions = Table(
    "ledger_transactions",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("reference", String(80), nullable=False),
    Column("posted_at", String(32), nullable=False),
    Column("log_position", Integer, nullable=False),
    UniqueConstraint("kind", "reference"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("entry", Integer, primary_key=True),
    Column("account", String(120), nullable=False, index=True),
    Column("currency", String(3), nullable=False),
    Column("nanos", BigInteger, nullable=False),
)

# What operators and customers are told by webhook: written with the fact that it tells of.
notices = Table(
    "notices",
    metadata,
    Column("id", String(40), primary_key=True),  # the webhook-id, the same in every try
    Column("customer", String(40), ForeignKey("customers.id"), index=True),  # NULL: of nobody
    Column("type", String(40), nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON
    Column("told_at", String(32), nullable=False),
)

# Where they are sent. The secret is none of its columns: it is made of a key beside the database.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("url", Text, nullable=False),
    Column("customer", String(40), ForeignKey("customers.id")),  # NULL: of all customers
    Column("types", Text, nullable=False),  # canonical JSON; [] is all
    Column("private", Boolean, nullable=False),  # whether it may be of a private network
    Column("generation", Integer, nullable=False),  # of its secret
    Column("secret_sha256", String(64), nullable=False),
    Column("previous_until", String(32)),  # until when the secret before signs too
    Column("created_at", String(32), nullable=False),
    Column("removed_at", String(32)),
)

# Each notice for each endpoint. Who sends one holds its lease.
deliveries = Table(
    "deliveries",
    metadata,
    Column("notice", String(40), ForeignKey("notices.id"), primary_key=True),
    Column("endpoint", String(40), ForeignKey("webhook_endpoints.id"), primary_key=True),
    Column("status", String(10), nullable=False),  # waiting, delivered, failed
    Column("tries", Integer, nullable=False),
    Column("next_at", String(32), nullable=False),
    Column("lease", String(40)),
    Column("lease_until", String(32)),
    Column("answer", String(200)),  # what came of the last try
    Column("ended_at", String(32)),
    Index(None, "status", "next_at"),
)

# What a customer said of an answer, with its picture, until it is part of a dataset.
feedback = Table(
    "feedback",
    metadata,
    Column("receipt", String(40), ForeignKey("usage_events.receipt"), primary_key=True),
    Column("customer", String(40), nullable=False, index=True),
    Column("product", String(64), nullable=False, index=True),
    Column("is_right", Boolean, nullable=False),
    Column("label", Text),  # the true one, where it is known
    Column("output", Text, nullable=False),  # the answer, as canonical JSON
    Column("sha256", String(64), nullable=False, index=True),  # of the file, without metadata
    Column("ending", String(8), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("given_at", String(32), nullable=False),
    Column("collected_into", String(140)),  # name#version; then the file is the dataset's alone
)

# What a repeated Idempotency-Key is answered with: a copy for a while, so neither event nor leaf.
answers = Table(
    "answers",
    metadata,
    Column("receipt", String(40), ForeignKey("usage_events.receipt"), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_at", String(32), nullable=False, index=True),
)
