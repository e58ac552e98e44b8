"""Capture: customers, keys, usage, receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.capture.subscriptions import Subscription
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, table, warn
from mintage.cli.words import word
from mintage.core.errors import ConfigError
from mintage.core.messages import _, told

customer = typer.Typer(help="Who pays: add and list customers.", no_args_is_help=True)
key = typer.Typer(
    help="What they call with: make, list, rotate and revoke keys.", no_args_is_help=True
)

_SHOWN = 50
_Customer = Annotated[str, typer.Argument(help="A customer's name or id.")]
_KeyId = Annotated[str, typer.Argument(help="The key's id (key_…), not the key.")]
_Expires = Annotated[
    str | None,
    typer.Option(help="From when on it is refused: 90d, 2027-01-31. (default: never)"),
]


@customer.command("add")
def add_customer(
    name: Annotated[str, typer.Argument(help="The customer's name.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a customer with a first key, which is shown now and never again."""
    with opened(home, make=True) as app:
        added, issued = app.capture.add_customer(name)
    if as_json:
        emit(added.with_key(issued))
        return
    line(issued.key.reveal())
    say(
        _(
            "{name} ({id}); the key is shown only now, only its digest is kept.",
            name=added.name,
            id=added.id,
        )
    )


@customer.command("list")
def list_customers(*, home: Home = None, as_json: Json = False) -> None:
    """List every customer."""
    with opened(home) as app:
        listed = [found.to_json() for found in app.capture.customers.list()]
    if as_json:
        emit(listed)
    else:
        rows = [(found["name"], found["id"], found["created_at"][:16]) for found in listed]
        table((_("customer"), _("id"), _("since")), rows)


@customer.command("set")
def set_details(
    owner: _Customer,
    path: Annotated[Path, typer.Argument(help="A TOML file: legal_name, address, taxes …")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Set what invoices say of a customer: names, address, tax number, bank, taxes, language.

    The file is all of it: what it leaves out is said no more.
    """
    with opened(home) as app:
        before = app.capture.customers.find(owner).details.to_json()
        changed = app.billing.set_details(owner, path)
    now = changed.details.to_json()
    gone = [name for name, value in before.items() if value and not now[name]]
    if gone:
        warn(_("Said no more, for the file leaves it out: {names}.", names=", ".join(gone)))
    if as_json:
        emit(changed.to_json())
        return
    said = {**changed.details.to_json(), "taxes": ""}
    said["taxes"] = ", ".join(f"{tax.name} {tax.percent} %" for tax in changed.details.taxes)
    facts((word(name), value) for name, value in said.items() if value)


@customer.command("begin")
def begin_plan(
    owner: _Customer,
    plan: Annotated[str, typer.Argument(help="A plan: gold, or gold@2.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Begin a plan for a customer, from now on.

    It takes the place of plans for the same products; the month is shared by the day.
    """
    with opened(home) as app:
        begun = app.billing.begin(owner, plan)
        replaced = [
            f"{each.plan}@{each.plan_version}"
            for each in app.billing.subscriptions.list(owner)
            if (each.ended_by, each.ended_at) == ("change", begun.started_at)
        ]
    _say_begun([begun], as_json=as_json)
    if replaced:
        say(_("It takes the place of {plans}.", plans=", ".join(replaced)))


@customer.command("cancel")
def cancel_plan(
    owner: _Customer,
    plan: Annotated[str, typer.Argument(help="The plan's name.")],
    *,
    at_month_end: Annotated[
        bool, typer.Option("--at-month-end", help="Not now, but with the month.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a customer's plan, now or with the month."""
    with opened(home) as app:
        ended = app.billing.subscriptions.cancel(owner, plan, at_month_end=at_month_end)
    _say_begun([ended], as_json=as_json)


@customer.command("plans")
def list_begun(owner: _Customer, *, home: Home = None, as_json: Json = False) -> None:
    """List the plans that a customer has begun, ended ones too."""
    with opened(home) as app:
        found = list(app.billing.subscriptions.list(owner))
    _say_begun(found, as_json=as_json)


_UNIT_LIMITS = ("included", "soft_limit", "hard_limit")


@customer.command("limits")
def show_limits(owner: _Customer, *, home: Home = None, as_json: Json = False) -> None:
    """Show what limits a customer this month, how much of it is used, and the credit left."""
    with opened(home) as app:
        found = app.billing.standings.of(owner)
    if as_json:
        emit(found)
        return
    rows = [
        (
            f"{each['plan']}: {told(word(each['unit']))}",
            each["month"],
            f"{each['used']:,}",
            f"{each['held']:,}",
            *("" if not each[name] else f"{each[name]:,}" for name in _UNIT_LIMITS),
        )
        for each in found["limits"]
    ]
    rows += [
        (
            f"{each['plan']}: {each['currency']}",
            each["month"],
            each["spent"],
            "",
            "",
            each["soft_spend_limit"] or "",
            each["spend_limit"] or "",
        )
        for each in found["spending"]
    ]
    rows += [
        (
            f"{each['name'] or each['key']}: {each['currency']}",
            each["month"],
            each["spent"],
            each["held"],
            "",
            "",
            each["budget"],
        )
        for each in found["budgets"]
    ]
    columns = (_("of"), _("month"), _("used"), _("held"), _("included"), _("soft"), _("hard"))
    if rows:
        table(columns, rows)
    for each in found["credit"]:
        line(_("Credit: {left} {currency}", left=each["left"], currency=each["currency"]))
    if not rows and not found["credit"]:
        say(_("Nothing limits {customer}.", customer=owner))


def _say_begun(found: list[Subscription], *, as_json: bool) -> None:
    if as_json:
        emit([each.to_json() for each in found])
        return
    rows = [
        (
            f"{each.plan}@{each.plan_version}",
            each.started_at[:16],
            (each.ended_at or "")[:16],
            "" if each.ended_by is None else word(each.ended_by),
        )
        for each in found
    ]
    table((_("plan"), _("since"), _("until"), _("by")), rows)


@key.command("add")
def add_key(
    owner: _Customer,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: predict, usage, feedback. (default: all)"),
    ] = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Only these products: pets,birds. (default: all)")
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="Only from here: 10.0.0.0/8,::1. (default: anywhere)")
    ] = None,
    expires: _Expires = None,
    budget: Annotated[
        str | None, typer.Option(help="What its calls may come to in a month: '10 EUR'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What you call it, such as 'ci'.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a further key for a customer; shown now and never again."""
    with opened(home) as app:
        issued = app.capture.issue_key(
            owner,
            scopes=_parts(scope),
            products=_parts(product),
            networks=_parts(network),
            expires=expires,
            budget=budget,
            name=name,
        )
    if as_json:
        emit(issued.to_json())
        return
    line(issued.key.reveal())
    say(_("Key {id}; it is shown only now, only its digest is kept.", id=issued.id))


@key.command("rotate")
def rotate_key(
    key_id: _KeyId,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old one is taken yet; 0s for no longer.")
    ] = "24h",
    expires: _Expires = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a key with another one's limits, which expires when the overlap is over.

    The new one ends when the old one would have, unless --expires says otherwise.
    """
    with opened(home) as app:
        rotated = app.capture.rotate_key(key_id, overlap, expires)
    issued, old = rotated.issued, rotated.replaced
    if as_json:
        emit(rotated.to_json())
        return
    line(issued.key.reveal())
    say(
        _(
            "Key {id}, in place of {old}, which is taken until {moment}; it is shown only now.",
            id=issued.id,
            old=old.id,
            moment=old.limits.expires_at,
        )
    )


@key.command("list")
def list_keys(owner: _Customer, *, home: Home = None, as_json: Json = False) -> None:
    """List a customer's keys, revoked ones too; never the keys themselves."""
    with opened(home) as app:
        listed = app.capture.customers.keys(owner)
    if as_json:
        emit([found.to_json() for found in listed])
        return
    rows = [
        (
            found.id,
            found.name or "",
            f"…{found.last4}",
            ", ".join(found.limits.scopes),
            ", ".join(found.limits.products or ()) or told(_("any product")),
            ", ".join(found.limits.networks or ()) or told(_("anywhere")),
            "" if found.limits.budget is None else str(found.limits.budget),
            found.created_at[:16],
            (found.limits.expires_at or "")[:16],
            (found.revoked_at or "")[:16],
        )
        for found in listed
    ]
    table(
        (
            _("key"),
            _("name"),
            _("ends"),
            _("scopes"),
            _("products"),
            _("networks"),
            _("budget"),
            _("since"),
            _("expires"),
            _("revoked"),
        ),
        rows,
    )


@key.command("revoke")
def revoke_key(
    key_id: _KeyId,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; it is refused from the next request on."""
    with opened(home) as app:
        revoked = app.capture.customers.revoke_key(key_id)
    if as_json:
        emit(revoked.to_json())
    else:
        line(_("{id} is revoked since {revoked_at}", id=revoked.id, revoked_at=revoked.revoked_at))


def _parts(values: Sequence[str] | None) -> list[str]:
    """What an option names, which may be given several times and name several at once."""
    return [part for value in values or () for part in value.split(",")]


def usage(
    *,
    customer: Annotated[str | None, typer.Option(help="Only this customer (name or id).")] = None,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    period: Annotated[str | None, typer.Option(help="Only this month, in UTC: 2026-11.")] = None,
    totals: Annotated[
        bool, typer.Option("--totals", help="Add a month up by customer, product and outcome.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the newest. (default: 50; with --json all)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List usage events: what was used, its outcome, price and receipt."""
    if totals:
        _total(customer, product, period, home=home, as_json=as_json)
        return
    with opened(home) as app:
        listed = app.capture.usage(customer, product, limit, period=period)
        names = {each.id: each.name for each in app.capture.customers.list()}
    if limit is None and not as_json and len(listed) > _SHOWN:
        say(
            _(
                "The newest {shown} of {count} events; --limit shows more, --json all.",
                shown=_SHOWN,
                count=len(listed),
            )
        )
        listed = listed[:_SHOWN]
    if as_json:
        emit(listed)
        return
    rows = [
        (
            event["recorded_at"][:19].replace("T", " "),
            names.get(event["customer"], event["customer"]),
            event["product"],
            f"{event['model']}@{event['model_version']}",
            word(event["outcome"]),
            _quantities(event["quantities"]),
            _price(event),
            event["receipt"],
        )
        for event in listed
    ]
    table(
        (
            _("when"),
            _("customer"),
            _("product"),
            _("model"),
            _("outcome"),
            _("used"),
            _("price"),
            _("receipt"),
        ),
        rows,
    )


def _price(event: Mapping[str, Any]) -> str:
    """What a call costs; what its plan settles with the month is not final."""
    price = f"{event['price']} {event['currency']}"
    return price if event["final"] else _("{price}, not final", price=price)


def _total(
    customer: str | None, product: str | None, period: str | None, *, home: Home, as_json: bool
) -> None:
    if period is None:
        raise ConfigError(
            _("Totals are of a month."), remedy=_("Say which: --period 2026-11 --totals")
        )
    with opened(home) as app:
        listed = app.capture.usage_totals(period, customer, product)
        names = {each.id: each.name for each in app.capture.customers.list()}
    if as_json:
        emit({"period": period, "totals": listed})
        return
    rows = [
        (
            names.get(each["customer"], each["customer"]),
            each["product"],
            word(each["outcome"]),
            _quantities(each["quantities"]),
            f"{each['events']:,}",
        )
        for each in listed
    ]
    heads = _("customer"), _("product"), _("outcome"), _("used"), _("calls")
    table(heads, rows, numbers=1)


def _quantities(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {told(word(unit))}" for unit, number in counted.items())


def receipt(
    receipt_id: Annotated[str, typer.Argument(help="A receipt's id (rcp_…).")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a receipt as JSON: what was promised about one answer, and the signature over it."""
    del as_json  # it has no other form
    with opened(home) as app:
        emit(app.capture.receipt(receipt_id))
