"""One opened workspace with everything that works on it."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import Self

from mintage.app.capturing import Capturing
from mintage.app.creating import Creating
from mintage.app.delivering import Delivering
from mintage.app.feedback import CustomerFeedback
from mintage.app.labelling import Labelling
from mintage.app.moving import Moving
from mintage.core.clock import Clock
from mintage.core.settings import Settings, load_settings
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


class App:
    """The verbs, in the three movements; ``create`` makes, ``deliver`` serves, ``capture`` sells.

    Raises (on opening):
        ConfigError: the workspace cannot be used.
    """

    def __init__(
        self, settings: Settings | None = None, clock: Clock | None = None, *, make: bool = True
    ) -> None:
        """``make`` says whether a workspace that is not there is begun."""
        self.settings = settings or load_settings()
        self.workspace = Workspace(self.settings.home, clock, make=make)
        self.keys = KeyRing(self.workspace.key_folder)

    @cached_property
    def create(self) -> Creating:
        """Collect, inspect, train, evaluate, predict."""
        return Creating(self.workspace, self.keys, self.settings)

    @cached_property
    def labelling(self) -> Labelling:
        """Label unsorted pictures, with a model of this workspace at hand."""
        return Labelling(self.create, self.workspace.clock)

    @cached_property
    def deliver(self) -> Delivering:
        """Publish, and what a server needs."""
        return Delivering(self.workspace, self.settings, self.create, self.capture)

    @cached_property
    def capture(self) -> Capturing:
        """Customers, keys, plans, usage."""
        return Capturing(self.workspace, self.keys)

    @cached_property
    def feedback(self) -> CustomerFeedback:
        """What customers said of answers, for the next dataset."""
        return CustomerFeedback(
            self.workspace,
            self.create,
            self.capture.customers,
            self.deliver.offers.card,
            most_bytes=self.settings.feedback_bytes,
        )

    @cached_property
    def moving(self) -> Moving:
        """Export, import, and whose keys are trusted."""
        return Moving(self.workspace, self.keys, self.create)

    def close(self) -> None:
        """Finish writing and let go of the workspace."""
        self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
