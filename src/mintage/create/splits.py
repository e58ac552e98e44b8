"""Which examples are kept back, drawn once by a hash so that no later seed moves them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

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


class Side(NamedTuple):
    """Where an example stands: its split, and its fold where folds choose."""

    split: Split
    fold: int | None


def draw(
    groups: Sequence[str], labels: Sequence[str], seed: int
) -> tuple[list[Split], list[int | None]]:
    """The split of each example, and its fold where folds choose.

    Groups go as a whole; within each class they are ranked by a hash of group and seed, so the
    result depends on nothing else, and every class is held out in proportion. A class of
    ``FEWEST_GROUPS`` or more, however uneven, is on every side.
    """
    sides = extend(groups, labels, seed, [None] * len(groups))
    return [side.split for side in sides], [side.fold for side in sides]


def hold_out(groups: Sequence[str], seed: int) -> list[Split]:
    """The split of each example of data without classes; there are no folds."""
    shares = held_out_share(max(len(groups), _FOLDS_BELOW))
    drawn = _held_out(list(dict.fromkeys(groups)), Counter(groups), seed, shares)
    return [drawn[group] for group in groups]


def extend(
    groups: Sequence[str], labels: Sequence[str], seed: int, before: Sequence[Side | None]
) -> list[Side]:
    """The side of each example where some have theirs already: those stay.

    The rule is applied to all groups, and the new ones take what it gives them: of a class the
    same ranks are held out, however many times it grows. ``before`` agrees within a group and is
    None for the new.
    """
    held = {group: side for group, side in zip(groups, before, strict=True) if side is not None}
    has_folds = any(side.fold is not None for side in held.values()) or not held
    count = len(groups) if has_folds else max(len(groups), _FOLDS_BELOW)
    by_label = groups_by_class(groups, labels)
    sizes = Counter(groups)
    drawn: dict[str, Split] = {}
    for own in by_label.values():
        drawn |= _held_out(own, sizes, seed, held_out_share(count))
    sides = {group: held.get(group) or Side(split, None) for group, split in drawn.items()}
    if count < _FOLDS_BELOW:
        _deal_folds(by_label, sides, seed)
    return [sides[group] for group in groups]


def carried(before: Sequence[Side | None], examples: int) -> list[Side | None]:
    """The sides of a version's examples within one that grew to so many.

    They stay, but folds end where a validation split begins: fold 0, on which every kept model
    was validated, becomes that split, and the other folds are training data as before.
    """
    if examples < _FOLDS_BELOW:
        return list(before)
    return [side and Side("validation" if side.fold == 0 else side.split, None) for side in before]


def _held_out(
    own: Sequence[str], sizes: Mapping[str, int], seed: int, shares: tuple[float, float]
) -> dict[str, Split]:
    """The split of each group of one class: the lowest ranks are held out."""
    ranked = sorted(own, key=lambda group: sha256_hex(f"{seed}:{group}".encode()))
    total = sum(sizes[group] for group in ranked)
    validation, test = shares
    wanted: list[tuple[Split, int]] = [("test", ceil(test * total))]
    if validation:
        wanted.append(("validation", ceil(validation * total)))
    drawn: dict[str, Split] = {}
    taken = 0
    for rank, group in enumerate(ranked):
        # What has to be left for the parts that come after this one.
        while wanted and (
            taken >= wanted[0][1] or len(ranked) - rank < _KEPT_FOR_TRAINING + len(wanted)
        ):
            wanted.pop(0)
            taken = 0
        drawn[group] = wanted[0][0] if wanted else "train"
        taken += sizes[group]
    return drawn


def _deal_folds(by_label: Mapping[str, Sequence[str]], sides: dict[str, Side], seed: int) -> None:
    """Like cards, one class after the other: each to the fold that has the fewest of its class.

    Of those to the one that has the fewest of all, then to the next in turn.
    """
    everywhere = Counter(side.fold for side in sides.values())
    turn = 0
    for label in sorted(by_label):
        here = Counter(sides[group].fold for group in by_label[label])
        new = [group for group in by_label[label] if sides[group] == Side("train", None)]
        for group in sorted(new, key=lambda group: sha256_hex(f"fold:{seed}:{group}".encode())):
            fold = min(
                range(FOLDS),
                key=lambda fold: (here[fold], everywhere[fold], (fold - turn) % FOLDS),
            )
            sides[group] = Side("train", fold)
            here[fold] += 1
            everywhere[fold] += 1
            turn = fold + 1
