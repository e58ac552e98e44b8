"""One line of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mintage.app.security.weakness import Severity

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it if it is not well."""

    check: str
    status: Status
    found: str
    remedy: str = ""
    weakness: tuple[str, Severity] | None = None
    """As ``doctor --security`` has it: its code, and how grave it is."""

    def to_json(self) -> dict[str, str]:
        """The finding as it stands in ``doctor --json``, in English."""
        return {
            "check": str(self.check),
            "status": self.status,
            "found": str(self.found),
            "remedy": str(self.remedy),
        }
