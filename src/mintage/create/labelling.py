"""Labelling: one labeller at unsorted pictures, decision by decision, each kept at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mintage.core.canonical import sha256_hex
from mintage.core.clock import Clock, SystemClock, timestamp
from mintage.core.errors import DataError, RequestError, said_by
from mintage.core.messages import _
from mintage.core.types import Skipped
from mintage.create.doubts import Doubts, Model
from mintage.create.label_queue import LabelQueue, ranked
from mintage.modalities.image.screen import on_screen
from mintage.sources.decisions import Action, Decision, Header
from mintage.sources.journal import Journal
from mintage.sources.listing import read_file, well_formed
from mintage.sources.pictures import Pictures, locate
from mintage.tasks.agreement import agreement


class LabelSession:
    """The pictures, what was said of them, and what comes next; pictures go by number.

    Safe to call from several threads.
    """

    def __init__(
        self,
        folder: Path,
        pictures: Pictures,
        journal: Journal,
        header: Header,
        labeller: str,
        *,
        clock: Clock | None = None,
    ) -> None:
        """``header`` is the one that the journal declared last."""
        self.folder = folder
        self.labeller = labeller
        self.journal = journal
        self._header = header
        self._book = journal.book
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._paths = ranked(pictures.paths)
        self._numbers = {path: number for number, path in enumerate(self._paths)}
        self._left_out = pictures.skipped
        self._shown: dict[int, str] = {}
        self._model = ""
        self._doubts: Doubts | None = None
        self._compared: dict[int, bool | None] = {}
        self.changed = self._set_changed_aside()
        """Paths of pictures that are not what was labelled, and are asked about again."""
        self.gone = [path for path in self._book if path not in self._numbers]
        """Paths of labelled pictures that are not in the folder any more."""
        self._queue = LabelQueue(self._paths, self._book, labeller, header.overlap)
        self._agreement = agreement(self._queue.shared.values())

    def _set_changed_aside(self) -> list[str]:
        """Forget what was said of pictures whose bytes are others now; their paths.

        Only a file that was touched after its newest decision is read, so that going on with a
        large folder begins at once; ``collect`` checks every digest.
        """
        changed = []
        for path in [path for path in self._book if path in self._numbers]:
            try:
                found = locate(self.folder, path).stat()
                if _moment(max(found.st_mtime, found.st_ctime)) <= self._book.latest(path):
                    continue
                digest = sha256_hex(self._read(self._numbers[path]))
            except (DataError, OSError):
                continue  # said when it is shown, or when it is collected
            if digest != self._book.sha256(path):
                self._book.set_aside(path)
                changed.append(path)
        return changed

    def ask(self, model: Model, name: str) -> None:
        """From now on have the most doubtful first, as a model sees them, in the background."""
        self._model = name
        self._doubts = Doubts(model, self._queue.upcoming(), self._read, self._refuse)

    def close(self) -> None:
        """Finish, and let go of the file."""
        if self._doubts is not None:
            self._doubts.close()
        self.journal.close()

    # ---- pictures

    def upcoming(self, count: int) -> list[int]:
        """The next pictures for this labeller."""
        with self._lock:
            if self._doubts is not None:
                self._queue.reorder(self._doubts.doubt, self._doubts.known)
            return self._queue.upcoming(count)

    def is_left(self, number: int) -> bool:
        """Whether it is this labeller's turn at a picture."""
        with self._lock:
            return number in self._queue

    def name(self, number: int) -> str:
        """A picture's path, fit to be shown."""
        return well_formed(self._paths[self._checked(number)])

    def picture(self, number: int) -> bytes:
        """A JPEG of a picture at the size of a screen; from now on it counts as shown.

        Raises:
            DataError: it cannot be read; from now on it is listed as such.
            RequestError: there is no such picture (404).
        """
        try:
            data = self._read(self._checked(number))
            shown = on_screen(data)
        except DataError as error:
            self._refuse(number, error.message)
            raise
        with self._lock:
            self._shown[number] = sha256_hex(data)
        return shown

    def _read(self, number: int) -> bytes:
        try:
            return read_file(locate(self.folder, self._paths[number]))
        except OSError as error:
            raise DataError(_("cannot be read: {reason}", reason=said_by(error))) from error

    def _refuse(self, number: int, reason: str) -> None:
        with self._lock:
            self._queue.refuse(number, reason)

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self._paths):
            raise RequestError(
                _("There is no such picture."), remedy=_("Load the page anew."), http_status=404
            )
        return number

    # ---- decisions

    def decide(self, number: int, label: str | None, seconds: float) -> Mapping[str, Any] | None:
        """Keep a label, or None for a skip; the model's answer comes back where there is one.

        Raises:
            RequestError: no such picture (404) or class (422), or it is decided already (409).
            DataError: nobody was shown it, and it cannot be read.
            DependencyDown: the disk is full; nothing was decided.
        """
        with self._lock:
            if self._checked(number) not in self._queue:
                raise _too_late()
            self._check_label(label)
            digest = self._shown.get(number) or sha256_hex(self._read(number))
            action: Action = "skip" if label is None else "label"
            self._keep(self._decision(action, number, digest, label, seconds))
            answer = None if self._doubts is None else self._doubts.answer(number)
            if answer is not None and answer.get("label"):
                # The first time alone: afterwards the labeller knows what the model says.
                agrees = None if label is None else answer["label"] == label
                self._compared.setdefault(number, agrees)
            return answer

    def undo(self) -> tuple[int | None, Action]:
        """Take back the labeller's newest decision: of which picture, if it is here, and what.

        Raises:
            RequestError: there is none (409).
        """
        with self._lock:
            last = self._book.last(self.labeller)
            if last is None:
                raise RequestError(
                    _("There is nothing to undo."), remedy=_("Go on."), http_status=409
                )
            number = self._numbers.get(last.path)
            self._keep(self._undoing(last.path, last.sha256))
            return number, last.action

    def again(self) -> int:
        """Have the pictures that this labeller skipped come again; how many those are."""
        with self._lock:
            skipped = [
                (path, self._book.sha256(path))
                for path in self._book
                if path in self._numbers
                and self._book.opinions(path).get(self.labeller, "") is None
                and self._book.resolution(path) is None
            ]
            if skipped:
                self._keep(*(self._undoing(path, digest) for path, digest in skipped))
            return len(skipped)

    def disagreements(self) -> list[dict[str, Any]]:
        """Pictures that labellers disagree about, with what each says."""
        with self._lock:
            return [
                {"picture": number, "name": self.name(number), "labels": self._book.labels(path)}
                for number, path in enumerate(self._paths)
                if number in self._queue.disputed and number not in self._queue.unreadable
            ]

    def resolve(self, number: int, label: str) -> None:
        """Decide a disagreement; this label wins, whatever the majority says.

        Raises:
            RequestError: there is no such picture (404) or class (422), or no dispute (409).
            DependencyDown: the disk is full; nothing was decided.
        """
        with self._lock:
            path = self._paths[self._checked(number)]
            if not self._book.is_disputed(path):
                raise _too_late()
            self._check_label(label)
            digest = self._book.sha256(path)
            if self._shown.get(number, digest) != digest:
                raise RequestError(
                    _("The picture is not the one that was labelled: its file has changed."),
                    remedy=_("Start mintage label again: it asks about changed pictures anew."),
                    http_status=409,
                )
            self._keep(self._decision("resolve", number, digest, label, 0.0))

    def _check_label(self, label: str | None) -> None:
        if label is not None and label not in self._header.classes:
            raise RequestError(
                _("There is no class {label!r}.", label=label),
                remedy=_("There are: {names}.", names=", ".join(self._header.classes)),
                http_status=422,
            )

    def _decision(
        self, action: Action, number: int, sha256: str, label: str | None, seconds: float
    ) -> Decision:
        moment = timestamp(self._clock.now())
        taken = round(seconds, 3)
        return Decision(action, self._paths[number], sha256, self.labeller, moment, taken, label)

    def _undoing(self, path: str, sha256: str) -> Decision:
        return Decision("undo", path, sha256, self.labeller, timestamp(self._clock.now()))

    def _keep(self, *decisions: Decision) -> None:
        self.journal.add(*decisions)
        numbers = (self._numbers.get(decision.path) for decision in decisions)
        shared = [self._queue.update(number) for number in numbers if number is not None]
        if any(shared):
            self._agreement = agreement(self._queue.shared.values())

    # ---- how far it is

    def state(self) -> dict[str, Any]:
        """What the page shows at any moment, as JSON."""
        with self._lock:
            failure = self._doubts.failure if self._doubts else None
            return {
                "folder": self.folder.name,
                "labeller": self.labeller,
                "classes": list(self._header.classes),
                **self._queue.counts(),
                "disagreements": len(self._queue.disputed - self._queue.unreadable.keys()),
                "agreement": self._agreement and self._agreement.to_json(),
                "can_undo": self._book.last(self.labeller) is not None,
                "model": self._model or None,
                "model_failure": None if failure is None else str(failure),
            }

    def summary(self) -> dict[str, Any]:
        """Where the labels stand, all labellers' together, as JSON."""
        with self._lock:
            finals = {path: self._book.final(path) for path in self._book}
            labels = Counter(final.label for final in finals.values() if final and final.label)
            compared = [agrees for agrees in self._compared.values() if agrees is not None]
            unlabelled = [
                number
                for number, path in enumerate(self._paths)
                if number not in self._queue.unreadable
                and not ((final := finals.get(path)) and final.label)
            ]
            return {
                "labels": str(self.journal.path),
                **self.state(),
                "pictures": len(self._paths),
                "changed": [well_formed(path) for path in self.changed],
                "gone": [well_formed(path) for path in self.gone],
                "unlabelled": len(unlabelled),
                "classes": {name: labels[name] for name in self._header.classes},
                "undecided": [
                    Skipped(well_formed(path), final.reason).to_json()
                    for path, final in finals.items()
                    if final is not None and final.label is None
                ],
                "unreadable": [each.to_json() for each in self._all_unreadable()],
                "agreement_with_model": {"compared": len(compared), "agreed": sum(compared)}
                if self._model
                else None,
            }

    def _all_unreadable(self) -> list[Skipped]:
        found = [
            Skipped(well_formed(self._paths[number]), reason)
            for number, reason in self._queue.unreadable.items()
        ]
        return sorted([*self._left_out, *found], key=lambda each: each.path)


def _moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))


def _too_late() -> RequestError:
    return RequestError(
        _("This picture is decided already."),
        remedy=_("Load the page anew to see what is left."),
        http_status=409,
    )
