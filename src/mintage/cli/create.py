"""Create: train and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mintage.cli.evaluating import show_evaluation
from mintage.cli.interrupt import orderly_interrupt
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table
from mintage.core.machine import process_age_seconds
from mintage.core.messages import Message, _
from mintage.core.units import format_duration, parse_duration
from mintage.create.words import gap_in_words

_SHOWN = 10
_WIDE = 0.15


def train(
    dataset: Annotated[str, typer.Argument(help="A dataset: pets, or pets#1f9c.")],
    *,
    time: Annotated[
        str | None,
        typer.Option(help="From now to the signed model: 90s, 5m, 2h. (default: by epochs)"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data. (default: by its size)")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="auto, seed-cnn, compact, several with commas, or a recipe.json.")
    ] = "auto",
    loss: Annotated[
        str | None, typer.Option(help="cross_entropy (the default) or squared_error.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides every random choice. (default: 0)")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name. (default: dataset's)")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train, evaluate, choose the best candidate and sign it as a bundle.

    Ctrl-C once stops training, then evaluates and signs what there is; twice leaves at once.
    """
    seconds = None if time is None else parse_duration(time)
    with opened(home) as app, orderly_interrupt() as interrupt:
        result = app.create.train(
            dataset,
            recipe=recipe,
            seconds=seconds,
            epochs=epochs,
            seed=seed,
            loss=loss,
            model=name,
            started=app.workspace.clock.monotonic() - process_age_seconds(),
            progress=TerminalProgress(),
            should_stop=interrupt,
        )
    if as_json:
        emit(result.to_json())
        return
    show_run(result.record)
    say(
        _(
            "Next: mintage predict {model}@{version} PICTURE, "
            "or mintage publish {model}@{version} --product {model}",
            model=result.model,
            version=result.version,
        )
    )


def show_run(record: Mapping[str, Any]) -> None:
    """Both candidates with their gap, which was kept and why, and the test's result."""
    rows = []
    for candidate in record["candidates"]:
        train_accuracy = candidate["train_accuracy"]
        validation = candidate["validation_accuracy"]
        name = candidate["name"]
        rows.append(
            (
                _("{name} (kept)", name=name) if name == record["candidate"] else name,
                f"{train_accuracy:.1%}",
                f"{validation:.1%}",
                _(
                    "{gap:+.1f} points",
                    gap=round(100 * (train_accuracy - validation), 1) + 0.0,
                ),
                candidate["epochs"],
                format_duration(candidate["seconds"]),
            )
        )
    table(
        (_("candidate"), _("training"), _("validation"), _("gap"), _("epochs"), _("time")),
        rows,
        numbers=5,
    )
    line(Message(record["why_kept"]))
    if record["interrupted"]:
        line(_("Training was interrupted; this is what it had learned by then."))
    kept = next(c for c in record["candidates"] if c["name"] == record["candidate"])
    line(
        _(
            "It {gap}.",
            gap=gap_in_words(kept["train_accuracy"], kept["validation_accuracy"]),
        )
    )
    low, high = record["evaluation"]["interval"]
    if high - low > _WIDE:
        line(_("Few examples: the interval is wide. More pictures help most, then more time."))
    line()
    show_evaluation({"model": record["model"], **record["evaluation"]})
    line(_("bundle  {bundle}", bundle=record["bundle"]))
    line(_("report  {report}", report=record["report"]))


def report(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the report of a model's training: one HTML file, readable offline."""
    with opened(home) as app:
        path = app.create.report(model)
    if as_json:
        emit({"model": model, "report": str(path)})
    else:
        line(str(path))
