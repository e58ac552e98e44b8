"""Lists by the page: ``limit`` of them, and what to go on after."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from mintage.core.errors import RequestError
from mintage.core.messages import _

Limit = Annotated[int, Query(ge=1, le=1000)]


def page(name: str, items: list[dict[str, Any]], limit: int, key: str = "id") -> dict[str, Any]:
    """A page of a list: ``items`` are those asked for and, if there are more, one beyond."""
    shown = items[:limit]
    return {name: shown, "next": shown[-1][key] if len(items) > limit else None}


def after_id(
    items: list[dict[str, Any]], after: str | None, key: str = "id"
) -> list[dict[str, Any]]:
    """Those of a short list that follow the one with this id; all where none is named.

    Raises:
        RequestError: there is none (404).
    """
    if after is None:
        return items
    for number, item in enumerate(items, start=1):
        if item[key] == after:
            return items[number:]
    raise RequestError(
        _("There is no {item!r} in this list.", item=after),
        remedy=_("Go on after what the page before said as 'next'."),
        http_status=404,
    )
