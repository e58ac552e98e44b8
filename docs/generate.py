"""Write the pages that are generated: the command-line reference, from the commands themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Width, colour and language must not depend on whoever runs this.
os.environ |= {"COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb", "MINTAGE_LANG": "en"}

import typer.main

from mintage.cli.main import command_line

PAGE = Path(__file__).parent / "reference" / "cli.md"


def reference() -> str:
    """The page as it should be."""
    parts = [
        "# Command-line reference\n\nWritten by `make docs` from `mintage --help`; do not edit.\n"
    ]
    root = typer.main.get_command(command_line())
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        parts.append(_section(f"mintage {name}", command))
        for sub, nested in sorted(getattr(command, "commands", {}).items()):
            parts.append(_section(f"mintage {name} {sub}", nested))
    return "\n".join(parts)


def _section(title: str, command: object) -> str:
    lines = [f"## `{title}`\n", (command.help or "").strip() + "\n"]  # type: ignore[attr-defined]
    rows = []
    for parameter in command.params:  # type: ignore[attr-defined]
        names = ", ".join(f"`{option}`" for option in parameter.opts if option.startswith("-"))
        shown = names or f"`{parameter.name.upper()}`"
        default = parameter.default
        plain = default not in (None, False, "", ...) and "default" not in (parameter.help or "")
        note = f" Default: `{default}`." if plain and isinstance(default, str | int | float) else ""
        if parameter.name != "help":
            rows.append(f"| {shown} | {(parameter.help or '').strip()}{note} |")
    if rows:
        lines += ["| | |\n|---|---|", *rows, ""]
    return "\n".join(lines)


def main() -> int:
    """Write the page, or with ``--check`` say whether it is as it should be."""
    wanted = reference()
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
