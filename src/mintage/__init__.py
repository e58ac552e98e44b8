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
    )
    from mintage.app.face import (
        Model as Model,
    )
    from mintage.app.face import (
        Run as Run,
    )
    from mintage.app.face import (
        collect as collect,
    )
    from mintage.app.face import (
        compare as compare,
    )
    from mintage.app.face import (
        dataset as dataset,
    )
    from mintage.app.face import (
        diff as diff,
    )
    from mintage.app.face import (
        inspect as inspect,
    )
    from mintage.app.face import (
        model as model,
    )
    from mintage.app.face import (
        open_workspace as open_workspace,
    )
    from mintage.app.face import (
        predict as predict,
    )
    from mintage.app.face import (
        resume as resume,
    )
    from mintage.app.face import (
        score as score,
    )
    from mintage.app.face import (
        train as train,
    )
    from mintage.client import AsyncClient as AsyncClient
    from mintage.client import Client as Client

__all__ = [
    "AsyncClient",
    "Client",
    "Dataset",
    "Model",
    "Run",
    "__version__",
    "collect",
    "compare",
    "dataset",
    "diff",
    "inspect",
    "model",
    "open_workspace",
    "predict",
    "resume",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mintage' has no attribute {name!r}")
    module = "mintage.client" if name.endswith("Client") else "mintage.app.face"
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
