from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from tests.pictures import encoded, jpeg, noise

from mintage.capture import feedback
from mintage.capture.feedback import Feedback, Feedbacks
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, MintageError, Overloaded, QuotaReached, RequestError
from mintage.core.types import Said
from mintage.modalities.image.modality import ImageModality
from mintage.store.blobs import FolderBlobs

OUTPUT = {"label": "cats", "probability": 0.9, "probabilities": {"cats": 0.9, "dogs": 0.1}}
UNSURE = {"label": None, "probability": None, "probabilities": None, "message": "not sure"}
ROOM = 100_000
RIGHT = Said(right=True, label=None, output=OUTPUT)
WRONG = Said(right=False, label="dogs", output=OUTPUT)


@pytest.fixture
def store(shop: Any) -> Callable[..., Feedbacks]:
    def of(most_bytes: int = ROOM) -> Feedbacks:
        workspace = shop.workspace
        return Feedbacks(
            workspace.database,
            workspace.feedback_of,
            workspace.clock,
            lambda product: (ImageModality(), ("cats", "dogs", "birds")),
            most_bytes=most_bytes,
        )

    return of


@pytest.fixture
def kept(store: Callable[..., Feedbacks]) -> Feedbacks:
    return store()


@pytest.fixture
def answered(shop: Any) -> Callable[..., tuple[str, str]]:
    """The customer and the receipt of a picture that was answered so."""

    def one(data: bytes, output: Any = OUTPUT, customer: str = "Ada", **more: Any) -> Any:
        usage = shop.usage(
            customer,
            input_sha256=sha256_hex(data),
            output_sha256=sha256_hex(canonical_json(output)),
            **more,
        )
        return usage.permit.customer, shop.meter.record(usage).result(10).id

    return one


def files(shop: Any) -> set[str]:
    return {path.name for path in shop.workspace.stored("feedback")}


def test_the_picture_is_kept_without_metadata_beside_answer_label_and_a_leaf(
    shop: Any, kept: Feedbacks, answered: Any
) -> None:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Secret camera", 6
    picture = encoded(noise(1), exif=tags)
    customer, receipt = answered(picture)
    found = kept.keep(customer, receipt, WRONG, picture)
    assert (found.right, found.label, found.product) == (False, "dogs", "pets")
    assert kept.list() == [found]
    assert kept.list("pets") == [found]
    assert kept.list("other") == []
    assert found.output == OUTPUT
    file = kept.picture(found)
    assert b"Secret" not in file
    with Image.open(io.BytesIO(file)) as opened:
        assert opened.getexif()[0x0112] == 6
    (leaf,) = shop.leaves("feedback.kept")
    assert leaf["record"] == canonical_json(
        {
            "kind": "feedback.kept",
            "receipt": receipt,
            "customer": customer,
            "product": "pets",
            "right": False,
            "label": "dogs",
            "sha256": found.sha256,
            "size_bytes": len(file),
            "consent": True,
        }
    )


@pytest.mark.parametrize(
    ("said", "label"),
    [
        (RIGHT, "cats"),
        (Said(right=True, label="cats", output=OUTPUT), "cats"),
        (WRONG, "dogs"),
        (Said(right=False, label=None, output=OUTPUT), None),
        (Said(right=False, label="birds", output=UNSURE), "birds"),
    ],
)
def test_the_true_label_is_the_answers_where_it_was_right_else_the_customers(
    kept: Feedbacks, answered: Any, said: Said, label: str | None
) -> None:
    customer, receipt = answered(jpeg(1), said.output)
    assert kept.keep(customer, receipt, said, jpeg(1)).label == label


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (Said(right=True, label="dogs", output=OUTPUT), "cannot be right"),
        (Said(right=False, label="cats", output=OUTPUT), "cannot be wrong"),
        (Said(right=False, label="unicorns", output=OUTPUT), "no label 'unicorns'"),
        (Said(right=True, label=None, output=UNSURE), "cannot have been right"),
    ],
)
def test_what_contradicts_itself_or_names_no_label_is_refused(
    shop: Any, kept: Feedbacks, answered: Any, said: Said, says: str
) -> None:
    customer, receipt = answered(jpeg(1), said.output)
    with pytest.raises(RequestError, match=says) as refused:
        kept.keep(customer, receipt, said, jpeg(1))
    assert refused.value.http_status == 422
    assert "cats, dogs, birds" in refused.value.remedy
    assert (kept.list(), files(shop)) == ([], set())


def test_only_the_receipts_own_picture_and_answer_are_taken(
    shop: Any, kept: Feedbacks, answered: Any
) -> None:
    customer, receipt = answered(jpeg(1))
    with pytest.raises(DataError, match="not the picture"):
        kept.keep(customer, receipt, WRONG, jpeg(2))
    forged = Said(right=True, label=None, output=OUTPUT | {"label": "dogs"})
    with pytest.raises(DataError, match="not the answer"):
        kept.keep(customer, receipt, forged, jpeg(1))
    failed, its_receipt = answered(jpeg(3), outcome="error")
    with pytest.raises(DataError):
        kept.keep(failed, its_receipt, Said(right=False, label="dogs", output={}), jpeg(3))
    assert (kept.list(), files(shop)) == ([], set())


def test_nobody_speaks_for_anothers_receipt(kept: Feedbacks, answered: Any, shop: Any) -> None:
    customer, receipt = answered(jpeg(1))
    other, __ = answered(jpeg(2), customer="Ben")
    for name in (receipt, "rcp_none"):
        with pytest.raises(RequestError, match=name) as missing:
            kept.keep(other, name, WRONG, jpeg(1))
        assert missing.value.http_status == 404
    kept.keep(customer, receipt, WRONG, jpeg(1))
    with pytest.raises(RequestError, match="no feedback") as missing:
        kept.withdraw(receipt, other)
    assert missing.value.http_status == 404
    assert len(kept.list()) == 1


def test_a_second_word_takes_the_firsts_place(shop: Any, kept: Feedbacks, answered: Any) -> None:
    customer, receipt = answered(jpeg(1))
    kept.keep(customer, receipt, RIGHT, jpeg(1))
    shop.clock.advance(60)
    second = kept.keep(customer, receipt, WRONG, jpeg(1))
    assert kept.list() == [second]
    assert files(shop) == {second.sha256}
    assert len(shop.leaves("feedback.kept")) == 2


def test_what_is_taken_back_is_gone_with_its_picture(
    shop: Any, kept: Feedbacks, answered: Any
) -> None:
    customer, receipt = answered(jpeg(1))
    __, again = answered(jpeg(1))
    first = kept.keep(customer, receipt, RIGHT, jpeg(1))
    kept.keep(customer, again, WRONG, jpeg(1))
    kept.withdraw(receipt, customer)
    assert files(shop) == {first.sha256}  # the other one has the same picture
    kept.withdraw(again)  # the operator
    assert (kept.list(), files(shop)) == ([], set())
    assert len(shop.leaves("feedback.withdrawn")) == 2


def test_what_became_part_of_a_dataset_waits_no_longer_and_stays_said(
    shop: Any, kept: Feedbacks, answered: Any
) -> None:
    customer, receipt = answered(jpeg(1))
    found = kept.keep(customer, receipt, WRONG, jpeg(1))
    kept.collected([found], "pets#1f9c")
    assert (kept.list(), files(shop)) == ([], set())
    (stays,) = kept.list(waiting=False)
    assert stays.collected_into == "pets#1f9c"
    for act in (
        lambda: kept.withdraw(receipt, customer),
        lambda: kept.keep(customer, receipt, RIGHT, jpeg(1)),
    ):
        with pytest.raises(RequestError, match="pets#1f9c") as late:
            act()
        assert late.value.http_status == 409
    assert files(shop) == set()


def test_one_customer_cannot_take_more_than_their_share_nor_all_the_room(
    shop: Any, store: Callable[..., Feedbacks], answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = jpeg(1)
    size = len(ImageModality().without_metadata(picture)[1])
    kept = store(most_bytes=8 * size + size // 2)

    def give(customer: str) -> Feedback:
        who, receipt = answered(picture, customer=customer)
        return kept.keep(who, receipt, RIGHT, picture)

    for __ in range(2):
        give("Ada")
    with pytest.raises(QuotaReached, match="2 of your pictures") as full:
        give("Ada")
    assert full.value.http_status == 429
    for customer in ("Ben", "Cleo", "Dan", "Eve", "Fay", "Gus"):  # others are not touched
        give(customer)
    with pytest.raises(Overloaded, match="no room") as crowded:
        give("Hal")
    assert (crowded.value.http_status, crowded.value.retry_after_seconds) == (503, 86_400)
    assert sum(each.size_bytes for each in kept.list()) == 8 * size
    monkeypatch.setattr(feedback, "MOST_WAITING", 1)
    with pytest.raises(QuotaReached, match="1 of your pictures"):
        give("Ben")


def test_a_commit_that_finds_it_taken_meanwhile_leaves_no_file(
    shop: Any, kept: Feedbacks, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, receipt = answered(jpeg(1))
    found = kept.keep(customer, receipt, WRONG, jpeg(1))
    put = FolderBlobs.put

    def collected_first(*words: Any, **options: Any) -> None:
        monkeypatch.undo()
        kept.collected([found], "pets#1f9c")
        put(*words, **options)

    monkeypatch.setattr(FolderBlobs, "put", collected_first)
    with pytest.raises(MintageError, match="by now"):
        kept.keep(customer, receipt, RIGHT, jpeg(1))
    assert files(shop) == set()
