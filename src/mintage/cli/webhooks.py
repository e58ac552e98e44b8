"""Capture: webhooks, by which operators and customers are told."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.capture.webhooks.deliveries import Sent
from mintage.capture.webhooks.endpoints import OVERLAP_HOURS, Opened
from mintage.cli.interrupt import until_interrupted
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, table
from mintage.cli.words import word
from mintage.core.messages import _

webhook = typer.Typer(
    help="Tell other programs of invoices, payments and limits, by signed messages.",
    no_args_is_help=True,
)

_Id = Annotated[str, typer.Argument(help="The webhook's id, which starts with whe_.")]


@webhook.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="Where to: https://HOST/PATH.")],
    *,
    customer: Annotated[
        str | None, typer.Option(help="Only what is of this customer (name or id).")
    ] = None,
    types: Annotated[
        str, typer.Option(help="Only these, such as invoice.issued,invoice.paid. (default: all)")
    ] = "",
    private: Annotated[
        bool, typer.Option("--private", help="The address may be of your own network.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have notices sent to an address. Its secret is shown now and never again."""
    wanted = [each.strip() for each in types.split(",") if each.strip()]
    with opened(home) as app:
        done = app.notifying.add(url, customer, wanted, private=private)
    _secret(done, as_json=as_json)


@webhook.command("list")
def list_webhooks(*, home: Home = None, as_json: Json = False) -> None:
    """List the addresses, with how many notices wait, were taken and have failed."""
    with opened(home) as app:
        listed = app.notifying.endpoints.list()
    if as_json:
        emit([each.to_json() for each in listed])
        return
    rows = [
        (
            each.id,
            each.url,
            each.name or _("every one"),
            ", ".join(each.types) or _("every one"),
            *(each.counts[status] for status in ("waiting", "delivered", "failed")),
        )
        for each in listed
    ]
    numbers = _("waiting"), _("delivered"), _("failed")
    table((_("id"), _("address"), _("customer"), _("types"), *numbers), rows, numbers=3)


@webhook.command("remove")
def remove_webhook(endpoint: _Id, *, home: Home = None, as_json: Json = False) -> None:
    """Send nothing to an address any more; what still waited for it has failed."""
    with opened(home) as app:
        gone = app.notifying.endpoints.remove(endpoint)
    if as_json:
        emit(gone.to_json())
    else:
        line(f"{gone.id}  {gone.url}")


@webhook.command("rotate")
def rotate_webhook(endpoint: _Id, *, home: Home = None, as_json: Json = False) -> None:
    """Make another secret; for 24 hours messages are signed with the one before, too."""
    with opened(home) as app:
        done = app.notifying.endpoints.rotate(endpoint)
    _secret(done, as_json=as_json)
    if not as_json:
        say(_("For {hours} hours the secret before is good, too.", hours=OVERLAP_HOURS))


@webhook.command("deliver")
def deliver(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, as `mintage serve` does.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send what is due. `mintage serve` does it by itself; this is for where none runs."""
    with opened(home) as app:
        if watch:
            with until_interrupted() as stop:
                app.notifying.watch(stop)
            return
        sent = app.notifying.deliver()
    _sent(sent, as_json=as_json)


@webhook.command("events")
def list_events(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what is not taken yet.")] = False,
    customer: Annotated[str | None, typer.Option(help="Only this customer (name or id).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many, the newest.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List what was told, the newest first, and what came of sending it."""
    status = "failed" if failed else "waiting" if waiting else None
    with opened(home) as app:
        listed = app.notifying.events(status, customer, limit)
    if as_json:
        emit(listed)
        return
    rows = [row for each in listed for row in _rows(each)]
    head = (_("id"), _("when"), _("type"), _("to"), _("status"), _("tries"), _("answer"))
    table(head, rows)


@webhook.command("retry")
def retry(
    notice: Annotated[str, typer.Argument(help="The notice's id, which starts with msg_.")],
    *,
    endpoint: Annotated[
        str | None, typer.Option("--to", help="Only to this webhook. (default: all that failed)")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send a notice anew, where it was not taken. It keeps its id."""
    with opened(home) as app:
        count = app.notifying.deliveries.retry(notice, endpoint)
    if as_json:
        emit({"notice": notice, "endpoints": count})
    else:
        say(_("{notice} is sent again to {count} addresses.", notice=notice, count=count))


def _secret(done: Opened, *, as_json: bool) -> None:
    endpoint, secret = done.endpoint, done.secret.reveal()
    if as_json:
        emit({**endpoint.to_json(), "secret": secret})
        return
    facts([(_("id"), endpoint.id), (_("address"), endpoint.url), (_("secret"), secret)])
    say(_("Keep the secret: it is not shown again. Messages are verified with it."))


def _rows(notice: dict[str, Any]) -> list[tuple[object, ...]]:
    said = (notice["id"], notice["told_at"][:19].replace("T", " "), notice["type"])
    if not notice["deliveries"]:
        return [(*said, "—", "", "", "")]
    return [
        (*said, each["endpoint"], word(each["status"]), each["tries"], each["answer"] or "")
        for each in notice["deliveries"]
    ]


def _sent(sent: list[Sent], *, as_json: bool) -> None:
    if as_json:
        emit([vars(each) for each in sent])
        return
    rows = [(each.notice, each.endpoint, word(each.status), each.answer) for each in sent]
    table((_("id"), _("to"), _("status"), _("answer")), rows)
