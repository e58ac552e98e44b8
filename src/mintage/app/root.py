"""One opened workspace with everything that works on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mintage.core.clock import Clock
from mintage.core.settings import Settings, load_settings
from mintage.store.workspace import Workspace
from mintage.trust.making import key_ring
from mintage.trust.sealing.opening import WorkspaceSealing

if TYPE_CHECKING:
    from mintage.app.auditing import Auditing
    from mintage.app.billing import Billing
    from mintage.app.capturing import Capturing
    from mintage.app.creating import Creating
    from mintage.app.delivering import Delivering
    from mintage.app.feedback import CustomerFeedback
    from mintage.app.heads_elsewhere import HeadsElsewhere
    from mintage.app.labelling import Labelling
    from mintage.app.language import LanguageProducts
    from mintage.app.model_audit import ModelAudits
    from mintage.app.moving import Moving
    from mintage.app.notifying import Notifying
    from mintage.app.publishing import Publishing
    from mintage.app.renewing import SigningAgain
    from mintage.app.security.root import Security
    from mintage.app.tuning import Tuning
    from mintage.app.witnessing import Witnessing
    from mintage.bundle.loader import LoadedBundle
    from mintage.deliver.products import Products
    from mintage.deliver.upstreams.declarations import Upstreams
    from mintage.trust.rotation import SigningKeys


class App:
    """The verbs, in the three movements; ``create`` makes, ``deliver`` serves, ``capture`` sells.

    Each part is loaded when it is asked for: whoever lists usage waits for no numerics.

    Raises (on opening):
        ConfigError: the workspace cannot be used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        *,
        make: bool = True,
        half_sealed: bool = False,
    ) -> None:
        """``make`` says whether a workspace that is not there is begun.

        ``half_sealed`` opens one whose sealing is to be gone on with.
        """
        self.settings = settings or load_settings()
        self.workspace = Workspace(
            self.settings.home,
            clock,
            database_url=self.settings.database_url,
            make=make,
            opens_sealed=WorkspaceSealing,
            seal_key=self.settings.seal_key,
            half_sealed=half_sealed,
        )
        self.keys = key_ring(self.workspace)

    @cached_property
    def create(self) -> Creating:
        """Collect, inspect, train, evaluate, predict."""
        from mintage.app.creating import Creating  # noqa: PLC0415

        return Creating(self.workspace, self.keys, self.settings)

    @cached_property
    def tuning(self) -> Tuning:
        """Language models of one's own."""
        from mintage.app.tuning import Tuning  # noqa: PLC0415

        create = self.create
        return Tuning(self.workspace, self.keys, self.settings, create.bundles, create.dataset)

    @cached_property
    def labelling(self) -> Labelling:
        """Label unsorted pictures, with a model of this workspace at hand."""
        from mintage.app.labelling import Labelling  # noqa: PLC0415

        return Labelling(self.create, self.workspace.clock)

    @cached_property
    def products(self) -> Products:
        """What is sold, and which versions answer for it."""
        from mintage.deliver.products import Products  # noqa: PLC0415

        return Products(self.workspace.database, self.workspace.now)

    @cached_property
    def upstreams(self) -> Upstreams:
        """Servers of others, that answer for products."""
        from mintage.deliver.upstreams.declarations import Upstreams  # noqa: PLC0415

        return Upstreams(self.workspace.database, self.workspace.now)

    @cached_property
    def language(self) -> LanguageProducts:
        """Sell what upstreams answer."""
        from mintage.app.language import LanguageProducts  # noqa: PLC0415

        return LanguageProducts(self.upstreams, self.products, self.capture.plans)

    @cached_property
    def publishing(self) -> Publishing:
        """Publish, try out, take back."""
        from mintage.app.bundles import Bundles  # noqa: PLC0415
        from mintage.app.publishing import Publishing  # noqa: PLC0415

        return Publishing(
            self.products,
            Bundles(self.workspace, self.keys),
            self.capture,
            upstreams=self.upstreams,
            try_out=self._try_out,
            about=self._about,
        )

    def _try_out(self, bundle: LoadedBundle) -> None:
        self.create.open(bundle)

    def _about(self, reference: str) -> Mapping[str, str]:
        about: Mapping[str, str] = self.create.dataset(reference).card["about"]
        return about

    @cached_property
    def deliver(self) -> Delivering:
        """Score, and what a server needs."""
        from mintage.app.delivering import Delivering  # noqa: PLC0415

        return Delivering(
            self.workspace,
            self.settings,
            self.create,
            self.capture,
            self.products,
            self.upstreams,
        )

    @cached_property
    def capture(self) -> Capturing:
        """Customers, keys, plans, usage."""
        from mintage.app.capturing import Capturing  # noqa: PLC0415

        said = self.settings
        return Capturing(
            self.workspace,
            self.keys,
            said.durability,
            said.overdue_stop_days,
            log_origin=said.log_origin,
        )

    @cached_property
    def auditing(self) -> Auditing:
        """Show, verify and prove what the audit log has."""
        from mintage.app.auditing import Auditing  # noqa: PLC0415

        return Auditing(self.workspace, self.capture, self.keys)

    @cached_property
    def model_audits(self) -> ModelAudits:
        """Models looked over, again and again."""
        from mintage.app.model_audit import ModelAudits  # noqa: PLC0415

        return ModelAudits(
            self.workspace,
            self.keys,
            self.capture.log,
            lambda: self.create,
            self.settings.audit_days,
        )

    @cached_property
    def heads_elsewhere(self) -> HeadsElsewhere:
        """Tree heads, put where they cannot be taken back."""
        from mintage.app.heads_elsewhere import HeadsElsewhere  # noqa: PLC0415

        return HeadsElsewhere(
            self.workspace,
            self.capture.log,
            self.settings.heads_folder,
            self.settings.heads_seconds,
        )

    @cached_property
    def witnessing(self) -> Witnessing:
        """Witnesses of our log, and being one of others'."""
        from mintage.app.witnessing import Witnessing  # noqa: PLC0415

        return Witnessing(self.workspace, self.keys, self.capture.log, self.auditing)

    @cached_property
    def billing(self) -> Billing:
        """Plans from files, and what they come to."""
        from mintage.app.billing import Billing  # noqa: PLC0415

        return Billing(self.workspace, self.settings, self.capture, self.keys)

    @cached_property
    def notifying(self) -> Notifying:
        """Webhooks."""
        from mintage.app.notifying import Notifying  # noqa: PLC0415

        return Notifying(self.workspace, self.keys, self.capture, self.billing.overdue)

    @cached_property
    def security(self) -> Security:
        """What could let others in, and what mends it."""
        from mintage.app.security.root import Security  # noqa: PLC0415

        return Security(self.workspace, self.settings, self.keys, self.capture, self.upstreams)

    @cached_property
    def feedback(self) -> CustomerFeedback:
        """What customers said of answers, for the next dataset."""
        from mintage.app.feedback import CustomerFeedback  # noqa: PLC0415

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
        from mintage.app.moving import Moving  # noqa: PLC0415

        return Moving(self.workspace, self.keys, self.create)

    @cached_property
    def signing_keys(self) -> SigningKeys:
        """This workspace's own signing keys through time."""
        from mintage.trust.rotation import SigningKeys  # noqa: PLC0415

        database, clock = self.workspace.database, self.workspace.clock
        return SigningKeys(database, self.keys, clock, self.capture.log.tree_head)

    @cached_property
    def signing_again(self) -> SigningAgain:
        """What a revoked key signed, signed again."""
        from mintage.app.renewing import SigningAgain  # noqa: PLC0415

        return SigningAgain(self.workspace, self.keys, self.billing.invoices)

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
