"""The entry point: the four panels of verbs, and errors as a person can read them."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from mintage.cli import capture, create, deliver, trust
from mintage.cli.demo import demo
from mintage.cli.output import emit, say, stderr
from mintage.core.errors import Bug, ConfigError, MintageError
from mintage.core.ids import new_id
from mintage.core.messages import _, told
from mintage.core.version import __version__

CREATE, DELIVER = "Create 创造", "Deliver 传递"
CAPTURE, TRUST = "Capture 获取收入", "Trust 信任"
_HELP = "See: mintage --help, or mintage VERB --help."

cli = typer.Typer(
    name="mintage",
    help="Turn labelled data into a model that a business can sell. 把标注数据铸成可以出售的模型。",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_CREATING = (create.collect, create.inspect, create.train, create.evaluate, create.report, demo)
_DELIVERING = (create.predict, deliver.publish, deliver.products, deliver.serve)
_VERBS: list[tuple[str, Callable[..., None]]] = [
    *((CREATE, verb) for verb in _CREATING),
    *((DELIVER, verb) for verb in _DELIVERING),
]
for _panel, _verb in _VERBS:
    cli.command(rich_help_panel=_panel)(_verb)
cli.add_typer(capture.customer, name="customer", rich_help_panel=CAPTURE)
cli.add_typer(capture.key, name="key", rich_help_panel=CAPTURE)
cli.command(rich_help_panel=CAPTURE)(capture.usage)
cli.command(rich_help_panel=CAPTURE)(capture.receipt)
cli.command(rich_help_panel=TRUST)(trust.verify)
cli.command("public-key", rich_help_panel=TRUST)(trust.public_key)
cli.command(rich_help_panel=TRUST)(trust.log)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"mintage {__version__}\n")
        raise typer.Exit


@cli.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the verb."""
    del version
    os.environ["MINTAGE_DEBUG"] = "1" if debug else ""


def run() -> NoReturn:
    """What the command ``mintage`` does; exits with the status of the error tree."""
    # Damaged metadata of a whole picture is no news to a user; we check what matters ourselves.
    warnings.filterwarnings("ignore", module="PIL")
    as_json = "--json" in sys.argv
    try:
        status = cli(standalone_mode=False)
    except TyperException as error:  # an option or argument that is not as it should be
        message = error.format_message()  # none where the help was shown for want of a verb
        status = 2
        if message:
            _explain(ConfigError(message, remedy=_HELP), as_json=as_json)
    except typer.Abort:
        status = 130
    except KeyboardInterrupt:
        say(_("Interrupted."))
        status = 130
    except MintageError as error:
        status = _explain(error, as_json=as_json)
    except BrokenPipeError:
        # Whoever read our output has gone; the rest has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:  # noqa: BLE001 - the last place where the unforeseen can be told
        status = _explain(_unforeseen(error), as_json=as_json)
    sys.exit(status if isinstance(status, int) else 0)


def _unforeseen(error: Exception) -> Bug:
    incident = new_id("incident")
    bug = Bug(
        _(
            "Something unforeseen went wrong ({name}: {error}); incident {incident}.",
            name=type(error).__name__,
            error=error,
            incident=incident,
        ),
        remedy=_("Run it again with `mintage --debug …` and report what it shows."),
    )
    bug.__cause__ = error
    return bug


def _explain(error: MintageError, *, as_json: bool) -> int:
    if os.environ.get("MINTAGE_DEBUG"):
        stderr.print(escape("".join(traceback.format_exception(error))))
    if as_json:
        described = {
            "code": error.code,
            "message": told(error.message),
            "remedy": told(error.remedy),
        }
        emit({"error": described})
    stderr.print(f"[bold red]{told(_('error:'))}[/] {escape(told(error.message))}")
    if error.remedy:
        stderr.print(escape(told(error.remedy)))
    return error.exit_status
