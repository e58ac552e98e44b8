"""Which examples are kept back, drawn once by a hash so that no later seed moves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

from mintage.core.canonical import sha256_hex
from mintage.core.types import Split

FOLDS = 5
FEWEST_GROUPS = 5
"""A class's least: one held out for the test, one for the validation, three to learn from."""

_FOLDS_BELOW = 1000
_HELD_OUT = 200
_KEPT_FOR_TRAINING = 3


def held_out_share(examples: int) -> tuple[float, float]:
    """(validation, test) as shares of the examples.

    5 % each, but at least 200 examples each where there are 2,000; 10 % each between 1,000 and
    2,000; below 1,000 a fifth for the test, and five folds of the rest choose.
    """
    if examples < _FOLDS_BELOW:
        return 0.0, 0.2
    share = min(0.1, max(0.05, _HELD_OUT / examples))
    return share, share


def groups_of(keys: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """One group a connected set of pairs, named after its smallest key."""
    parent = list(range(len(keys)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in pairs:
        a, b = root(left), root(right)
        if a != b:
            keep, drop = (a, b) if keys[a] < keys[b] else (b, a)
            parent[drop] = keep
    return [keys[root(node)] for node in range(len(keys))]


def groups_by_class(groups: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """The groups of each class; one with several labels belongs to its first example's."""
    label_of: dict[str, str] = {}
    for group, label in zip(groups, labels, strict=True):
        label_of.setdefault(group, label)
    by_label: dict[str, list[str]] = defaultdict(list)
    for group, label in label_of.items():
        by_label[label].append(group)
    return by_label


def draw(
    groups: Sequence[str], labels: Sequence[str], seed: int
) -> tuple[list[Split], list[int | None]]:
    """The split of each example, and its fold where folds choose.

    Groups go as a whole; within each class they are ranked by a hash of group and seed, so the
    result depends on nothing else, and every class is held out in proportion. A class of
    ``FEWEST_GROUPS`` or more, however uneven, is on every side.
    """
    members: Mapping[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    by_label = groups_by_class(groups, labels)
    splits: list[Split] = ["train"] * len(groups)
    folds: list[int | None] = [None] * len(groups)
    validation, test = held_out_share(len(groups))
    for own in by_label.values():
        own.sort(key=lambda group: sha256_hex(f"{seed}:{group}".encode()))
        total = sum(len(members[group]) for group in own)
        wanted: list[tuple[Split, int]] = [("test", ceil(test * total))]
        if validation:
            wanted.append(("validation", ceil(validation * total)))
        taken = 0
        for rank, group in enumerate(own):
            # What has to be left for the parts that come after this one.
            while wanted and (
                taken >= wanted[0][1] or len(own) - rank < _KEPT_FOR_TRAINING + len(wanted)
            ):
                wanted.pop(0)
                taken = 0
            for position in members[group]:
                splits[position] = wanted[0][0] if wanted else "train"
            taken += len(members[group])
    if not validation:
        _deal_folds(by_label, members, splits, folds, seed)
    return splits, folds


def _deal_folds(
    by_label: Mapping[str, Sequence[str]],
    members: Mapping[str, Sequence[int]],
    splits: Sequence[Split],
    folds: list[int | None],
    seed: int,
) -> None:
    """Like cards, one class after the other: no fold gets two groups more than another."""
    turn = 0
    for label in sorted(by_label):
        own = [group for group in by_label[label] if splits[members[group][0]] == "train"]
        for group in sorted(own, key=lambda group: sha256_hex(f"fold:{seed}:{group}".encode())):
            for position in members[group]:
                folds[position] = turn % FOLDS
            turn += 1
