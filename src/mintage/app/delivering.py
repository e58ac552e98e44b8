"""The verbs of delivery over one workspace: score, and the parts of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mintage.app.auditing import Auditing
from mintage.app.billing import asked_pdf
from mintage.app.bundles import Bundles
from mintage.app.capturing import Capturing
from mintage.app.creating import Creating
from mintage.app.evidence import WorkspaceEvidence, evidence_of
from mintage.app.lanes import Lanes
from mintage.app.public_keys import public_keys
from mintage.bundle.format import Manifest
from mintage.bundle.predictor import Decode, Predictor
from mintage.capture.answers import Answers
from mintage.capture.books.invoice import Invoice
from mintage.capture.books.invoices import Invoices
from mintage.capture.books.preview import Previews
from mintage.capture.key_limits import not_for
from mintage.capture.limits.standing import Standings
from mintage.capture.metering import UsageMeter
from mintage.capture.pricing.periods import Period
from mintage.capture.refusals import Refusals
from mintage.core.clock import Clock
from mintage.core.errors import (
    NotAllowed,
    SignatureMismatch,
)
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.ports import Gate, Limiter, Reserve
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.core.types import FULL_DETAIL, Caller, Detail, Rate, Scope
from mintage.deliver.engine import Engine, no_version
from mintage.deliver.explain import Explanations
from mintage.deliver.products import Products
from mintage.deliver.score import Work, score
from mintage.deliver.upstreams.declarations import Upstreams
from mintage.deliver.upstreams.declared import BundleAt
from mintage.deliver.upstreams.gateway import Gateway, info_of
from mintage.deliver.upstreams.own.addresses import Addresses
from mintage.deliver.upstreams.own.keeper import Keeper
from mintage.modalities.apart import Decoders
from mintage.store.workspace import Workspace
from mintage.trust.making import key_ring

LEASE_SECONDS = 180.0
"""How long a call may take beside its deadline, to be sent and to be recorded; then its hold
returns."""


@dataclass(frozen=True)
class Offer:
    """What anyone may know of a product; ``api`` shows it as it is."""

    name: str
    task: str
    modality: str
    labels: tuple[str, ...]
    model: str
    model_version: str
    unit: str
    price: Price
    explanation: Price
    prices: Mapping[str, Price]
    """Of each unit, before anything is used and nothing included."""
    rate: Rate | None = None
    detail: Detail = FULL_DETAIL


@dataclass(frozen=True)
class Serving:
    """The parts that a server is made of; ``api`` turns them into routes."""

    settings: Settings
    clock: Clock
    engine: Engine
    explanations: Explanations
    gate: Gate
    limiter: Limiter
    reserve: Reserve
    meter: UsageMeter
    accounts: Accounts
    catalogue: Offers
    replays: Answers
    public_keys: Callable[[], Mapping[str, Mapping[str, Any]]]
    key_list: Callable[[], bytes | None]
    gateway: Gateway
    refusals: Refusals


class Delivering:
    """Answers with what is on sale."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        create: Creating,
        capture: Capturing,
        products: Products,
        upstreams: Upstreams,
    ) -> None:
        self._workspace = workspace
        self._settings = settings
        self._create = create
        self._capture = capture
        self.products = products
        self._upstreams = upstreams
        self.offers = Offers(create.bundles, capture, products, upstreams)

    def score(
        self,
        source: str | Path,
        model: str,
        out: Path,
        *,
        label: str | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Answer every picture of a source, a row each in the table ``out``, and count them.

        A run that was interrupted goes on where it was; ``force`` replaces what is there.

        Raises:
            ConfigError: no ending of ours; a table, or rows of another run, are there already.
            DataError: no source reads it, or no picture is there.
            DependencyDown: the disk is full (the rows so far stay), or pyarrow is not installed.
            RequestError: there is no such model (404).
            SignatureMismatch: the model is not what was signed.
        """
        progress = progress or Silent()
        bundle = self._create.model(model)
        location, __ = self._create.located(source, progress)
        work = Work(self._create.open(bundle), bundle.manifest.labels, location, label)
        return score(work, out, force=force, progress=progress, clock=self._workspace.clock)

    def serving(self, models: Path | None = None) -> Serving:
        """Everything that a server needs, joined.

        ``models`` is the file that says where language models of one's own are served.

        A product whose bundle is not what was published is not answered, and the log says so; the
        others are.

        Raises:
            SignatureMismatch: no product's bundle is what was published.
        """
        products = self.products
        self._check_published(products.routings())
        engine = Engine(
            self._open,
            products,
            threads=self._create.threads,
            max_queue=self._settings.max_queue,
            max_batch=self._settings.max_batch,
            batch_delay_seconds=self._settings.batch_delay_ms / 1000,
            deadline_seconds=self._settings.deadline_seconds,
        )
        keys = key_ring(self._workspace)
        invoices = Invoices(self._workspace.database, self._workspace.clock, keys)
        return Serving(
            settings=self._settings,
            clock=self._workspace.clock,
            engine=engine,
            explanations=Explanations(
                self._open_explaining, deadline_seconds=self._settings.deadline_seconds
            ),
            gate=self._capture.admitting(self._settings.trial),
            limiter=self._capture.limiter(),
            reserve=self._capture.reserve(self._settings.deadline_seconds + LEASE_SECONDS),
            meter=self._capture.meter(),
            accounts=Accounts(
                self._capture,
                invoices,
                Standings(self._workspace.database, self._workspace.clock),
                Auditing(self._workspace, self._capture, keys),
                partial(evidence_of, self._workspace, keys, self._capture.log, invoices),
                Previews(self._workspace.database, self._workspace.clock),
                self._settings.font,
            ),
            catalogue=self.offers,
            replays=Answers(self._workspace.database, keys, self._workspace.clock),
            public_keys=lambda: public_keys(keys, self._workspace.now()),
            key_list=keys.published,
            gateway=Gateway(
                self._upstreams,
                self._workspace.clock,
                addresses=Addresses(models),
                folder=None if models is None else models.parent,
            ),
            refusals=Refusals(self._workspace.database, self._workspace.clock),
        )

    def model_servers(self, models: Path) -> Keeper:
        """What keeps servers going for language models of one's own; ``models`` as above."""
        return Keeper(
            self._upstreams,
            self._located,
            Addresses(models),
            kind=self._settings.model_server,
            threads=self._create.threads,
        )

    def _located(self, at: BundleAt) -> Path:
        """The folder of a language model, if it is the one that was published."""
        bundle = self._create.bundles.find_language(at.reference)
        if bundle.digest != at.digest:
            raise SignatureMismatch(
                _("{model} is not the bundle that was published.", model=at.reference),
                remedy=_("Publish it again, if you trust what is there now."),
            )
        return bundle.folder

    def _check_published(self, names: Collection[str]) -> None:
        damaged: list[SignatureMismatch] = []
        for name in names:
            try:
                self.offers.manifest(name)
            except SignatureMismatch as error:
                model = self.products.routing(name).stable.reference
                damaged.append(_nothing_answers(name, model, error))
        if damaged and len(damaged) == len(names):
            raise damaged[0]

    def _open(self, model: str, version: int, digest: str) -> Predictor:
        """Open what an alias points at: the bundle that was published, and no other."""
        bundle = self._create.bundles.published(model, version, digest)
        return self._create.open(bundle, decode=self._decode)

    def _open_explaining(self, model: str, version: int, digest: str) -> Predictor:
        """The same once more, for one core: what is explained must not slow what is answered."""
        bundle = self._create.bundles.published(model, version, digest)
        return self._create.open(bundle, threads=1, decode=self._decode)

    @cached_property
    def _decode(self) -> Decode | None:
        """What decodes uploads in processes of their own, where that is set."""
        count = self._settings.decoders
        return Decoders(count).decode if count else None


def _nothing_answers(product: str, model: str, error: SignatureMismatch) -> SignatureMismatch:
    return SignatureMismatch(
        _(
            "Nothing can answer for the product {product}, since {model} is not believed: "
            "{problem}",
            product=product,
            model=model,
            problem=error.message,
        ),
        remedy=error.remedy,
    )


class Accounts:
    """A customer's own records, by their key."""

    def __init__(
        self,
        capture: Capturing,
        invoices: Invoices,
        standings: Standings,
        log: Auditing,
        evidence: Callable[[Invoice], WorkspaceEvidence],
        previews: Previews,
        font: Path | None = None,
    ) -> None:
        """``font`` is for invoices as PDF; None: one is looked for."""
        self._capture = capture
        self._log = log
        self._invoices = invoices
        self._standings = standings
        self._lanes = Lanes()
        self._evidence = evidence
        self._previews = previews
        self._font = font

    def caller(self, key: str | None, scope: Scope, address: str | None) -> Caller:
        """Whose key this is; raises Unauthenticated and NotAllowed."""
        return self._capture.gate.caller(key, scope, address)

    def usage(
        self,
        caller: Caller,
        *,
        product: str | None,
        period: str | None,
        after: str | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The usage events that the caller may see, newest first; of a month, where one is named.

        Raises:
            ConfigError: no month.
            NotAllowed: those of this product are not for this key.
            RequestError: there is no such receipt to go on after (404).
        """
        found = self._capture.history.list_usage(
            customer=caller.customer,
            product=product,
            after=after,
            limit=limit,
            among=_shown_to(caller, product),
            period=None if period is None else Period.parse(period),
        )
        return [record.to_json() for record in found]

    def usage_totals(
        self, caller: Caller, period: str, *, product: str | None
    ) -> list[dict[str, Any]]:
        """What the caller used in a month, by product and outcome, of what they may see.

        Raises:
            ConfigError: no month.
            NotAllowed: what was used of this product is not for this key.
        """
        shown = _shown_to(caller, product)
        among = shown if product is None else {product}
        found = self._capture.history.totals(Period.parse(period), caller.customer, among=among)
        return [total.to_json() for total in found]

    def receipt(self, caller: Caller, receipt_id: str) -> dict[str, Any]:
        """One receipt that the caller may see; raises RequestError (404).

        With it the proof that its event is in the audit log, or why there is none.
        """
        history = self._capture.history
        found = history.find_receipt(receipt_id, caller.customer, caller.products)
        return {**found.to_json(), **self._log.included(found.statement["leaf"]["position"])}

    def log(self, caller: Caller) -> Mapping[str, Any]:  # noqa: ARG002 - it is the same for all
        """The audit log's newest head, and what it is verified with."""
        return self._log.described()

    def consistency(
        self,
        caller: Caller,  # noqa: ARG002 - it is the same for all
        earlier: int,
        size: int | None,
        log: int | None,
    ) -> Mapping[str, Any]:
        """That the audit log only grew; raises ConfigError (400) where these are no sizes of it."""
        return self._log.consistency(earlier, size, log)

    def limits(self, caller: Caller) -> dict[str, Any]:
        """What limits the caller, how much of it is used, and the credit that is left.

        A key that is for some products alone sees what limits its own calls.
        """
        return self._standings.of(caller.customer, caller.products, caller.key)

    def invoices(
        self, caller: Caller, *, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The caller's invoices and credit notes, the oldest first; no drafts.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
            RequestError: there is no such invoice to go on after (404).
        """
        _check_whole(caller)
        found = self._invoices.list(caller.customer, drafts=False, after=after, limit=limit)
        return [each.summary() for each in found]

    def preview(self, caller: Caller) -> dict[str, Any]:
        """What the caller's present month comes to until now; none of it is owed yet.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
        """
        _check_whole(caller)
        return self._previews.shown(caller.customer)

    def invoice(self, caller: Caller, number: str) -> dict[str, Any]:
        """One invoice or credit note of the caller's, by its number or id.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
            RequestError: there is none, it is a draft, or another customer's (404, all alike).
            SignatureMismatch: it is not what was signed.
        """
        return self._invoices.confirmed(self._issued(caller, number)).to_json()

    def invoice_pdf(self, caller: Caller, number: str) -> bytes:
        """The same as PDF, in the customer's language or the one that is spoken.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
            RequestError: there is none for this caller (404), or no PDF can be made here (406).
        """
        return asked_pdf(self._invoices.confirmed(self._issued(caller, number)), self._font)

    def invoice_signed(self, caller: Caller, number: str) -> bytes:
        """The same as it was signed when it was issued.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
            RequestError: there is none for this caller (404).
        """
        return self._invoices.signed(self._issued(caller, number)).data

    def invoice_evidence(self, caller: Caller, number: str) -> Iterator[bytes]:
        """What shows that it is right: a zip, in portions.

        Raises:
            NotAllowed: the key is for some products alone, and invoices are over all.
            RequestError: there is none for this caller (404).
            SignatureMismatch: it is signed with a key that is not believed.
            Overloaded: that of another invoice is on its way to them, or those of too many others.
        """
        evidence = self._evidence(self._issued(caller, number))
        return self._lanes.sent(caller.customer, evidence.archived)

    def _issued(self, caller: Caller, number: str) -> Invoice:
        _check_whole(caller)
        return self._invoices.find(number, caller.customer, drafts=False)


def _shown_to(caller: Caller, product: str | None) -> frozenset[str] | None:
    """Whose products' records a caller may see; None is all of them."""
    if product is not None and caller.products is not None and product not in caller.products:
        raise not_for(product)
    return caller.products


def _check_whole(caller: Caller) -> None:
    if caller.products is not None:
        raise NotAllowed(
            _("This key is for some products alone; what was asked for is over all of them."),
            remedy=_("Ask for them with a key that is for every product."),
        )


class Offers:
    """What is sold here, for anyone to see."""

    def __init__(
        self, bundles: Bundles, capture: Capturing, products: Products, upstreams: Upstreams
    ) -> None:
        self._bundles = bundles
        self._capture = capture
        self._products = products
        self._upstreams = upstreams
        self._manifests: dict[str, Manifest] = {}

    def names(self) -> Sequence[str]:
        """Every product's name."""
        return [product.name for product in self._products.list()]

    def manifest(self, product: str) -> Manifest:
        """What the product's stable bundle says of itself, verified once.

        Raises:
            RequestError: there is no such product (404).
            SignatureMismatch: the bundle is not what was published.
        """
        pointer = self._products.routing(product).stable
        if pointer.bundle_digest not in self._manifests:
            bundle = self._bundles.published(pointer.model, pointer.version, pointer.bundle_digest)
            self._manifests[bundle.digest] = bundle.manifest
        return self._manifests[pointer.bundle_digest]

    def card(self, product: str) -> Offer:
        """One product.

        Raises:
            RequestError: there is none (404).
            NotReady: its bundle is not what was published: nothing answers for it.
        """
        plan = self._capture.plans.current(self._products.get(product).plan)
        said = plan.offer(product)
        standing = self._upstreams.of(product)
        if standing:
            info = info_of(standing[0])
            return Offer(
                name=product,
                task="text",
                modality="text",
                labels=(),
                model=info.model,
                model_version=info.version,
                unit=said["unit"],
                price=Price(said["price"], said["currency"], said["per"]),
                explanation=Price("0", said["currency"]),
                prices=plan.prices(product),
                rate=plan.rate,
            )
        pointer = self._products.routing(product).stable
        try:
            manifest = self.manifest(product)
        except SignatureMismatch as error:
            raise no_version(product) from error
        return Offer(
            name=product,
            task=manifest.task,
            modality=manifest.modality,
            labels=manifest.labels,
            model=pointer.model,
            model_version=str(pointer.version),
            unit=said["unit"],
            price=Price(said["price"], said["currency"], said["per"]),
            explanation=Price(said["explanation_price"], said["currency"]),
            prices=plan.prices(product),
            rate=plan.rate,
            detail=plan.terms.answers,
        )
