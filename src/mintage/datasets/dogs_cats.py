"""Cats and dogs as arrays: what ``mintage get pets`` collected, small and ready to learn from.

>>> from mintage.datasets import dogs_cats
>>> (train_images, train_labels), (test_images, test_labels) = dogs_cats.load_data()
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.errors import DataError, RequestError
from mintage.core.messages import _
from mintage.core.progress import Silent
from mintage.core.types import InputSpec
from mintage.create.prepare import decoded

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]


def load_data(
    name: str = "pets", *, home: str | Path | None = None, side: int = 28
) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """``(train_images, train_labels), (test_images, test_labels)`` of a collected dataset.

    Images are ``uint8[N, side, side, 3]``, each picture stretched to a square as the seed network
    sees it; labels are ``uint8[N]``, 0 for the first of the two classes by name (cats) and 1 for
    the second (dogs). ``train`` holds the examples for training and for validation, ``test`` those
    that are held out. The order is the dataset's own, so the same version gives the same arrays.
    ``home`` is the workspace (default: ``MINTAGE_HOME`` or ``./.mintage``).

    Raises:
        RequestError: nothing was collected under that name.
        DataError: it has not two classes, or is not made of pictures.
    """
    # By its name, as `mintage` itself loads it: that face can train, and to read needs no torch.
    face = import_module("mintage.app.face")
    try:
        data = face.dataset(name, home=home)
    except RequestError as error:
        raise RequestError(
            error.message,
            remedy=_(
                "Download photographs with: mintage get pets; "
                "or collect your own: mintage collect PATH --name {name}",
                name=name,
            ),
            http_status=error.http_status,
        ) from error
    kept = data.kept
    if kept.card["modality"] != "image":
        raise DataError(
            _("{name} is made of {modality}s.", name=name, modality=kept.card["modality"]),
            remedy=_("Name a dataset of pictures."),
        )
    if len(kept.labels) != 2:
        raise DataError(
            _(
                "{name} has the classes {classes}; two are expected.",
                name=name,
                classes=", ".join(kept.labels),
            ),
            remedy=_("Name a dataset of cats and dogs."),
        )
    kind = registry.modalities().get("image")
    images = decoded(data.app.workspace, kept, kind, InputSpec("image", side), Silent())
    labels = np.array([kept.labels.index(each.label) for each in kept.examples], dtype=np.uint8)
    test = np.array([each.split == "test" for each in kept.examples])
    return (images[~test], labels[~test]), (images[test], labels[test])
