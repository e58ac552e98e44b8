"""The report: one self-contained HTML file about one run, readable offline and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mintage.core.units import format_duration
from mintage.create import plots
from mintage.create.words import gap_in_words

_STYLE = """
:root{--paper:#fbf8f2;--ink:#33302b;--soft:#6d675d;--line:#e0d9cb;--gold:#a8690b;--card:#fff}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.1rem 4rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.4rem 0 .6rem}
.sub,figcaption{color:var(--soft)}.sub{overflow-wrap:anywhere}
.big{font-size:2.9rem;font-weight:650;line-height:1.1}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr));gap:.8rem;
margin:1.4rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;background:var(--card)}
th,td{padding:.45rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tr.kept td{font-weight:600}figure{margin:1rem 0;overflow-x:auto}svg{max-width:100%;height:auto}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
.note{border-left:.25rem solid var(--gold);padding:.2rem .9rem;margin:1rem 0}
"""


def render(run: Mapping[str, Any]) -> str:
    """The report of a finished run from its record (``run.json``)."""
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
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(run['model'])}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, kept: int | None = None
) -> str:
    """An HTML table; the last ``numbers`` columns are numbers; row ``kept`` stands out."""
    first = len(head) - numbers

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if k >= first else ''}>{escape(value)}</{tag}>"
            for k, value in enumerate(values)
        )

    lines = "".join(
        f"<tr{' class=kept' if k == kept else ''}>{cells('td', row)}</tr>"
        for k, row in enumerate(rows)
    )
    return (
        f"<div class=scroll><table><thead><tr>{cells('th', head)}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _head(run: Mapping[str, Any]) -> str:
    stopped = (
        "<p class=note>Training was interrupted; what it had by then was evaluated and signed.</p>"
        if run["interrupted"]
        else ""
    )
    return (
        f"<h1>{escape(run['model'])}</h1><p class=sub>{escape(run['dataset'])} · "
        f"{escape(run['ended_at'][:16].replace('T', ' '))} UTC</p>{stopped}"
    )


def _cards(evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation["interval"]
    auc = evaluation["roc_auc"]
    cards = [
        (
            f"{evaluation['accuracy']:.1%}",
            f"right on {evaluation['examples']:,} test examples (95 %: {low:.1%} to {high:.1%})",
        ),
        (f"{evaluation['majority_accuracy']:.1%}", "by always answering the most frequent class"),
        ("–" if auc is None else f"{auc:.3f}", "area under the ROC curve"),
        (f"{evaluation['calibration_error']:.3f}", "calibration error (ECE, 15 equal-mass bins)"),
    ]
    return (
        "<div class=cards>"
        + "".join(
            f"<div class=card><div class=big>{escape(value)}</div>{escape(text)}</div>"
            for value, text in cards
        )
        + "</div>"
    )


def _candidates(run: Mapping[str, Any]) -> str:
    rows, kept, figures = [], None, []
    for position, candidate in enumerate(run["candidates"]):
        train, validation = candidate["train_accuracy"], candidate["validation_accuracy"]
        if candidate["name"] == run["candidate"]:
            kept = position
        rows.append(
            (
                candidate["name"] + (" (kept)" if kept == position else ""),
                gap_in_words(train, validation),
                f"{train:.1%}",
                f"{validation:.1%}",
                f"{100 * (train - validation):+.1f}",
                str(candidate["epochs"]),
                format_duration(candidate["seconds"]),
            )
        )
        curve = plots.learning_curves(candidate["history"], f"Learning curves of {rows[-1][0]}")
        figures.append(f"<figure>{curve}<figcaption>{escape(rows[-1][0])}</figcaption></figure>")
    head = ("candidate", "in words", "training", "validation", "gap, points", "epochs", "time")
    return (
        "<h2>What was tried</h2>"
        + _table(head, rows, numbers=5, kept=kept)
        + f"<p>{escape(run['why_kept'])}</p><div class=grid>{''.join(figures)}</div>"
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
        evaluation["confusion_matrix"], evaluation["labels"], "Confusion matrix"
    )
    return (
        "<h2>Quality by class</h2>"
        + _table(("class", "precision", "recall", "F1", "examples"), rows, numbers=4)
        + f"<figure>{matrix}<figcaption>Test examples by true class and answer.</figcaption>"
        "</figure>"
    )


def _data(data: Mapping[str, Any]) -> str:
    rows = [
        (label, *(f"{counts[split]:,}" for split in ("train", "validation", "test")))
        for label, counts in data["classes"].items()
    ]
    found = (
        f"{len(data['skipped'])} unreadable, {len(data['duplicates'])} with exact copies, "
        f"{len(data['near_duplicates'])} pairs of near duplicates (kept on one side of the split), "
        f"{len(data['conflicts'])} with two labels (left out), {data['hidden']} hidden and "
        f"{data['stray']} stray files passed over."
    )
    listed = "".join(
        f"<li>{escape(item['path'])}: {escape(item['reason'])}</li>"
        for item in data["skipped"][:50]
    )
    return (
        "<h2>The data</h2>"
        + _table(("class", "training", "validation", "test"), rows, numbers=3)
        + f"<p>{escape(found)}</p><ul>{listed}</ul>"
    )


def _suspects(suspects: Sequence[Mapping[str, Any]]) -> str:
    if not suspects:
        return ""
    rows = [(s["path"], s["label"], s["answer"], f"{s['probability']:.1%}") for s in suspects]
    return (
        "<h2>Labels that the model doubts most</h2><p>Look at these first: a wrong label teaches "
        "the wrong thing.</p>"
        + _table(("example", "labelled", "answered", "probability of the label"), rows, numbers=1)
    )


def _made(run: Mapping[str, Any]) -> str:
    rows = [
        ("run", run["run"]),
        ("seed", str(run["seed"])),
        ("time", format_duration(run["seconds"])),
        ("machine", run["machine"]),
        ("bundle digest", run["bundle_digest"]),
        *((name, version) for name, version in run["libraries"].items()),
    ]
    return "<h2>How it was made</h2>" + _table(("", ""), rows, numbers=0)
