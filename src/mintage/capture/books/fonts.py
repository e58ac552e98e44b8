"""A font that has every character of a document: given, or found on this machine."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mintage.core.errors import ConfigError, missing_extra, said_by
from mintage.core.messages import _

try:
    from fontTools.ttLib import TTCollection, TTFont, TTLibError
except ImportError as error:
    raise missing_extra("fpdf2", "pdf") from error

_ENDINGS = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
# Read well on paper, the best first; what is named like none of them comes after.
_PREFERRED = (
    "notosanscjk-regular",
    "notosanscjksc-regular",
    "notosanssc-regular",
    "sourcehansanssc-regular",
    "sourcehansans-regular",
    "pingfang",
    "wqy-microhei",
    "wqy-zenhei",
    "droidsansfallback",
    "notosans-regular",
    "dejavusans.",
)
_UNLIKE_TEXT = ("bold", "italic", "oblique", "mono", "thin", "black", "light", "emoji", "symbol")
_SIMPLIFIED = (" sc", " cn", "gb")
_MOST_NAMED = 20
_FC_SECONDS = 10
# What fontTools raises for bytes that are no font.
_DAMAGED = (TTLibError, AssertionError, struct.error, ValueError, KeyError, IndexError, EOFError)


@dataclass(frozen=True)
class Font:
    """A font's file; ``number`` is its place in a collection, 0 elsewhere."""

    path: Path
    number: int = 0


def check_writable(text: str) -> None:
    """Refuse scripts whose letters join or run from right to left: they would come out wrong.

    Raises:
        ConfigError: there are such letters, which are named.
    """
    joined = "".join(
        sorted(
            {
                each
                for each in text
                if unicodedata.bidirectional(each) in {"R", "AL", "AN"}
                or unicodedata.category(each) in {"Mn", "Mc", "Me"}
            }
        )
    )
    if joined:
        raise ConfigError(
            _(
                "A PDF cannot be set from right to left or with joined letters: {letters}.",
                letters=_named(joined),
            ),
            remedy=_("Write it as HTML, and print that from a browser: --format html"),
        )


def font_for(text: str, given: Path | None = None) -> Font:
    """The font given, or else the best one here, that has every character of a text.

    Raises:
        ConfigError: the font given cannot be read or lacks characters, or none here has them.
    """
    needed = {ord(each) for each in text if each.isprintable() and each != " "}
    if given is not None:
        return _given(given, needed)
    for path in installed_fonts():
        try:
            found = _face_with(path, needed, [])
        except (OSError, *_DAMAGED):  # a damaged font among many: not this one
            continue
        if found is not None:
            return found
    raise ConfigError(
        _(
            "No font on this machine has all characters of the document: {letters}.",
            letters=_named("".join(chr(each) for each in sorted(needed) if each > 0xFF)),
        ),
        remedy=_(
            "Install one, such as Noto Sans CJK (Debian and Ubuntu: apt install fonts-noto-cjk), "
            "or name a TTF, OTF or TTC file with --font or MINTAGE_FONT."
        ),
    )


def installed_fonts() -> list[Path]:
    """The font files of this machine, those that read well first."""
    found = {path.resolve() for path in (*_from_fontconfig(), *_from_folders())}
    return sorted(found, key=_rank)


def _rank(path: Path) -> tuple[int, int, str]:
    name = path.name.lower().replace("_", "-").replace(" ", "")
    preferred = next((n for n, known in enumerate(_PREFERRED) if name.startswith(known)), 99)
    return preferred, sum(each in name for each in _UNLIKE_TEXT), str(path)


def _from_fontconfig() -> Iterator[Path]:
    program = shutil.which("fc-list")
    if program is None:
        return
    try:
        listed = subprocess.run(  # noqa: S603 - found on the operator's own path, no shell
            [program, "--format", "%{file}\n"], capture_output=True, timeout=_FC_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):  # the well-known folders are looked through too
        return
    for line in os.fsdecode(listed.stdout).splitlines():
        path = Path(line)
        if path.suffix.lower() in _ENDINGS and path.is_file():
            yield path


def _from_folders() -> Iterator[Path]:
    windows = (str(Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"),)
    for folder in windows if sys.platform == "win32" else _FOLDERS:
        for parent, __, names in os.walk(Path(folder).expanduser()):
            yield from (
                Path(parent) / name for name in names if Path(name).suffix.lower() in _ENDINGS
            )


def _given(path: Path, needed: set[int]) -> Font:
    lacking: list[set[int]] = []
    try:
        found = _face_with(path, needed, lacking)
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
    except _DAMAGED as error:
        raise ConfigError(
            _("{path} is not a font that a PDF can hold.", path=path),
            remedy=_("Name a TTF, OTF or TTC file."),
        ) from error
    if found is None:
        fewest = min(map(sorted, lacking), key=len)
        raise ConfigError(
            _("The font {path} lacks: {letters}.", path=path, letters=_named(map(chr, fewest))),
            remedy=_("Name a font that has them, such as Noto Sans CJK."),
        )
    return found


def _face_with(path: Path, needed: set[int], lacking: list[set[int]]) -> Font | None:
    """A face of a file that has all characters; what each lacks is added to ``lacking``.

    Of those that differ in how Chinese is drawn, the one for simplified characters.
    """
    if path.suffix.lower() not in {".ttc", ".otc"}:
        with path.open("rb") as stream, TTFont(stream, lazy=True) as font:
            return Font(path) if _has(font, needed, lacking) else None
    with path.open("rb") as stream, TTCollection(stream, lazy=True) as collection:
        faces = sorted(enumerate(collection.fonts), key=lambda face: not _is_simplified(face[1]))
        for number, font in faces:  # to read one's characters takes a third of a second
            if _has(font, needed, lacking):
                return Font(path, number)
    return None


def _has(font: TTFont, needed: set[int], lacking: list[set[int]]) -> bool:
    lacking.append(needed - set(font.getBestCmap() or ()))
    return not lacking[-1]


def _is_simplified(font: TTFont) -> bool:
    name = (font["name"].getDebugName(1) or "").lower()
    return any(each in name for each in _SIMPLIFIED)


def _named(letters: Iterable[str]) -> str:
    """Some characters, with their code points where they may not show."""
    all_of_them = list(letters)
    shown = " ".join(f"{each} (U+{ord(each):04X})" for each in all_of_them[:_MOST_NAMED])
    return shown + (" …" if len(all_of_them) > _MOST_NAMED else "")
