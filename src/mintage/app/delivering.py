"""The verbs of delivery over one workspace: publish, and the parts of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mintage.app.capturing import Capturing
from mintage.app.creating import Creating
from mintage.app.pricing import Terms, agreed
from mintage.bundle.format import Manifest
from mintage.bundle.predictor import Predictor
from mintage.capture.answers import Answers
from mintage.capture.metering import UsageMeter
from mintage.core import registry
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, RequestError, SignatureMismatch
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.ports import Gate, Limiter
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.core.types import Rate
from mintage.core.units import check_name
from mintage.deliver.engine import Engine, no_version
from mintage.deliver.explain import Explanations
from mintage.deliver.products import STABLE, Pointer, Products, Routing, Trial
from mintage.deliver.score import Work, score
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing, Role

_ALGORITHMS: dict[Role, str] = {"receipt": "ECDSA P-256 SHA-256", "log": "Ed25519"}


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
    rate: Rate | None = None


@dataclass(frozen=True)
class Serving:
    """The parts that a server is made of; ``api`` turns them into routes."""

    settings: Settings
    clock: Clock
    engine: Engine
    explanations: Explanations
    gate: Gate
    limiter: Limiter
    meter: UsageMeter
    accounts: Accounts
    catalogue: Offers
    replays: Answers
    public_keys: Callable[[], Mapping[str, Mapping[str, str]]]


class Delivering:
    """Puts models into production."""

    def __init__(
        self, workspace: Workspace, settings: Settings, create: Creating, capture: Capturing
    ) -> None:
        self._workspace = workspace
        self._settings = settings
        self._create = create
        self._capture = capture
        self.products = Products(workspace.database, workspace.now)
        self.offers = Offers(create, capture, self.products)

    def publish(
        self,
        model: str,
        product: str,
        *,
        price: str | None = None,
        currency: str | None = None,
        explanation_price: str | None = None,
        rate: str | None = None,
        canary: float | None = None,
        shadow: float | None = None,
    ) -> dict[str, Any]:
        """Verify a model, open it once, and let the product's ``stable`` point at it.

        With ``canary``, a share, so many of the customers get it, always the same ones, and the
        others the stable version. With ``shadow``, a share, so many of the calls are asked of it
        too, and its answers compared, never given. Without a price the product keeps its plan; a
        new one gets the default price.

        Raises:
            SignatureMismatch: the bundle is not what was signed; the product stays as it was.
            ConfigError: prices that cannot be, a name that is taken, or a share that is none.
            RequestError: nothing is stable yet beside which a canary could stand, or it answers
                another kind of question (409).
        """
        check_name(product, "product")
        trial, percent = _trial(canary, shadow)
        bundle = self._create.model(model)
        row = self._create.model_row(model)
        self._create.open(bundle)
        warnings = [*_doubts(bundle.manifest), *self._undeclared(bundle.manifest)]
        if trial is not None:
            warnings += self._differences(product, bundle.manifest)
        before = self.products.routings().get(product)
        unit = registry.modalities().get(bundle.manifest.modality).unit
        sold = {each.name: each.plan for each in self.products.list()}
        terms = Terms(price, currency, explanation_price, rate)
        plan = agreed(self._capture.plans, product, terms, plan=sold.get(product), unit=unit)
        pointer = self.products.publish(
            product, row["name"], row["version"], bundle.digest, plan.name, trial, percent
        )
        warnings += _ended(before, pointer)
        return {
            "product": product,
            "alias": trial or STABLE,
            "percent": percent,
            "model": pointer.reference,
            "bundle_digest": pointer.bundle_digest,
            "plan": plan.to_json(),
            "warnings": warnings,
        }

    def rollback(self, product: str) -> dict[str, Any]:
        """Take the product's last publish back; prices stay as they are.

        Raises:
            RequestError: there is no such product (404), or nothing to go back to (409).
            SignatureMismatch: what stood before is not what was published; nothing was changed.
        """
        before = self.products.before(product)
        for pointer in before.pointers().values():
            self._create.published(*pointer)
        undone = self.products.rollback(product, before)
        return {
            "product": product,
            "undone": {"alias": undone.alias, "model": undone.pointer.reference},
            "aliases": {
                alias: pointer.reference for alias, pointer in undone.routing.pointers().items()
            },
        }

    def _differences(self, product: str, manifest: Manifest) -> list[str]:
        """What this version on trial answers otherwise than the stable one."""
        stable = self._create.published(*self.products.routing(product).stable).manifest
        if (stable.modality, stable.task) != (manifest.modality, manifest.task):
            raise RequestError(
                _(
                    "{product} takes {modality} and answers {task}; this model does not.",
                    product=product,
                    modality=stable.modality,
                    task=stable.task,
                ),
                remedy=_("Sell it as another product."),
                http_status=409,
            )
        if stable.labels == manifest.labels:
            return []
        return [
            _(
                "This version's labels are {labels}, the stable version's {stable}.",
                labels=", ".join(manifest.labels),
                stable=", ".join(stable.labels),
            )
        ]

    def _undeclared(self, manifest: Manifest) -> list[str]:
        """What should be known of the data before its model is sold."""
        reference = f"{manifest.dataset['name']}#{manifest.dataset['version'][:12]}"
        try:
            about = self._create.dataset(reference).card["about"]
        except RequestError:
            return [
                _(
                    "The dataset {reference} is not in this workspace: what it states of its "
                    "licence, consent and origin is in the model's card alone.",
                    reference=reference,
                )
            ]
        missing = [name for name, value in about.items() if not value]
        if not missing:
            return []
        return [
            _(
                "The dataset does not state: {missing}. Say it with mintage collect … {options}",
                missing=", ".join(missing),
                options=" ".join(f"--{name} TEXT" for name in missing),
            )
        ]

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

    def catalogue(self) -> list[dict[str, Any]]:
        """Every product with what it points at."""
        routings = self.products.routings()
        return [
            {
                "product": product.name,
                "model": routings[product.name].stable.reference,
                "bundle_digest": routings[product.name].stable.bundle_digest,
                "canary": _beside(routings[product.name], routings[product.name].canary),
                "shadow": _beside(routings[product.name], routings[product.name].shadow),
                "plan": self._capture.plans.current(product.plan).to_json(),
            }
            for product in self.products.list()
            if product.name in routings
        ]

    def serving(self) -> Serving:
        """Everything that a server needs, joined.

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
        keys = KeyRing(self._workspace.key_folder)
        return Serving(
            settings=self._settings,
            clock=self._workspace.clock,
            engine=engine,
            explanations=Explanations(
                self._open_explaining, deadline_seconds=self._settings.deadline_seconds
            ),
            gate=self._capture.admitting(self._settings.trial),
            limiter=self._capture.limiter(),
            meter=self._capture.meter(),
            accounts=Accounts(self._capture),
            catalogue=self.offers,
            replays=Answers(self._workspace.database, keys, self._workspace.clock),
            public_keys=partial(_public_keys, keys),
        )

    def _check_published(self, names: Collection[str]) -> None:
        damaged: list[SignatureMismatch] = []
        for name in names:
            try:
                self.offers.manifest(name)
            except SignatureMismatch as error:
                damaged.append(error)
        if damaged and len(damaged) == len(names):
            raise damaged[0]

    def _open(self, model: str, version: int, digest: str) -> Predictor:
        """Open what an alias points at: the bundle that was published, and no other."""
        return self._create.open(self._create.published(model, version, digest))

    def _open_explaining(self, model: str, version: int, digest: str) -> Predictor:
        """The same once more, for one core: what is explained must not slow what is answered."""
        return self._create.open(self._create.published(model, version, digest), threads=1)


def _trial(canary: float | None, shadow: float | None) -> tuple[Trial | None, int]:
    """How a version stands trial, and for how many percent of the customers, or of the calls.

    Raises:
        ConfigError: both ways at once, or a share that is none.
    """
    if canary is not None and shadow is not None:
        raise ConfigError(
            _("A version stands beside another as its canary or as its shadow, not both."),
            remedy=_("Say --canary or --shadow."),
        )
    if canary is not None:
        return "canary", _percent(canary)
    if shadow is None:
        return None, 100
    percent = round(shadow * 100)
    if not 1 <= percent <= 100:
        raise ConfigError(
            _("A shadow gets 1 % to 100 % of the calls, not {share:g} %.", share=shadow * 100),
            remedy=_("Write it as 20%."),
        )
    return "shadow", percent


def _percent(share: float) -> int:
    """A canary's share of the customers, in whole percent.

    Raises:
        ConfigError: it is not between 1 % and 99 %.
    """
    percent = round(share * 100)
    if not 1 <= percent <= 99:
        raise ConfigError(
            _("A canary gets 1 % to 99 % of the customers, not {share:g} %.", share=share * 100),
            remedy=_("Leave --canary out to have all customers get it."),
        )
    return percent


def _beside(routing: Routing, pointer: Pointer | None) -> dict[str, Any] | None:
    if pointer is None:
        return None
    return {
        "model": pointer.reference,
        "bundle_digest": pointer.bundle_digest,
        "percent": routing.percent,
    }


def _ended(before: Routing | None, published: Pointer) -> list[str]:
    """What was on trial until now, unless it is this that is published."""
    if before is None:
        return []
    on_trial = {"canary": before.canary, "shadow": before.shadow}
    return [
        _(
            "{model} is no {alias} any more: one version at a time stands on trial.",
            model=pointer.reference,
            alias=alias,
        )
        for alias, pointer in on_trial.items()
        if pointer is not None and pointer != published
    ]


def _doubts(manifest: Manifest) -> list[str]:
    """What its own evaluation says against selling a model."""
    metrics = manifest.metrics
    low, majority = metrics["interval"][0], metrics["majority_accuracy"]
    if low > majority:
        return []
    return [
        _(
            "This model cannot be told from one that always answers the most frequent class: "
            "{accuracy:.1%} right, against {majority:.1%}.",
            accuracy=metrics["accuracy"],
            majority=majority,
        )
    ]


def _public_keys(keys: KeyRing) -> dict[str, dict[str, str]]:
    """What anyone needs to verify receipts and tree heads."""
    signers = {role: keys.signer(role) for role in _ALGORITHMS}
    return {
        role: {
            "key_id": signer.key_id,
            "algorithm": _ALGORITHMS[role],
            "pem": signer.public_pem.decode(),
        }
        for role, signer in signers.items()
    }


class Accounts:
    """A customer's own records, by their key."""

    def __init__(self, capture: Capturing) -> None:
        self._capture = capture

    def customer(self, key: str | None) -> str:
        """Whose key this is; raises Unauthenticated."""
        return self._capture.gate.customer(key)

    def usage(
        self, customer: str, *, product: str | None, after: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """The customer's usage events, newest first."""
        found = self._capture.history.list_usage(
            customer=customer, product=product, after=after, limit=limit
        )
        return [record.to_json() for record in found]

    def receipt(self, customer: str, receipt_id: str) -> dict[str, Any]:
        """One receipt of this customer; raises RequestError (404)."""
        return self._capture.history.find_receipt(receipt_id, customer).to_json()


class Offers:
    """What is sold here, for anyone to see."""

    def __init__(self, create: Creating, capture: Capturing, products: Products) -> None:
        self._create = create
        self._capture = capture
        self._products = products
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
            bundle = self._create.published(pointer.model, pointer.version, pointer.bundle_digest)
            self._manifests[bundle.digest] = bundle.manifest
        return self._manifests[pointer.bundle_digest]

    def card(self, product: str) -> Offer:
        """One product.

        Raises:
            RequestError: there is none (404).
            NotReady: its bundle is not what was published: nothing answers for it.
        """
        plan = self._capture.plans.current(self._products.get(product).plan)
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
            unit=plan.unit,
            price=plan.price,
            explanation=plan.explanation,
            rate=plan.rate,
        )
