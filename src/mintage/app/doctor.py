"""A diagnosis of machine and workspace; it never opens the workspace, so that it may be broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from mintage.app.finding import Finding
from mintage.app.machine_check import examine_machine
from mintage.app.workspace_check import examine_workspace
from mintage.core.clock import Clock, SystemClock
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.settings import Settings, load_settings


def examine(home: Path | None = None, clock: Clock | None = None) -> Iterator[Finding]:
    """Everything worth knowing where something does not work, each as soon as it is known."""
    clock = clock or SystemClock()
    try:
        settings = load_settings(home=home)
    except ConfigError as error:
        yield Finding(_("settings"), "problem", error.message, error.remedy)
        address = os.environ.get("MINTAGE_DATABASE_URL")
        settings = Settings.model_construct(database_url=SecretStr(address) if address else None)
        home = home or Path(os.environ.get("MINTAGE_HOME") or settings.home)
    else:
        yield Finding(_("settings"), "ok", _("the workspace is {home}", home=settings.home))
        home = settings.home
    try:
        yield from examine_workspace(home, clock, settings.database_url)
    except OSError as error:
        yield Finding(
            _("workspace"),
            "problem",
            _("{path} cannot be read: {reason}", path=error.filename, reason=error.strerror),
            _("Check who owns the folder, or name another."),
        )
    yield from examine_machine(settings, clock)
