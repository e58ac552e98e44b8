"""What figures mean, in words: the same in the terminal and in the report."""

from __future__ import annotations


def gap_in_words(train: float, validation: float) -> str:
    """What the distance of training and validation accuracy says."""
    gap = train - validation
    if gap > 0.1:
        return "learned its training data by heart: it overfits"
    if gap > 0.04:
        return "overfits a little"
    if validation < 0.6 and train < 0.65:
        return "has not learned much yet: it underfits"
    return "does as well on new examples as on its own"
