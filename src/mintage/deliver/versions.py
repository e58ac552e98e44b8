"""Which version answers: noticed, verified, loaded and warmed before it becomes current."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.core.ports import Provider
from mintage.core.types import ProviderInfo
from mintage.deliver.products import STABLE, Pointer

OpenProvider = Callable[[str, int, str], Provider]
"""Open (model, version, bundle digest): verifies the bundle, or raises."""

_RETRY_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Catalogue(Protocol):
    """Says what each product's alias points at; ``Products`` is one."""

    def pointers(self, alias: str = STABLE) -> Mapping[str, Pointer]:
        """The pointer of every product that has the alias."""
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


class Versions:
    """The current version of every product; a version that fails to load changes nothing."""

    def __init__(self, open_provider: OpenProvider, catalogue: Catalogue, executor: Executor):
        """``executor`` does the waiting: database, disk, loading, the first inference."""
        self._open = open_provider
        self._catalogue = catalogue
        self._executor = executor
        self._current: dict[str, Loaded] = {}
        self._failed: dict[str, tuple[Pointer, float]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._blind = False

    def get(self, product: str) -> Loaded | None:
        """What answers for the product now; a dictionary look-up."""
        return self._current.get(product)

    def names(self) -> list[str]:
        """The products that can be answered."""
        return sorted(self._current)

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
        try:
            pointers = await loop.run_in_executor(self._executor, self._catalogue.pointers)
        except Exception as error:  # noqa: BLE001 - what is loaded goes on answering
            if not self._blind:  # said once, not at every look
                _log.error("Cannot look for new versions (%s: %s).", type(error).__name__, error)
            self._blind = True
            return
        self._blind = False
        for product in self._current.keys() - pointers.keys():
            del self._current[product]
        for product, pointer in pointers.items():
            if self._is_news(product, pointer):
                loaded = await loop.run_in_executor(self._executor, self._load, product, pointer)
                if loaded is not None:
                    self._current[product] = loaded

    def _is_news(self, product: str, pointer: Pointer) -> bool:
        current = self._current.get(product)
        if current is not None and current.pointer == pointer:
            return False
        failed, moment = self._failed.get(product, (None, 0.0))
        return failed != pointer or time.monotonic() - moment > _RETRY_SECONDS

    def _load(self, product: str, pointer: Pointer) -> Loaded | None:
        try:
            provider = self._open(*pointer)
            _check(provider, pointer)
            _warm(provider)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old version goes on
            self._failed[product] = (pointer, time.monotonic())
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
        self._failed.pop(product, None)
        _log.info(
            "Product %s: %s@%s answers now.",
            product,
            pointer.model,
            pointer.version,
            extra=_fields(product, pointer),
        )
        return Loaded(provider, pointer)


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
