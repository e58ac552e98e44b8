"""Plug-ins: ours and others' enter by the same door, and registering is enrolling in the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.ports import KeyService, Modality, PaymentProvider, Source, Task

T = TypeVar("T")


class Registry(Generic[T]):
    """Named plug-ins of one kind; an entry is loaded when it is first asked for."""

    def __init__(self, kind: str, own: dict[str, str]) -> None:
        """``own`` maps a name to ``module:attribute``, as an entry point does."""
        self._kind = kind
        self._factories: dict[str, Callable[[], T]] = {}
        for name, target in own.items():
            self.register(name, partial(_load, target))
        for point in entry_points(group=f"mintage.{kind}"):
            self.register(point.name, partial(_load, point.value))

    def register(self, name: str, factory: Callable[[], T]) -> None:
        """Add a plug-in; a name is given once."""
        if name in self._factories:
            raise ConfigError(
                _("Two plug-ins call themselves {kind} {name!r}.", kind=self._kind, name=name)
            )
        self._factories[name] = cache(factory)

    def get(self, name: str) -> T:
        """The plug-in of that name.

        Raises:
            ConfigError: there is none; the message lists those there are.
        """
        if name not in self._factories:
            raise ConfigError(
                _("No {kind} is called {name!r}.", kind=self._kind, name=name),
                remedy=_("There are: {names}.", names=", ".join(self)),
            )
        return self._factories[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)


def _load(target: str) -> Any:
    module, __, attribute = target.partition(":")
    return getattr(import_module(module), attribute)()


# Strings, not imports: core knows the names of its guests, never their code.
_SOURCES = {
    "labels": "mintage.sources.labelled:LabelsSource",
    "zip": "mintage.sources.archive:ZipSource",
    "table": "mintage.sources.tables:TableSource",
    "folder": "mintage.sources.folder:FolderSource",
}
_MODALITIES = {"image": "mintage.modalities.image.modality:ImageModality"}
_TASKS = {"class": "mintage.tasks.classification:Classification"}
_PAYMENTS = {
    "manual": "mintage.capture.payments.manual:Manual",
    "stripe": "mintage.capture.payments.stripe:Stripe",
    "alipay": "mintage.capture.payments.alipay:Alipay",
}


@cache
def sources() -> Registry[Source]:
    """All registered sources, in the order in which they are asked."""
    return Registry("source", dict(_SOURCES))


@cache
def modalities() -> Registry[Modality]:
    """All registered modalities."""
    return Registry("modality", dict(_MODALITIES))


@cache
def tasks() -> Registry[Task]:
    """All registered tasks."""
    return Registry("task", dict(_TASKS))


@cache
def payment_providers() -> Registry[PaymentProvider]:
    """All registered payment providers; the entry points' group is ``mintage.payment``."""
    return Registry("payment", dict(_PAYMENTS))


@cache
def key_services() -> Registry[KeyService]:
    """All registered key services; the entry points' group is ``mintage.kms``."""
    return Registry("kms", {})
