"""The command line's own words in the reader's language: help texts, headings, usage errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from mintage.core.messages import _, told

HELP_OPTIONS = ["-h", "--help"]

_HEADINGS = {
    "ARGUMENTS_PANEL_TITLE": _("Arguments"),
    "OPTIONS_PANEL_TITLE": _("Options"),
    "COMMANDS_PANEL_TITLE": _("Commands"),
    "DEFAULT_STRING": _("[default: {}]"),
    "REQUIRED_LONG_STRING": _("[required]"),
}
"""What Typer prints around our texts, by the names of its constants."""
_TEXT = "_make_rich_text"
"""What Typer makes a help text with."""

# What Typer says of an option or argument that is not as it should be: it gives us the sentence,
# and `told` finds the translation by these templates.
_(" (Possible options: {options})")
_("No such option: {option}")
_("No such option: {option} Did you mean {other}?")
_("No such option: {option} (Possible options: {options})")
_("No such command {name}.")
_("No such command {name}. Did you mean {other}?")
_("Missing command.")
_("Missing argument {name}.")
_("Missing argument {name}. Choose from: {choices}")
_("Missing option {name}.")
_("Invalid value for {name}: {reason}")
_("{text} is not a valid integer.")
_("{text} is not a valid float.")
_("{text} is not in the range {range}.")
_("{text} is not one of {choices}.")
_("Option {name} requires an argument.")
_("Option {name} does not take a value.")
_("Got unexpected extra argument ({arguments})")
_("Got unexpected extra argument(s) ({arguments})")
_("Got unexpected extra arguments ({arguments})")
_("Value error, {reason}")
_("Input should be a valid integer, unable to parse string as an integer")
_("Input should be a valid number, unable to parse string as a number")
_("Input should be a finite number")
_("Input should be greater than or equal to {least}")
_("Input should be less than or equal to {most}")
_("Input should be {choices}")


def localise(command: Any) -> None:
    """Say a command tree's help in the current language."""
    typer.Context.formatter_class = _Formatter
    _localise(command)


class _Formatter(typer.Context.formatter_class):  # type: ignore[misc, valid-type]
    """Typer's own, with our word before the usage."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or told(_("Usage: ")))


def _under_our_headings(format_help: Callable[..., None]) -> Callable[..., None]:
    def formatted(*given: Any) -> None:
        from typer import rich_utils  # noqa: PLC0415 - a tenth of a command's start, for help alone

        for name, heading in _HEADINGS.items():
            setattr(rich_utils, name, told(heading))
        made = getattr(rich_utils, _TEXT)
        setattr(rich_utils, _TEXT, partial(_folded, made))
        try:
            format_help(*given)
        finally:
            setattr(rich_utils, _TEXT, made)

    return formatted


def _folded(made: Callable[..., Any], **given: Any) -> Any:
    """A help text, broken over lines: Chinese has no spaces, and would be cut at the first."""
    text = made(**given)
    text.overflow = "fold"
    return text


def _in_one_line(text: str) -> str:
    """Each paragraph without the line ends that it has in the source."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def _localise(command: Any) -> None:
    command.format_help = _under_our_headings(command.format_help)
    command.help = _in_one_line(told(command.help or ""))
    help_option = command.get_help_option(typer.Context(command, help_option_names=HELP_OPTIONS))
    help_option.help = told(_("Show this message and exit."))
    for parameter in command.params:
        parameter.help = told(parameter.help or "")
    for nested in getattr(command, "commands", {}).values():
        _localise(nested)
