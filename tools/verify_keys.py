"""Lists of keys: which key is believed for what, until when, and which no longer.

A list is what ``mintage signing-key publish`` writes, a DSSE envelope that the root key signed, or
what ``GET /v1/keys`` answers, which nobody did. The format is that of docs/formats/key-list.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from verify import (
    IN_TOTO,
    LIST,
    Head,
    Key,
    canonical,
    head_of,
    opened,
    packed,
    parsed_head,
    read,
    refuse,
    said,
    unbase64,
)

LEEWAY = timedelta(minutes=5)
"""What clocks of several machines may differ by."""
SIGNING = ("data", "bundle", "receipt", "log", "witness")
MADE = {
    "urn:mintage:invoice:v1": "issued_at",
    "urn:mintage:credit-note:v1": "issued_at",
    "urn:mintage:plan:v1": "created_at",
    "urn:mintage:evaluation:v1": "measured_at",
    "urn:mintage:audit:v1": "audited_at",
}
"""Of each kind of document, the member that says when it was made."""


class ListedKey(Key):
    """A key with what its list says of it; ``last`` is the head at which another followed."""

    def __init__(self, path: Path, told: dict[str, Any], last: str | None = None) -> None:
        super().__init__(path, told["pem"].encode())
        self.role = told["role"]
        self.until, self.revoked = told["valid_until"], told["revoked_at"]
        self.last = None if last is None else parsed_head(last)[0]
        if self.role not in SIGNING or not self.fits(self.role) or self.id != told["key_id"]:
            refuse(f"{path} has a key of another kind than its role's")

    def check(self, signed: bytes | str) -> None:
        """Refuse what it signed too late: a payload, or the moment at which it says that it did."""
        if self.revoked:
            refuse(f"the key {self.id[:12]}… that signed this was revoked as of {self.revoked}")
        moment = signed if isinstance(signed, str) else moment_of(signed)
        if self.until and moment and is_well_after(moment, self.until):
            refuse(f"this is of {moment}, and the key {self.id[:12]}… signed until {self.until}")

    def reaches(self, head: Head, *, is_named: bool) -> bool:
        """Whether it may have signed a head: of its log up to its last one, or of a log before."""
        if self.revoked and not is_named:
            return False
        if self.last is None or head[0] == self.last[0]:
            return self.last in (None, head) or head[1] < self.last[1]
        return is_before(head[0], self.last[0])


def moment_of(payload: bytes) -> str | None:
    """What a receipt or a document says of when it was made."""
    try:
        found = read(payload)
        made = MADE.get(found.get("predicateType", ""))
        moment = found["predicate"][made] if made else found["recorded_at"]
        datetime.fromisoformat(moment)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return str(moment)


def is_well_after(moment: str, until: str) -> bool:
    try:
        return datetime.fromisoformat(moment) > datetime.fromisoformat(until) + LEEWAY
    except TypeError:  # one of them names no zone
        return True


def is_before(origin: str, later: str) -> bool:
    """Whether one log was frozen before another: they are called after the first, by number."""
    for first in (later, later.rpartition("/")[0]):
        own, other = number(origin, first), number(later, first)
        if own and other:
            return own < other
    return False


def number(origin: str, first: str) -> int:
    """Which one a log is of those that are called after a first; 0 where it is none of them."""
    rest = origin.removeprefix(f"{first}/")
    is_next = rest != origin and re.fullmatch("[2-9]|[1-9][0-9]{1,8}", rest)
    return 1 if origin == first else int(rest) if is_next else 0


def listed(path: Path, data: bytes, roots: Sequence[Key]) -> Iterator[Key]:
    """The keys of a list; whether a root confirms them is said."""
    found = read(data)
    if "payload" not in found:
        said(f"{path.name}: keys that nobody signed; believed since you gave them", "?")
        for role in SIGNING:
            for each in [found[role], *found[role]["former"]] if role in found else ():
                yield ListedKey(path, each | {"role": role})
        return
    if roots:
        keys = signed_list(data, roots)["keys"]
        said(f"{path.name}: a list of keys, as its root signed it")
    else:
        keys = read(unbase64(found["payload"]))["predicate"]["keys"]
        said(f"{path.name}: a list of keys that no given root key confirms", "?")
    for place, each in enumerate(keys):
        later = (one["switch"] for one in keys[place + 1 :] if one["role"] == each["role"])
        yield ListedKey(path, each, next(filter(None, later), None))


def signed_list(data: bytes, roots: Sequence[Key]) -> dict[str, Any]:
    """What a list says that a root signed, in the one spelling that it has."""
    envelope = read(data)
    payload, root = opened(envelope, IN_TOTO, "root", roots)
    found: dict[str, Any] = read(payload)["predicate"]
    keys = found["keys"]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"{each['role']}:{each['key_id'][:16]}", "digest": {"sha256": each["key_id"]}}
            for each in keys
        ],
        "predicateType": LIST,
        "predicate": found,
    }
    if data != canonical(packed(envelope, root)) + b"\n" or payload != canonical(statement):
        refuse("what is signed is no list of keys as Mintage writes it")
    ids = [each["key_id"] for each in keys]
    signing = [each["role"] for each in keys if each["valid_until"] == each["revoked_at"] is None]
    if len({*ids}) != len(ids) or len({*signing}) != len(signing):
        refuse("the list has a key twice, or two that sign in one role")
    return found


def list_of(data: bytes, roots: Sequence[Key]) -> None:
    """A list that is checked for itself: its root's signature, and heads at which keys changed."""
    found = signed_list(data, roots)
    said(f"version {found['version']} of the list of keys, as its root signed it")
    for each in found["keys"]:
        key = ListedKey(Path("the list"), each | {"revoked_at": None})
        if each["switch"] is not None:
            head_of(each["switch"], [key])
        ended = f"until {each['valid_until']}" if each["valid_until"] else "signs"
        state = f"revoked as of {each['revoked_at']}" if each["revoked_at"] else ended
        said(f"{key.role} {key.id}: {state}")
