"""The whole way once, with nothing but this package: drawings in, a paid answer out."""

from __future__ import annotations

import io
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rich.markup import escape

from mintage.api.service import Sample
from mintage.app.root import App
from mintage.cli.create import show_run
from mintage.cli.interrupt import orderly_interrupt
from mintage.cli.options import opened
from mintage.cli.output import TerminalProgress, facts, line, say, stdout
from mintage.cli.serving import run_server
from mintage.client import Client
from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.messages import Message, _, told
from mintage.create.collect import Origin
from mintage.datasets import drawn_pets

NAME = "pets"
_PLANTED = {"unreadable": 1, "near_duplicates": 6, "wrong_labels": 12}
_ABOUT = Origin(
    licence="Apache-2.0, drawn by Mintage",
    consent="not needed: drawings of no one",
    origin="mintage.datasets.drawn_pets",
)


def show(folder: Path, *, once: bool, seconds: float, drawings: int) -> None:
    """Run the demo in ``folder``; with a terminal, and without ``once``, keep serving.

    Raises:
        ConfigError: the folder holds something else than an earlier demo.
    """
    if folder.exists() and not (folder / "workspace" / "workspace.json").exists():
        raise ConfigError(
            _("{folder} exists and holds something else.", folder=folder),
            remedy=_("Name another with --folder."),
        )
    stays = stdout.is_terminal and sys.stdin.isatty() and not once
    with opened(folder / "workspace", make=True) as app:
        planted = _draw(folder / "drawings", drawings)
        _collect(app, folder / "drawings", planted)
        record = _train(app, seconds, planted)
        _step(7, _("deploy: signed, verified, published, served"))
        app.publishing.publish(record["model"], NAME, price="0.02")
        line(
            _(
                "{name} → {model}, 0.02 EUR per image, bundle {bundle_digest}",
                name=NAME,
                model=record["model"],
                bundle_digest=record["bundle_digest"],
            )
        )
        _sell(app, record, stays=stays)


def _step(number: int | str, title: str) -> None:
    line()
    stdout.print(f"[bold]{told(str(number))}  {escape(told(title))}[/]")


def _draw(folder: Path, count: int) -> drawn_pets.Drawn:
    _step(
        1,
        _(
            "collect: {count:,} drawings of cats and dogs, made here by a seeded generator",
            count=count,
        ),
    )
    progress = TerminalProgress()
    progress.start(_("Drawing"), count)
    planted = drawn_pets.write_folder(
        folder, count, seed=0, **_PLANTED, progress=lambda done, __: progress.advance(done)
    )
    progress.finish()
    line(
        _(
            "Planted among them: {unreadable} unreadable file, "
            "{near} near duplicates, {wrong} wrong labels.",
            unreadable=len(planted.unreadable),
            near=len(planted.near_duplicates),
            wrong=len(planted.wrong_labels),
        )
    )
    return planted


def _collect(app: App, folder: Path, planted: drawn_pets.Drawn) -> None:
    _step(2, _("prepare: what cleaning found"))
    dataset = app.create.collect(folder, NAME, about=_ABOUT, progress=TerminalProgress())
    found = app.create.inspect(dataset.reference)
    for skipped in found["skipped"]:
        line(
            _(
                "unreadable, left out: {path} ({reason})",
                path=skipped["path"],
                reason=Message(skipped["reason"]),
            )
        )
    pairs = {frozenset(near["paths"]) for near in found["near_duplicates"]}
    hit = sum(frozenset(pair) in pairs for pair in planted.near_duplicates)
    line(
        _(
            "near duplicates, kept on one side of the split: {found} pairs found, "
            "{hit} of the {planted} planted",
            found=len(pairs),
            hit=hit,
            planted=len(planted.near_duplicates),
        )
    )
    for name, counts in found["classes"].items():
        line(
            _(
                "{name}: {train} training, {validation} validation, {test} test",
                name=name,
                **counts,
            )
        )


def _train(app: App, seconds: float, planted: drawn_pets.Drawn) -> Mapping[str, Any]:
    _step(
        _("3 to 5"),
        _(
            "design, initialise, train: seed-cnn and compact, {seconds:.0f} s together",
            seconds=seconds,
        ),
    )
    with orderly_interrupt() as interrupt:
        result = app.create.train(
            NAME,
            recipe="seed-cnn,compact",
            seconds=seconds,
            progress=TerminalProgress(),
            should_stop=interrupt,
        )
    _step(6, _("evaluate and choose, on drawings that neither trained nor chose"))
    show_run(result.record)
    line()
    doubted = [suspect["path"] for suspect in result.record["suspects"]]
    hit = len(set(doubted) & set(planted.wrong_labels))
    if not doubted:
        line(
            _(
                "The kept model doubts no label, though {planted} wrong ones were planted: it had "
                "too little time for that on this machine.",
                planted=len(planted.wrong_labels),
            )
        )
        return result.record
    line(
        _(
            "The kept model doubts {count} labels (first: {first}). Of the {planted} wrong ones "
            "planted, {hit} are among them; all are listed in the report.",
            count=len(doubted),
            first=", ".join(doubted[:3]),
            planted=len(planted.wrong_labels),
            hit=hit,
        )
    )
    return result.record


@dataclass
class _Sale:
    """What the first answer was, or why there is none."""

    failure: BaseException | None = None


def _sell(app: App, record: Mapping[str, Any], *, stays: bool) -> None:
    line()
    customer, issued = app.capture.add_customer(f"demo customer {record['run'][-6:]}")
    line(_("A customer, {name}, has a key; only its digest is kept.", name=customer.name))
    pictures = _pictures()
    sale, stop = _Sale(), threading.Event()

    def started(customers: str, operator: str) -> None:
        def call() -> None:
            try:
                with Client(customers, issued.key.reveal()) as client:
                    _show_answer(client, pictures[0])
                if stays:
                    _say_addresses(customers, operator, issued.key.reveal(), record)
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                sale.failure = error
            if not stays or sale.failure:
                stop.set()

        threading.Thread(target=call, name="customer").start()

    _serve_on_a_free_port(app, pictures, started, stop)
    if sale.failure:
        raise sale.failure
    if not stays:
        line()
        facts([(_("report"), record["report"]), (_("bundle"), record["bundle"])])
        program = Path(sys.argv[0])
        home = f"--home {shlex.quote(str(app.workspace.home))}"
        say(_("To serve it again: {program} serve {home}", program=program, home=home))
        say(
            _(
                "A key to call it with: {program} customer add NAME {home}",
                program=program,
                home=home,
            )
        )


def _serve_on_a_free_port(
    app: App,
    pictures: list[Sample],
    started: Callable[[str, str], None],
    stop: threading.Event,
) -> None:
    shown: dict[str, Any] = {"samples": pictures, "log_format": "text"}
    try:
        run_server(app, on_started=started, stop=stop, **shown)
    except DependencyDown as error:
        if "in use" not in error.message:
            raise
        say(_("The usual ports are in use; taking free ones."))
        with opened(app.workspace.home, port=0, operator_port=0) as other:
            run_server(other, on_started=started, stop=stop, **shown)


def _pictures() -> list[Sample]:
    """Six drawings that no training ever saw, for the page to offer."""
    return [
        Sample(f"{label}-{number}.jpg", _jpeg(image), drawn=True)
        for number, (label, image) in enumerate(drawn_pets.samples(6, seed=0), 1)
    ]


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _show_answer(client: Client, picture: Sample) -> None:
    answer = client.predict(NAME, picture.data)
    receipt = client.receipt(answer["receipt"]["id"])
    output, price = answer["output"], answer["price"]
    said = (
        Message(output["message"])
        if output["unusual"]
        else _(
            "{label}, probability {probability:.1%}",
            label=output["label"],
            probability=output["probability"],
        )
    )
    model = f"{answer['model']}@{answer['model_version']}"
    facts(
        [
            (
                _("sent"),
                _(
                    "{name}, {count:,} bytes, over HTTP with the customer's key",
                    name=picture.name,
                    count=len(picture.data),
                ),
            ),
            (_("answer"), _("{said}, from {model}", said=said, model=model)),
            (_("price"), f"{price['amount']} {price['currency']}"),
            (
                _("receipt"),
                _("{id}, signed, for event {event}", id=receipt["id"], event=receipt["event"]),
            ),
        ]
    )


def _say_addresses(customers: str, operator: str, key: str, record: Mapping[str, Any]) -> None:
    line()
    facts(
        [
            (_("page"), f"{customers}/?product={NAME}#key={key}"),
            (_("operator"), _("{operator}/docs and {operator}/metrics", operator=operator)),
            (_("report"), record["report"]),
            (_("bundle"), record["bundle"]),
        ]
    )
    say(_("Serving until Ctrl-C."))
