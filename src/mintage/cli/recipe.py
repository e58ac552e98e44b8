"""Create: recipe."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mintage.app.root import App
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, say
from mintage.core.errors import ConfigError, missing_extra
from mintage.core.files import write_atomic
from mintage.core.messages import Message, _
from mintage.core.units import parse_duration

if TYPE_CHECKING:
    from mintage.create.recipe import Recipe

_SHORT = 12  # digits of a dataset's version, as a person reads and types them


def recipe(
    reference: Annotated[str, typer.Argument(help="A dataset: pets, or a model: pets@3.")],
    *,
    recipe: Annotated[
        str, typer.Option(help="auto, seed-cnn, compact, hub:NAME, several with commas, or a file.")
    ] = "auto",
    time: Annotated[
        str | None, typer.Option(help="The time it is for: 90s, 5m, 2h. (default: by epochs)")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data. (default: by its size)")
    ] = None,
    search: Annotated[
        bool | None,
        typer.Option(
            "--search/--no-search",
            help="Find the best candidate by successive halving. (default: from 15 minutes on)",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides every random choice. (default: 0)")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new .toml or .json file. (default: stdout)"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a recipe with every choice made visible: what train with these options would run.

    Of a model it is the recipe that made it. mintage train pets --recipe FILE runs it.
    """
    try:
        from mintage.create.recipe_file import to_toml  # noqa: PLC0415 - loads torch
    except ImportError as error:
        raise missing_extra("PyTorch", "train") from error

    _check_new(output)
    seconds = None if time is None else parse_duration(time)
    with opened(home) as app:
        if "@" in reference or os.sep in reference:
            if recipe != "auto" or (seconds, epochs, search, seed) != (None,) * 4:
                raise ConfigError(
                    _("The recipe of {model} is what it was trained by.", model=reference),
                    remedy=_("Leave the other options out, and change the file."),
                )
            found, about, dataset = _of_model(app, reference)
        else:
            found = app.create.recipe(
                reference,
                recipe=recipe,
                seconds=seconds,
                epochs=epochs,
                seed=seed,
                search=search,
                progress=TerminalProgress(),
            )
            about, dataset = _of_dataset(app, reference)
    file = output or f"{dataset.partition('#')[0]}.toml"
    command = f"mintage train {dataset} --recipe {file}"
    head = (
        _("A training recipe of Mintage: every choice, with what it does."),
        about,
        _("What is left out has its default. Run it: {command}", command=command),
    )
    text = to_toml(found, header=head)
    document = found.to_json()
    if output is not None:
        is_json = output.suffix.lower() == ".json"
        write_atomic(output, (json.dumps(document, indent=1) + "\n" if is_json else text).encode())
    if as_json:
        emit(document)
    elif output is not None:
        line(str(output))
        say(_("Next: {command}", command=command))
    else:
        # As bytes: what is redirected to a file is UTF-8, whatever the terminal speaks.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())


def _check_new(output: Path | None) -> None:
    """A recipe that somebody changed by hand is not to be lost."""
    if output is None:
        return
    if output.suffix.lower() not in {".toml", ".json"}:
        raise ConfigError(
            _("{path} is no name for a recipe's file.", path=output),
            remedy=_("Give it the ending .toml or .json."),
        )
    if output.exists():
        raise ConfigError(
            _("{path} is there already.", path=output),
            remedy=_("Name another file, or remove it first."),
        )


def _of_model(app: App, reference: str) -> tuple[Recipe, Message, str]:
    """The recipe in the signed bundle, what to say of it, and the dataset it was run on."""
    from mintage.create.recipe_reader import recipe_of  # noqa: PLC0415 - loads torch

    bundle = app.create.model(reference)
    trained_on = bundle.manifest.dataset
    dataset = f"{trained_on['name']}#{trained_on['version'][:_SHORT]}"
    about = _(
        "It made {model}, from {dataset}, and is in the signed bundle.",
        model=bundle.subject,
        dataset=dataset,
    )
    return recipe_of(bundle.manifest.recipe, bundle.subject), about, dataset


def _of_dataset(app: App, reference: str) -> tuple[Message, str]:
    """What to say of the dataset that defaults were chosen for, and its name as it was given."""
    dataset = app.create.dataset(reference)
    about = _(
        "Chosen for {dataset}: {examples:,} examples to train on, {classes} classes.",
        dataset=f"{dataset.name}#{dataset.version[:_SHORT]}",
        examples=sum(example.split == "train" for example in dataset.examples),
        classes=len(dataset.labels),
    )
    return about, reference
