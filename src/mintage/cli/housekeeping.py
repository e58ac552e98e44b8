"""Keeping a workspace in order: list, remove, gc."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from mintage.app.housekeeping import Housekeeping, clear_workspace
from mintage.app.removing import Removal
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, table, warn
from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _, told
from mintage.core.settings import load_settings
from mintage.core.units import format_duration, format_size

_SHORT = 12
STATES: dict[str, Message] = {
    "running": _("running"),
    "finished": _("finished"),
    "interrupted": _("interrupted"),
    "failed": _("failed"),
}
_PARTS: dict[str, Message] = {
    "datasets": _("datasets"),
    "models": _("models"),
    "runs": _("runs"),
    "cache": _("decoded cache"),
    "downloads": _("downloads"),
    "other": _("the rest"),
    "total": _("in all"),
}
_FREED: dict[str, Message] = {
    "cache": _("decoded cache"),
    "downloads": _("downloads"),
    "runs": _("runs without a model"),
    "weights": _("checkpoints and weights of the other runs"),
    "removed": _("what was removed, or has no record"),
    "blobs": _("blobs that no dataset names"),
    "feedback": _("pictures that no feedback has"),
    "temporary": _("temporary files"),
    "answers": _("stored answers past their time"),
}


class Kind(StrEnum):
    """What can be listed."""

    DATASETS = "datasets"
    MODELS = "models"
    RUNS = "runs"
    PRODUCTS = "products"


def _kind(word: str) -> Kind:
    """A kind in the plural or the singular."""
    for kind in Kind:
        if word in (kind, kind.removesuffix("s")):
            return kind
    raise ConfigError(
        _("There is no kind {kind!r} to list.", kind=word),
        remedy=_("Say one or several of: {kinds}", kinds=", ".join(Kind)),
    )


def list_all(
    kinds: Annotated[
        list[Kind] | None,
        typer.Argument(
            parser=_kind,
            metavar="KINDS",
            help="Which of them: datasets, models, runs, products. (default: all)",
        ),
    ] = None,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List datasets, models, runs and products: what points at what, and how large it is."""
    with opened(home) as app:
        listed = Housekeeping(app.workspace, app.keys).listing(
            [str(kind) for kind in kinds or Kind]
        )
    if as_json:
        emit(listed)
        return
    tables = {"datasets": _datasets, "models": _models, "runs": _runs, "products": _products}
    for kind, show in tables.items():
        if listed.get(kind):
            show(listed[kind])
            line()
    sizes = listed["sizes"]
    facts((_PARTS[name], format_size(size)) for name, size in sizes.items() if name in _PARTS)
    if sizes["shared"]:
        line(
            _(
                "Datasets share {shared} of examples, which are counted once.",
                shared=format_size(sizes["shared"]),
            )
        )
    if not any(listed.get(kind) for kind in tables):
        say(_("There is nothing of that yet. Next: mintage collect PATH --name NAME"))


def remove(
    reference: Annotated[str, typer.Argument(help="A model pets@3, a dataset pets#1f9c or a run.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also what models or reports were made of.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove a version of a model or a dataset, or a run; its number is never given again."""
    with opened(home) as app:
        keeping = Housekeeping(app.workspace, app.keys)
        planned = keeping.removal(reference, force=force)
        for consequence in planned.consequences:
            warn(consequence)
        if not yes:
            _ask(planned)
        done = keeping.remove(planned.reference, force=force)
    if as_json:
        emit(done.to_json())
        return
    line(_("Removed {reference}, {size}.", reference=done.reference, size=_size(done)))
    if done.kind == "dataset":
        say(_("Its examples' files stay until: mintage gc"))


def _ask(planned: Removal) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(
            _("Nobody is here to ask whether to remove {reference}.", reference=planned.reference),
            remedy=_("Say --yes if it is to go."),
        )
    question = _("Remove {reference}, {size}?", reference=planned.reference, size=_size(planned))
    typer.confirm(told(question), abort=True, err=True)


def _size(planned: Removal) -> str:
    return format_size(planned.size_bytes)


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Free what nothing needs: cache, downloads, unused examples, runs without a model."""
    settings = load_settings(home=home)
    cleared = clear_workspace(
        settings.home,
        database_url=settings.database_url,
        seal_key=settings.seal_key,
        dry_run=dry_run,
    )
    for text in cleared.left:
        warn(text)
    if as_json:
        emit(
            {
                "dry_run": dry_run,
                "freed": {
                    each.kind: {"count": each.count, "size_bytes": each.size_bytes}
                    for each in cleared.freed
                },
                "size_bytes": cleared.size_bytes,
                "left": [str(text) for text in cleared.left],
            }
        )
        return
    rows = [(_FREED[each.kind], each.count, format_size(each.size_bytes)) for each in cleared.freed]
    table((_("kind"), _("count"), _("size")), rows, numbers=2)
    size = format_size(cleared.size_bytes)
    line(_("{size} would be freed.", size=size) if dry_run else _("{size} freed.", size=size))


def _datasets(rows: Sequence[Mapping[str, Any]]) -> None:
    table(
        (
            _("dataset"),
            _("current"),
            _("kind"),
            _("created"),
            _("models"),
            _("examples"),
            _("size"),
        ),
        [
            (
                short(row["dataset"]),
                "*" if row["current"] else "",
                row["modality"],
                moment(row["created_at"]),
                ", ".join(row["models"]),
                row["examples"],
                format_size(row["size_bytes"]),
            )
            for row in rows
        ],
        numbers=2,
    )
    if not all(row["current"] for row in rows):
        line(_("* A name without a version means this one: it was collected last."))


def _models(rows: Sequence[Mapping[str, Any]]) -> None:
    table(
        (_("model"), _("dataset"), _("created"), _("sold as"), _("size")),
        [
            (
                row["model"],
                short(row["dataset"]),
                moment(row["created_at"]),
                ", ".join(row["products"]),
                format_size(row["size_bytes"]),
            )
            for row in rows
        ],
        numbers=1,
    )


def _runs(rows: Sequence[Mapping[str, Any]]) -> None:
    table(
        (_("run"), _("dataset"), _("status"), _("model"), _("started"), _("time"), _("size")),
        [
            (
                row["run"],
                short(row["dataset"]),
                STATES.get(row["status"], row["status"]),
                made(row),
                moment(row["started_at"]),
                "" if row["seconds"] is None else format_duration(row["seconds"]),
                format_size(row["size_bytes"]),
            )
            for row in rows
        ],
        numbers=2,
    )


def _products(rows: Sequence[Mapping[str, Any]]) -> None:
    table(
        (_("product"), _("points at"), _("plan"), _("created")),
        [
            (
                row["product"],
                ", ".join(f"{alias} → {model}" for alias, model in row["aliases"].items()),
                row["plan"],
                moment(row["created_at"]),
            )
            for row in rows
        ],
    )


def short(dataset: str) -> str:
    """A dataset's reference with as much of its version as people compare."""
    name, __, version = dataset.partition("#")
    return f"{name}#{version[:_SHORT]}"


def made(run: Mapping[str, Any]) -> str:
    """The model that a run made, and whether it is still here."""
    if run["model_removed"]:
        return _("{model} (removed)", model=run["model"])
    return run["model"] or ""


def moment(stamp: str) -> str:
    """A row's moment to the minute, in UTC."""
    return stamp[:16].replace("T", " ")
