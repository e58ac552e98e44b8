"""The root of leaves that come one after another is RFC 6962's of all of them."""

from __future__ import annotations

import hashlib
import tracemalloc
from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from mintage.trust import merkle
from mintage.trust.roots import GrowingRoot


def leaves(number: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % each).digest() for each in range(number)]


@given(sizes=st.lists(st.integers(0, 50), max_size=12))
def test_it_is_the_root_of_all_leaves_however_they_came(sizes: list[int]) -> None:
    tree, everything = GrowingRoot(), leaves(sum(sizes))
    rest = iter(everything)
    for size in sizes:
        tree.add(islice(rest, size))
    assert tree.size == len(everything)
    assert tree.root() == merkle.root(everything)


def test_a_copy_goes_on_by_itself() -> None:
    first, everything = GrowingRoot(), leaves(5000)
    first.add(everything[:4500])
    second = first.copy()
    second.add(everything[4500:])
    assert first.root() == merkle.root(everything[:4500])
    assert second.root() == merkle.root(everything)


def test_a_hundred_thousand_leaves_take_no_more_memory_than_they_come_with() -> None:
    tree, numbers = GrowingRoot(), count()
    tracemalloc.start()
    for __ in range(25):
        tree.add([b"%032d" % each for each in islice(numbers, 4000)])
    __, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tree.size == 100_000
    assert peak < 1_000_000
