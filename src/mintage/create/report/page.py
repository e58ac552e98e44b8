"""What the report's page is made of: its style, tables, figures and sentences as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mintage.core.messages import Language, Message, _, told
from mintage.create.drawing import ALARM, FONTS
from mintage.create.words import joined

# The shadow at a table's edge says that it can be scrolled: it lies under two covers that scroll
# with the content, so it is seen only where something is left to see.
_STYLE = f"""
:root{{--paper:#fbf8f2;--ink:#33302b;--soft:#6d675d;--line:#e0d9cb;--gold:#a8690b;--card:#fff}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 {FONTS}}}
main{{max-width:60rem;margin:0 auto;padding:2rem 1.1rem 4rem}}
h1{{font-size:1.7rem;margin:0 0 .2rem;overflow-wrap:anywhere}}
h2{{font-size:1.15rem;margin:2.4rem 0 .6rem}}
.sub,figcaption,.small{{color:var(--soft)}}.sub,li,figcaption{{overflow-wrap:anywhere}}
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
td:nth-child(2):not(.n){{min-width:8.5rem}}
td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}
tbody th{{font-weight:400;color:var(--soft);white-space:nowrap}}
tr.kept td{{font-weight:600}}figure{{margin:1rem 0}}svg{{max-width:100%;height:auto}}
.grid{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1rem;
align-items:start}}.grid>*{{min-width:0}}.grid>.scroll,.grid>div{{margin-top:1rem}}
details{{margin:1rem 0}}summary{{cursor:pointer;color:var(--gold)}}
.gallery{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17.5rem,100%),1fr));
gap:.8rem}}
.gallery figure{{background:var(--card);border:1px solid var(--line);border-radius:.7rem;
padding:.7rem;margin:0;font-size:.88rem}}
.gallery img{{width:128px;height:128px;object-fit:contain;background:var(--paper);
margin:0 .4rem 0 0}}
.note{{border-left:.25rem solid var(--gold);padding:.2rem .9rem;margin:1rem 0}}
.alarm{{border-left-color:{ALARM}}}
"""
_LANG = {"en": "en", "zh": "zh-Hans"}


def page(title: str, body: str, language: Language) -> str:
    """The whole file. It asks for nothing: no script, no request, pictures in the page itself."""
    return (
        f'<!doctype html><html lang="{_LANG[language]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        "style-src 'unsafe-inline';img-src data:\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def said(value: object) -> str:
    """A cell or a sentence as HTML: a message in the reader's language, all else as it is."""
    return escape(told(value) if isinstance(value, Message) else str(value))


def head_of(run: Mapping[str, Any]) -> str:
    """What a run's report begins with: which model it made of which data, and when."""
    stopped = _("Training was interrupted; what it had by then was evaluated and signed.")
    return (
        f"<h1>{escape(run['model'])}</h1><p class=sub>{escape(run['dataset'])} · "
        f"{escape(run['ended_at'][:16].replace('T', ' '))} UTC</p>"
        + (paragraph(stopped, kind="note") if run["interrupted"] else "")
    )


def title(text: Message) -> str:
    """The head of a section."""
    return f"<h2>{said(text)}</h2>"


def paragraph(*sentences: Message, kind: str = "") -> str:
    """Sentences one after another, if any; ``kind`` is a class of the style: small, note."""
    words = escape(joined(sentences))
    if not words:
        return ""
    return f'<p class="{kind}">{words}</p>' if kind else f"<p>{words}</p>"


def listed(items: Iterable[str]) -> str:
    """A list; nothing where it would be empty."""
    lines = "".join(f"<li>{said(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, kept: int | None = None
) -> str:
    """A table; the last ``numbers`` columns are numbers; row ``kept`` stands out."""
    first = len(head) - numbers

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if k >= first else ''}>{said(value)}</{tag}>"
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


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and what they stand for."""
    lines = "".join(
        f"<tr><th scope=row>{said(name)}</th><td>{said(value)}</td></tr>" for name, value in rows
    )
    return f"<div class=scroll tabindex=0><table><tbody>{lines}</tbody></table></div>"


def folded(summary: Message, content: str) -> str:
    """What is seen only by whoever opens it."""
    return f"<details><summary>{said(summary)}</summary>{content}</details>"


def side_by_side(*parts: str) -> str:
    """In columns where the page is wide enough, else below one another."""
    return f"<div class=grid>{''.join(parts)}</div>"


def figure(drawing: str, caption: str = "") -> str:
    """A drawing with what is said below it."""
    below = f"<figcaption>{said(caption)}</figcaption>" if caption else ""
    return f"<figure>{drawing}{below}</figure>"


def picture(data_uri: str, instead: str) -> str:
    """A picture that stands in the page itself, and what is said where it cannot be seen."""
    return f'<img src="{escape(data_uri)}" alt="{escape(instead)}">'


def captioned(pictures: str, *lines: str) -> str:
    """Pictures of a gallery with what is said of them; the last line is small."""
    *words, last = map(said, lines)
    return (
        f"<figure>{pictures}<figcaption>{'<br>'.join(words)}<br>"
        f"<span class=small>{last}</span></figcaption></figure>"
    )
