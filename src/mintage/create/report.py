"""The report: one self-contained HTML file about one run, readable offline and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mintage.core.messages import Language, Message, _, speaking, told
from mintage.core.units import format_duration
from mintage.create import plots
from mintage.create.words import TRAINING, VALIDATION, gap_in_words, parts_of

# The shadow at a table's edge says that it can be scrolled: it lies under two covers that scroll
# with the content, so it is seen only where something is left to see.
_STYLE = f"""
:root{{--paper:#fbf8f2;--ink:#33302b;--soft:#6d675d;--line:#e0d9cb;--gold:#a8690b;--card:#fff}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 {plots.FONTS}}}
main{{max-width:60rem;margin:0 auto;padding:2rem 1.1rem 4rem}}
h1{{font-size:1.7rem;margin:0 0 .2rem;overflow-wrap:anywhere}}
h2{{font-size:1.15rem;margin:2.4rem 0 .6rem}}
.sub,figcaption,.small{{color:var(--soft)}}.sub,li{{overflow-wrap:anywhere}}
.small{{font-size:.88rem}}
.big{{font-size:2.9rem;font-weight:650;line-height:1.1}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr));gap:.8rem;
margin:1.4rem 0}}
.card{{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:1rem}}
.scroll{{overflow-x:auto;background:
linear-gradient(90deg,var(--card) 1.5rem,#fff0) 0 0/3rem 100% no-repeat local,
linear-gradient(270deg,var(--card) 1.5rem,#fff0) 100% 0/3rem 100% no-repeat local,
linear-gradient(90deg,#33302b40,#33302b00) 0 0/.9rem 100% no-repeat scroll,
linear-gradient(270deg,#33302b40,#33302b00) 100% 0/.9rem 100% no-repeat scroll,
var(--card)}}
table{{border-collapse:collapse;width:100%}}
th,td{{padding:.45rem .7rem;border-bottom:1px solid var(--line);text-align:left;
vertical-align:top;min-width:4.5rem}}
td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}
tbody th{{font-weight:400;color:var(--soft);white-space:nowrap}}
tr.kept td{{font-weight:600}}figure{{margin:1rem 0}}svg{{max-width:100%;height:auto}}
.grid{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1rem}}
.note{{border-left:.25rem solid var(--gold);padding:.2rem .9rem;margin:1rem 0}}
"""
_LANG = {"en": "en", "zh": "zh-Hans"}
_LISTED = 50


def render(run: Mapping[str, Any], language: Language = "en") -> str:
    """The report of a finished run from its record (``run.json``), in a language."""
    with speaking(language):
        evaluation = run["evaluation"]
        body = "".join(
            (
                _head(run),
                _cards(evaluation),
                _candidates(run),
                _quality(evaluation),
                _data(run["data"]),
                _suspects(run["suspects"]),
                _made(run),
            )
        )
    return (
        f'<!doctype html><html lang="{_LANG[language]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(run['model'])}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def _said(value: object) -> str:
    """A cell or a sentence as HTML: a message in the reader's language, all else as it is."""
    return escape(told(value) if isinstance(value, Message) else str(value))


def _title(title: Message) -> str:
    return f"<h2>{_said(title)}</h2>"


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, kept: int | None = None
) -> str:
    """An HTML table; the last ``numbers`` columns are numbers; row ``kept`` stands out."""
    first = len(head) - numbers

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if k >= first else ''}>{_said(value)}</{tag}>"
            for k, value in enumerate(values)
        )

    lines = "".join(
        f"<tr{' class=kept' if k == kept else ''}>{cells('td', row)}</tr>"
        for k, row in enumerate(rows)
    )
    return (
        f"<div class=scroll tabindex=0><table><thead><tr>{cells('th', head)}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _facts(rows: Iterable[tuple[str, object]]) -> str:
    """An HTML table of names and what they stand for."""
    lines = "".join(
        f"<tr><th scope=row>{_said(name)}</th><td>{_said(value)}</td></tr>" for name, value in rows
    )
    return f"<div class=scroll tabindex=0><table><tbody>{lines}</tbody></table></div>"


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{_said(caption)}</figcaption></figure>"


def _head(run: Mapping[str, Any]) -> str:
    stopped = _("Training was interrupted; what it had by then was evaluated and signed.")
    return (
        f"<h1>{escape(run['model'])}</h1><p class=sub>{escape(run['dataset'])} · "
        f"{escape(run['ended_at'][:16].replace('T', ' '))} UTC</p>"
        + (f"<p class=note>{_said(stopped)}</p>" if run["interrupted"] else "")
    )


def _cards(evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation["interval"]
    auc = evaluation["roc_auc"]
    cards = [
        (
            f"{evaluation['accuracy']:.1%}",
            _(
                "right on {examples:,} test examples (95 %: {low:.1%} to {high:.1%})",
                examples=evaluation["examples"],
                low=low,
                high=high,
            ),
        ),
        (
            f"{evaluation['majority_accuracy']:.1%}",
            _("by always answering the most frequent class"),
        ),
        ("–" if auc is None else f"{auc:.3f}", _("area under the ROC curve")),
        (
            f"{evaluation['calibration_error']:.3f}",
            _("calibration error (ECE, 15 equal-mass bins)"),
        ),
    ]
    return (
        "<div class=cards>"
        + "".join(
            f"<div class=card><div class=big>{escape(value)}</div>{_said(text)}</div>"
            for value, text in cards
        )
        + "</div>"
    )


def _candidates(run: Mapping[str, Any]) -> str:
    rows, kept, figures = [], None, []
    for position, candidate in enumerate(run["candidates"]):
        train, validation = candidate["train_accuracy"], candidate["validation_accuracy"]
        name: str = candidate["name"]
        if name == run["candidate"]:
            kept, name = position, _("{name} (kept)", name=name)
        rows.append(
            (
                name,
                gap_in_words(train, validation),
                f"{train:.1%}",
                f"{validation:.1%}",
                f"{100 * (train - validation):+.1f}",
                str(candidate["epochs"]),
                format_duration(candidate["seconds"]),
            )
        )
        title = _("Learning curves of {name}", name=candidate["name"])
        figures.append(_figure(plots.learning_curves(candidate["history"], title), name))
    head = (
        _("candidate"),
        _("in words"),
        TRAINING,
        VALIDATION,
        _("gap, points"),
        _("epochs"),
        _("time"),
    )
    folds = max(candidate.get("folds", 1) for candidate in run["candidates"])
    mean = _(
        "The table's validation accuracy is the mean over {folds} folds; the curve is the first's.",
        folds=folds,
    )
    note = _(
        "The table's training accuracy is of the finished network on pictures as they are. The "
        "curve's was counted while it learned, on pictures as they were changed for training; "
        "so it may be lower, even below validation."
    )
    return (
        _title(_("What was tried"))
        + _table(head, rows, numbers=5, kept=kept)
        + f"<p>{_said(Message(run['why_kept']))}</p><div class=grid>{''.join(figures)}</div>"
        + (f"<p class=small>{_said(mean)}</p>" if folds > 1 else "")
        + f"<p class=small>{_said(note)}</p>"
    )


def _quality(evaluation: Mapping[str, Any]) -> str:
    rows = [
        (
            label,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            f"{row['examples']:,}",
        )
        for label, row in evaluation["per_class"].items()
    ]
    matrix = plots.confusion(
        evaluation["confusion_matrix"], evaluation["labels"], _("Confusion matrix")
    )
    head = (_("class"), _("precision"), _("recall"), _("F1"), _("examples"))
    return (
        _title(_("Quality by class"))
        + _table(head, rows, numbers=4)
        + _figure(matrix, _("Test examples by true class and answer."))
    )


def _data(data: Mapping[str, Any]) -> str:
    parts = parts_of(data["folds"])
    rows = [
        (label, *(f"{counts[split]:,}" for split in parts))
        for label, counts in data["classes"].items()
    ]
    found = _(
        "{unreadable} unreadable, {copied} with exact copies, {near} pairs of near duplicates "
        "(kept on one side of the split), {conflicts} with two labels (left out), {hidden} hidden "
        "and {stray} stray files passed over.",
        unreadable=len(data["skipped"]),
        copied=len(data["duplicates"]),
        near=len(data["near_duplicates"]),
        conflicts=len(data["conflicts"]),
        hidden=data["hidden"],
        stray=data["stray"],
    )
    listed = [
        _("{path}: {reason}", path=each["path"], reason=Message(each["reason"]))
        for each in data["skipped"][:_LISTED]
    ]
    more = len(data["skipped"]) - len(listed)
    if more > 0:
        listed.append(_("and {more:,} more", more=more))
    items = "".join(f"<li>{_said(each)}</li>" for each in listed)
    return (
        _title(_("The data"))
        + _table((_("class"), *parts.values()), rows, numbers=len(parts))
        + f"<p>{_said(found)}</p>"
        + (f"<ul>{items}</ul>" if items else "")
    )


def _suspects(suspects: Sequence[Mapping[str, Any]]) -> str:
    if not suspects:
        return ""
    rows = [(s["path"], s["label"], s["answer"], f"{s['probability']:.1%}") for s in suspects]
    head = (_("example"), _("labelled"), _("answered"), _("probability of the label"))
    advice = _("Look at these first: a wrong label teaches the wrong thing.")
    return (
        _title(_("Labels that the model doubts most"))
        + f"<p>{_said(advice)}</p>"
        + _table(head, rows, numbers=1)
    )


def _made(run: Mapping[str, Any]) -> str:
    return _title(_("How it was made")) + _facts(
        (
            (_("run"), run["run"]),
            (_("seed"), run["seed"]),
            (_("time"), format_duration(run["seconds"])),
            (_("machine"), Message(run["machine"])),
            (_("bundle digest"), run["bundle_digest"]),
            *run["libraries"].items(),
        )
    )
