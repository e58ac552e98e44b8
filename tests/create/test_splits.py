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


def grown(
    parts: list[list[str]], seed: int = 0, classes: int = 2
) -> tuple[list[str], list[splits.Side]]:
    """The sides of single examples that came part after part."""
    groups: list[str] = []
    sides: list[splits.Side] = []
    for part in parts:
        groups += part
        before = splits.carried([*sides, *[None] * len(part)], len(groups))
        labels = [f"class {sum(group.encode()) % classes}" for group in groups]
        sides = splits.extend(groups, labels, seed, before)
    return groups, sides


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.integers(0, 5))
def test_what_was_drawn_stays_where_it_is_however_often_a_dataset_grows(
    sizes: list[int], seed: int
) -> None:
    names = iter(range(10_000))
    parts = [[f"g{next(names)}" for _ in range(10 + size)] for size in sizes]
    before: list[splits.Side] = []
    for number in range(1, len(parts) + 1):
        __, sides = grown(parts[:number], seed)
        assert sides[: len(before)] == before
        assert all((side.fold is None) == (side.split == "test") for side in sides)
        before = sides
    dealt = Counter(side.fold for side in before if side.fold is not None)
    assert max(dealt.values()) - min(dealt.get(fold, 0) for fold in range(5)) <= 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=120),
    st.integers(0, 5),
)
def test_a_group_that_grows_is_never_on_two_sides(
    members: list[tuple[int, bool]], seed: int
) -> None:
    members.sort(key=lambda member: member[1])
    groups = [f"g{number}" for number, _ in members]
    labels = ["cat" if number % 3 else "dog" for number, _ in members]
    old = sum(not new for _, new in members)
    first = splits.extend(groups[:old], labels[:old], seed, [None] * old)
    # A group that is there already brings its side along, as in growing.
    side_of = dict(zip(groups, first, strict=False))
    before = [side_of.get(group) for group in groups]
    sides = splits.extend(groups, labels, seed, before)
    assert sides[:old] == first
    found: dict[str, set[splits.Side]] = {}
    for group, side in zip(groups, sides, strict=True):
        found.setdefault(group, set()).add(side)
    assert all(len(own) == 1 for own in found.values())


def test_new_examples_are_held_out_in_the_same_share_in_one_step_or_in_many() -> None:
    names = [f"g{number}" for number in range(4000)]
    __, at_once = grown([names[:2000], names[2000:]])
    __, slowly = grown([names[:2000], *[names[n : n + 50] for n in range(2000, 4000, 50)]])
    for sides in (at_once, slowly):
        new = Counter(side.split for side in sides[2000:])
        assert 80 <= new["test"] <= 300
        assert 80 <= new["validation"] <= 300
    same = sum(a == b for a, b in zip(at_once, slowly, strict=True))
    assert same > 3700


def test_from_a_thousand_examples_on_the_first_fold_is_the_validation_split() -> None:
    names = [f"g{number}" for number in range(1200)]
    __, before = grown([names[:900]])
    __, after = grown([names[:900], names[900:]])
    for was, now in zip(before, after, strict=False):
        assert now.fold is None
        assert now.split == ("validation" if was.fold == 0 else was.split)
    new = Counter(side.split for side in after[900:])
    assert 10 <= new["test"] <= 60
    assert 10 <= new["validation"] <= 60


def test_a_dataset_with_a_validation_split_never_goes_back_to_folds() -> None:
    groups, sides = grown([[f"g{number}" for number in range(1000)]])
    fewer = [*groups[:900], "new"]
    labels = ["cat" if number % 2 else "dog" for number in range(901)]
    after = splits.extend(fewer, labels, 0, [*sides[:900], None])
    assert after[:900] == sides[:900]
    assert after[900].fold is None
