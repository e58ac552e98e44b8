"""Which version answers: noticed, verified, loaded and warmed before it becomes current."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.core.ports import Provider
from mintage.core.types import ProviderInfo
from mintage.deliver.products import SHADOW, STABLE, Pointer, Routing

OpenProvider = Callable[[str, int, str], Provider]
"""Open (model, version, bundle digest): verifies the bundle, or raises."""

_RETRY_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Catalogue(Protocol):
    """Says which versions answer for each product; ``Products`` is one."""

    def routings(self) -> Mapping[str, Routing]:
        """The routing of every product."""
        ...

    def epoch(self) -> int | None:
        """A number that is another one after every publish; None where nobody can say."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A version that is ready to answer."""

    provider: Provider
    pointer: Pointer
    alias: str = STABLE

    @property
    def info(self) -> ProviderInfo:
        """Which model answers."""
        return self.provider.info


class Current(NamedTuple):
    """What answers for a product: for each of its aliases a version, by the same routing."""

    routing: Routing
    loaded: Mapping[str, Loaded]

    def for_customer(self, product: str, customer: str) -> Loaded:
        """The version that this customer gets."""
        alias = self.routing.alias_for(product, customer)
        return self.loaded.get(alias) or self.loaded[STABLE]

    def pointers(self) -> dict[str, Pointer]:
        """What answers by each alias; another version than the routing's where that failed."""
        return {alias: each.pointer for alias, each in self.loaded.items()}

    def named(self, version: str) -> Loaded | None:
        """The one of this version number, if one of those that answer is."""
        return next((each for each in self.answering() if each.info.version == version), None)

    def answering(self) -> list[Loaded]:
        """Those whose answers customers get, the stable one first."""
        return [each for alias, each in self.loaded.items() if alias != SHADOW]

    def shadow(self) -> Loaded | None:
        """The one that is asked too, if there is one."""
        return self.loaded.get(SHADOW)


class Versions:
    """The current versions of every product; a version that fails to load changes nothing."""

    def __init__(self, open_provider: OpenProvider, catalogue: Catalogue, executor: Executor):
        """``executor`` does the waiting: database, disk, loading, the first inference."""
        self._open = open_provider
        self._catalogue = catalogue
        self._executor = executor
        self._current: dict[str, Current] = {}
        self._before: dict[str, dict[Pointer, Provider]] = {}
        self._failed: dict[tuple[str, str], tuple[Pointer, float]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._blind = False
        self._epoch: int | None = None

    def get(self, product: str) -> Current | None:
        """What answers for the product now; a dictionary look-up."""
        return self._current.get(product)

    def names(self) -> list[str]:
        """The products that can be answered."""
        return sorted(self._current)

    def is_news(self) -> bool:
        """Whether something was published since the last look, as far as can be told quickly."""
        epoch = self._catalogue.epoch()
        return epoch is not None and epoch != self._epoch

    async def refresh(self) -> None:
        """Look where the aliases point, and load what is new. Callers at once share one look."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def stop(self) -> None:
        """Wait for the look that is under way."""
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        epoch = self._catalogue.epoch()  # before the look: what comes meanwhile is news still
        try:
            routings = await loop.run_in_executor(self._executor, self._catalogue.routings)
        except Exception as error:  # noqa: BLE001 - what is loaded goes on answering
            if not self._blind:  # said once, not at every look
                _log.error("Cannot look for new versions (%s: %s).", type(error).__name__, error)
            self._blind = True
            return
        self._blind, self._epoch = False, epoch
        for product in self._current.keys() - routings.keys():
            del self._current[product]
            self._before.pop(product, None)
        for product, routing in routings.items():
            await self._follow(product, routing)

    async def _follow(self, product: str, routing: Routing) -> None:
        """Have each alias answered by what it points at; one that cannot be keeps what it had."""
        before = self._current.get(product)
        wanted = routing.pointers()
        if before is not None and before.routing == routing and before.pointers() == wanted:
            return
        loop = asyncio.get_running_loop()
        loaded: dict[str, Loaded] = {}
        for alias, pointer in wanted.items():
            found = self._at_hand(product, pointer)
            if found is None and not self._failed_lately(product, alias, pointer):
                found = await loop.run_in_executor(
                    self._executor, self._load, product, alias, pointer
                )
            if found is not None:
                loaded[alias] = Loaded(found, pointer, alias)
            elif before is not None and alias in before.loaded:
                loaded[alias] = before.loaded[alias]
        if STABLE not in loaded:
            return
        current = self._current[product] = Current(routing, loaded)
        answered = {} if before is None else before.pointers()
        if before is not None and answered != current.pointers():
            # Kept loaded, so that going back to it takes no time.
            self._before[product] = {each.pointer: each.provider for each in before.loaded.values()}
        for alias, pointer in current.pointers().items() - answered.items():
            _log.info(
                "Product %s: %s answers now as %s.",
                product,
                pointer.reference,
                alias,
                extra=_fields(product, pointer),
            )

    def _at_hand(self, product: str, pointer: Pointer) -> Provider | None:
        """The provider of a version that answers now, or did until the last change."""
        current = self._current.get(product)
        for each in () if current is None else current.loaded.values():
            if each.pointer == pointer:
                return each.provider
        return self._before.get(product, {}).get(pointer)

    def _failed_lately(self, product: str, alias: str, pointer: Pointer) -> bool:
        failed, moment = self._failed.get((product, alias), (None, 0.0))
        return failed == pointer and time.monotonic() - moment < _RETRY_SECONDS

    def _load(self, product: str, alias: str, pointer: Pointer) -> Provider | None:
        try:
            provider = self._open(*pointer)
            _check(provider, pointer)
            _warm(provider)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old version goes on
            self._failed[product, alias] = (pointer, time.monotonic())
            _log.error(
                "Product %s: %s@%s cannot be loaded (%s: %s); %s.",
                product,
                pointer.model,
                pointer.version,
                type(error).__name__,
                error,
                "the version before it goes on" if product in self._current else "nothing answers",
                extra=_fields(product, pointer),
            )
            return None
        self._failed.pop((product, alias), None)
        return provider


def _fields(product: str, pointer: Pointer) -> dict[str, str]:
    return {
        "product": product,
        "model": pointer.model,
        "model_version": str(pointer.version),
    }


def _check(provider: Provider, pointer: Pointer) -> None:
    found = provider.info.bundle_digest
    if found != pointer.bundle_digest:
        raise SignatureMismatch(
            _(
                "{model}@{version} has the digest {found}…, but {published}… was published.",
                model=pointer.model,
                version=pointer.version,
                found=found[:12],
                published=pointer.bundle_digest[:12],
            ),
            remedy=_("Publish the version again, or restore its bundle from a backup."),
        )


def _warm(provider: Provider) -> None:
    """One answer nobody waits for: the first inference allocates and is slow."""
    if provider.info.modality == "image":
        gray = io.BytesIO()
        Image.new("RGB", (64, 64), (128, 128, 128)).save(gray, "PNG")
        provider.infer(np.stack([provider.decode(gray.getvalue())]))
