"""Doctor: what is wrong with machine or workspace, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.app import doctor as diagnosis
from mintage.app.finding import Finding
from mintage.cli.options import Home, Json
from mintage.cli.output import emit, line
from mintage.cli.security import examine_security
from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _, told

_STATES: dict[str, Message] = {
    "ok": _("fine"),
    "warning": _("warning"),
    "problem": _("problem"),
}
_FAIL_ON = "high"


def doctor(
    *,
    security: Annotated[
        bool,
        typer.Option(
            "--security",
            help="Look for weaknesses instead: permissions, keys, TLS, settings, what is signed, "
            "the log; exit 3 where one is found.",
        ),
    ] = False,
    advisories: Annotated[
        Path | None,
        typer.Option(
            help="With --security: OSV advisories to hold libraries' versions against; a file, a "
            "zip or a folder."
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="With --security: the least severity that exits with 3: critical, high, medium, "
            "low or info. (default: high)"
        ),
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="With --security: mend what a machine can, and say what was changed."
        ),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Look at machine and workspace, and say what to mend; exit 2 where something is wrong."""
    if security:
        examine_security(home, advisories, fail_on or _FAIL_ON, fix=fix, as_json=as_json)
        return
    if advisories is not None or fail_on is not None or fix:
        raise ConfigError(
            _("--advisories, --fail-on and --fix are for --security."),
            remedy=_("Add it: mintage doctor --security"),
        )
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
