"""What an invoice comes to by the plans that were signed: sums, prices, fees, bounds, discounts.

It is arithmetic alone, for ``verify_invoice.py``. Amounts are exact fractions of the currency's
major unit; a plan is the signed document, and its terms are those of docs/formats/invoice.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from verify import refuse, said

DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
"""Of currencies that do not have two."""
DAY = timedelta(days=1)
SHOWN = Fraction(1, 10**17)
"""What a line may not show of an amount whose decimals do not end."""


def exact_of(line: dict[str, Any]) -> Fraction:
    return Fraction(line.get("ratio", line["exact"]))


def rounded(exact: Fraction, currency: str) -> Fraction:
    """In whole minor units, halves away from zero."""
    minor = 10 ** next((n for n, codes in DECIMALS.items() if currency in codes.split()), 2)
    twice = abs(exact) * minor * 2 + 1
    whole = twice.numerator // (2 * twice.denominator)
    return Fraction(whole if exact >= 0 else -whole, minor)


def check_sums(invoice: dict[str, Any]) -> None:
    """It adds up; of an invoice each line and each tax is rounded once."""
    lines, taxes, currency = invoice["lines"], invoice["taxes"], invoice["currency"]
    net = sum((Fraction(line["amount"]) for line in lines), Fraction(0))
    parts = [(f"line {n}", exact_of(line), line) for n, line in enumerate(lines, 1)]
    parts += [(tax["name"], net * Fraction(tax["percent"]) / 100, tax) for tax in taxes]
    for name, exact, part in parts if invoice["kind"] == "invoice" else ():
        if rounded(exact, currency) != Fraction(part["amount"]):
            refuse(f"the invoice does not add up: {name} is another sum")
    total = net + sum(Fraction(tax["amount"]) for tax in taxes)
    if [net, total] != [Fraction(invoice["net"]), Fraction(invoice["total"])]:
        refuse("the invoice does not add up: the total is another sum")
    seen = set()
    for number, line in enumerate(lines, 1):
        is_part = invoice["kind"] == "credit_note" and "of_line" in line
        if line["kind"] in ("usage", "late") and not is_part:
            period = line.get("period", invoice["period"])
            own = invoice["period"]
            if period >= own if line["kind"] == "late" else period != own:
                refuse(f"line {number} is of another month")
            if "until" not in line:
                refuse(f"line {number} says nothing of its events")
            # A flat amount may be due without any usage: then it is of no product's.
            for product in [""] if line["kind"] == "late" else line["products"]:
                usage = (line["plan"], line.get("unit"), period, product)
                if usage in seen:
                    refuse(f"line {number} is of the same usage as another line")
                seen.add(usage)


def steps_of(charge: dict[str, Any], units: int, share: Fraction) -> list[dict[str, Any]]:
    """The sums that make up what so many units cost; ``share`` is of the month."""

    def step(tier: dict[str, Any], units: int, priced: int) -> dict[str, Any]:
        amount = Fraction(tier["price"]) * priced / per + Fraction(tier["flat"])
        shown = {"units": units, "price": tier["price"], "per": per, "flat": tier["flat"]}
        return {**shown, "amount": amount}

    tiers, per = charge["tiers"], charge["per"]
    left = units - ceil(charge["included"] * share)
    if left <= 0:
        return [step(tiers[0], 0, 0)] if Fraction(tiers[0]["flat"]) else []
    if charge["model"] == "package":
        return [step(tiers[0], left, ceil(Fraction(left, per)) * per)]
    ends = [left if tier["up_to"] is None else ceil(tier["up_to"] * share) for tier in tiers]
    if charge["model"] == "volume":
        return [step(tiers[next(n for n, end in enumerate(ends) if left <= end)], left, left)]
    below, found = 0, []
    for tier, end in zip(tiers, ends, strict=True):
        if min(end, left) > below:
            found.append(step(tier, min(end, left) - below, min(end, left) - below))
            below = min(end, left)
    return found


def charges_of(plan: dict[str, Any], product: str) -> dict[str, dict[str, Any]]:
    """What is charged for a product, by unit."""
    charges = plan["charges"]
    return {each["unit"]: each for each in charges if product in (each["products"] or [product])}


def is_plain(charges: Collection[dict[str, Any]], plan: dict[str, Any]) -> bool:
    """Whether each call has its price, whatever else is used."""
    if plan["minimum"] is not None or plan["maximum"] is not None or plan["trial_days"]:
        return False
    flats = [each["included"] or Fraction(each["tiers"][0]["flat"]) for each in charges]
    by_unit = all(each["model"] == "unit" for each in charges)
    return by_unit and not any(flats) and not Fraction(plan["discount_percent"])


def price_of(
    plan: dict[str, Any], product: str, counted: Iterable[tuple[str, int]]
) -> tuple[Fraction, bool]:
    """What a call comes to by itself, and whether that is final."""
    charges = charges_of(plan, product)
    priced = [(charges[unit], count) for unit, count in counted if unit in charges]
    steps = [step for each, count in priced for step in steps_of(each, count, Fraction(1))]
    exact = sum((step["amount"] for step in steps), Fraction(0))
    return exact, is_plain(charges.values(), plan)


def begin_of(day: date, plan: dict[str, Any]) -> datetime:
    there = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(plan["timezone"]))
    return there.astimezone(UTC)


def month_of(text: str) -> tuple[date, date]:
    first = date.fromisoformat(f"{text}-01")
    return first, (first + 31 * DAY).replace(day=1)


def days_of(line: dict[str, Any]) -> tuple[date, date]:
    return date.fromisoformat(line["first"]), date.fromisoformat(line["end"])


def is_step(step: dict[str, Any], stated: dict[str, Any]) -> bool:
    """Whether a sum within a line is as stated, where decimals may not end."""
    off = step["amount"] - Fraction(stated["amount"])
    return abs(off) < SHOWN and step | {"amount": ""} == stated | {"amount": ""}


@dataclass
class Bill:
    """The lines of one version of a plan in an invoice's month, which have to follow from it."""

    plan: dict[str, Any]
    month: tuple[date, date]
    lines: list[dict[str, Any]]

    def check(self, name: str) -> None:
        plan, share = self.plan, self.share()
        used = self.due("usage")
        before = used + self.due("fee", "fee_back", "minimum", "maximum")
        wanted = {"discount": -before * Fraction(plan["discount_percent"]) / 100}
        for kind in ("minimum", "maximum"):
            wanted[kind] = Fraction(0 if plan[kind] is None else plan[kind]) * share - used
        wanted["minimum"] = max(wanted["minimum"], Fraction(0))
        wanted["maximum"] = min(wanted["maximum"] * (plan["maximum"] is not None), Fraction(0))
        charges = [*plan["charges"]]
        # Lines of usage before those of no usage, which may be of one charge as well as another.
        for line in sorted(self.lines, key=lambda each: not each.get("products")):
            kind, exact = line["kind"], exact_of(line)
            if kind in wanted:
                is_right = exact == wanted[kind] != 0
            elif kind == "usage":
                is_right = self.is_usage(line, charges)
            else:
                is_right = self.is_fee(line, exact)
            if not is_right:
                refuse(f"a line ({kind}) is not what the plan {name} says")
        kinds = [line["kind"] for line in self.lines]
        for kind, amount in wanted.items():
            if kinds.count(kind) > 1 or (amount < 0 and kind not in kinds):
                refuse(f"the {kind} of the plan {name} is not there once")

    def due(self, *kinds: str) -> Fraction:
        found = (exact_of(line) for line in self.lines if line["kind"] in kinds)
        return sum(found, Fraction(0))

    def seconds(self, first: date, end: date) -> int:
        return round((begin_of(end, self.plan) - begin_of(first, self.plan)).total_seconds())

    def parts(self, first: date, end: date) -> int:
        """How many days, or seconds, that are counted by the plan."""
        is_by_day = self.plan["prorate"] is True
        return (end - first).days if is_by_day else self.seconds(first, end)

    def share(self) -> Fraction:
        """Which share of the month usage and bounds count as: one, and that of monthly fees."""
        plan, shares, fees = self.plan, set(), Fraction(0)
        for line in self.lines:
            share = Fraction(line.get("share", "1"))
            if line["kind"] in ("usage", "minimum", "maximum"):
                shares.add(share)
                if not self.can_be(share, line.get("since")):
                    refuse("a line is of no share of the month that its plan counts")
            elif line["kind"] == "fee" and plan["fee_every"] == "month":
                fees += share
        counted = min(Fraction(1), max(Fraction(1, self.parts(*self.month)), fees))
        if len(shares) > 1 or (fees and plan["prorate"] and shares - {counted}):
            refuse("the lines of one plan are of several shares of the month")
        return max(shares, default=Fraction(1))

    def can_be(self, share: Fraction, since: str | None = None) -> bool:
        """Whether a share is of whole days or seconds, and not of the trial."""
        if not self.plan["prorate"]:
            return share == 1
        whole = left = self.parts(*self.month)
        if since is not None:
            zone = ZoneInfo(self.plan["timezone"])
            day = datetime.fromisoformat(since).astimezone(zone).date()
            left = max(1, self.parts(day, self.month[1]))
        return 0 < share * whole <= left and (share * whole).denominator == 1

    def is_usage(self, line: dict[str, Any], charges: list[dict[str, Any]]) -> bool:
        """Whether one of the charges makes the line of its units; then it makes no other."""
        share, stated = Fraction(line.get("share", "1")), line["steps"]
        for charge in charges:
            of_it = not charge["products"] or {*line["products"]} <= {*charge["products"]}
            steps = steps_of(charge, line["units"], share)
            exact = sum((step["amount"] for step in steps), Fraction(0))
            is_right = (charge["unit"], exact) == (line["unit"], exact_of(line)) and of_it
            if is_right and len(steps) == len(stated) and all(map(is_step, steps, stated)):
                charges.remove(charge)
                return True
        return False

    def is_fee(self, line: dict[str, Any], exact: Fraction) -> bool:
        """Whether a fee, or what is given back of one, follows from the plan and the days."""
        plan, share, (first, end) = self.plan, Fraction(line.get("share", "1")), days_of(line)
        fee, days, by_second = (
            Fraction(plan["fee"]),
            (end - first).days,
            plan["prorate"] == "second",
        )
        is_yearly = plan["fee_every"] == "year"
        if line["kind"] == "fee_back":
            left = exact - Fraction(line.get("credited", "0")) + fee * share
            near = abs(share * 365 - days) <= 2 if by_second else days / share in (365, 366)
            in_time = is_yearly and bool(plan["prorate"]) and near
            return in_time and exact < 0 < share < 1 and abs(left) < SHOWN
        if line["kind"] != "fee" or not self.month[0] <= first < self.month[1]:
            return False
        if is_yearly:
            return exact == fee and share == 1 and days in (365, 366)
        most = (self.month[1] - self.month[0]).days
        if exact != fee * share or not self.can_be(share) or not 0 < days <= most:
            return False
        if by_second:  # each of the two moments may be anywhere in its day
            return abs(share * self.seconds(*self.month) - self.seconds(first, end)) <= 2 * 86400
        return not plan["prorate"] or share * most == days


def check_bills(invoice: dict[str, Any], plans: dict[str, dict[str, Any]]) -> None:
    """What the plans make of an invoice's lines; and what of it is no more than said."""
    fees: dict[str, tuple[date, dict[str, Any]]] = {}
    for name, plan in plans.items():
        mine = [line for line in invoice["lines"] if line["plan"] == name]
        if plan["currency"] != invoice["currency"]:
            refuse(f"the plan {name} is in another currency")
        own = [line for line in mine if line["kind"] not in ("late", "elsewhere")]
        Bill(plan, month_of(invoice["period"]), own).check(name)
        if any("first" in line or "share" in line for line in mine):
            said(f"the days on which {name} was in force: the seller's word", "?")
        if any(line["kind"] == "elsewhere" or "credited" in line for line in mine):
            said(f"{name}: what other documents have of it is the seller's word", "?")
        if any(line["kind"] == "late" for line in mine) and not is_summed(plan):
            said(f"{name}: late usage is priced with the rest of its month", "?")
    monthly = [
        (*days_of(line), line["plan"].partition("@")[0], plans[line["plan"]])
        for line in invoice["lines"]
        if line["kind"] == "fee" and plans.get(line["plan"], {}).get("fee_every") == "month"
    ]
    for first, end, name, plan in sorted(monthly, key=lambda each: each[0]):
        last, before = fees.get(name, (first, plan))
        other = "second" in (plan["prorate"], before["prorate"])
        other |= plan["timezone"] != before["timezone"]
        if first < last - other * DAY:
            refuse(f"two fees of {name} are for the same days")
        fees[name] = end, plan


def is_summed(plan: dict[str, Any]) -> bool:
    """Whether a month comes to what its calls do, one by one."""
    return is_plain(plan["charges"], plan) and not Fraction(plan["fee"])
