"""Mintage turns labelled data into a model that a business can sell.

The public names are loaded when they are first used: ``import mintage`` brings no torch, no
database and no web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mintage.core.version import __version__

if TYPE_CHECKING:
    from mintage.app.face import (
        Dataset as Dataset,
        Model as Model,
        Run as Run,
        collect as collect,
        dataset as dataset,
        inspect as inspect,
        model as model,
        open_workspace as open_workspace,
        predict as predict,
        train as train,
    )
    from mintage.client import Client as Client

_PUBLIC = {
    name: "mintage.app.face"
    for name in (
        "Dataset",
        "Model",
        "Run",
        "collect",
        "dataset",
        "inspect",
        "model",
        "open_workspace",
        "predict",
        "train",
    )
} | {"Client": "mintage.client"}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mintage' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
