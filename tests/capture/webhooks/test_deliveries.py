"""The outbox: at least once, by one sender at a time, never lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from sqlalchemy import select

from mintage.capture import notices
from mintage.capture.webhooks.deliveries import MOST_TRIES, WAITS
from mintage.core.errors import ConfigError, RequestError
from mintage.store import schema

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "2"))
KILLED = Path(__file__).with_name("killed_sender.py")


def verified(opened: Any, heard: Any) -> Any:
    """What a customer's program reads, by the published library but for its clock."""
    theirs = standardwebhooks.Webhook(opened.secret.reveal())
    sent = datetime.fromtimestamp(int(heard.headers["webhook-timestamp"]), UTC)
    signed = theirs.sign(heard.headers["webhook-id"], sent, heard.body.decode())
    assert signed in heard.headers["webhook-signature"].split()
    return json.loads(heard.body)


def test_what_is_told_arrives_signed_with_its_id_type_time_and_data(
    outbox: Any, receiver: Any
) -> None:
    opened = outbox.endpoints.add(receiver.url("/hook?a=b"))
    notice = outbox.tell(percent=80, name="王小明")
    (sent,) = outbox.deliveries.deliver()
    assert (sent.notice, sent.endpoint, sent.status) == (
        notice,
        opened.endpoint.id,
        "delivered",
    )
    (heard,) = receiver.heard
    assert verified(opened, heard) == {
        "type": "quota.threshold",
        "timestamp": str(outbox.clock),
        "data": {"percent": 80, "name": "王小明"},
    }
    assert heard.path == "/hook?a=b"
    assert heard.headers["webhook-id"] == notice
    assert heard.headers["content-type"] == "application/json"
    assert outbox.deliveries.deliver() == []


def test_a_notice_stands_or_falls_with_its_fact(outbox: Any, receiver: Any) -> None:
    outbox.endpoints.add(receiver.url())

    def work(connection: Any) -> None:
        notices.tell(connection, outbox.ada, "quota.threshold", {}, outbox.clock.now())
        raise RequestError("the fact did not hold")

    with pytest.raises(RequestError):
        outbox.database.write(work)
    assert outbox.deliveries.deliver() == []
    assert outbox.deliveries.events() == []


def test_an_endpoint_hears_of_its_own_customer_and_its_own_types_alone(
    outbox: Any, receiver: Any
) -> None:
    outbox.shop.key_of("Bea")
    bea = outbox.shop.customers.find("Bea").id
    outbox.endpoints.add(receiver.url("/all"))
    outbox.endpoints.add(receiver.url("/ada"), "Ada")
    outbox.endpoints.add(receiver.url("/paid"), None, ["invoice.paid"])
    outbox.tell()
    outbox.tell(bea)
    outbox.tell(bea, "invoice.paid")
    outbox.deliveries.deliver()
    assert Counter(each.path for each in receiver.heard) == {"/all": 3, "/ada": 1, "/paid": 1}


def test_what_is_not_taken_is_sent_again_on_schedule_and_then_said_to_have_failed(
    outbox: Any, receiver: Any
) -> None:
    outbox.endpoints.add(receiver.url())
    receiver.status = 500
    notice = outbox.tell()
    for number, wait in enumerate((*WAITS, None), start=1):
        (sent,) = outbox.deliveries.deliver()
        assert len(receiver.heard) == number
        if wait is None:
            assert sent.status == "failed"
            break
        assert outbox.status(notice) == [("waiting", number, "HTTP 500")]
        outbox.clock.advance(wait - 0.001)
        assert outbox.deliveries.deliver() == []
        outbox.clock.advance(wait * 0.1 + 0.002)
    assert outbox.status(notice) == [("failed", MOST_TRIES, "HTTP 500")]
    assert {each.headers["webhook-id"] for each in receiver.heard} == {notice}
    assert len({each.body for each in receiver.heard}) == 1
    outbox.clock.advance(10**6)
    assert outbox.deliveries.deliver() == []


def test_those_who_failed_together_do_not_all_come_again_together(
    outbox: Any, receiver: Any
) -> None:
    for number in range(8):
        outbox.endpoints.add(receiver.url(f"/{number}"))
    receiver.status = 500
    outbox.tell()
    outbox.deliveries.deliver()
    asked = select(schema.deliveries.c.next_at)
    with outbox.database.read() as connection:
        times = {row[0] for row in connection.execute(asked)}
    assert len(times) == 8


def test_a_receiver_that_asks_for_time_gets_it(outbox: Any, receiver: Any) -> None:
    outbox.endpoints.add(receiver.url())
    receiver.status, receiver.headers = 503, {"Retry-After": "120"}
    outbox.tell()
    outbox.deliveries.deliver()
    outbox.clock.advance(119)
    assert outbox.deliveries.deliver() == []
    outbox.clock.advance(14)
    assert len(outbox.deliveries.deliver()) == 1


def test_a_receiver_that_is_gone_is_left_alone(outbox: Any, receiver: Any) -> None:
    outbox.endpoints.add(receiver.url())
    receiver.status = 410
    notice = outbox.tell()
    outbox.deliveries.deliver()
    assert outbox.status(notice) == [("failed", 1, "HTTP 410")]


def test_no_redirect_is_followed(outbox: Any, receiver: Any) -> None:
    outbox.endpoints.add(receiver.url())
    receiver.status, receiver.headers = 302, {"Location": receiver.url("/elsewhere")}
    notice = outbox.tell()
    outbox.deliveries.deliver()
    assert [each.path for each in receiver.heard] == ["/hook"]
    assert outbox.status(notice) == [("waiting", 1, "HTTP 302")]


def test_one_that_does_not_answer_keeps_nothing_from_the_others_and_uses_up_one_try(
    outbox: Any, receiver: Any
) -> None:
    outbox.endpoints.add("http://127.0.0.1:1/down")
    outbox.endpoints.add(receiver.url())
    told = [outbox.tell() for __ in range(5)]
    outbox.deliveries.deliver()
    assert sorted(each.headers["webhook-id"] for each in receiver.heard) == sorted(told)
    tries = sorted(
        n for each in told for status, n, __ in outbox.status(each) if status != "delivered"
    )
    assert tries == [0, 0, 0, 0, 1]


def test_two_senders_send_each_message_once(outbox: Any, receiver: Any, reopened: Any) -> None:
    outbox.endpoints.add(receiver.url())
    told = [outbox.tell() for __ in range(20)]
    again = reopened()
    again.issued |= outbox.shop.issued
    other = type(outbox)(again)
    both = [
        threading.Thread(target=each.deliveries.deliver) for each in (outbox, other, outbox, other)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert Counter(each.headers["webhook-id"] for each in receiver.heard) == Counter(told)


def test_a_sender_that_is_killed_after_the_message_left_has_it_sent_again_under_the_same_id(
    outbox: Any, receiver: Any
) -> None:
    opened = outbox.endpoints.add(receiver.url())
    for number in range(ROUNDS):
        receiver.heard.clear()
        receiver.held.clear()
        outbox.clock.moment = datetime.now(UTC)
        notice = outbox.tell(round=number)
        command = [sys.executable, str(KILLED), str(outbox.shop.workspace.home)]
        with subprocess.Popen(command) as child:
            assert receiver.waits_for(1)
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        receiver.held.set()
        outbox.clock.moment = datetime.now(UTC)
        assert outbox.deliveries.deliver() == []  # its lease stands
        outbox.clock.advance(181)
        (sent,) = outbox.deliveries.deliver()
        assert sent.status == "delivered"
        assert [each.headers["webhook-id"] for each in receiver.heard] == [notice, notice]
        first, second = (verified(opened, each) for each in receiver.heard)
        assert first == second


def test_whoever_lost_the_lease_writes_nothing_over_what_another_found(
    outbox: Any, receiver: Any
) -> None:
    outbox.endpoints.add(receiver.url())
    notice = outbox.tell()
    receiver.held.clear()
    receiver.status = 500
    slow = threading.Thread(target=outbox.deliveries.deliver)
    slow.start()
    assert receiver.waits_for(1)
    outbox.clock.advance(181)
    quick = threading.Thread(target=outbox.sender(chance=random.Random(2)).deliver)
    quick.start()
    assert receiver.waits_for(2)
    answers = iter((204, 500))
    receiver.status = lambda _heard: next(answers)
    receiver.held.set()
    for thread in (slow, quick):
        thread.join()
    # Either was told 204 first; the one without the lease cannot undo what the other wrote.
    ((status, tries, __),) = outbox.status(notice)
    assert tries == 2
    assert status in ("delivered", "waiting")
    outbox.clock.advance(10**4)
    receiver.status = 204
    outbox.deliveries.deliver()
    assert outbox.status(notice)[0][0] == "delivered"


def test_what_failed_can_be_sent_again_and_what_was_taken_cannot(
    outbox: Any, receiver: Any
) -> None:
    outbox.endpoints.add(receiver.url())
    receiver.status = 410
    notice = outbox.tell()
    outbox.deliveries.deliver()
    assert [each["id"] for each in outbox.deliveries.events(status="failed")] == [notice]
    receiver.status = 204
    assert outbox.deliveries.retry(notice) == 1
    outbox.deliveries.deliver()
    assert outbox.status(notice) == [("delivered", 1, "HTTP 204")]
    assert outbox.deliveries.events(status="failed") == []
    for reference, status in ((notice, 409), ("msg_none", 404)):
        with pytest.raises(RequestError) as refused:
            outbox.deliveries.retry(reference)
        assert refused.value.http_status == status


def test_a_removed_endpoint_gets_nothing_more(outbox: Any, receiver: Any) -> None:
    opened = outbox.endpoints.add(receiver.url())
    notice = outbox.tell()
    outbox.endpoints.remove(opened.endpoint.id)
    later = outbox.tell()
    assert outbox.deliveries.deliver() == []
    assert receiver.heard == []
    assert outbox.status(notice) == [("failed", 0, "the endpoint was removed")]
    assert outbox.status(later) == []
    assert outbox.endpoints.list() == []
    with pytest.raises(RequestError):
        outbox.endpoints.remove(opened.endpoint.id)


def test_after_a_rotation_both_secrets_are_good_for_a_day(outbox: Any, receiver: Any) -> None:
    old = outbox.endpoints.add(receiver.url())
    new = outbox.endpoints.rotate(old.endpoint.id)
    outbox.tell()
    outbox.deliveries.deliver()
    verified(old, receiver.heard[0])
    verified(new, receiver.heard[0])
    outbox.clock.advance(timedelta(hours=24).total_seconds())
    outbox.tell()
    outbox.deliveries.deliver()
    verified(new, receiver.heard[1])
    with pytest.raises(AssertionError):
        verified(old, receiver.heard[1])


def test_no_secret_is_in_the_database_or_the_audit_log(outbox: Any, receiver: Any) -> None:
    opened = outbox.endpoints.add(receiver.url("/x?token=hush"))
    outbox.tell()
    outbox.deliveries.deliver()
    secret = opened.secret.reveal().removeprefix("whsec_")
    with outbox.database.read() as connection:
        held = [
            str(row)
            for table in schema.metadata.sorted_tables
            for row in connection.execute(table.select())
        ]
    assert secret not in "\n".join(held)
    assert not any(b"hush" in leaf["record"] for leaf in outbox.shop.leaves("webhook.added"))


def test_where_the_key_behind_the_secrets_was_lost_nothing_leaves_with_another(
    outbox: Any, receiver: Any
) -> None:
    outbox.endpoints.add(receiver.url())
    (outbox.shop.workspace.key_folder / "root.secret").unlink()
    notice = outbox.tell()
    outbox.deliveries.deliver()
    assert receiver.heard == []
    ((status, __, answer),) = outbox.status(notice)
    assert status == "waiting"
    assert "another key" in str(answer)


def test_wrong_types_are_named(outbox: Any, receiver: Any) -> None:
    with pytest.raises(ConfigError, match=r"invoice\.lost"):
        outbox.endpoints.add(receiver.url(), None, ["invoice.lost"])
    with pytest.raises(ValueError, match=r"invoice\.lost"):
        outbox.tell(type_="invoice.lost")


def test_deliveries_leave_kept_permits_as_they_are(outbox: Any, receiver: Any) -> None:
    outbox.endpoints.add(receiver.url())
    outbox.tell()
    before = outbox.database.epoch()
    outbox.deliveries.deliver()
    assert receiver.heard
    assert outbox.database.epoch() == before
