"""The proofs of many entries at once are those of each, against one head."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from mintage.core.errors import ConfigError
from mintage.store.workspace import Workspace
from mintage.trust import audit, merkle
from mintage.trust.audit import AuditLog, Place, verify_note
from mintage.trust.keys import KeyRing

ORIGIN = "example.com/log"


@pytest.mark.parametrize("size", [1, 2, 7, 64, 65])
def test_each_path_leads_from_its_leaf_to_the_signed_root(
    workspace: Workspace, keys: KeyRing, size: int
) -> None:
    leaves = workspace.database.write(
        lambda connection: [audit.append(connection, "test", {"n": n}) for n in range(size)]
    )
    wanted = [leaf.position for leaf in leaves if leaf.position % 3 != 1]
    found = AuditLog(workspace.database, keys, ORIGIN).inclusions(max(wanted, default=-1))
    (head,) = found.heads.values()
    assert verify_note(head.note, keys.signer("log").public, ORIGIN) == head
    for position in wanted:
        place, leaf = found.of(position), leaves[position - leaves[0].position].leaf_hash
        assert (place.log, place.index) == (1, position)
        assert place.path is not None
        merkle.verify_inclusion(position, head.size, leaf, place.path, head.root)


def test_what_is_not_there_has_no_path(workspace: Workspace, keys: KeyRing) -> None:
    workspace.database.write(lambda connection: audit.append(connection, "test", {}) and None)
    found = AuditLog(workspace.database, keys, ORIGIN).inclusions(0)
    for position in (99, -1):
        with pytest.raises(ConfigError, match=f"none at position {position}"):
            found.of(position)


def test_each_log_proves_what_its_last_good_head_is_over_and_no_more(
    workspace: Workspace, keys: KeyRing
) -> None:
    log = AuditLog(workspace.database, keys, ORIGIN)

    def add(count: int) -> list[audit.Leaf]:
        return workspace.database.write(
            lambda connection: [audit.append(connection, "test", {}) for __ in range(count)]
        )

    leaves, old = add(5), log.tree_head()
    leaves += add(4)
    harm = "UPDATE log_leaves SET salt = leaf_hash WHERE position = 8"
    workspace.database.write(lambda connection: connection.execute(text(harm)) and None)
    assert log.tree_head().origin == f"{ORIGIN}/2"
    later = add(3)
    found = log.inclusions(later[-1].position)
    assert found.begun == 9
    assert found.heads[1] == old
    for number, each in ((1, leaves[2]), (2, later[1])):
        place, head = found.of(each.position), found.heads[number]
        assert (place.log, place.index) == (number, each.position - (0, 9)[number - 1])
        assert place.path is not None
        merkle.verify_inclusion(place.index, head.size, each.leaf_hash, place.path, head.root)
    assert found.of(leaves[6].position) == Place(1, 6, None)
