"""Create: collect, inspect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.collecting import check_target
from mintage.cli import tuning
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say, table, warn
from mintage.core.errors import ConfigError
from mintage.core.machine import process_age_seconds
from mintage.core.messages import Message, _
from mintage.core.units import format_duration, parse_duration
from mintage.create.collect import Origin
from mintage.create.dataset import Dataset
from mintage.create.diff import difference
from mintage.create.language.collect import TASK, holds_conversations
from mintage.create.words import parts_of
from mintage.trust.deidentify.detectors import kinds_of

_SURE = 0.85  # of all labels, in agreement with networks that learned without them
_SHOWN = 10


def collect(
    path: Annotated[
        str,
        typer.Argument(
            help="A folder of class folders, a zip of one, a table (CSV, TSV, XLSX, JSONL), a "
            "zip's https:// address, or a JSONL of conversations."
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="The name of a new dataset.")
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="A dataset to add to: pets, or pets#1f9c.")
    ] = None,
    label: Annotated[str, typer.Option(help="A table's column with the label.")] = "label",
    keep_columns: Annotated[
        str,
        typer.Option(help="Further columns of a table to keep, for the report: camera,site."),
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Decides which examples are held out. (default: 0)")
    ] = None,
    licence: Annotated[str, typer.Option(help="The licence of the data, for its card.")] = "",
    consent: Annotated[str, typer.Option(help="Who consented to what, for its card.")] = "",
    origin: Annotated[str, typer.Option(help="Where the data comes from, for its card.")] = "",
    deidentify: Annotated[
        str | None,
        typer.Option(
            "--deidentify",
            help="Personal data that is replaced in conversations before they are kept: all, or "
            "some of email,phone,card,iban,id,uscc,plate,passport,ssn,ip.",
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Read labelled examples into an immutable, signed dataset, or add them to one (--into)."""
    check_target(name, into)
    if into and seed is not None:
        raise ConfigError(
            _("A dataset keeps the seed that it was collected with."),
            remedy=_("Leave --seed out."),
        )
    said, before = Origin(licence, consent, origin), None
    columns = [each.strip() for each in keep_columns.split(",") if each.strip()]
    if not into and holds_conversations(Path(path)):
        tuning.check_options({"keep-columns": keep_columns, "label": label != "label"})
        kinds = () if deidentify is None else kinds_of(deidentify)
        _collect_conversations(
            Path(path), name or "", said, strict, seed, kinds, home, as_json=as_json
        )
        return
    if deidentify is not None:
        raise ConfigError(
            _("--deidentify is for conversations."),
            remedy=_("Of a picture nothing but its pixels is kept anyway. Leave it out."),
        )
    with opened(home, make=not into) as app:
        if into:
            growth = app.create.grow(
                path,
                into,
                label=label,
                strict=strict,
                about=said,
                columns=columns,
                progress=TerminalProgress(),
            )
            found = {**app.create.inspect(growth.dataset.reference), **growth.quality}
            change = difference(growth.before, growth.dataset)
        else:
            before = app.create.newest(name or "")
            kept = app.create.collect(
                path,
                name or "",
                label=label,
                strict=strict,
                seed=seed or 0,
                about=said,
                columns=columns,
                progress=TerminalProgress(),
            )
            found, change = app.create.inspect(kept.reference), None
    if as_json:
        emit(collected_json(found, change))
        return
    if change:
        show_change(change)
        _say_what_holds(found["about"], said)
    _show_dataset(found)
    _say_what_it_meant(before, found["version"])
    _warn_of_unsaid(found["about"])
    say(_("Next: mintage train {name} --time 5m", name=found["dataset"]))


def _collect_conversations(
    path: Path,
    name: str,
    said: Origin,
    strict: bool,
    seed: int | None,
    kinds: Sequence[str],
    home: Path | None,
    *,
    as_json: bool,
) -> None:
    with opened(home, make=True) as app:
        before = app.create.newest(name)
        kept = app.tuning.collect(
            path,
            name,
            strict=strict,
            seed=seed or 0,
            about=said,
            deidentify=kinds,
            progress=TerminalProgress(),
        )
        found = app.create.inspect(kept.reference)
    if as_json:
        emit(tuning.collected_json(found))
        return
    tuning.show_conversations(found)
    _say_what_it_meant(before, found["version"])
    _warn_of_unsaid(found["about"])
    say(_("Next: mintage train {name} --recipe hub:FOLDER --time 1h", name=found["dataset"]))


def _say_what_it_meant(before: Dataset | None, version: str) -> None:
    if before is not None and before.version != version:
        say(
            _(
                "{name} means this version from now on; before, it was {name}#{version}.",
                name=before.name,
                version=before.version[:12],
            )
        )


def _warn_of_unsaid(about: Mapping[str, str]) -> None:
    unsaid = [key for key, text in about.items() if not text]
    if unsaid:
        warn(
            _(
                "Not stated of the data: {unsaid}; whoever sells a model made of it will "
                "be asked. Collect again with {options}.",
                unsaid=", ".join(unsaid),
                options=" ".join(f"--{each} TEXT" for each in unsaid),
            )
        )


def _say_what_holds(about: Mapping[str, str], given: Origin) -> None:
    """A card that speaks for new examples as it did for the old ones, without being asked."""
    stated = [key for key, text in about.items() if text and not getattr(given, key)]
    if stated:
        warn(
            _(
                "What the dataset states stands for the new examples too: {stated}. If it is not "
                "so, collect them under another name.",
                stated=", ".join(f"{key} {about[key]!r}" for key in stated),
            )
        )


def collected_json(found: Mapping[str, Any], change: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``--json`` says; findings are those of the source that was read just now."""
    keys = ("dataset", "version", "examples", "skipped", "duplicates", "conflicts")
    more = ("near_duplicates", "hidden", "stray")
    counts = {name: sum(splits.values()) for name, splits in found["classes"].items()}
    document = {key: found[key] for key in (*keys, *more)} | {"classes": counts}
    if change is None:
        return document
    return document | {
        "grown_from": change["before"].partition("#")[2],
        "added": change["added"],
        "removed": change["removed"],
        "new_classes": _new_classes(change),
    }


def _new_classes(change: Mapping[str, Any]) -> list[str]:
    return [label for label, counts in change["classes"].items() if not counts["before"]]


def show_change(change: Mapping[str, Any]) -> None:
    """What growing did, in a few lines."""
    name, __, version = change["before"].partition("#")
    if change["before"] == change["after"]:
        line(_("Nothing new: {name}#{version} stays as it is.", name=name, version=version[:12]))
        line()
        return
    line(
        _(
            "{added:,} examples added to {name}#{version}",
            added=len(change["added"]),
            name=name,
            version=version[:12],
        )
    )
    if change["removed"]:
        line(
            _(
                "{removed:,} taken out: the same picture came with another label",
                removed=len(change["removed"]),
            )
        )
    if new := _new_classes(change):
        line(_("New classes: {names}", names=", ".join(new)))
    if change["moved"]:
        line(
            _(
                "There are enough examples for a validation split now: {moved:,} from the first "
                "fold make it, and folds choose no more.",
                moved=len(change["moved"]),
            )
        )
    line()


def inspect(
    dataset: Annotated[str, typer.Argument(help="A dataset: pets, or pets#1f9c.")],
    *,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Train nothing: wrong labels and outliers are left out."),
    ] = False,
    time: Annotated[
        str | None,
        typer.Option(help="The most that looking for them may take: 90s, 5m. (default: by size)"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what is in a dataset and what is wrong with it: labels, outliers, leaks, small classes.

    Wrong labels and outliers are found by training small networks; what they found is kept, so
    that a second time takes none; where they could not tell, they are asked anew.
    """
    seconds = None if time is None else parse_duration(time)
    if quick and seconds is not None:
        raise ConfigError(
            _("--quick trains nothing, so --time has nothing to bound."),
            remedy=_("Leave one of the two out."),
        )
    with opened(home) as app:
        if app.create.dataset(dataset).card["task"] == TASK:
            tuning.check_options({"quick": quick, "time": time})
        found = app.create.inspect(
            dataset,
            look="pictures" if quick else "labels",
            seconds=seconds,
            spent=process_age_seconds(),
            threads=app.create.threads,
            progress=TerminalProgress(),
        )
    if as_json:
        emit(found)
    elif found["task"] == TASK:
        tuning.show_conversations(found)
    else:
        _show_dataset(found)
        _show_concerns(found)


def _show_dataset(found: Mapping[str, Any]) -> None:
    line(
        _(
            "{dataset}#{version}: {examples:,} examples",
            dataset=found["dataset"],
            version=found["version"][:12],
            examples=found["examples"],
        )
    )
    line()
    parts = parts_of(found["folds"])
    rows = [
        (name, *(counts[part] for part in parts), sum(counts.values()))
        for name, counts in found["classes"].items()
    ]
    table((_("class"), *parts.values(), _("all")), rows, numbers=len(parts) + 1)
    if found["folds"]:
        line(
            _(
                "Too few for a validation split: {folds} folds of the training data choose; by the "
                "clock (--time) the first of them alone.",
                folds=found["folds"],
            )
        )
    line()
    sizes = [
        (name, spread["smallest"], spread["median"], spread["largest"])
        for name, spread in (
            (_("width"), found["sizes"]["width"]),
            (_("height"), found["sizes"]["height"]),
        )
    ]
    table((_("pixels"), _("smallest"), _("median"), _("largest")), sizes, numbers=3)
    line()
    copies = sum(len(each["left_out"]) for each in found["duplicates"])
    findings = [
        (_("left out, each with its reason"), len(found["skipped"])),
        (_("exact copies, left out"), copies),
        (_("pairs of near duplicates, kept on one side"), len(found["near_duplicates"])),
        (_("same picture with two labels, left out"), conflicting(found["conflicts"])),
        (_("hidden files passed over"), found["hidden"]),
        (_("other files passed over"), found["stray"]),
    ]
    table((_("found"), ""), findings, numbers=1)
    show_some(
        [
            _("left out: {path}: {reason}", path=each["path"], reason=Message(each["reason"]))
            for each in found["skipped"]
        ]
    )
    show_some([_("conflict: {examples}", examples=_equal(each)) for each in found["conflicts"]])
    show_some(
        [
            _("near duplicate: {paths}", paths=" ~ ".join(each["paths"]))
            for each in found["near_duplicates"]
        ]
    )


def conflicting(conflicts: Sequence[Mapping[str, Any]]) -> int:
    """Files, of which each conflict has two or more."""
    return sum(len(each["examples"]) for each in conflicts)


def _equal(conflict: Mapping[str, Any]) -> str:
    return " = ".join(f"{each['path']} ({each['label']})" for each in conflict["examples"])


def _show_concerns(found: Mapping[str, Any]) -> None:
    """What is wrong, each with the first of its examples and what to do."""
    line()
    if (judged := found["label_errors"]) is not None:
        line(
            _(
                "labels: about {rate:.1%} seem wrong; networks that had not seen them agree with "
                "{agreement:.1%} of all ({time})",
                rate=judged["noise_rate"],
                agreement=judged["agreement"],
                time=format_duration(judged["seconds"]),
            )
        )
        if judged["agreement"] < _SURE:
            line(
                _(
                    "Networks that agree with so few doubt right labels too: look before you drop "
                    "or mend any. With more --time they learn more."
                )
            )
    for reason in found["left_out"]:
        line(reason)
    if not found["concerns"]:
        nothing = _("Nothing else seems wrong.")
        line(_("Nothing seems wrong of what was looked for.") if found["left_out"] else nothing)
    for concern in found["concerns"]:
        line()
        line(concern["found"])
        show_some([said for each in concern["examples"] if (said := _example(each)) is not None])
        line(_("→ {suggestion}", suggestion=concern["suggestion"]))


def _example(row: Mapping[str, Any]) -> Message | None:
    """One example of a concern; None where its sentence says it all."""
    if "suggested" in row:
        return _(
            "  {path}: {label}, more likely {suggested} ({chance:.0%} for {label})",
            path=row["path"],
            label=row["label"],
            suggested=row["suggested"],
            chance=row["self_confidence"],
        )
    if "distance" in row:
        return _(
            "  {path}: {label}, {distance:.1f} times as far from others as usual",
            path=row["path"],
            label=row["label"],
            distance=row["distance"],
        )
    if "paths" in row:
        first, second = (
            f"{path} ({label}, {split})"
            for path, label, split in zip(row["paths"], row["labels"], row["splits"], strict=True)
        )
        return _("  {first} ~ {second}", first=first, second=second)
    if "path" in row:
        return _("  {path}: {label}", path=row["path"], label=row["label"])
    return None


def show_some(sentences: Sequence[Message]) -> None:
    """The first of many lines, and how many more there are."""
    for sentence in sentences[:_SHOWN]:
        line(sentence)
    if len(sentences) > _SHOWN:
        line(_("… and {more:,} more; all with --json", more=len(sentences) - _SHOWN))
