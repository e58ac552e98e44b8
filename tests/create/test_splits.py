from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.create import splits


def drawn(number: int, seed: int = 0) -> tuple[list[str], list[str], list[int | None]]:
    groups = [f"g{n}" for n in range(number)]
    labels = ["cat" if n % 2 else "dog" for n in range(number)]
    chosen, folds = splits.draw(groups, labels, seed)
    return labels, list(chosen), folds


@pytest.mark.parametrize(
    ("examples", "validation", "test"),
    [(4000, 200, 200), (2000, 200, 200), (10_000, 500, 500), (1000, 100, 100), (900, 0, 180)],
)
def test_the_held_out_parts_have_the_size_that_was_decided(
    examples: int, validation: int, test: int
) -> None:
    _, chosen, folds = drawn(examples)
    counts = Counter(chosen)
    assert (counts["validation"], counts["test"]) == (validation, test)
    dealt = Counter(folds)
    assert (set(dealt) == {None}) == (validation > 0)
    if not validation:
        assert dealt[None] == test
        assert min(dealt[fold] for fold in range(5)) > 0.7 * (examples - test) / 5


def test_every_class_is_held_out_in_proportion() -> None:
    labels, chosen, _ = drawn(4000)
    held = Counter(label for label, split in zip(labels, chosen, strict=True) if split == "test")
    assert held == {"cat": 100, "dog": 100}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=300), st.integers(0, 5))
def test_a_group_is_never_on_two_sides(numbers: list[int], seed: int) -> None:
    groups = [f"g{n}" for n in numbers]
    labels = ["cat" if n % 3 else "dog" for n in numbers]
    chosen, folds = splits.draw(groups, labels, seed)
    sides: dict[str, set[object]] = {}
    for group, split, fold in zip(groups, chosen, folds, strict=True):
        sides.setdefault(group, set()).add((split, fold))
    assert all(len(found) == 1 for found in sides.values())


def test_the_order_of_the_examples_does_not_matter_and_the_seed_does() -> None:
    groups = [f"g{n}" for n in range(2000)]
    labels = ["cat"] * 1000 + ["dog"] * 1000
    forward, _ = splits.draw(groups, labels, 0)
    backward, _ = splits.draw(groups[::-1], labels[::-1], 0)
    assert list(forward) == list(backward)[::-1]
    assert splits.draw(groups, labels, 1)[0] != forward


def test_connected_pairs_are_one_group_named_after_its_smallest() -> None:
    keys = ["d", "c", "b", "a", "e"]
    assert splits.groups_of(keys, [(0, 1), (1, 2)]) == ["b", "b", "b", "a", "e"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([1, 2, 150]), min_size=5, max_size=9), min_size=2, max_size=4
    ),
    st.integers(0, 9),
)
def test_every_class_is_on_every_side_however_uneven_its_groups(
    sizes: list[list[int]], seed: int
) -> None:
    groups, labels = [], []
    for number, own in enumerate(sizes):
        for rank, size in enumerate(own):
            groups += [f"{number}-{rank}"] * size
            labels += [f"class {number}"] * size
    chosen, folds = splits.draw(groups, labels, seed)
    parts = {"train", "test"} | ({"validation"} if set(folds) == {None} else set())
    for label in set(labels):
        assert parts == {side for side, own in zip(chosen, labels, strict=True) if own == label}


@pytest.mark.parametrize("each", range(5, 30))
def test_folds_are_dealt_evenly_in_every_class(each: int) -> None:
    groups = [f"g{n}" for n in range(2 * each)]
    labels = ["cat"] * each + ["dog"] * each
    for seed in range(6):
        _, folds = splits.draw(groups, labels, seed)
        for own in (folds[:each], folds[each:], folds):
            counts = [own.count(fold) for fold in range(5)]
            assert max(counts) - min(counts) <= 1
        assert min(counts) > 0
        assert splits.draw(groups[::-1], labels[::-1], seed)[1] == folds[::-1]
