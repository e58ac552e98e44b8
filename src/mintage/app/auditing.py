"""The verbs of the audit log: show, verify, prove, head."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from mintage.app.capturing import Capturing
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, MintageError, said_by
from mintage.core.files import write_parts
from mintage.core.messages import _, told
from mintage.core.progress import Progress
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog, Checked, LogRow, SignedHead
from mintage.trust.kept_heads import no_such_log
from mintage.trust.keys import KeyRing
from mintage.trust.kinds import check_kinds
from mintage.trust.notes import verify_by_any
from mintage.trust.openings import log_reading

_RECEIPT = "rcp_"
_NOT_OF_THE_ACT = frozenset({"expires_at", "due_at", "previous_until", "others_until"})
"""Moments in records that are of something later than what was done."""
_MOST_NOTE_BYTES = 100_000


@dataclass(frozen=True)
class Wanted:
    """Which entries are to be shown."""

    kinds: Sequence[str] = ()
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Entry:
    """An entry as people read it."""

    position: int
    kind: str
    at: str | None
    actor: str | None
    record: Mapping[str, Any]
    leaf_hash: str

    @classmethod
    def of(cls, row: LogRow) -> Entry:
        """What a row says; one that was damaged says nothing of itself."""
        try:
            found = json.loads(row.record)
        except (ValueError, RecursionError):
            found = None
        record: dict[str, Any] = found if isinstance(found, dict) else {}
        actor = record.get("actor")
        name = actor.get("name") if isinstance(actor, dict) else None
        said = {key: value for key, value in record.items() if key not in {"kind", "actor"}}
        return cls(row.position, row.kind, moment_of(record), name, said, row.leaf_hash.hex())

    def to_json(self) -> dict[str, Any]:
        """As ``mintage audit show --json`` has it."""
        return {**vars(self), "record": dict(self.record)}


def moment_of(record: Mapping[str, Any]) -> str | None:
    """When what a record says was done: the latest of its moments that are of the act itself."""
    moments = [
        value
        for name, value in record.items()
        if (name.endswith("_at") or name == "until")
        and name not in _NOT_OF_THE_ACT
        and isinstance(value, str)
    ]
    return max(moments, default=None)


class Auditing:
    """What operators and auditors do with the log."""

    def __init__(self, workspace: Workspace, capture: Capturing, keys: KeyRing) -> None:
        self._workspace = workspace
        self._capture = capture
        self._log: AuditLog = capture.log
        self._keys = keys

    def show(self, wanted: Wanted) -> Iterator[Entry]:
        """Entries in their order, the ``last`` so many where that is asked for.

        That they are read is logged before, and not shown among them.

        Raises:
            ConfigError: one of the kinds is none.
        """
        check_kinds(wanted.kinds)
        end = log_reading(self._workspace, "log", kinds=[*wanted.kinds])
        plain = wanted.actor is None and wanted.since is None and wanted.until is None
        asked = partial(self._log.entries, wanted.first, end, kinds=wanted.kinds)
        if wanted.last is not None and plain:
            # The newest alone are read.
            yield from map(Entry.of, reversed([*asked(most=wanted.last, newest_first=True)]))
            return
        found = (entry for entry in map(Entry.of, asked()) if _is_wanted(entry, wanted))
        yield from found if wanted.last is None else deque(found, wanted.last)

    def verify(self, heads: Sequence[Path] = (), progress: Progress | None = None) -> list[Checked]:
        """Hash every record again, and hold all against the heads signed here and kept elsewhere.

        Raises:
            ConfigError: a file cannot be read.
            LogForked: a kept head is of a log that is not here.
            SignatureMismatch: a kept head was not signed by this log's key.
        """
        return self._log.examine(*map(self.read_head, heads), progress=progress)

    def export(self, path: Path) -> tuple[int, SignedHead]:
        """Write all logs to a file for an auditor, a JSON object a line; how many entries.

        The file is its owner's alone. The head is over all of them, and so over this reading.

        Raises:
            MintageError: the file cannot be written.
        """
        log_reading(self._workspace, "log", exported=True)
        head = self._log.tree_head()
        logs = self._log.logs()
        count = 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            waiting = deque(logs)
            end = logs[-1].first_position + head.size
            for row, erased_by in self._log.accounted(end):
                while waiting and waiting[0].first_position <= row.position:
                    log = waiting.popleft()
                    begun = {"first_position": log.first_position, "origin": log.origin}
                    yield canonical_json(begun) + b"\n"
                yield canonical_json(_exported(row, erased_by)) + b"\n"
                count += 1

        write_parts(path, lines(), mode=0o600)
        return count, head

    def begin_anew(self, damaged: Checked) -> SignedHead:
        """Freeze a log that ``verify`` found damaged; the head of the one begun after it."""
        return self._log.begin_anew(damaged)

    def head(self) -> SignedHead:
        """The newest head, over all that is logged by now."""
        return self._log.tree_head()

    def prove(self, what: str) -> dict[str, Any]:
        """That an entry is in the log, by its position or the id of its receipt.

        What it says is read, so that is logged.

        Raises:
            ConfigError: there is no such position, or it is no number.
            LogForked: the entry is not what was logged.
            RequestError: there is no such receipt (404).
        """
        if what.startswith(_RECEIPT):
            found = self._capture.history.find_receipt(what, None)
            position = int(found.statement["leaf"]["position"])
        elif what.isascii() and what.isdecimal() and len(what) < 19:
            position = int(what)
        else:
            raise ConfigError(
                _("Not a position of the log: {text!r}.", text=what),
                remedy=_("Give a number, as mintage audit show has it, or the id of a receipt."),
            )
        log_reading(self._workspace, "log", position=position)
        return self._log.inclusion(position).to_json(with_record=True)

    def prove_since(self, since: str) -> dict[str, Any]:
        """That the log still begins with what it was: at a size, or as a kept head says.

        Raises:
            ConfigError: the size is none of this log, or the file cannot be read.
            LogForked: the log does not begin with what the kept head says.
            SignatureMismatch: the kept head was not signed by this log's key.
        """
        self._log.tree_head()
        if since.isascii() and since.isdecimal() and len(since) < 19:
            return self._log.consistency(int(since)).to_json()
        kept = self.read_head(Path(since))
        number = next((log.number for log in self._log.logs() if log.origin == kept.origin), None)
        if number is None:
            raise no_such_log(kept.origin)
        proof = self._log.consistency(kept.size, log=number)
        proof.verify(kept)
        return proof.to_json()

    def read_head(self, path: Path) -> SignedHead:
        """A head that was kept in a file, once this log's key is found to have signed it.

        Raises:
            ConfigError: it cannot be read.
            SignatureMismatch: it was signed by another key, or is no tree head.
            TrustError: the key of this log is not here.
        """
        text = read_head(path)
        origin = text.partition("\n")[0]
        self._log.check_key()
        return verify_by_any(text, self._keys.public_keys("log"), origin)

    def included(self, position: int) -> dict[str, Any]:
        """The proof that an entry is in the log, for whoever has its receipt, or why there is none.

        A head is signed for it where none was within the last second.
        """
        try:
            proof = self._log.inclusion_so_far(position)
        except MintageError as error:  # the receipt holds all the same
            return {"inclusion": None, "not_included": told(error.message)}
        if proof is None:
            why = _("No tree head is over it yet: one is signed within a second.")
            return {"inclusion": None, "not_included": told(why)}
        return {"inclusion": proof.to_json(), "not_included": None}

    def consistency(self, earlier: int, size: int | None, log: int | None) -> dict[str, Any]:
        """That the log only grew between two sizes.

        Raises:
            ConfigError: they are no sizes of it, or there is no such log.
            LogForked: the kept hashes do not give the newest head.
        """
        return self._log.consistency(earlier, size, log=log).to_json()

    def described(self) -> dict[str, Any]:
        """What customers are told of the log: its newest head, its key, and what became of others.

        A head is signed where none was within the last second.
        """
        head = self._log.recent()
        known = {log.origin: log for log in self._log.logs()}
        current = known[head.origin]
        key = self._keys.signer("log").public
        cosigned = self._log.cosigned()
        return {
            "origin": current.origin,
            "log": current.number,
            "first_position": current.first_position,
            "size": head.size,
            "head": head.note,
            "witnessed": None if cosigned is None else cosigned.note,
            "key": {"key_id": key.key_id, "algorithm": key.algorithm, "pem": key.pem.decode()},
            "frozen": [
                {
                    "origin": log.origin,
                    "log": log.number,
                    "first_position": log.first_position,
                    "size": log.frozen_size,
                    "frozen_at": log.frozen_at,
                    "reason": log.reason,
                }
                for log in known.values()
                if log.number < current.number
            ],
        }


def _exported(row: LogRow, erased_by: int | None) -> dict[str, Any]:
    """An entry as an export has it; one that was erased has no record, and says by which."""
    said: dict[str, Any] = {"position": row.position}
    if row.erased:
        return said | {"leaf_hash": row.leaf_hash.hex(), "erased_by": erased_by}
    return said | {"record": row.record.decode(errors="replace"), "salt": row.salt.hex()}


def read_head(path: Path) -> str:
    """A tree head that was kept: the note, or an answer of ``GET /v1/log`` with it.

    Raises:
        ConfigError: it cannot be read.
    """
    text = read_note(path)
    try:
        return head_in(json.loads(text)) or text
    except (ValueError, RecursionError):
        return text


def head_in(said: object) -> str | None:
    """The note in what ``GET /v1/log`` and ``mintage audit head --json`` answer.

    That with witnesses' signatures is of an earlier head, and is asked for by itself.
    """
    if not isinstance(said, dict):
        return None
    found = said.get("head", said.get("note"))
    return found if isinstance(found, str) and "origin" in said else None


def read_note(path: Path) -> str:
    """The text of a small file: a note, or a proof.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_NOTE_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = said_by(error) if isinstance(error, OSError) else _("it is no text")
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=reason),
            remedy=_("Name a file that holds what mintage audit head printed."),
        ) from error


def _is_wanted(entry: Entry, wanted: Wanted) -> bool:
    if wanted.actor is not None and entry.actor != wanted.actor:
        return False
    if wanted.since is None and wanted.until is None:
        return True
    if entry.at is None:
        return False
    moment = datetime.fromisoformat(entry.at)
    return (wanted.since is None or moment >= wanted.since) and (
        wanted.until is None or moment < wanted.until
    )
