"""Economics as one page to read and pass on: tables and charts, without a script or a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from html import escape

from mintage.capture.books import charts
from mintage.capture.books.business_models import Compared, Comparison, Kind
from mintage.capture.books.costs import what_to_say
from mintage.capture.books.rendering import amount_text
from mintage.capture.books.replay import Replayed
from mintage.capture.books.repriced import Repriced
from mintage.core.messages import Language, Message, _, speaking, told
from mintage.core.money import Money, decimal_text

_SHOWN = 12
_FONTS = (
    "system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC','Source Han Sans SC',sans-serif"
)
_STYLE = f"""
:root{{color-scheme:light}}*{{box-sizing:border-box}}
body{{margin:0 auto;padding:2.5rem 1.25rem 4rem;max-width:74rem;color:{charts.INK};
background:#fbf8f2;font:15px/1.55 {_FONTS}}}
h1{{font-size:1.6rem;margin:0 0 .3rem}}h2{{font-size:1.1rem;margin:2.4rem 0 .5rem}}
p{{max-width:44rem}}.soft{{color:{charts.MUTED}}}
.wide{{overflow-x:auto;background:#fff;border:1px solid {charts.GRID};border-radius:.6rem;
padding:.4rem .8rem}}
table{{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.45rem .5rem;border-bottom:1px solid {charts.GRID};text-align:right;
white-space:nowrap}}th:first-child,td:first-child{{text-align:left}}
tr:last-child td{{border-bottom:0}}
figure{{margin:.8rem 0;background:#fff;border:1px solid {charts.GRID};border-radius:.6rem;
padding:1rem;overflow-x:auto}}figcaption{{color:{charts.MUTED};margin-bottom:.6rem}}
svg{{width:100%;min-width:34rem;height:auto;display:block}}
"""
_LANG = {"en": "en", "zh": "zh-Hans"}


def name_of(kind: Kind) -> Message:
    """What people call a business model."""
    names = {
        "pay_as_you_go": _("pay-as-you-go"),
        "subscription": _("subscription"),
        "freemium": _("freemium"),
        "prepaid": _("prepaid"),
        "volume": _("volume"),
        "outcome": _("outcome-based"),
    }
    return names[kind]


def price_of(each: Compared, currency: str) -> Message:
    """The price of a business model in words, to four digits behind the last nought."""
    if each.price is None:
        if each.offer.kind == "outcome":
            return _("none: nothing was answered so surely")
        return _("none: nobody would pay anything")
    said = {"price": short_price(each.price), "currency": currency, "size": each.offer.size}
    last = short_price(each.price * Fraction(each.offer.tiers[-1].price))
    confidence = each.offer.confidence
    ways = {
        "pay_as_you_go": _("{price} {currency} each", **said),
        "subscription": _("{price} {currency} a month", **said),
        "freemium": _("{size:,} free, then {price} {currency} each", **said),
        "prepaid": _("{price} {currency} for {size:,}", **said),
        "volume": _("{price} to {last} {currency} each", **said, last=last),
        "outcome": _(
            "{price} {currency} each, from {confidence} on", **said, confidence=confidence
        ),
    }
    return ways[each.offer.kind]


def as_it_is(each: Comparison) -> Message:
    """What was used, and what is paid for it."""
    return _(
        "{count:,} customers used {units:,} × {unit}, and pay {amount} before tax as it is.",
        count=len(each.used),
        units=sum(one.units for one in each.used.values()),
        unit=Message(each.unit),
        amount=amount_of(each.now, each.currency),
    )


def short_price(price: Fraction) -> str:
    """At least two decimals, and four digits: what is exact stands in ``--json``."""
    if not price:
        return "0"
    decimals = 2
    while decimals < 18 and price * 10**decimals < 1000:
        decimals += 1
    rounded = Fraction(round(price * 10**decimals), 10**decimals)
    return decimal_text(rounded)


def compared_page(found: Sequence[Comparison], language: Language) -> str:
    """The business models compared, each with those for whom it would change most."""
    with speaking(language):
        title = _("Business models compared on {period}", period=found[0].period if found else "")
        return page_of(title, "".join(_compared(each) for each in found), language)


def _compared(each: Comparison) -> str:
    currency, said = each.currency, as_it_is(each)
    rule = _(
        "Where no price was given, it is the one at which the month earns the same, so that models "
        "differ by who pays. Moved is the share of the revenue that others would pay."
    )
    heads = [_("model"), _("price"), _("revenue"), _("margin"), _("pay more"), _("pay less")]
    heads += [_("pay nothing"), _("largest payer"), _("moved")]
    rows = [
        (
            told(name_of(one.offer.kind)),
            told(price_of(one, currency)),
            amount_of(one.then, currency),
            at_most(one.margin, one.unknown),
            f"{one.more:,}",
            f"{one.less:,}",
            f"{one.nothing:,}",
            _share(one.largest),
            _share(one.moved),
        )
        for one in each.models
    ]
    parts = [f"<p>{escape(told(said))}</p>", _soft(rule)]
    parts.append(table_of(heads, rows))
    parts += [_soft(why) for why in reasons_of([(currency, one) for one in each.models[:1]])]
    moved = [
        (told(name_of(one.offer.kind)), float(one.moved or 0), _share(one.moved))
        for one in each.models
    ]
    caption = told(_("Share of the revenue that others would pay"))
    chart = charts.bars(moved, title=caption)
    parts.append(f"<figure><figcaption>{escape(caption)}</figcaption>{chart}</figure>")
    for one in each.models:
        title = told(name_of(one.offer.kind))
        parts.append(f"<h2>{escape(title)}</h2>")
        parts.append(_changes(one.changed(), currency, title))
    return "".join(parts)


def replayed_page(found: Sequence[Replayed], period: str, language: Language) -> str:
    """Plans over a month, each with those for whom it would change most."""
    with speaking(language):
        title = _("Plans replayed on {period}", period=period)
        parts = [_beside(some) for some in by_currency(found)]
        for one in found:
            changed = [(name, *both) for name, both in one.customers.items() if both[0] != both[1]]
            changed.sort(key=lambda each: (-abs(each[2] - each[1]), each[0]))
            parts.append(f"<h2>{escape(one.plan)}</h2>")
            parts.append(_changes(changed, one.currency, one.plan))
            if one.others:
                parts.append(f"<p>{escape(told(left_out(one)))}</p>")
        return page_of(title, "".join(parts), language)


def by_currency(found: Iterable[Replayed]) -> list[list[Replayed]]:
    """Plans by their currency: only those of one can be held beside each other."""
    groups: dict[str, list[Replayed]] = {}
    for each in found:
        groups.setdefault(each.currency, []).append(each)
    return list(groups.values())


def left_out(replayed: Replayed) -> Message:
    """For whom a plan was not replayed."""
    return _(
        "Left out of {plan}, for they pay in other currencies: {names}.",
        plan=replayed.plan,
        names=", ".join(sorted(replayed.others)),
    )


def _beside(found: Sequence[Replayed]) -> str:
    now = found[0]
    rows = [(told(_("as it is")), float(now.now), amount_of(now.now, now.currency))]
    rows += [(one.plan, float(one.then), amount_of(one.then, one.currency)) for one in found]
    heads = (_("plan"), _("revenue"), _("margin"), _("pay more"), _("pay less"))
    cells = [
        (
            one.plan,
            amount_of(one.then, one.currency),
            at_most(one.margin, one.unknown),
            f"{one.more:,}",
            f"{one.less:,}",
        )
        for one in found
    ]
    chart = charts.bars(rows, title=told(_("revenue")))
    reasons = "".join(map(_soft, reasons_of([(now.currency, now)])))
    return f"<figure>{chart}</figure>{table_of(heads, cells)}{reasons}"


def at_most(margin: Fraction | None, unknown: Mapping[str, int]) -> str:
    """A margin; where the cost of some calls is not known, it is that at most."""
    return f"≤ {_share(margin)}" if unknown and margin is not None else _share(margin)


def reasons_of(repriced: Iterable[tuple[str, Repriced]]) -> list[Message]:
    """Of which calls the cost is not known, by the currency that is paid in, and what to do."""
    unknown = {currency: each.unknown for currency, each in repriced}
    return [said for currency, some in unknown.items() for said in what_to_say(some, currency)]


def _soft(said: Message) -> str:
    return f'<p class="soft">{escape(told(said))}</p>'


def _changes(changed: Sequence[tuple[str, Fraction, Fraction]], currency: str, title: str) -> str:
    if not changed:
        return f"<p>{escape(told(_('Nobody would pay otherwise.')))}</p>"
    rows = [
        (name, float(then - now), _signed(then - now, currency))
        for name, now, then in changed[:_SHOWN]
    ]
    caption = told(_("Those for whom it would change most: less to the left, more to the right"))
    if len(changed) > _SHOWN:
        caption += told(_("; {count:,} others are not drawn", count=len(changed) - _SHOWN))
    chart = charts.bars(rows, title=title)
    return f"<figure><figcaption>{escape(caption)}</figcaption>{chart}</figure>"


def page_of(title: Message, body: str, language: Language) -> str:
    """The whole file. It asks for nothing."""
    return (
        f'<!doctype html>\n<html lang="{_LANG[language]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(told(title))}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(told(title))}</h1>{body}</body></html>\n"
    )


def table_of(heads: Iterable[Message], rows: Iterable[Sequence[str]]) -> str:
    """A table: its first column is words, the others numbers."""
    head = "".join(f"<th>{escape(told(each))}</th>" for each in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def amount_of(exact: Fraction, currency: str) -> str:
    """An exact amount, rounded for people."""
    return amount_text(Money.rounded(exact, currency).amount, currency)


def _signed(exact: Fraction, currency: str) -> str:
    return f"{'+' if exact > 0 else ''}{amount_of(exact, currency)}"


def _share(share: Fraction | None) -> str:
    return "" if share is None else f"{float(share):.1%}"
