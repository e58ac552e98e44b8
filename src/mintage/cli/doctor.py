"""Doctor: what is wrong with machine or workspace, and what to do about it."""

from __future__ import annotations

import typer

from mintage.app import doctor as diagnosis
from mintage.app.finding import Finding
from mintage.cli.options import Home, Json
from mintage.cli.output import emit, line
from mintage.core.messages import Message, _, told

_STATES: dict[str, Message] = {
    "ok": _("fine"),
    "warning": _("warning"),
    "problem": _("problem"),
}


def doctor(*, home: Home = None, as_json: Json = False) -> None:
    """Look at machine and workspace, and say what to mend; exit 2 where something is wrong."""
    found: list[Finding] = []
    for finding in diagnosis.examine(home):
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        emit([finding.to_json() for finding in found])
    if any(finding.status == "problem" for finding in found):
        raise typer.Exit(2)


def _show(finding: Finding) -> None:
    line(
        _(
            "{status}  {check}: {found}",
            status=_STATES[finding.status],
            check=finding.check,
            found=finding.found,
        )
    )
    if finding.remedy and finding.status != "ok":
        line(f"    {told(finding.remedy)}")
