"""The entry point: the panels of verbs, and errors as a person can read them."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from mintage.cli.help import HELP_OPTIONS, localise
from mintage.cli.output import emit, say, shown, stderr
from mintage.core.errors import Bug, ConfigError, MintageError
from mintage.core.ids import new_id
from mintage.core.messages import Message, _, told
from mintage.core.redaction import without_keys
from mintage.core.version import __version__

CREATE, DELIVER = "Create 创造", "Deliver 传递"
CAPTURE, TRUST = "Capture 获取收入", "Trust 信任"
WORKSPACE = "Workspace 工作区"
_HELP = _("See: mintage --help, or mintage VERB --help.")

_VERBS = {
    CREATE: {
        "get": "get:get",
        "label": "label:label",
        "collect": "collecting:collect",
        "feedback": "feedback:feedback",
        "inspect": "collecting:inspect",
        "diff": "comparing:diff",
        "recipe": "recipe:recipe",
        "train": "create:train",
        "evaluate": "evaluating:evaluate",
        "report": "create:report",
        "compare": "comparing:compare",
        "demo": "demo:demo",
    },
    DELIVER: {
        "predict": "evaluating:predict",
        "score": "score:score",
        "export": "moving:export",
        "import": "moving:import_model",
        "publish": "deliver:publish",
        "rollback": "deliver:rollback",
        "products": "deliver:products",
        "product": "products:product",
        "serve": "deliver:serve",
    },
    CAPTURE: {
        "customer": "capture:customer",
        "key": "capture:key",
        "operator": "operators:operator",
        "plan": "plans:plan",
        "invoice": "invoices:invoice",
        "credit": "credits:credit",
        "ledger": "ledger:ledger",
        "webhook": "webhooks:webhook",
        "economics": "economy:economics",
        "usage": "capture:usage",
        "receipt": "capture:receipt",
    },
    TRUST: {
        "verify": "verifying:verify",
        "public-key": "trust:public_key",
        "signing-key": "signing_keys:signing_key",
        "trust": "trust:trust_keys",
        "audit": "audit:audit",
        "seal": "sealing:seal",
        "erase": "sealing:erase",
        "deidentify": "deidentify:deidentify",
    },
    WORKSPACE: {
        "init": "sealing:init",
        "list": "housekeeping:list_all",
        "show": "show:show",
        "remove": "housekeeping:remove",
        "gc": "housekeeping:gc",
        "backup": "backup:backup",
        "restore": "backup:restore",
        "doctor": "doctor:doctor",
    },
}
"""Each panel's verbs, and the module of this package and the name where each is."""


def command_line(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command with the verb that is asked for, or with all where none of them is.

    Each loads what it needs; to load all of them takes longer than most of them do.
    """
    cli = typer.Typer(
        name="mintage",
        help="Turn labelled data into a model that a business can sell. "
        "把标注数据铸成可以出售的模型。",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_OPTIONS},
        callback=options,
    )
    every = {verb: where for verbs in _VERBS.values() for verb, where in verbs.items()}
    asked = next((each for each in arguments if not each.startswith("-")), None)
    for panel, verbs in _VERBS.items():
        for name, where in verbs.items():
            if asked in every and asked != name:
                continue
            module, __, attribute = where.partition(":")
            verb = getattr(import_module(f"mintage.cli.{module}"), attribute)
            if isinstance(verb, typer.Typer):
                cli.add_typer(verb, name=name, rich_help_panel=panel)
            else:
                cli.command(name, rich_help_panel=panel)(verb)
    return cli


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"mintage {__version__}\n")
        raise typer.Exit


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter of a file's name shows its number instead.
            stream.reconfigure(errors="backslashreplace")
    try:
        command = typer.main.get_command(command_line(sys.argv[1:]))
        localise(command)
        status = command(standalone_mode=False)
    except TyperException as error:  # an option or argument that is not as it should be
        message = error.format_message()  # none where the help was shown for want of a verb
        status = 2
        if message:
            _explain(ConfigError(Message(message), remedy=_HELP), as_json=as_json)
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
        trace = "".join(traceback.format_exception(error))
        stderr.print(escape(without_keys(shown(trace))))
    if as_json:
        described = {
            "code": error.code,
            "message": without_keys(error.message),
            "remedy": without_keys(error.remedy),
        }
        emit({"error": described})
    message, remedy = (without_keys(shown(text)) for text in (error.message, error.remedy))
    stderr.print("[bold red]" + told(_("error: ")) + f"[/]{escape(message)}")
    if remedy:
        stderr.print(escape(remedy))
    return error.exit_status
