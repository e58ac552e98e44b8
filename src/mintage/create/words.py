"""What figures mean, in words: the same in the terminal and in the report."""

from __future__ import annotations

from mintage.core.messages import Message, _

TRAINING, VALIDATION, TEST = _("training"), _("validation"), _("test")
"""The parts of a dataset."""


def gap_in_words(train: float, validation: float) -> Message:
    """What the distance of training and validation accuracy says."""
    gap = train - validation
    if gap > 0.1:
        return _("learned its training data by heart: it overfits")
    if gap > 0.04:
        return _("overfits a little")
    if validation < 0.6 and train < 0.65:
        return _("has not learned much yet: it underfits")
    return _("does as well on new examples as on its own")


def parts_of(folds: int | None) -> dict[str, Message]:
    """The columns of a table of examples by class, by their split's name.

    Where folds choose there is no validation split, and a column of zeros would look like a fault.
    """
    if folds:
        return {"train": _("training, in {folds} folds", folds=folds), "test": TEST}
    return {"train": TRAINING, "validation": VALIDATION, "test": TEST}
