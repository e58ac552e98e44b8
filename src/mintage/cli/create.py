"""Create: train and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintage.app.reporting import CARD
from mintage.cli import tuning
from mintage.cli.evaluating import show_evaluation
from mintage.cli.interrupt import orderly_interrupt
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table
from mintage.core.errors import ConfigError, RequestError
from mintage.core.files import read_whole, write_atomic
from mintage.core.machine import process_age_seconds
from mintage.core.messages import Message, _
from mintage.core.units import format_duration, parse_duration, parse_share
from mintage.create.cures import help_in_words, name_of
from mintage.create.language.collect import TASK as LANGUAGE
from mintage.create.words import (
    BALANCED,
    BALANCED_CHOSE,
    gap_in_words,
    no_better_in_words,
    points_between,
    promise_in_words,
    skipped_in_words,
)

if TYPE_CHECKING:
    from mintage.app.root import App
    from mintage.create.language.run import LanguageResult

CLASS = "class"
_SHOWN = 10
_WIDE = 0.15


def train(
    dataset: Annotated[
        str | None, typer.Argument(help="A dataset: pets, or pets#1f9c. (not with --resume)")
    ] = None,
    *,
    time: Annotated[
        str | None,
        typer.Option(help="From now to the signed model: 90s, 5m, 2h. (default: by epochs)"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data. (default: by its size)")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="auto, seed-cnn, compact, hub:FOLDER, several with commas, or a recipe file."
        ),
    ] = "auto",
    search: Annotated[
        bool | None,
        typer.Option(
            "--search/--no-search",
            help="Find the best candidate by successive halving. (default: from 15 minutes on)",
        ),
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="cross_entropy (the default) or squared_error.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides every random choice. (default: 0)")
    ] = None,
    drop_suspect: Annotated[
        bool, typer.Option("--drop-suspect", help="Leave out examples with a doubtful label.")
    ] = False,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Try each cure against overfitting by itself as well.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise the graph, if it stays as accurate.")
    ] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave the report to mintage report.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(help="class, or text for a language model. (default: by the dataset)"),
    ] = None,
    sure: Annotated[
        str | None,
        typer.Option(help="Answer only where it is right this often, such as 98%."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name. (default: dataset's)")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was interrupted.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train, evaluate, choose the best candidate and sign it as a bundle.

    Ctrl-C once stops training, then evaluates and signs what there is; twice leaves at once, and
    --resume goes on from the last whole epoch.
    """
    seconds = None if time is None else parse_duration(time)
    with opened(home) as app, orderly_interrupt() as interrupt:
        followed: dict[str, Any] = {
            "started": app.workspace.clock.monotonic() - process_age_seconds(),
            "progress": TerminalProgress(),
            "should_stop": interrupt,
        }
        if resume is not None:
            others = (dataset, time, epochs, search, loss, seed, sure, name, task)
            if any(each is not None for each in others) or any(
                (drop_suspect, ablate, int8, no_report)
            ):
                raise ConfigError(_("A run is resumed as it was begun: --resume RUN goes alone."))
            row = app.create.run_row(resume)
            if app.tuning.is_run(row["id"]):
                _show_tuned(app.tuning.resume(row, **followed), as_json=as_json)
                return
            result = app.create.resume(resume, **followed)
        elif dataset is None:
            raise ConfigError(
                _("Name a dataset, or a run with --resume."), remedy=_("See: mintage list")
            )
        elif _is_language(app, dataset, task):
            tuning.check_options(
                {"search": search, "loss": loss, "drop-suspect": drop_suspect, "ablate": ablate}
                | {"int8": int8, "sure": sure}
            )
            tuned = app.tuning.train(
                dataset,
                recipe=recipe,
                seconds=seconds,
                epochs=epochs,
                seed=seed,
                report=not no_report,
                model=name,
                **followed,
            )
            _show_tuned(tuned, as_json=as_json)
            return
        else:
            result = app.create.train(
                dataset,
                recipe=recipe,
                seconds=seconds,
                epochs=epochs,
                seed=seed,
                loss=loss,
                search=search,
                drop_suspect=drop_suspect,
                int8=int8,
                sure=None if sure is None else parse_share(sure),
                ablate=ablate,
                report=not no_report,
                model=name,
                **followed,
            )
    if as_json:
        emit(result.to_json())
        return
    show_run(result.record)
    say(_next(result.record))


def _is_language(app: App, dataset: str, task: str | None) -> bool:
    """Whether a language model is trained: what the task says has to be what the data holds.

    Raises:
        ConfigError: no such task, or data of another one.
    """
    try:
        holds = app.create.dataset(dataset).card["task"]
    except RequestError:  # said once what trains is there
        return task == LANGUAGE
    if task is not None and task not in (LANGUAGE, CLASS):
        raise ConfigError(
            _("No task is called {task!r}.", task=task),
            remedy=_("There are: {names}.", names=f"{CLASS}, {LANGUAGE}"),
        )
    if task is not None and task != holds:
        raise ConfigError(
            _(
                "{dataset} is for the task {holds}, not {task}.",
                dataset=dataset,
                holds=holds,
                task=task,
            ),
            remedy=_("Leave --task out, or collect the data again."),
        )
    return bool(holds == LANGUAGE)


def _show_tuned(result: LanguageResult, *, as_json: bool) -> None:
    if as_json:
        emit(result.to_json())
    else:
        tuning.show_tuned(result.record)


def _next(record: Mapping[str, Any]) -> Message:
    """To sell it, unless it is no better than whoever always says the same."""
    if no_better_in_words(record["evaluation"]) is not None:
        return _(
            "It is not better than always answering the most frequent class. Next: more pictures "
            "or more time, such as mintage train {dataset} --time 5m",
            dataset=record["data"]["dataset"],
        )
    return _(
        "Next: mintage predict {model} PICTURE, or mintage publish {model} --product {product}",
        model=record["model"],
        product=record["model"].partition("@")[0],
    )


def show_run(record: Mapping[str, Any]) -> None:
    """Both candidates with their gap, which was kept and why, and the test's result."""
    rows = []
    balanced = record["chosen_by"] == "balanced_accuracy"
    for candidate in record["candidates"]:
        train_accuracy = candidate["train_accuracy"]
        validation = candidate["validation_accuracy"]
        name = candidate["name"]
        rows.append(
            (
                _("{name} (kept)", name=name) if name == record["candidate"] else name,
                f"{train_accuracy:.1%}",
                f"{validation:.1%}",
                *((f"{candidate['score']:.1%}",) if balanced else ()),
                _(
                    "{gap:+.1f} points",
                    gap=points_between(train_accuracy, validation),
                ),
                candidate["epochs"],
                format_duration(candidate["seconds"]),
            )
        )
    chose = (BALANCED,) if balanced else ()
    head = _("candidate"), _("training"), _("validation"), *chose, _("gap"), _("epochs"), _("time")
    table(head, rows, numbers=len(head) - 1)
    line(Message(record["why_kept"]))
    if balanced:
        line(BALANCED_CHOSE)
    _show_search(record)
    if record["interrupted"]:
        line(_("Training was interrupted; this is what it had learned by then."))
    kept = next(c for c in record["candidates"] if c["name"] == record["candidate"])
    line(_("It {gap}.", gap=gap_in_words(kept)))
    if record["ablation"]:
        _show_ablation(record["ablation"], balanced=balanced)
    low, high = record["evaluation"]["interval"]
    if high - low > _WIDE:
        line(_("Few examples: the interval is wide. More pictures help most, then more time."))
    line()
    show_evaluation({"model": record["model"], **record["evaluation"]})
    broken = promise_in_words(kept, record["evaluation"])
    if broken is not None:
        line(broken)
        line()
    line(_("bundle  {bundle}", bundle=record["bundle"]))
    if record["report"] is None:
        line(_("report  none yet: mintage report {model}", model=record["model"]))
    else:
        line(_("report  {report}", report=record["report"]))


def _show_search(record: Mapping[str, Any]) -> None:
    """What each round of a search reached, and how mirror images were judged."""
    if record["search"]:
        measure = BALANCED if record["chosen_by"] == "balanced_accuracy" else _("validation")
        line()
        table(
            (_("round"), _("candidate"), "", measure, _("loss"), _("epochs"), _("time")),
            [
                (
                    each["round"],
                    each["name"],
                    _("goes on") if each["kept"] else "",
                    f"{each['score']:.1%}",
                    f"{each['validation_loss']:.3f}",
                    each["epochs"],
                    format_duration(each["seconds"]),
                )
                for each in record["search"]
            ],
            numbers=4,
        )
    for each in skipped_in_words(record["skipped"]):
        line(_("Skipped {each}", each=each))
    if record["flips"]:
        why = Message(record["flips"]["because"])
        line(_("Mirror images were tried on validation data: {because}.", because=why))


def _show_ablation(rows: Sequence[Mapping[str, Any]], *, balanced: bool) -> None:
    """Cure → training, validation, gap; where classes are uneven also the measure that judges."""
    line()
    judged = (BALANCED,) if balanced else ()
    figures = (_("training"), _("validation"), *judged, _("gap"), _("epochs"))
    table(
        (_("cure"), _("in words"), *figures),
        [
            (
                name_of(each["cure"]),
                help_in_words(each),
                f"{each['train_accuracy']:.1%}",
                f"{each['validation_accuracy']:.1%}",
                *((f"{each['score']:.1%}",) if balanced else ()),
                _(
                    "{gap:+.1f} points",
                    gap=points_between(each["train_accuracy"], each["validation_accuracy"]),
                ),
                each["epochs"],
            )
            for each in rows
        ],
        numbers=len(figures),
    )


def report(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, unsealed, instead.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the report of a model's training: one HTML file, readable offline."""
    with opened(home) as app:
        if app.create.bundles.is_language(model):
            path, card = app.tuning.report(model), app.tuning.card(model)
        else:
            path = app.create.report(model, progress=TerminalProgress())
            card = path.with_name(CARD)
        if out is not None:
            write_atomic(out, read_whole(path))
            path = out
    if as_json:
        emit({"model": model, "report": str(path), "card": str(card)})
    else:
        line(str(path))
