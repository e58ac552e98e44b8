"""Ask a model: how good it is, and what it says of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.cli.against import show_left_out, show_people
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table, warn
from mintage.cli.tuning import show_language_evaluation
from mintage.core.errors import ConfigError, InputError
from mintage.core.files import write_atomic
from mintage.core.messages import Message, _
from mintage.create.words import parts_of

_SHOWN = 10


def evaluate(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Another folder, zip or table. (default: its own test data)")
    ] = None,
    label: Annotated[str, typer.Option(help="A table's column with the label.")] = "label",
    against: Annotated[
        Path | None,
        typer.Option(help="A table of people's answers, to compare the model with them."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A file for what --data measured, signed.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure a model's quality, with a 95 % interval, on data that did not train it."""
    _check_out(out, data, against)
    if against is not None:
        _against(model, against, data, label, home, as_json=as_json)
        return
    with opened(home) as app:
        if data is None and app.create.bundles.is_language(model):
            found = app.tuning.evaluation(model)
            if as_json:
                emit(found)
            else:
                show_language_evaluation(found)
            return
        measured = app.create.evaluate(model, data=data, label=label, progress=TerminalProgress())
        if out is not None:
            write_atomic(out, app.create.signed_evaluation(measured["evaluation"]).data)
    if data is None:
        say(
            _(
                "These are the figures of the model's signed evaluation, made when it was trained; "
                "--data measures it on other pictures."
            )
        )
    trained = measured.get("trained_on", [])
    if trained is None:
        warn(
            _(
                "The model's dataset is not in this workspace: whether these examples trained it "
                "is not known."
            )
        )
    elif trained:
        warn(
            _(
                "{count} of {examples} examples trained or chose this model: "
                "the figures are better than the model is. First: {path}",
                count=len(trained),
                examples=measured["examples"],
                path=trained[0],
            )
        )
    for skipped in measured.get("skipped", [])[:_SHOWN]:
        reason = Message(skipped["reason"])
        warn(_("left out {path}: {reason}", path=skipped["path"], reason=reason))
    if as_json:
        emit(measured)
    else:
        show_evaluation(measured)


def _check_out(out: Path | None, data: Path | None, against: Path | None) -> None:
    if out is not None and (data is None or against is not None):
        raise ConfigError(
            _("--out writes what --data measured, signed."),
            remedy=_("Name other pictures with --data, or leave --out out."),
        )


def show_evaluation(measured: Mapping[str, Any]) -> None:
    """Accuracy beside the majority's, each class, and the confusion matrix."""
    low, high = measured["interval"]
    line(measured_on(measured["data"]))
    line(
        _(
            "{model}: {accuracy:.1%} right of {examples:,} "
            "(95 % interval {low:.1%} to {high:.1%}); "
            "the most frequent class alone {majority_accuracy:.1%}",
            model=measured["model"],
            accuracy=measured["accuracy"],
            examples=measured["examples"],
            low=low,
            high=high,
            majority_accuracy=measured["majority_accuracy"],
        )
    )
    auc = measured["roc_auc"]
    line(
        _(
            "balanced accuracy {balanced:.1%}, ROC-AUC {auc}, calibration error "
            "{calibration_error:.3f}; {unusual} would get no label, being unlike the training data",
            balanced=measured["balanced_accuracy"],
            auc="–" if auc is None else format(auc, ".3f"),
            calibration_error=measured["calibration_error"],
            unusual=measured["unusual"],
        )
    )
    if "answered" in measured:
        line(_answered(measured))
    line()
    rows = [
        (
            label,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            *measured["confusion_matrix"][position],
        )
        for position, (label, row) in enumerate(measured["per_class"].items())
    ]
    answers = [f"→ {label}" for label in measured["labels"]]
    head = (_("class"), _("precision"), _("recall"), _("F1"), *answers)
    table(head, rows, numbers=len(head) - 1)
    line()


def _answered(measured: Mapping[str, Any]) -> Message:
    """What abstaining leaves, where the model abstains."""
    if not measured["answered"]:
        return _("It is sure enough of none of them to answer.")
    low, high = measured["answered_interval"]
    return _(
        "It answers {answered:,} of them, where it is sure enough: {accuracy:.1%} of those right "
        "(95 % interval {low:.1%} to {high:.1%})",
        answered=measured["answered"],
        accuracy=measured["answered_accuracy"],
        low=low,
        high=high,
    )


def measured_on(data: Mapping[str, Any]) -> Message:
    """Which examples a figure is of."""
    if "dataset" not in data:
        return _("measured on {name}", name=data["name"])
    name, __, version = data["dataset"].partition("#")
    part = parts_of(None)[data["split"]]
    return _(
        "measured on {name}#{version}…, {part} examples", name=name, version=version[:12], part=part
    )


def _against(
    model: str, people: Path, data: Path | None, label: str, home: Path | None, *, as_json: bool
) -> None:
    with opened(home) as app:
        measured = app.create.evaluate_against(
            model, people, data=data, label=label, progress=TerminalProgress()
        )
    show_left_out(measured)
    if as_json:
        emit(measured)
    else:
        line(measured_on(measured["data"]))
        show_people(measured)


def predict(
    model: Annotated[str, typer.Argument(help="A model: pets, pets@latest or pets@3.")],
    inputs: Annotated[list[Path], typer.Argument(help="Pictures.")],
    *,
    explain: Annotated[
        Path | None,
        typer.Option(help="A folder for drawings of what in each picture the answer depends on."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask a model, on this machine and without a server."""
    with opened(home) as app:
        answers = app.create.predict(model, inputs, explain=explain)
    if as_json:
        emit(answers)
    else:
        more = () if explain is None else (_("looked at"), _("drawing"))
        table(
            (_("input"), _("answer"), *more, _("probability")),
            [_answer_row(answer, explained=explain is not None) for answer in answers],
            numbers=1,
        )
        if explain is not None:
            say(
                _(
                    "In the drawings, hiding what is orange makes the answer less probable, hiding "
                    "what is blue more; the figures say by how much."
                )
            )
    failed = [answer for answer in answers if "error" in answer]
    if failed:
        say(_("{count} of {files} could not be read.", count=len(failed), files=len(answers)))
        raise typer.Exit(InputError.exit_status)


def _answer_row(answer: Mapping[str, Any], *, explained: bool) -> tuple[str, ...]:
    drawn = answer.get("explanation", {})
    more = (drawn.get("where") or "", drawn.get("file") or "") if explained else ()
    if "error" in answer:
        reason = Message(answer["error"]["message"])
        return answer["input"], _("not read: {reason}", reason=reason), *more, ""
    output = answer["output"]
    if output["label"] is None:
        return answer["input"], Message(output["message"]), *more, ""
    return answer["input"], output["label"], *more, f"{output['probability']:.1%}"
