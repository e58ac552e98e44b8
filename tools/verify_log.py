"""A whole audit log, as ``mintage audit export`` writes it: what verify.py does with one.

Entries are hashed anew, in the order of their positions, and held against heads that were signed.
One whose customer was erased has no record, but its leaf's hash, and names the entry
``customer.erased`` behind it that accounts for it. That has the number of all that it accounts for
and their root, so that nothing else can be passed off as erased. The format is that of
docs/formats/audit-log.md.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from verify import Key, Tree, head_of, leaf, read, refuse, said


class Erased:
    """The entries without a record until now, by the one that is to account for them."""

    def __init__(self) -> None:
        self.trees: defaultdict[int, Tree] = defaultdict(Tree)
        self.count = 0

    def take(self, position: int, entry: dict[str, Any]) -> bytes:
        """One of them; its leaf's hash."""
        found, by = bytes.fromhex(entry["leaf_hash"]), entry.get("erased_by")
        if not isinstance(by, int) or by <= position:
            refuse(f"the entry at {position} has no record, and no erasure accounts for it")
        placed = position.to_bytes(8, "big") + found
        self.trees[by].add(hashlib.sha256(b"\x00" + placed).digest())
        self.count += 1
        return found

    def account(self, position: int, record: dict[str, Any]) -> None:
        """What an erasure says has to be what names it."""
        tree = self.trees.pop(position, Tree())
        if (record["entries"], record["entries_root"]) != (tree.size, tree.root().hex()):
            refuse(f"what the entry at {position} says was erased is not what is gone")

    def end(self) -> None:
        for position in self.trees:
            refuse(f"the entry at {position} is to account for erased ones, and is no erasure")
        if self.count:
            said(f"{self.count:,} entries erased: erasures of this log account for just these")


def leaf_of(entry: dict[str, Any], erased: Erased) -> bytes:
    """An entry's leaf."""
    if "leaf_hash" in entry:
        return erased.take(entry["position"], entry)
    text = entry["record"]
    if "customer.erased" in text and (record := read(text))["kind"] == "customer.erased":
        erased.account(entry["position"], record)
    return leaf(text.encode(), bytes.fromhex(entry["salt"]))


def log_of(lines: Iterable[bytes], keys: Sequence[Key], kept: Sequence[str]) -> None:
    """All entries, and the heads that were kept of them."""
    heads, met = [head_of(note, keys) for note in kept], set()
    tree, erased, origin, expected, begun = Tree(), Erased(), "", 0, list[str]()
    for line in lines:
        entry = read(line)
        if "origin" in entry:
            if entry["origin"] in begun or entry["first_position"] < expected:
                refuse(f"{entry['origin']} begins twice, or before the log before it ends")
            tree, origin, expected = Tree(), entry["origin"], entry["first_position"]
            begun.append(origin)
            continue
        if entry["position"] != expected:
            refuse(f"the entry at position {expected} is missing")
        if len(begun) > 1 and not tree.size:
            record = read(entry["record"])
            named = [each["origin"] for each in record.get("frozen", ())]
            if (record["kind"], named) != ("log.begun", begun[:-1]):
                refuse(f"{origin} does not begin by saying which logs were frozen before it")
        tree.add(leaf_of(entry, erased))
        expected += 1
        met |= {head for head in heads if head == (origin, tree.size, tree.root())}
    erased.end()
    for head in heads:
        if head not in met:
            refuse(f"the log does not begin with the {head[1]:,} entries that {head[0]} signed")
        said(f"{head[0]}: its {head[1]:,} first entries are those that the head was signed over")
    root = f"{origin}: {tree.size:,} entries, root {tree.root().hex()}"
    said(root if heads else f"{root}; give a head that was signed: --head", "✓" if heads else "?")
