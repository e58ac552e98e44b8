"""The verb of labelling: a folder of unsorted pictures, opened for one labeller."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from mintage.app.evaluating import Evaluating
from mintage.bundle.loader import LoadedBundle
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.core.registry import modalities
from mintage.core.units import check_name
from mintage.create.labelling import LabelSession
from mintage.sources.decisions import Header, is_class_name
from mintage.sources.journal import Journal
from mintage.sources.pictures import find_pictures

FILE = "labels.jsonl"
MOST_CLASSES = 50
_LONGEST_NAME = 100


class Labelling:
    """Opens folders; a workspace is needed only to have a model in it."""

    def __init__(self, models: Evaluating | None = None, clock: Clock | None = None) -> None:
        """``models`` opens what ``model`` names, such as ``pets@latest``."""
        self._models = models
        self._clock = clock

    def open(
        self,
        folder: Path,
        *,
        classes: Sequence[str] = (),
        labeller: str = "",
        overlap: float | None = None,
        out: Path | None = None,
        model: str | None = None,
        modality: str = "image",
    ) -> LabelSession:
        """The folder's pictures with what was said of them so far; close it afterwards.

        ``classes``, ``labeller`` and ``overlap`` default to the file's own, the system's user and
        none. With ``model``, its most doubtful pictures come first.

        Raises:
            DataError: no folder, no pictures, or a file that is none of ours.
            ConfigError: classes, name or file cannot be, or another process has the file.
            RequestError: there is no such model (404).
        """
        check_classes(classes)
        labeller = labeller_of(labeller)
        kind = modalities().get(modality)
        pictures = find_pictures(folder, kind.endings, kind.unsupported)
        if not pictures.paths:
            raise DataError(
                _("{location} holds no pictures that are read.", location=folder),
                remedy=_("Give a folder with JPEG, PNG, WebP, BMP or TIFF pictures."),
            )
        path = out or folder / FILE
        if not classes and not path.exists():
            raise _no_classes()
        bundle = None if model is None else self._bundle(model)
        journal = Journal(path)
        try:
            header = _header(journal, folder, classes, overlap)
            if bundle is not None:
                _check_known(bundle, header.classes)
            journal.declare(header)
            session = LabelSession(
                folder.resolve(), pictures, journal, header, labeller, clock=self._clock
            )
            if bundle is not None and self._models is not None:
                session.ask(self._models.open(bundle), bundle.subject)
        except BaseException:
            journal.close()
            raise
        return session

    def _bundle(self, name: str) -> LoadedBundle:
        if self._models is None:
            raise ConfigError(_("A model needs a workspace."), remedy=_("Name one with --home."))
        return self._models.model(name)


def next_command(session: LabelSession) -> str:
    """What makes a dataset of the labels."""
    path = session.journal.path
    name = session.folder.name
    try:
        check_name(name, "dataset")
    except ConfigError:
        name = "NAME"
    return f"mintage collect {shlex.quote(os.fspath(path))} --name {name}"


def split_classes(text: str) -> tuple[str, ...]:
    """Names as somebody types them: ``good, scratch``, or ``好，划痕``."""
    return tuple(_composed(name) for name in re.split("[,，、]", text)) if text.strip() else ()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def check_classes(classes: Sequence[str]) -> None:
    """Whether these can be asked for; none at all means those of the file.

    Raises:
        ConfigError: one alone, too many, one twice, or one that cannot be a label.
    """
    if not classes:
        return
    for name in classes:
        if not is_class_name(name):
            raise ConfigError(
                _("Not a name for a class: {name!r}.", name=name),
                remedy=_("Name them with commas between: --classes good,scratch"),
            )
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ConfigError(
            _("The class {name} is named twice.", name=twice), remedy=_("Name it once.")
        )
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise ConfigError(
            _(
                "There must be 2 to {most} classes, not {count}.",
                most=MOST_CLASSES,
                count=len(classes),
            ),
            remedy=_("Name them: --classes good,scratch"),
        )


def labeller_of(name: str) -> str:
    """The labeller's name, by default the system's user.

    Raises:
        ConfigError: it cannot be one, or the system knows none.
    """
    if not name:
        try:
            name = getpass.getuser()
        except (OSError, KeyError, ImportError):  # no such user in the system's list
            name = ""
    name = _composed(name)
    if not is_class_name(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(
            _("Not a name for a labeller: {name!r}.", name=name),
            remedy=_("Say who labels: --labeller NAME"),
        )
    return name


def _header(
    journal: Journal, folder: Path, classes: Sequence[str], overlap: float | None
) -> Header:
    """What is asked from now on: what is said now, else what the file says."""
    now, beside = folder.resolve(), journal.path.parent.resolve()
    where = None if now == beside else os.fspath(now)
    before = journal.header
    if before is None:
        if not classes:
            raise _no_classes()
        return Header(tuple(classes), overlap or 0.0, where)
    _check_folder(journal.path, now, beside / (before.folder or ""))
    _check_dropped(journal, before, classes)
    share = before.overlap if overlap is None else overlap
    return Header(tuple(classes) or before.classes, share, where)


def _no_classes() -> ConfigError:
    return ConfigError(
        _("The classes are not said."), remedy=_("Name them: --classes good,scratch")
    )


def _check_folder(path: Path, now: Path, before: Path) -> None:
    """Whether a labels file is about this folder, or about one that was moved here."""
    if before.is_dir() and before.resolve() != now:
        raise ConfigError(
            _("{path} is about the pictures in {folder}.", path=path, folder=before),
            remedy=_("Name that folder, or another file with --out."),
        )


def _check_dropped(journal: Journal, before: Header, classes: Sequence[str]) -> None:
    used = journal.book.used()
    dropped = [name for name in before.classes if classes and name not in classes and used[name]]
    if dropped:
        raise ConfigError(
            _(
                "The class {name} cannot be dropped: it is the label of {count:,} in {path}.",
                name=dropped[0],
                count=used[dropped[0]],
                path=journal.path,
            ),
            remedy=_("Name it too, or begin another file with --out."),
        )


def _check_known(bundle: LoadedBundle, classes: Sequence[str]) -> None:
    known = bundle.manifest.labels
    if not set(known) & set(classes):
        raise ConfigError(
            _(
                "The model tells apart {known}; none of these is among the classes.",
                known=", ".join(known),
            ),
            remedy=_("Name a model of these classes, or leave --model out."),
        )
