"""``doctor --security``: what could let others in, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from mintage.app.security.weakness import SEVERITIES, Severity, Weakness, at_least
from mintage.cli.options import opened
from mintage.cli.output import TerminalProgress, emit, line, say
from mintage.core.errors import ConfigError, TrustError
from mintage.core.messages import Message, _, told

_WORDS: dict[Severity, Message] = {
    "critical": _("critical"),
    "high": _("high"),
    "medium": _("medium"),
    "low": _("low"),
    "info": _("for information"),
}


def examine_security(
    home: Path | None, advisories: Path | None, fail_on: str, *, fix: bool, as_json: bool
) -> None:
    """Show every weakness; exit 3 where one at or above ``fail_on`` is left.

    Raises:
        ConfigError: there is no such severity.
    """
    if fail_on not in SEVERITIES:
        raise ConfigError(
            _("There is no severity {severity!r}.", severity=fail_on),
            remedy=_("It is one of: {words}.", words=", ".join(SEVERITIES)),
        )
    mended: list[Weakness] = []
    with opened(home) as app, TerminalProgress() as progress:
        found = app.security.examine(advisories, progress)
        if fix:
            mended = app.security.mend(found)
            if mended:  # what an open key hid can be looked at now
                found = app.security.examine(advisories, progress)
    failed = any(at_least(each.severity, fail_on) for each in found)
    if as_json:
        emit(
            {
                "findings": [each.to_json() for each in found],
                "mended": [
                    {"code": each.code, "change": str(each.mend.change)}
                    for each in mended
                    if each.mend
                ],
                "fail_on": fail_on,
                "failed": failed,
            }
        )
    else:
        _show(found, mended)
    if failed:
        raise typer.Exit(TrustError.exit_status)


def _show(found: Sequence[Weakness], mended: Sequence[Weakness]) -> None:
    for each in mended:
        if each.mend is not None:
            line(_("mended  {found}: {change}", found=each.found, change=each.mend.change))
    for each in found:
        line(_("{severity}  {found}", severity=_WORDS[each.severity], found=each.found))
        if each.remedy:
            line(f"    {told(each.remedy)}")
    mendable = sum(each.mend is not None for each in found)
    if mendable:
        say(_("{count} of these can be mended by: mintage doctor --security --fix", count=mendable))
