"""One step over a filled workspace (``--step``), in a process of its own."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from benchmarks.billing.calendar import ENDS, MONTHS, StillClock
from benchmarks.stopwatch import Stopwatch, answer, arguments


def forget(workspace: Any) -> dict[str, Any]:
    """As if nothing was summed up or invoiced yet; not measured."""
    from sqlalchemy import delete, func, select

    from mintage.store import schema

    tables = (schema.billed, schema.invoices, schema.usage_hours, schema.rollup_steps)

    def work(connection: Any) -> None:
        for table in tables:
            connection.execute(delete(table))

    workspace.database.write(work)
    with workspace.database.read() as connection:
        events = connection.execute(select(func.max(schema.usage_events.c.sequence))).scalar()
    return {"events": events}


def sum_up(workspace: Any) -> dict[str, Any]:
    """Every event into its hour."""
    from mintage.capture.hours.rollup import Rollup

    return {"until": Rollup(workspace.database, workspace.clock).catch_up()}


def check(workspace: Any) -> dict[str, Any]:
    """That the hours are the events."""
    from mintage.capture.hours.rollup import Rollup

    return {"until": Rollup(workspace.database, workspace.clock).check()}


def invoices(workspace: Any) -> dict[str, Any]:
    """Drafts of the last month, and of those before it that were not invoiced yet."""
    from mintage.capture.books.invoices import Invoices
    from mintage.capture.pricing.periods import Period

    books = Invoices(workspace.database, workspace.clock, _keys(workspace))
    ran = books.run(Period.parse(MONTHS[-1]))
    return {"drafted": len(ran.drafted), "waiting": len(ran.waiting)}


def again(workspace: Any) -> dict[str, Any]:
    """Drafts of the last month alone, drawn up anew."""
    return invoices(workspace)


def issue(workspace: Any) -> dict[str, Any]:
    """The drafts of the months before the last one get their numbers."""
    from mintage.capture.books.invoices import Invoices

    books = Invoices(workspace.database, workspace.clock, _keys(workspace))
    drafts = [each for each in books.list(status="draft") if each.period < MONTHS[-1]]
    return {"issued": len(books.issue_all(drafts))}


def economics(workspace: Any) -> dict[str, Any]:
    """What each customer's use of each model version earned and cost in the last month."""
    from mintage.capture.books.economics import Economics
    from mintage.capture.pricing.periods import Period
    from mintage.core.money import Price

    rows = Economics(workspace.database, workspace.clock).month(
        Period.parse(MONTHS[-1]), Price("0.05", "EUR")
    )
    return {"rows": len(rows)}


def replay(workspace: Any) -> dict[str, Any]:
    """The last month under two other plans."""
    from mintage.capture.books.replay import Replay
    from mintage.capture.plans import Plans
    from mintage.capture.pricing.periods import Period
    from mintage.core.money import Price

    plans = Plans(workspace.database, workspace.clock, _keys(workspace))
    others = [(name, plans.current(name).terms) for name in ("gold", "bulk")]
    found = Replay(workspace.database, workspace.clock).month(
        Period.parse(MONTHS[-1]), others, Price("0.05", "EUR")
    )
    return {"customers": len(found[0].customers)}


def models(workspace: Any) -> dict[str, Any]:
    """The last month under every business model."""
    from mintage.capture.books.comparing import BusinessModels
    from mintage.capture.pricing.periods import Period
    from mintage.core.money import Price

    (found,) = BusinessModels(workspace.database, workspace.clock).month(
        Period.parse(MONTHS[-1]), Price("0.05", "EUR")
    )
    return {"customers": len(found.used), "models": len(found.models)}


def history(workspace: Any) -> dict[str, Any]:
    """Every customer's months, of which cohorts and trends are made."""
    from mintage.capture.books.histories import Histories
    from mintage.capture.pricing.periods import Period

    histories = Histories(workspace.database, workspace.clock)
    return {"customers": len(histories.until(Period.parse(MONTHS[-1]))["EUR"])}


def _keys(workspace: Any) -> Any:
    from mintage.trust.keys import KeyRing

    return KeyRing(workspace.key_folder)


STEPS = {
    step.__name__.replace("_", "-"): step
    for step in (
        forget,
        sum_up,
        check,
        invoices,
        issue,
        again,
        economics,
        replay,
        models,
        history,
    )
}


def main() -> None:
    asked = arguments(__doc__, "home", step="sum-up")
    watch = Stopwatch(asked.started)
    from mintage.store.workspace import Workspace

    with Workspace(asked.home, StillClock(ENDS + timedelta(days=3))) as workspace:
        began, used = time.perf_counter(), time.process_time()
        found = STEPS[asked.step](workspace)
        found["seconds"] = round(time.perf_counter() - began, 3)
        found["busy"] = round(time.process_time() - used, 3)
    answer(watch, ("mintage",), **found)


if __name__ == "__main__":
    main()
