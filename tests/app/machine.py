"""A machine as models move to and from it."""

from __future__ import annotations

from pathlib import Path

from mintage.app.moving import Moving
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.trust import repository


class Machine:
    """A workspace of its own, with the verbs that move."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.app = App(load_settings(home=home, threads=1))
        self.moving = Moving(self.app.workspace, self.app.keys, self.app.create)

    def leaves(self) -> list[str]:
        with self.app.workspace.database.read() as connection:
            return [row.kind for row in repository.read_rows(connection)]

    def models(self) -> list[str]:
        """What lies in the models' folder, staging and all; locks aside."""
        found = (self.home / "models").glob("*/*")
        return sorted(str(path.relative_to(self.home / "models")) for path in found)
