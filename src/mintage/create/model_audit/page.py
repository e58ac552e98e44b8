"""An audit as a page: what was asked, what came of it, and how far a member stands out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import log10
from typing import Any

from mintage.core.messages import Language, Message, _, speaking, told
from mintage.create.drawing import ALARM, CHOICE, GRID, INK, MUTED, TRAIN
from mintage.create.model_audit.words import NAMES, STATES, STATISTICS, leaks_in_words
from mintage.create.report.page import facts, figure, listed, page, paragraph, table, title

_SIZE, _LEFT, _BELOW = 300, 56, 40
_LEAST = 1e-4
_COLOURS = {"loss": TRAIN, "calibrated": CHOICE}


def render(document: Mapping[str, Any], language: Language = "en") -> str:
    """The page of an audit's document; it asks for nothing from anywhere."""
    with speaking(language):
        verdict = (
            paragraph(_("Everything that was asked holds."))
            if document["passed"]
            else paragraph(_("Something does not hold: do not rely on it."), kind="note alarm")
        )
        body = "".join(
            (
                f"<h1>{escape(document['model'])}</h1>",
                f"<p class=sub>{escape(told(_audited(document)))}</p>",
                verdict,
                table(
                    (_("check"), _("status"), _("found")),
                    [
                        (NAMES[each["check"]], STATES[each["status"]], Message(each["found"]))
                        for each in document["checks"]
                    ],
                    numbers=0,
                ),
                _leaks(document),
                title(_("How it was made")),
                facts(
                    (
                        (_("audit"), document["id"]),
                        (_("bundle digest"), document["bundle_digest"]),
                    )
                ),
            )
        )
        return page(document["model"], body, language)


def _audited(document: Mapping[str, Any]) -> Message:
    return _(
        "audited on {day}, the next is due on {due}",
        day=document["audited_at"][:10],
        due=document["due_at"][:10],
    )


def _leaks(document: Mapping[str, Any]) -> str:
    sentences = [*leaks_in_words(document)]
    if not sentences:
        return ""
    drawn = ""
    if document["membership"] is not None:
        caption = _(
            "Of training pictures the share that is found, at each share of others that is taken "
            "for one; the dashed line is chance."
        )
        drawn = figure(_drawing(document["membership"]["attacks"]), caption)
    return title(_("What it gives away")) + drawn + listed(sentences)


def _drawing(attacks: Mapping[str, Any]) -> str:
    """Both rates in decades, where the low ones are that matter."""
    width, height = _LEFT + _SIZE + 10, _SIZE + _BELOW + 10
    marks = [10.0**-exponent for exponent in range(5)]
    grid = "".join(
        f'<path d="M{_x(at):.1f} 5V{5 + _SIZE}M{_LEFT} {_y(at):.1f}H{_LEFT + _SIZE}" '
        f'stroke="{GRID}"/>'
        f'<text x="{_x(at):.1f}" y="{_SIZE + 21}" text-anchor="middle">{at:.4g}</text>'
        f'<text x="{_LEFT - 6}" y="{_y(at) + 4:.1f}" text-anchor="end">{at:.4g}</text>'
        for at in marks
    )
    lines = "".join(
        f'<polyline fill="none" stroke="{_COLOURS[name]}" stroke-width="2" points="'
        + " ".join(f"{_x(fpr):.1f},{_y(tpr):.1f}" for fpr, tpr in found["curve"])
        + '"/>'
        for name, found in attacks.items()
    )
    names = "".join(
        f'<text x="{_LEFT + 10}" y="{22 + 16 * place}" fill="{_COLOURS[name]}">'
        f"{escape(told(STATISTICS[name]))}</text>"
        for place, name in enumerate(attacks)
    )
    chance = (
        f'<path d="M{_LEFT} {5 + _SIZE}L{_LEFT + _SIZE} 5" stroke="{ALARM}" '
        'stroke-dasharray="4 4"/>'
    )
    axes = (
        f'<text x="{_LEFT + _SIZE / 2}" y="{_SIZE + 38}" text-anchor="middle" fill="{INK}">'
        f"{escape(told(_('false positive rate')))}</text>"
        f'<text transform="translate(12 {5 + _SIZE / 2}) rotate(-90)" text-anchor="middle" '
        f'fill="{INK}">{escape(told(_("true positive rate")))}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'role="img" font-size="11" fill="{MUTED}">{grid}{chance}{lines}{names}{axes}</svg>'
    )


def _x(rate: float) -> float:
    return _LEFT + _SIZE * _place(rate)


def _y(rate: float) -> float:
    return 5 + _SIZE * (1 - _place(rate))


def _place(rate: float) -> float:
    """0 at one in ten thousand or less, 1 at all of them."""
    return 1 - log10(max(rate, _LEAST)) / log10(_LEAST)
