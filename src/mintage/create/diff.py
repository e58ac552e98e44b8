"""What is different between two datasets, example by example; content decides, not the path."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mintage.core.types import Example
from mintage.create.dataset import Dataset


def difference(before: Dataset, after: Dataset) -> dict[str, Any]:
    """Everything that ``after`` has and ``before`` has not, and the other way round, as JSON.

    Of each class ``after`` = ``before`` + ``added`` - ``removed`` + ``relabelled_to`` -
    ``relabelled_from``.
    """
    old = {example.sha256: example for example in before.examples}
    new = {example.sha256: example for example in after.examples}
    both = [(old[digest], new[digest]) for digest in sorted(old.keys() & new.keys())]
    added = [new[digest] for digest in sorted(new.keys() - old.keys())]
    removed = [old[digest] for digest in sorted(old.keys() - new.keys())]
    relabelled = [(was, now) for was, now in both if was.label != now.label]
    moved = [(was, now) for was, now in both if was.split != now.split]
    counts = {
        "before": _by_label(before.examples),
        "after": _by_label(after.examples),
        "added": _by_label(added),
        "removed": _by_label(removed),
        "relabelled_to": _by_label([now for __, now in relabelled]),
        "relabelled_from": _by_label([was for was, __ in relabelled]),
        "moved": _by_label([now for __, now in moved]),
    }
    labels = sorted({*before.labels, *after.labels})
    return {
        "before": before.reference,
        "after": after.reference,
        "classes": {
            label: {name: count[label] for name, count in counts.items()} for label in labels
        },
        "added": [_listed(example) for example in added],
        "removed": [_listed(example) for example in removed],
        "relabelled": [
            _listed(now) | {"label": {"before": was.label, "after": now.label}}
            for was, now in relabelled
        ],
        "moved": [
            _listed(now) | {"split": {"before": was.split, "after": now.split}}
            for was, now in moved
        ],
        "renamed": sum(was.path != now.path for was, now in both),
        "unchanged": sum((was.label, was.split) == (now.label, now.split) for was, now in both),
    }


def _by_label(examples: list[Example] | tuple[Example, ...]) -> Counter[str]:
    return Counter(example.label for example in examples)


def _listed(example: Example) -> dict[str, Any]:
    return {
        "sha256": example.sha256,
        "path": example.path,
        "label": example.label,
        "split": example.split,
    }
