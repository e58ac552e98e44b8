"""Proofs of an audit log and exports of it: what verify.py does with both.

A proof leads to a signed head; an export is hashed again entry by entry, and held against the heads
that were kept. An entry whose customer was erased has no record, but its leaf's hash, and names the
entry ``customer.erased`` behind it that accounts for it. That has the number of all that it
accounts for and their root, so that nothing else can be passed off as erased. The format is that of
docs/formats/audit-log.md.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from verify import Key, Tree, climb, head_of, included, leaf, node, read, refuse, said


def grew(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> bool:
    """Whether the larger log begins with the smaller one (RFC 9162, 2.1.4.2)."""
    if not 1 <= size1 <= size2 or bool(path) == (size1 == size2):
        return False
    start, *rest = [root1, *path] if size1 & (size1 - 1) == 0 else path
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = start
    for sibling, is_left in climb(place, last, rest):
        first = node(sibling, first) if is_left else first
        second = node(sibling, second) if is_left else node(second, sibling)
    return (first, second) == (root1, root2)


def proof_of(proof: dict[str, Any], keys: Sequence[Key], kept: Sequence[str]) -> None:
    """An inclusion proof, or a consistency proof from a head that was kept."""
    origin, size, root = head_of(proof["head"], keys)
    path = [bytes.fromhex(each) for each in proof["path"]]
    if "leaf_hash" in proof:
        found = bytes.fromhex(proof["leaf_hash"])
        if "record" in proof and found != leaf(
            proof["record"].encode(), bytes.fromhex(proof["salt"])
        ):
            refuse("the record is not the one of this leaf")
        if proof["index"] > proof["position"] or (
            "/" not in origin.partition("/")[2] and proof["index"] != proof["position"]
        ):
            refuse("the proof's position is not that of its index")
        if size != proof["size"] or not included(proof["index"], size, found, path, root):
            refuse(f"the entry at {proof['position']} is not in the log of this head")
        is_erased = "erased_by" in proof and "record" not in proof
        what = "the hash of the erased entry" if is_erased else "the entry"
        said(f"{what} at {proof['position']} is among the {size:,} of {origin}")
        return
    for note in kept:
        before = head_of(note, keys)
        if before[:2] == (origin, proof["from"]) and size == proof["to"]:
            if not grew(before[1], size, before[2], root, path):
                refuse(f"the log of {size:,} entries does not begin with the {before[1]:,} of then")
            said(f"{origin}: the log of {size:,} begins with the {before[1]:,} of then")
            return
    refuse("the head that this proof is from has to be given: --head kept.txt")


class Erased:
    """The entries without a record until now, by the one that is to account for them."""

    def __init__(self) -> None:
        self.trees: defaultdict[int, Tree] = defaultdict(Tree)
        self.count = 0

    def take(self, position: int, entry: dict[str, Any]) -> bytes:
        """One of them; its leaf's hash."""
        found, by = bytes.fromhex(entry["leaf_hash"]), entry.get("erased_by")
        if type(by) is not int or by <= position or "record" in entry:
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


@dataclass
class Log:
    """One of the logs of an export; ``good`` is how much of each before it is, as it says."""

    origin: str
    first: int
    tree: Tree = field(default_factory=Tree)
    good: list[int] = field(default_factory=list)

    def named(self, number: int) -> tuple[int, str, int]:
        return number, self.origin, self.first


def begun(entry: dict[str, Any], logs: Sequence[Log], expected: int) -> Log:
    """The log that a line announces, behind those that there are."""
    found = Log(entry["origin"], entry["first_position"])
    if not logs and found.first != 0:
        refuse("the entry at position 0 is missing")
    is_late = found.first < expected or type(found.first) is not int
    if is_late or found.origin in [each.origin for each in logs]:
        refuse(f"{found.origin} begins twice, or before the log before it ends")
    return found


def good_before(begins: dict[str, Any], logs: Sequence[Log]) -> list[int]:
    """How much of each log before the last is good, as that one's first entry says of them."""
    *before, own = logs
    frozen, origin = begins["frozen"], f"{before[0].origin}/{len(logs)}"
    named = [(each["log"], each["origin"], each["first_position"]) for each in (*frozen, begins)]
    there = [log.named(number) for number, log in enumerate(logs, 1)]
    if (begins["kind"], named, own.origin) != ("log.begun", there, origin):
        refuse(f"{own.origin} does not say which logs were frozen before it")
    good = [each["good_size"] for each in frozen]
    fits = [type(n) is int and 0 <= n <= log.tree.size for n, log in zip(good, before, strict=True)]
    if not all(fits) or good[:-1] != before[-1].good:
        refuse(f"{own.origin} does not say how much is good of the logs frozen before it")
    return good


def check_not_empty(logs: Sequence[Log]) -> None:
    """The last of several has at least the entry that names those before it."""
    if len(logs) > 1 and not logs[-1].tree.size:
        refuse(f"{logs[-1].origin} does not say which logs were frozen before it")


def log_of(lines: Iterable[bytes], keys: Sequence[Key], kept: Sequence[str]) -> None:
    """A whole log, as ``mintage audit export`` writes it, and the heads that were kept of it."""
    heads, met = [head_of(note, keys) for note in kept], set()
    logs, erased, expected = list[Log](), Erased(), 0
    for line in lines:
        entry = read(line)
        if "origin" in entry:
            check_not_empty(logs)
            logs.append(begun(entry, logs, expected))
            expected = logs[-1].first
        elif not logs or repr(entry["position"]) != str(expected):
            refuse(f"the entry at position {expected} is missing")
        else:
            if len(logs) > 1 and not logs[-1].tree.size:
                logs[-1].good = good_before(read(entry["record"]), logs)
            logs[-1].tree.add(leaf_of(entry, erased))
            expected += 1
        log = logs[-1]
        due = [head for head in heads if head[:2] == (log.origin, log.tree.size)]
        met |= {head for head in due if head[2] == log.tree.root()}
    check_not_empty(logs)
    erased.end()
    for head in heads:
        if head not in met:
            refuse(f"the log does not begin with the {head[1]:,} entries that {head[0]} signed")
        said(f"{head[0]}: its {head[1]:,} first entries are those that the head was signed over")
    for log in logs:
        root = f"{log.origin}: {log.tree.size:,} entries, root {log.tree.root().hex()}"
        if heads:
            said(root)
        else:
            said(f"{root}; give a head that was signed: --head", "?")
