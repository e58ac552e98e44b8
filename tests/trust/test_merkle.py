from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.plain_tree import consistency_proof, inclusion_proof

from mintage.core.errors import LogForked
from mintage.trust import merkle

LEAVES = [merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(41)]


def recursive_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962, 2.1 writes it down."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def vectors(folder: Path) -> list[tuple[str, dict[str, object]]]:
    return [
        (str(path.relative_to(folder)), json.loads(path.read_text()))
        for path in sorted(folder.rglob("*.json"))
    ]


def decoded(value: object) -> bytes:
    return base64.b64decode(str(value))


def agrees(name: str, vector: dict[str, object], check: object) -> str:
    try:
        check()  # type: ignore[operator]
    except LogForked:
        return "" if vector["wantErr"] else f"{name} should have passed"
    return f"{name} should have failed" if vector["wantErr"] else ""


def test_every_published_inclusion_vector_agrees(shared_vectors: Path) -> None:
    found = vectors(shared_vectors / "merkle" / "testdata" / "inclusion")
    wrong = [
        agrees(
            name,
            vector,
            lambda vector=vector: merkle.verify_inclusion(
                vector["leafIdx"],
                vector["treeSize"],
                decoded(vector["leafHash"]),
                [decoded(item) for item in vector["proof"] or []],
                decoded(vector["root"]),
            ),
        )
        for name, vector in found
    ]
    assert len(found) > 90
    assert not [line for line in wrong if line]


def test_every_published_consistency_vector_agrees(shared_vectors: Path) -> None:
    found = vectors(shared_vectors / "merkle" / "testdata" / "consistency")
    wrong = [
        agrees(
            name,
            vector,
            lambda vector=vector: merkle.verify_consistency(
                vector["size1"],
                vector["size2"],
                decoded(vector["root1"]),
                decoded(vector["root2"]),
                [decoded(item) for item in vector["proof"] or []],
            ),
        )
        for name, vector in found
    ]
    assert len(found) > 80
    assert not [line for line in wrong if line]


def test_the_root_is_the_one_that_the_rfc_defines() -> None:
    assert merkle.root([]).hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    for size in range(1, len(LEAVES) + 1):
        assert merkle.root(LEAVES[:size]) == recursive_root(LEAVES[:size])


def test_every_leaf_of_every_size_is_proved_at_its_place_and_no_other() -> None:
    for size in range(41):
        leaves, root = LEAVES[:size], merkle.root(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            merkle.verify_inclusion(index, size, leaves[index], proof, root)
            with pytest.raises(LogForked):
                merkle.verify_inclusion(index, size, LEAVES[-1], proof, root)
            with pytest.raises(LogForked):
                merkle.verify_inclusion((index + 1) % (size + 1), size, leaves[index], proof, root)


def test_every_size_is_proved_to_begin_with_every_smaller_one() -> None:
    for size in range(1, 41):
        root = merkle.root(LEAVES[:size])
        for earlier in range(1, size + 1):
            proof = consistency_proof(LEAVES[:size], earlier)
            before = merkle.root(LEAVES[:earlier])
            merkle.verify_consistency(earlier, size, before, root, proof)
            with pytest.raises(LogForked):
                merkle.verify_consistency(earlier, size, LEAVES[-1], root, proof)
            with pytest.raises(LogForked):
                merkle.verify_consistency(earlier, size, before, LEAVES[-1], proof)
