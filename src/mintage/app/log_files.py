"""Files that a log or a publisher gives away: tree heads, proofs, exports, and lists of keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mintage.app.auditing import head_in, read_head, read_note
from mintage.app.confirmed import Confirmed
from mintage.core.clock import timestamp
from mintage.core.errors import ConfigError, DataError, LogForked, SignatureMismatch, said_by
from mintage.core.messages import Message, _, plural
from mintage.core.progress import Progress
from mintage.trust.cosigning import Cosigned, cosignatures
from mintage.trust.exported import (
    ExportedLog,
    check_export,
    check_growth,
    check_inclusion,
    is_proof,
)
from mintage.trust.given import KeySource
from mintage.trust.key_files import read_public_key
from mintage.trust.key_list import MOST_BYTES, is_list, open_list
from mintage.trust.notes import SignedHead, opened_by
from mintage.trust.switch import check_switches

_MOST_LINE_BYTES = 1_000_000
_EXPORT = b'{"first_position":'
_SIGNATURE = "\n\n— ".encode()
_KEY = b"-----BEGIN PUBLIC KEY-----"
_ERASED = _("Its record was erased with a customer: this proves its hash alone.")


class LogFiles:
    """Checks such files by keys, and by heads that were kept."""

    def __init__(self, keys: KeySource, kept: Sequence[Path], progress: Progress) -> None:
        """``kept`` are files with tree heads."""
        self._keys = keys
        self._kept = kept
        self._progress = progress

    def confirmed(self, path: Path) -> Confirmed | None:
        """What the file is, once it is found to hold; None: it is none of these.

        Raises:
            ConfigError: a head that was kept is needed, and none was given.
            DataError: it cannot be read.
            TrustError: it does not hold.
        """
        data = _beginning(path)
        if data.startswith(_EXPORT):
            return self._export(path)
        if data.startswith(_KEY):
            raise DataError(
                _(
                    "{path} is a public key, in which nothing is signed: {key_id}",
                    path=path,
                    key_id=read_public_key(path).key_id,
                ),
                remedy=_("Ask its owner for its id, by another way than the file."),
            )
        if _SIGNATURE in data and not data.startswith(b"{"):
            return self._head(read_note(path))
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if is_proof(said):
            return self._proof(said)
        if is_list(said):
            return self._list(data)
        note = head_in(said)
        return None if note is None else self._head(note)

    def _heads(self) -> list[SignedHead]:
        keys = self._keys.public_keys("log") if self._kept else ()
        return [opened_by(read_head(path), keys)[0] for path in self._kept]

    def _head(self, note: str) -> Confirmed:
        head, key = opened_by(note, self._keys.public_keys("log"))
        said = plural(
            head.size,
            _("{origin}: a signed tree head over one entry"),
            _("{origin}: a signed tree head over {size} entries"),
            **_about(head),
        )
        cosigned = self._cosigned(note)
        document = {"kind": "tree_head", **_about(head), "key_id": key.key_id}
        document["witnesses"] = [
            {"witness": each.name, "key_id": each.key_id, "cosigned_at": timestamp(each.at)}
            for each in cosigned
        ]
        notes = [
            _(
                "{witness} signed this head at {cosigned_at}.",
                witness=each.name,
                cosigned_at=timestamp(each.at),
            )
            for each in cosigned
        ]
        return Confirmed(said, document, tuple(notes))

    def _cosigned(self, note: str) -> list[Cosigned]:
        """Nobody has to know a witness: the log's own key is enough to check a head."""
        try:
            witnesses = self._keys.public_keys("witness")
        except SignatureMismatch:
            return []
        return cosignatures(note, witnesses)

    def _proof(self, said: Mapping[str, Any]) -> Confirmed:
        kept = self._heads()
        note = said.get("head")
        if isinstance(note, str):
            head, key = opened_by(note, self._keys.public_keys("log"))
        else:  # of a size that no head was signed for: the newer one was kept too
            head, key = self._of_size(kept, said.get("to")), None
        if "leaf_hash" in said:
            position = check_inclusion(said, head)
            notes = () if "erased_by" not in said else (_ERASED,)
            return Confirmed(
                plural(
                    head.size,
                    _("{origin}: the entry at position {position} is the only one"),
                    _("{origin}: the entry at position {position} is among its {size} entries"),
                    position=position,
                    **_about(head),
                ),
                {
                    "kind": "inclusion_proof",
                    **_about(head),
                    "position": position,
                    "record": said.get("record"),
                    "key_id": key and key.key_id,
                },
                notes,
            )
        before = self._of_size(kept, said.get("from"))
        check_growth(said, before, head)
        return Confirmed(
            plural(
                head.size,
                _("{origin}: the log of one entry is the one of then"),
                _("{origin}: the log of {size} entries begins with the {earlier} of then"),
                earlier=before.size,
                **_about(head),
            ),
            {
                "kind": "consistency_proof",
                **_about(head),
                "from": before.size,
                "key_id": key and key.key_id,
            },
        )

    def _of_size(self, kept: Sequence[SignedHead], size: object) -> SignedHead:
        for head in kept:
            if head.size == size:
                return head
        raise ConfigError(
            _("This proof is checked against a tree head of {size} entries.", size=size),
            remedy=_("Give the one that you kept: --head kept.txt"),
        )

    def _export(self, path: Path) -> Confirmed:
        heads = self._heads()
        if not heads:
            raise ConfigError(
                _("{path} is an export of an audit log, in which nothing is signed.", path=path),
                remedy=_("Give a tree head that was signed, best one you kept: --head kept.txt"),
            )
        with path.open("rb") as stream:
            logs = check_export(_lines_of(stream, path), heads, self._progress)
        behind = {each.origin: each.size - max(each.met, default=0) for each in logs}
        notes = [
            _(
                "{origin}: no head that was given is over its last entries: {count}.",
                origin=origin,
                count=count,
            )
            for origin, count in behind.items()
            if count
        ] + [
            _(
                "{origin}: {count} entries were erased with their customers. Their hashes are "
                "there, and erasures of this log account for just these.",
                origin=each.origin,
                count=each.erased,
            )
            for each in logs
            if each.erased
        ]
        said = [
            {
                "origin": each.origin,
                "entries": each.size,
                "erased": each.erased,
                "root": each.root.hex(),
                "heads": [*each.met],
            }
            for each in logs
        ]
        return Confirmed(
            _exported(path, logs),
            {"kind": "audit_log", "logs": said},
            tuple(notes),
        )

    def _list(self, data: bytes) -> Confirmed:
        keys, root = open_list(data, self._keys.public_keys("root"))
        check_switches(keys)
        said = _(
            "The list of signing keys is as its root signed it: version {version}, of {issued_at}",
            version=keys.version,
            issued_at=keys.issued_at,
        )
        listed = [
            {name: value for name, value in each.to_json().items() if name not in ("pem", "switch")}
            for each in keys.keys
        ]
        document = {
            "kind": "key_list",
            "version": keys.version,
            "issued_at": keys.issued_at,
            "key_id": root.key_id,
            "keys": listed,
        }
        return Confirmed(said, document)


def _lines_of(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a file, whole and each of a bounded length."""
    while line := stream.readline(_MOST_LINE_BYTES + 1):
        if not line.endswith(b"\n"):
            raise LogForked(_("A line of {path} is too long, or has no end.", path=path))
        yield line


def _exported(path: Path, logs: Sequence[ExportedLog]) -> Message:
    count = sum(each.size for each in logs)
    return plural(
        count,
        _("{path}: an export of the audit log; its one entry is the one that was signed"),
        _(
            "{path}: an export of the audit log; of its {count} entries {signed} are those "
            "that were signed"
        ),
        path=path,
        count=count,
        signed=sum(max(each.met, default=0) for each in logs),
    )


def _about(head: SignedHead) -> dict[str, Any]:
    return {"origin": head.origin, "size": head.size, "root": head.root.hex()}


def _beginning(path: Path) -> bytes:
    """All of a proof or a list, and of others as much as it takes to know them."""
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
