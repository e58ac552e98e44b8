"""Keep the catalogue of messages: find every one in the source, and say what lacks a translation.

``make messages`` brings the catalogue up to date and compiles it. ``--check`` changes nothing and
fails unless it is complete. ``--missing`` prints, as JSON, the messages without a translation;
``--fill FILE`` takes that JSON back with the translations in it.
"""

from __future__ import annotations

import gettext
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer.main
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from mintage.api import openapi
from mintage.api.admin import admin_routes
from mintage.api.admin.desk import Desk
from mintage.api.application import admin_document, openapi_document
from mintage.app.root import App
from mintage.cli.main import command_line
from mintage.cli.serving import service_of
from mintage.core.messages import DOMAIN, LOCALE_FOLDER
from mintage.core.settings import Settings

SOURCE = Path(__file__).parent.parent / "src" / "mintage"
PO = LOCALE_FOLDER / "zh" / "LC_MESSAGES" / f"{DOMAIN}.po"
MO = PO.with_suffix(".mo")


def extracted() -> Catalog:
    """Every message of the source, and every help text of the command line."""
    found = Catalog(project="Mintage", charset="utf-8")
    calls = extract_from_dir(
        SOURCE, method_map=[("**.py", "python")], keywords={"_": None}, strip_comment_tags=True
    )
    for name, _line, message, _comments, _context in calls:
        found.add(message, locations=[(name, 0)])
    for text in help_texts(typer.main.get_command(command_line())):
        found.add(text, locations=[("cli/help", 0)])
    for text in openapi_texts():
        found.add(text, locations=[("openapi", 0)])
    return found


def help_texts(command: Any) -> Iterator[str]:
    """What ``--help`` of a command and of those below it is made of."""
    texts = [command.help, getattr(command, "rich_help_panel", None)]
    texts += [part for each in command.params for part in (each.help, each.rich_help_panel)]
    yield from (text for text in texts if isinstance(text, str) and text)
    for nested in getattr(command, "commands", {}).values():
        yield from help_texts(nested)


def openapi_texts() -> Iterator[str]:
    """What the API says of itself, over an empty workspace."""
    with tempfile.TemporaryDirectory() as folder, App(Settings(home=Path(folder))) as app:
        service = service_of(app)
        yield from openapi.texts(openapi_document(service))
        yield from openapi.texts(admin_document(admin_routes(Desk(app, service.clock))))


def updated() -> Catalog:
    """The catalogue with the messages of today, and the translations that it has."""
    template = extracted()
    catalogue = Catalog(locale="zh", project="Mintage", charset="utf-8", fuzzy=False)
    with PO.open("rb") if PO.exists() else io.BytesIO() as stream:
        known = read_po(stream, locale="zh")
    for message in template:
        if message.id:
            before = known.get(message.id)
            translated = before.string if before and not before.fuzzy else ""
            catalogue.add(message.id, translated, locations=sorted(set(message.locations)))
    return catalogue


def written(catalogue: Catalog) -> tuple[bytes, bytes]:
    """The two files; nothing in them depends on when or where they were made."""
    lines = [f'"{name}: {value}\\n"' for name, value in catalogue.mime_headers if _stays(name)]
    po, mo = io.BytesIO(), io.BytesIO()
    write_po(po, catalogue, width=100, omit_header=True, sort_output=True, include_lineno=False)
    head = 'msgid ""\nmsgstr ""\n' + "\n".join(lines) + "\n\n"
    text = head.encode() + po.getvalue()
    compiled = read_po(io.BytesIO(text), locale="zh")
    compiled.creation_date = compiled.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    write_mo(mo, compiled)
    return text, mo.getvalue()


def sentences(compiled: bytes) -> dict[str, str]:
    """What a compiled catalogue says, without its header."""
    found = gettext.GNUTranslations(io.BytesIO(compiled))
    known: dict[str, str] = getattr(found, "_catalog")  # noqa: B009 - the only list there is
    return {text: translation for text, translation in known.items() if text}


def _stays(name: str) -> bool:
    return name in ("Language", "Plural-Forms", "MIME-Version", "Content-Type")


def missing(catalogue: Catalog) -> list[str]:
    """The messages without a translation."""
    return [str(message.id) for message in catalogue if message.id and not message.string]


def main() -> int:
    """Do what was asked."""
    catalogue = updated()
    if "--fill" in sys.argv:
        filled = json.loads(Path(sys.argv[sys.argv.index("--fill") + 1]).read_text("utf-8"))
        for text, translation in filled.items():
            if text not in catalogue:
                sys.stderr.write(f"no such message: {text}\n")
            elif translation:
                catalogue[text].string = translation
    lacking = missing(catalogue)
    if "--missing" in sys.argv:
        sys.stdout.write(
            json.dumps(dict.fromkeys(lacking, ""), ensure_ascii=False, indent=1) + "\n"
        )
        return 0
    text, compiled = written(catalogue)
    if "--check" in sys.argv:
        # Babel signs what it compiles with its version, so the messages are compared.
        stale = PO.read_bytes() != text or sentences(MO.read_bytes()) != sentences(compiled)
        for message in lacking:
            sys.stderr.write(f"not translated: {message}\n")
        if stale:
            sys.stderr.write("The catalogue is not of today's messages; run: make messages\n")
        return int(stale or bool(lacking))
    PO.parent.mkdir(parents=True, exist_ok=True)
    PO.write_bytes(text)
    MO.write_bytes(compiled)
    sys.stderr.write(f"{len(catalogue)} messages, {len(lacking)} without a translation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
