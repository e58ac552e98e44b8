"""Which examples are kept back, drawn once by a hash so that no later seed moves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

from mintage.core.canonical import sha256_hex
from mintage.core.types import Split

FOLDS = 5
_FOLDS_BELOW = 1000
_HELD_OUT = 200


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


def draw(
    groups: Sequence[str], labels: Sequence[str], seed: int
) -> tuple[list[Split], list[int | None]]:
    """The split of each example, and its fold where folds choose.

    Groups go as a whole; within each class they are ranked by a hash of group and seed, so the
    result depends on nothing else, and every class is held out in proportion.
    """
    members: Mapping[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    by_label: Mapping[str, list[str]] = defaultdict(list)
    for group, positions in members.items():
        by_label[labels[min(positions)]].append(group)

    splits: list[Split] = ["train"] * len(groups)
    folds: list[int | None] = [None] * len(groups)
    validation, test = held_out_share(len(groups))
    for own in by_label.values():
        own.sort(key=lambda group: sha256_hex(f"{seed}:{group}".encode()))
        total = sum(len(members[group]) for group in own)
        wanted: list[tuple[Split, int]] = [
            ("test", ceil(test * total)),
            ("validation", ceil(validation * total)),
        ]
        taken = 0
        for group in own:
            while wanted and taken >= wanted[0][1]:
                wanted.pop(0)
                taken = 0
            for position in members[group]:
                splits[position] = wanted[0][0] if wanted else "train"
            taken += len(members[group])
    if not validation:
        _deal_folds(members, splits, folds, seed)
    return splits, folds


def _deal_folds(
    members: Mapping[str, list[int]],
    splits: Sequence[Split],
    folds: list[int | None],
    seed: int,
) -> None:
    for group, positions in members.items():
        fold = int(sha256_hex(f"fold:{seed}:{group}".encode())[:8], 16) % FOLDS
        for position in positions:
            if splits[position] == "train":
                folds[position] = fold
