"""Language models that others run: which upstreams answer for a product, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mintage.app.pricing import check_free
from mintage.bundle.language import LanguageBundle
from mintage.capture.plans import Plan, Plans
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import Message, _
from mintage.core.types import CACHED_INPUT_TOKEN, INPUT_TOKEN, LANGUAGE_UNITS, OUTPUT_TOKEN
from mintage.core.units import check_name
from mintage.deliver.products import Products, older
from mintage.deliver.upstreams.declarations import Upstreams, answered_by_bundle
from mintage.deliver.upstreams.declared import PER_TOKENS, BundleAt, Costs, Upstream
from mintage.deliver.upstreams.gateway import check_library
from mintage.deliver.upstreams.secret import Secret
from mintage.deliver.upstreams.tokens import Counter

OWN = "own"
"""What the upstream of a model of one's own is called: a product has one."""


@dataclass(frozen=True)
class TokenPrices:
    """What customers pay for a million tokens of each kind, as decimal strings; None is no price.

    Without a price of their own cached tokens cost what other input tokens do.
    """

    input: str | None = None
    output: str | None = None
    cached_input: str | None = None
    currency: str | None = None

    def terms(self) -> Terms | None:
        """The plan that they are; None where nothing is said.

        Raises:
            ConfigError: one is missing, or cannot be a price.
        """
        priced = {INPUT_TOKEN: self.input, OUTPUT_TOKEN: self.output}
        if not any((*priced.values(), self.cached_input)):
            return None
        if self.input is None or self.output is None or self.currency is None:
            raise ConfigError(
                _("Prices of tokens are for input and for output, in one currency."),
                remedy=_("Say --price-input, --price-output and --currency."),
            )
        if self.cached_input is not None:
            priced[CACHED_INPUT_TOKEN] = self.cached_input
        charges = [
            Charge.plain(unit, price or "0", per=PER_TOKENS) for unit, price in priced.items()
        ]
        return Terms(self.currency, tuple(charges))


class LanguageProducts:
    """Sells what upstreams answer."""

    def __init__(self, upstreams: Upstreams, products: Products, plans: Plans) -> None:
        self._upstreams = upstreams
        self._products = products
        self._plans = plans

    def add(
        self,
        upstream: Upstream,
        *,
        plan: str | None = None,
        prices: TokenPrices | None = None,
        deidentify: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Have an upstream answer for its product, which is made where it is new.

        ``plan`` is one that there is; with ``prices`` the product's own is set. A product that is
        sold already keeps its plan where neither is said. Of an upstream that is declared again
        holds on what is not said anew: which personal data is replaced (``deidentify``), its key at
        the same address, and of the same model there what it asks and its tokenizer.

        Raises:
            ConfigError: no price for a new product, or a plan that prices no tokens.
            RequestError: a bundle answers for the product (409), or no such plan (404).
            DependencyDown: what asks upstreams is not installed.
        """
        check_library()
        Counter(upstream.tokenizer)  # or why it cannot count
        self._check(upstream.product)
        upstream = self._as_before(upstream, deidentify)
        terms = None if prices is None else prices.terms()
        if plan is not None and terms is not None:
            raise ConfigError(
                _("A product has a plan or prices, not both."),
                remedy=_("Say --plan, or --price-input and --price-output."),
            )
        agreed = self._agreed(upstream.product, plan, terms)
        self._upstreams.declare(upstream, agreed.name)
        return self.show(upstream.product)

    def publish(
        self,
        bundle: LanguageBundle,
        product: str,
        *,
        plan: str | None = None,
        prices: TokenPrices | None = None,
        costs: Costs | None = None,
        allow_older: bool = False,
    ) -> dict[str, Any]:
        """Have a language model of one's own answer for a product, in place of its last version.

        What was declared of that, such as costs, holds for this one where nothing else is said.

        A server that runs begins the model's own, and asks the one before until that is gone.

        Raises:
            ConfigError: no price for a new product, or a plan that prices no tokens.
            RequestError: a classifier answers for the product, or it has sold a newer version
                already (409), and ``allow_older`` is not said; or no such plan (404).
        """
        name, __, version = bundle.subject.partition("@")
        at = BundleAt(name, int(version), bundle.digest)
        standing = self._upstreams.of(product)
        before = next((each for each in standing if each.name == OWN), None)
        newest = self._upstreams.newest(OWN, name, product)
        answers = before is not None and before.model == at.reference
        if newest is not None and at.version < newest and not answers and not allow_older:
            raise older(product, at.reference, f"{name}@{newest}")
        if before is None:
            upstream = Upstream(product, OWN, at.url, at.reference, costs=costs)
        else:
            kept = costs or before.costs
            upstream = replace(before, url=at.url, model=at.reference, costs=kept)
        return self.add(upstream, plan=plan, prices=prices)

    def show(self, product: str) -> dict[str, Any]:
        """A product's upstreams in their order, and its plan.

        Raises:
            RequestError: there is no such product, or no upstream answers for it (404).
        """
        plan = self._plans.current(self._products.get(product).plan)
        return {
            "product": product,
            "plan": plan.reference,
            "upstreams": [_shown(each) for each in self._standing(product)],
        }

    def remove(self, product: str, name: str) -> None:
        """Have an upstream answer no more; raises RequestError where there is none (404)."""
        self._upstreams.remove(product, name)

    def without_key(self) -> list[tuple[Upstream, Message]]:
        """Upstreams whose key cannot be read here and now, and why not."""
        standing = [each for some in self._upstreams.all().values() for each in some]
        found = [(each, reason_missing(each.secret)) for each in standing]
        return [(each, reason) for each, reason in found if reason is not None]

    def _standing(self, product: str) -> list[Upstream]:
        found = list(self._upstreams.of(product))
        if not found:
            raise RequestError(
                _("No upstream answers for {product}.", product=product),
                remedy=_(
                    "Declare one: mintage product add {product} --upstream https://…",
                    product=product,
                ),
                http_status=404,
            )
        return found

    def _check(self, product: str) -> None:
        """Refuse before a price is changed what could not be sold under it."""
        check_name(product, "product")
        check_free(product)
        if product in self._products.routings():
            raise answered_by_bundle(product)

    def _as_before(self, upstream: Upstream, kinds: Sequence[str] | None) -> Upstream:
        """With what was declared of it before, where that is not said anew."""
        if kinds is not None:
            upstream = replace(upstream, deidentify=tuple(kinds))
        standing = self._upstreams.of(upstream.product)
        before = next((each for each in standing if each.name == upstream.name), None)
        if before is None:
            return upstream
        kept: dict[str, Any] = {}
        if kinds is None:
            kept["deidentify"] = upstream.deidentify or before.deidentify
        if before.url == upstream.url:  # no other host gets its key
            kept["secret"] = upstream.secret if upstream.secret.reference else before.secret
            if before.model == upstream.model:
                kept["costs"] = upstream.costs or before.costs
                kept["tokenizer"] = upstream.tokenizer or before.tokenizer
        return replace(upstream, **kept)

    def _agreed(self, product: str, plan: str | None, terms: Terms | None) -> Plan:
        if terms is not None:
            return self._plans.agree(product, terms)
        if plan is None:
            sold = {each.name: each.plan for each in self._products.list()}
            plan = sold.get(product)
        if plan is None:
            raise ConfigError(
                _("{product} is new, so it needs a price.", product=product),
                remedy=_(
                    "Say --price-input, --price-output and --currency, or --plan with one that "
                    "there is."
                ),
            )
        found = self._plans.current(plan)
        if not found.terms.charges_of(product).keys() & set(LANGUAGE_UNITS):
            raise ConfigError(
                _("The plan {plan} has no price for tokens or requests.", plan=found.reference),
                remedy=_("Give it charges for input_token and output_token."),
            )
        return found


def reason_missing(secret: Secret) -> Message | None:
    """Why a key cannot be read; None where it can, or none is asked for."""
    try:
        secret.read()
    except ConfigError as error:
        return error.message if isinstance(error.message, Message) else Message(error.message)
    return None


def _shown(upstream: Upstream) -> dict[str, Any]:
    return {**upstream.to_json(), "digest": upstream.digest, "since": upstream.since}
