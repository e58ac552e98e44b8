"""Kept hashes against the plain tree: the same roots and proofs, from few of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plain_tree import consistency_proof, inclusion_proof

from mintage.core.errors import ConfigError, LogForked
from mintage.trust import merkle
from mintage.trust.roots import GrowingRoot
from mintage.trust.tiles import WIDTH, Tiles, complete_nodes

LEAVES = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)]


class Kept:
    """The hashes of a log as a database keeps them, and how many were asked for."""

    def __init__(self, size: int) -> None:
        growing = GrowingRoot()
        growing.add(LEAVES[:size])
        self.levels: dict[int, list[bytes]] = {0: LEAVES[:size]}
        for node in growing.nodes:
            level = self.levels.setdefault(node.level, [])
            assert len(level) == node.number
            level.append(node.hash)
        self.growing = growing
        self.read_counts: dict[int, int] = {}

    def read(self, level: int, first: int, count: int) -> list[bytes]:
        found = self.levels.get(level, [])[first : first + count]
        self.read_counts[level] = self.read_counts.get(level, 0) + len(found)
        return found


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept(len(LEAVES))


def test_every_proof_of_every_size_to_70_is_the_plain_trees_and_is_verified() -> None:
    for size in range(71):
        leaves, tiles = LEAVES[:size], Tiles(Kept(size).read)
        root = merkle.root(leaves)
        assert tiles.root(size) == root
        for index in range(size):
            path = tiles.inclusion(index, size)
            assert path == inclusion_proof(leaves, index)
            merkle.verify_inclusion(index, size, leaves[index], path, root)
        for earlier in range(1, size + 1):
            path = tiles.consistency(earlier, size)
            assert path == consistency_proof(leaves, earlier)
            merkle.verify_consistency(earlier, size, tiles.root(earlier), root, path)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, len(LEAVES)), st.randoms(use_true_random=False))
def test_whatever_the_size_roots_and_proofs_are_those_of_the_plain_tree(
    kept: Kept, size: int, chance: random.Random
) -> None:
    tiles = Tiles(kept.read)
    growing = tiles.growing(size)
    root = growing.root()
    assert root == merkle.root(LEAVES[:size])
    if not size:
        return
    index, earlier = chance.randrange(size), chance.randrange(1, size + 1)
    merkle.verify_inclusion(index, size, LEAVES[index], tiles.inclusion(index, size), root)
    before = merkle.root(LEAVES[:earlier])
    merkle.verify_consistency(earlier, size, before, root, tiles.consistency(earlier, size))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_a_tree_that_grows_from_head_to_head_keeps_each_node_once(steps: list[int]) -> None:
    kept: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:

        def read(level: int, first: int, count: int, size: int = size) -> list[bytes]:
            if level == 0:
                return LEAVES[first : min(first + count, size)]
            run = range(first, first + count)
            return [kept[level, number] for number in run if (level, number) in kept]

        growing = Tiles(read).growing(size)
        assert growing.root() == merkle.root(LEAVES[:size])
        growing.add(LEAVES[size : size + step])
        for node in growing.nodes:
            assert (node.level, node.number) not in kept
            kept[node.level, node.number] = node.hash
        size += step
        assert growing.size == size
        assert growing.root() == merkle.root(LEAVES[:size])
    assert len(kept) == sum(count for __, count in complete_nodes(size))


def test_a_proof_reads_two_runs_of_256_a_level_at_most(kept: Kept) -> None:
    for index, earlier in ((0, 1), (12_345, 300), (69_998, 65_535), (65_536, 69_998)):
        for ask in (
            lambda tiles, index=index: tiles.inclusion(index, 69_999),
            lambda tiles, earlier=earlier: tiles.consistency(earlier, 69_999),
        ):
            kept.read_counts.clear()
            ask(Tiles(kept.read))
            assert kept.read_counts
            assert max(kept.read_counts.values()) <= 2 * WIDTH


def test_a_kept_hash_that_is_gone_is_named() -> None:
    kept = Kept(600)
    kept.levels[1].pop()
    with pytest.raises(LogForked, match="hash 1 of level 1 is missing"):
        Tiles(kept.read).root(600)
    kept.levels[0] = kept.levels[0][:599]
    with pytest.raises(LogForked, match="hash 599 of level 0 is missing"):
        Tiles(kept.read).inclusion(0, 600)


def test_what_does_not_exist_is_not_proved() -> None:
    tiles = Tiles(Kept(3).read)
    for index in (-1, 3):
        with pytest.raises(ConfigError):
            tiles.inclusion(index, 3)
    for earlier in (0, 4):
        with pytest.raises(ConfigError):
            tiles.consistency(earlier, 3)
