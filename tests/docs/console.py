"""The commands of the documents, run for real.

A fenced ``console`` block holds commands (``$ …``, continued by a backslash) and, below each, lines
that it must print, in this order; ``…`` stands for anything. A comment right above the block says
what is special:

- ``<!-- exit: 2 -->``: the block's last command ends with this status (else 0).
- ``<!-- server -->``: a server runs at the addresses of the defaults, over the folder's workspace.
- ``<!-- not run: why -->``: it cannot be run in a test.

The ``python`` blocks of a page are one program, in their order; below the last may stand, in a
``text`` block, the lines that it prints.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mintage.cli.main import command_line

_PROGRAM = re.compile(
    r"^((?:<!--[^\n]*-->\n)*)```(python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
_BLOCK = re.compile(r"^((?:<!--[^\n]*-->\n)*)( *)```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One command, and the lines that it prints."""

    command: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One block, and the heading that it stands under."""

    page: Path
    heading: str
    steps: tuple[Step, ...]
    marks: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.page.name}: {self.heading}"

    @property
    def status(self) -> int:
        return int(self.marks.get("exit", "0"))

    @property
    def commands(self) -> list[str]:
        return [step.command for step in self.steps]


def blocks(page: Path) -> list[Block]:
    """Every console block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)
        marks = dict(re.findall(r"<!-- ([\w ]+?)(?:: (.*?))? -->", match[1]))
        found.append(Block(page, headings[-1], _steps(match[3]), marks))
    return found


@dataclass(frozen=True)
class Program:
    """The Python of a page, the lines that it prints, and whether it needs a server."""

    code: str
    lines: tuple[str, ...]
    served: bool


def program(page: Path) -> Program:
    """What a page's Python blocks are together; empty where it has none, or says why not."""
    found = _PROGRAM.findall(page.read_text(encoding="utf-8"))
    found = [each for each in found if not re.search(r"<!-- not run: \S", each[0])]
    return Program(
        "\n".join(text for __, kind, text in found if kind == "python"),
        tuple(line for __, kind, text in found if kind == "text" for line in text.splitlines()),
        any("server" in marks for marks, kind, __ in found if kind == "python"),
    )


def _steps(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    continued = False
    for line in map(str.strip, text.splitlines()):
        if continued:
            steps[-1] = Step(f"{steps[-1].command}\n{line}", ())
        elif line.startswith("$ "):
            steps.append(Step(line[2:], ()))
        elif line:
            steps[-1] = Step(steps[-1].command, (*steps[-1].lines, line))
        continued = line.endswith("\\")
    return tuple(steps)


def mintage_words(command: str) -> list[list[str]]:
    """The words after each ``mintage`` that stands where a command does, or our alias for it."""
    plain = re.sub(r"\s#.*", "", command.replace("\\\n", " "))
    called = r"(?:^|&&|[|;(]|\bMINTAGE_\w+=\S+)\s*(?:as_)?mintage ([^|;&>)\n]*)"
    return [found.split() for found in re.findall(called, plain)]


def unknown(words: list[str]) -> str:
    """The verb or option among the words that the command line does not have, or ''."""
    import typer.main

    command = typer.main.get_command(command_line())
    at = 0
    while at < len(words) and hasattr(command, "commands") and not words[at].startswith("-"):
        if words[at] not in command.commands:
            return words[at]
        command = command.commands[words[at]]
        at += 1
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in words[at:]:
        if word.startswith("--") and word.partition("=")[0] not in options:
            return f"{words[0]} {word}"
    return ""


class Shell:
    """Bash in a folder, where ``mintage`` is the one under test."""

    def __init__(self, folder: Path, tools: Path, language: str) -> None:
        tools.mkdir(exist_ok=True)
        program = tools / "mintage"
        if not program.exists():
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mintage "$@"\n')
            program.chmod(0o755)
        self.folder = folder
        path = f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {
            "PATH": path,
            "MINTAGE_LANG": language,
            "MINTAGE_THREADS": "1",
            "COLUMNS": "200",
            "PYTHONUTF8": "1",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, block: Block, addresses: Mapping[str, str] | None = None) -> None:
        """Run a block's commands in one shell, and hold what it prints against what it says."""
        for number, step in enumerate(block.steps, 1):
            command = step.command
            for default, actual in (addresses or {}).items():
                command = command.replace(default, actual)
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=240,
                check=False,
            )
            wanted = block.status if number == len(block.steps) else 0
            assert done.returncode == wanted, f"{command}\n{done.stdout}"
            _assert_lines(step.lines, done.stdout, command)

    def run_python(self, program: Program, addresses: Mapping[str, str]) -> None:
        """Run a page's Python, and hold what it prints against what the page says."""
        code = program.code
        for default, actual in addresses.items():
            code = code.replace(default, actual)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        _assert_lines(program.lines, done.stdout, "the page's Python")

    @contextlib.contextmanager
    def server(self) -> Iterator[dict[str, str]]:
        """``mintage serve`` over the folder's workspace; the addresses that stand for defaults."""
        process = subprocess.Popen(
            ["mintage", "serve", "--port", "0", "--operator-port", "0"],
            cwd=self.folder,
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for __ in range(2)]
            customers, operator = (_address(line) for line in said)
            yield {"http://127.0.0.1:8000": customers, "http://127.0.0.1:8001": operator}
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def _address(line: str) -> str:
    found = re.search(r"http://[\d.]+:\d+", line)
    assert found, line
    return found.group()


def _assert_lines(expected: tuple[str, ...], printed: str, command: str) -> None:
    lines = [_plain(line) for line in printed.splitlines()]
    at = 0
    for wanted in expected:
        parts = map(re.escape, _plain(wanted).split("…"))
        pattern = re.compile(".*".join(parts))
        while at < len(lines) and not pattern.fullmatch(lines[at]):
            at += 1
        assert at < len(lines), f"{command}\ndoes not print: {wanted}\n{printed}"
        at += 1


def _plain(line: str) -> str:
    """A line without what only spaces it: columns, and the gap after a full-width colon."""
    return " ".join(line.split()).replace("： ", "：")
