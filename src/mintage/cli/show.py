"""Show one thing: everything known of it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from mintage.app.housekeeping import Housekeeping
from mintage.cli.housekeeping import STATES, made, moment
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, warn
from mintage.cli.words import word
from mintage.core.messages import Message, _, told
from mintage.core.units import format_duration, format_size

Row = tuple[str, object]
Document = Mapping[str, Any]


def show(
    reference: Annotated[
        str, typer.Argument(help="A dataset pets#1f9c, a model pets@3, a run, a product, a name.")
    ],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show everything known of a dataset, a model, a run or a product."""
    with opened(home) as app:
        found = Housekeeping(app.workspace, app.keys).show(reference)
    if as_json:
        emit(found)
        return
    for position, document in enumerate(found):
        if position:
            line()
        facts(_SHOWN[document["kind"]](document))
        if "problem" in document:
            problem = document["problem"]
            warn(Message(problem["message"]))
            warn(Message(problem["remedy"]))


def _dataset(found: Document) -> Iterator[Row]:
    yield _("dataset"), found["dataset"]
    yield from _common(found)
    yield _("examples"), found["examples"]
    if "problem" in found:
        return
    for label, counts in found.get("classes", {"": found.get("splits")}).items():
        yield f"  {label}", _parts(counts, found.get("folds"))
    yield _("left out"), found["skipped"]
    yield _("source"), f"{found['source']['name']} ({found['source']['kind']})"
    for name, heading in (
        ("licence", _("licence")),
        ("consent", _("consent")),
        ("origin", _("origin")),
    ):
        yield heading, found["about"].get(name) or _("not stated")
    yield _("models"), ", ".join(found["models"]) or _("none")
    yield _signed(found)


def _parts(counts: Mapping[str, int], folds: int | None) -> Message:
    if folds:
        return _("{train} for training, in {folds} folds, {test} for test", folds=folds, **counts)
    return _("{train} for training, {validation} for validation, {test} for test", **counts)


def _model(found: Document) -> Iterator[Row]:
    yield _("model"), found["model"]
    yield from _common(found)
    yield _("dataset"), found["dataset"]
    yield _("run"), found["run"] or _("trained elsewhere")
    yield _("bundle digest"), found["bundle_digest"]
    yield _("sold as"), ", ".join(found["products"]) or _("nothing yet")
    if "problem" in found:
        return
    if "base" in found:
        yield from _language_model(found)
        return
    for product, plan in found["plans"].items():
        yield f"  {product}", _price(plan)
    yield _("classes"), ", ".join(found["labels"])
    yield from _recipe(found["recipe"])
    yield from _metrics(found["metrics"])
    yield _bill(found["bill_of_materials"])
    yield _("audit"), _audit(found["audit"])
    yield _signed(found)


def _audit(found: Mapping[str, Any] | None) -> Message:
    if found is None:
        return _("none")
    values = {"day": found["audited_at"][:10], "due": found["due_at"][:10]}
    if found["passed"]:
        return _("passed on {day}, the next is due on {due}", **values)
    return _("not passed on {day}", **values)


def _bill(bill: Mapping[str, Any] | None) -> Row:
    if bill is None:
        return _("bill of materials"), _("none")
    count = bill["components"]
    return (
        _("bill of materials"),
        _("{format}, {count} components", format=bill["format"], count=count),
    )


def _language_model(found: Document) -> Iterator[Row]:
    base, metrics = found["base"], found["metrics"]
    yield _("began from"), f"{base['name']} ({base['architecture']}, {base['parameters']:,})"
    before = metrics["base"]["perplexity"]
    yield (
        _("perplexity"),
        _(
            "{perplexity:.2f}, before fine-tuning {before:.2f}",
            perplexity=metrics["perplexity"],
            before=before,
        ),
    )
    yield _bill(found["bill_of_materials"])
    yield _signed(found)


def _run(found: Document) -> Iterator[Row]:
    yield _("run"), found["run"]
    yield _("status"), STATES.get(found["status"], found["status"])
    yield _("started"), moment(found["started_at"])
    if found["seconds"] is not None:
        yield _("time"), format_duration(found["seconds"])
    yield _("dataset"), found["dataset"]
    # Its own where it was removed; else those that are here, of which a run may make several.
    named = made(found) if found["model_removed"] else ", ".join(found["models"])
    yield _("models"), named or _("none")
    yield from _recipe(found["recipe"] or {})
    if found["why_kept"]:
        yield _("choice"), Message(found["why_kept"])
    yield from _metrics(found["metrics"] or {})
    if found["machine"]:
        yield _("machine"), found["machine"]
    yield _("folder"), found["folder"]
    yield _("size"), format_size(found["size_bytes"])
    yield _("report"), found["report"] or _("none")


def _product(found: Document) -> Iterator[Row]:
    yield _("product"), found["product"]
    yield _("created"), moment(found["created_at"])
    for alias, model in found["aliases"].items():
        dataset = found["datasets"][alias]
        yield (
            alias,
            _("{model}, trained on {dataset}", model=model, dataset=dataset) if dataset else model,
        )
    yield _("plan"), _price(found["plan"])
    yield _("calls"), found["calls"]


_SHOWN = {"dataset": _dataset, "model": _model, "run": _run, "product": _product}


def _common(found: Document) -> Iterator[Row]:
    yield _("imported") if found.get("imported") else _("created"), moment(found["created_at"])
    yield _("folder"), found["folder"]
    yield _("size"), format_size(found["size_bytes"])
    if "task" in found:
        yield _("kind"), f"{told(word(found['modality']))} → {told(word(found['task']))}"


def _signed(found: Document) -> Row:
    signer = found["signed_by"]
    if signer["name"] == "own":
        return _("signed by"), _("this workspace's own key {key_id}", key_id=signer["key_id"])
    if signer["key_id"].startswith(signer["name"]):  # kept under its id, as mintage trust add does
        return _("signed by"), _("the trusted key {key_id}", key_id=signer["key_id"])
    return _("signed by"), _("{name}, key {key_id}", **signer)


def _price(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return _("the plan was never set")
    terms = _(
        "{name}, version {version}: {price} {currency} for {per} × {unit}",
        name=plan["name"],
        version=plan["version"],
        price=plan["price"],
        currency=plan["currency"],
        per=plan["per"],
        unit=Message(word(plan["unit"])),
    )
    if plan["rate"] is None:
        return terms
    return _("{terms}, each customer {rate}", terms=terms, rate=plan["rate"])


def _recipe(recipe: Mapping[str, Any]) -> Iterator[Row]:
    """The recipe in words: each candidate, then what holds for all of them."""
    for each in recipe.get("candidates", ()):
        yield (
            _("candidate"),
            _(
                "{name} at {side} px: {optimiser}, learning rate {rate:g}, batches of {batch}, "
                "{loss}",
                name=each["name"],
                side=each["input_size"],
                optimiser=each["optimiser"],
                rate=each["learning_rate"],
                batch=each["batch_size"],
                loss=each["loss"],
            ),
        )
    if recipe.get("seconds"):
        yield _("time given"), format_duration(recipe["seconds"])
    elif recipe:
        yield _("epochs"), recipe["epochs"]
    if recipe:
        yield _("seed"), recipe["seed"]
        yield _("threads"), recipe["threads"]


def _metrics(metrics: Mapping[str, Any]) -> Iterator[Row]:
    if "accuracy" not in metrics:
        return
    low, high = metrics["interval"]
    yield (
        _("accuracy"),
        _(
            "{accuracy:.1%} on test examples, 95 % interval {low:.1%} to {high:.1%}",
            accuracy=metrics["accuracy"],
            low=low,
            high=high,
        ),
    )
    yield _("always the largest class"), f"{metrics['majority_accuracy']:.1%}"
