"""The proofs of many entries at once are those of each, against one head."""

from __future__ import annotations

import pytest

from mintage.core.errors import ConfigError
from mintage.store.workspace import Workspace
from mintage.trust import audit, merkle
from mintage.trust.audit import AuditLog, verify_note
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
    head, paths = AuditLog(workspace.database, keys, ORIGIN).inclusions(wanted)
    assert verify_note(head.note, keys.signer("log").public, ORIGIN) == head
    for position, path in zip(wanted, paths, strict=True):
        leaf = leaves[position - leaves[0].position].leaf_hash
        merkle.verify_inclusion(position, head.size, leaf, path, head.root)


def test_what_is_not_there_has_no_path(workspace: Workspace, keys: KeyRing) -> None:
    workspace.database.write(lambda connection: audit.append(connection, "test", {}) and None)
    __, paths = AuditLog(workspace.database, keys, ORIGIN).inclusions([99])
    with pytest.raises(ConfigError, match="none at position 99"):
        next(paths)
