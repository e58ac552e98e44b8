"""An invoice of so many events: its evidence written, and its chain walked by us and by the tool.

The events are recorded by the Meter, in batches. Their records, places on the log and receipts are
those that customers get; the bundle that answered is not there, since what it weighs is measured
elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.billing.calendar import StillClock
from benchmarks.ours.metering import usage_of
from benchmarks.stopwatch import Stopwatch, answer, arguments

TOOL = Path(__file__).parents[2] / "tools" / "verify.py"
_BATCH = 500
_NOVEMBER, _DECEMBER = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 12, 10, tzinfo=UTC)


def main() -> None:
    asked = arguments(__doc__, "home", events=100_000)
    watch = Stopwatch(asked.started)
    from mintage.app.chaining import opened_evidence, walked
    from mintage.app.root import App
    from mintage.core.settings import load_settings
    from mintage.trust.given import given_keys
    from mintage.trust.keys import Role

    home = Path(asked.home)
    settings = load_settings(home=home)
    with App(settings, StillClock(_NOVEMBER)) as app:
        _record(app, asked.events)
    watch.lap("recorded")
    keys = []
    with App(settings, StillClock(_DECEMBER)) as app:
        from mintage.capture.pricing.periods import Period

        (draft,) = app.billing.invoices.run(Period(2026, 11)).drafted
        number = str(app.billing.invoices.issue(draft.id).number)
        watch.lap("issued")
        with (home / "evidence.zip").open("wb") as file:
            for portion in app.billing.evidence(number).archived():
                file.write(portion)
        watch.lap("evidence")
        held_here = app.billing.evidence(number, with_costs=True, is_ours=True)
        ours = walked(held_here, app.keys)
        watch.lap("ours")
        roles: tuple[Role, ...] = ("receipt", "log", "bundle", "data")
        for role in roles:
            keys.append(home / f"{role}.pub")
            keys[-1].write_bytes(app.keys.signer(role).public_pem)
    with opened_evidence(home / "evidence.zip") as held:
        theirs = walked(held, given_keys(keys))
    watch.lap("theirs")
    words = [word for key in keys for word in ("--key", str(key))]
    tool = subprocess.run(
        [sys.executable, str(TOOL), str(home / "evidence.zip"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    watch.lap("tool")
    if ours.broken or theirs.broken or f"{asked.events:,} events: each" not in tool.stdout:
        raise SystemExit(f"The chain does not hold: {ours.broken} {theirs.broken} {tool.stdout}")
    answer(
        watch,
        ("mintage", "cryptography"),
        events=asked.events,
        evidence_bytes=(home / "evidence.zip").stat().st_size,
    )


def _record(app: Any, events: int) -> None:
    from sqlalchemy import insert

    from mintage.capture.pricing.charges import Charge
    from mintage.capture.pricing.terms import Terms
    from mintage.core.clock import timestamp
    from mintage.store.schema import products

    app.capture.plans.agree("standard", Terms("EUR", (Charge.plain("image", "0.02"),)))
    row = {"name": "pets", "model": "pets", "plan": "standard", "created_at": timestamp(_NOVEMBER)}
    app.workspace.database.write(
        lambda connection: connection.execute(insert(products), [row]) and None
    )
    app.capture.customers.add("Ada")
    key = app.capture.customers.issue_key("Ada").key.reveal()
    usage, meter = usage_of(app.workspace, key), app.capture.meter()
    for first in range(0, events, _BATCH):
        meter.record_all([usage] * min(_BATCH, events - first)).result()


if __name__ == "__main__":
    main()
