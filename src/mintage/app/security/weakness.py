"""One weakness of a workspace, and what mends it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from mintage.core.messages import Message, _

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""The worst first."""


@dataclass(frozen=True)
class Mend:
    """What ``--fix`` does; ``change`` says it as it stands in the log afterwards."""

    change: str
    do: Callable[[], object] = field(compare=False)


@dataclass(frozen=True)
class Weakness:
    """What was found and what to do; ``mend`` where a machine can do it without harm.

    ``code`` is the same in every language and version, such as ``key.readable``.
    """

    code: str
    severity: Severity
    found: str
    remedy: str = ""
    mend: Mend | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``doctor --security --json`` has it, in English."""
        return {
            "code": self.code,
            "severity": self.severity,
            "found": str(self.found),
            "remedy": str(self.remedy),
            "mendable": self.mend is not None,
        }


def at_least(severity: Severity, bar: Severity) -> bool:
    """Whether it is as grave as ``bar``, or graver."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(bar)


def closing(path: Path, taken: int) -> Mend:
    """Take the bits ``taken`` from a file's mode, and no others."""
    mode = stat.S_IMODE(path.stat().st_mode)
    change = Message("chmod {mode:o} {path}", mode=mode & ~taken, path=path)
    return Mend(change, partial(path.chmod, mode & ~taken))


def closed_with(mend: Mend) -> Message:
    """The remedy that a mend is."""
    return _("Close it with: {command}", command=mend.change)
