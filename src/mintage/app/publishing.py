"""What is sold under which name: publish a version, try it out, take it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mintage.app.bundles import Bundles
from mintage.app.capturing import Capturing
from mintage.app.pricing import Asked, agreed
from mintage.bundle.format import Manifest
from mintage.bundle.loader import LoadedBundle
from mintage.core import registry
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _
from mintage.core.units import check_name
from mintage.deliver.products import (
    STABLE,
    Pointer,
    Products,
    Routing,
    Trial,
    answered_by_upstream,
)
from mintage.deliver.upstreams.declarations import Upstreams
from mintage.deliver.upstreams.gateway import info_of


class Publishing:
    """Puts models on sale."""

    def __init__(
        self,
        products: Products,
        bundles: Bundles,
        capture: Capturing,
        *,
        upstreams: Upstreams,
        try_out: Callable[[LoadedBundle], object],
        about: Callable[[str], Mapping[str, str]],
    ) -> None:
        """``try_out`` opens a bundle, or raises; ``about`` is what a dataset states of itself."""
        self._products = products
        self._bundles = bundles
        self._capture = capture
        self._upstreams = upstreams
        self._try_out = try_out
        self._about = about

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
        allow_older: bool = False,
    ) -> dict[str, Any]:
        """Verify a model, open it once, and let the product's ``stable`` point at it.

        With ``canary``, a share, so many of the customers get it, always the same ones, and the
        others the stable version. With ``shadow``, a share, so many of the calls are asked of it
        too, and its answers compared, never given. Without a price the product keeps its plan; a
        new one gets the default price.

        Raises:
            SignatureMismatch: the bundle is not what was signed; the product stays as it was.
            ConfigError: prices that cannot be, a name that is taken, or a share that is none.
            RequestError: nothing is stable yet beside which a canary could stand, it answers
                another kind of question, or it is older than what the product has sold already
                (409), and ``allow_older`` is not said.
        """
        check_name(product, "product")
        if product in self._upstreams.all():
            raise answered_by_upstream(product)
        trial, percent = _trial(canary, shadow)
        bundle = self._bundles.find(model)
        row = self._bundles.row(model)
        if not allow_older:
            pointer = Pointer(row["name"], row["version"], bundle.digest)
            self._products.check_not_older(product, pointer)
        self._try_out(bundle)
        warnings = [*_doubts(bundle.manifest), *self.undeclared(bundle.manifest.dataset)]
        if trial is not None:
            warnings += self._differences(product, bundle.manifest)
        before = self._products.routings().get(product)
        unit = registry.modalities().get(bundle.manifest.modality).unit
        sold = {each.name: each.plan for each in self._products.list()}
        asked = Asked(price, currency, explanation_price, rate)
        plan = agreed(self._capture.plans, product, asked, plan=sold.get(product), unit=unit)
        pointer = self._products.publish(
            product,
            row["name"],
            row["version"],
            bundle.digest,
            plan.name,
            trial,
            percent,
            allow_older=allow_older,
        )
        warnings += _ended(before, pointer)
        return {
            "product": product,
            "alias": trial or STABLE,
            "percent": percent,
            "model": pointer.reference,
            "bundle_digest": pointer.bundle_digest,
            "plan": plan.offer(product),
            "warnings": warnings,
        }

    def rollback(self, product: str) -> dict[str, Any]:
        """Take the product's last publish back; prices stay as they are.

        Raises:
            RequestError: there is no such product (404), or nothing to go back to (409).
            SignatureMismatch: what stood before is not what was published; nothing was changed.
        """
        self._check_rollback(product)
        before = self._products.before(product)
        for pointer in before.pointers().values():
            self._bundles.published(*pointer)
        undone = self._products.rollback(product, before)
        plan = self._capture.plans.current(self._products.get(product).plan)
        return {
            "product": product,
            "undone": {"alias": undone.alias, "model": undone.pointer.reference},
            "plan": plan.offer(product),
            "aliases": {
                alias: pointer.reference for alias, pointer in undone.routing.pointers().items()
            },
        }

    def _check_rollback(self, product: str) -> None:
        """Only what ``publish`` put on sale of classifiers is taken back."""
        if product in self._upstreams.all():
            raise RequestError(
                _("An upstream answers for {product}.", product=product),
                remedy=_(
                    "Publish the earlier version of a model of your own with --allow-older; of "
                    "others, see: mintage product show {product}",
                    product=product,
                ),
                http_status=409,
            )

    def _differences(self, product: str, manifest: Manifest) -> list[str]:
        """What this version on trial answers otherwise than the stable one."""
        stable = self._bundles.published(*self._products.routing(product).stable).manifest
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

    def undeclared(self, dataset: Mapping[str, str]) -> list[str]:
        """What should be known of the data before its model is sold; ``name`` and ``version``."""
        reference = f"{dataset['name']}#{dataset['version'][:12]}"
        try:
            about = self._about(reference)
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

    def catalogue(self) -> list[dict[str, Any]]:
        """Every product with what it points at; of upstreams, the one that is asked first."""
        routings, upstreams = self._products.routings(), self._upstreams.all()
        found = [
            {
                "product": product.name,
                "model": routings[product.name].stable.reference,
                "bundle_digest": routings[product.name].stable.bundle_digest,
                "canary": _beside(routings[product.name], routings[product.name].canary),
                "shadow": _beside(routings[product.name], routings[product.name].shadow),
                "plan": self._capture.plans.current(product.plan).offer(product.name),
            }
            for product in self._products.list()
            if product.name in routings
        ]
        found += [
            {
                "product": product.name,
                "model": "{0.model}@{0.version}".format(info_of(first)),
                "bundle_digest": first.digest,
                "canary": None,
                "shadow": None,
                "plan": self._capture.plans.current(product.plan).offer(product.name),
            }
            for product in self._products.list()
            for first in upstreams.get(product.name, ())[:1]
        ]
        return sorted(found, key=lambda each: str(each["product"]))


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
