"""What is different between two datasets; content decides."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.pictures import two_classes

from mintage.core.types import Example
from mintage.create.dataset import Dataset
from mintage.create.diff import difference


def dataset(version: str, **examples: str) -> Dataset:
    """``digest="label split"``, or with a path: ``digest="label split path"``."""
    lines = []
    for digest, words in sorted(examples.items()):
        label, split, *path = words.split()
        name = path[0] if path else f"{label}/{digest}.jpg"
        lines.append(Example(digest, name, label, split, None, digest, (1, 1), 1))  # type: ignore[arg-type]
    return Dataset("pets", version, tuple(lines), {}, Path())


def test_every_kind_of_change_is_counted_by_class_and_listed() -> None:
    before = dataset("1", a="cat train", b="cat test", c="dog train", d="dog train", e="cat train")
    after = dataset(
        "2", a="cat train x.jpg", b="cat train", c="cat train", e="cat train", f="bird test"
    )
    found = difference(before, after)
    assert (found["before"], found["after"]) == ("pets#1", "pets#2")
    assert [each["sha256"] for each in found["added"]] == ["f"]
    assert found["removed"] == [
        {"sha256": "d", "path": "dog/d.jpg", "label": "dog", "split": "train"}
    ]
    (relabelled,) = found["relabelled"]
    assert relabelled["label"] == {"before": "dog", "after": "cat"}
    (moved,) = found["moved"]
    assert (moved["sha256"], moved["split"]) == ("b", {"before": "test", "after": "train"})
    assert found["classes"]["cat"] == {
        "before": 3,
        "after": 4,
        "added": 0,
        "removed": 0,
        "relabelled_to": 1,
        "relabelled_from": 0,
        "moved": 1,
    }
    assert found["classes"]["bird"]["added"] == 1
    assert (found["renamed"], found["unchanged"]) == (2, 2)


_LINES = st.dictionaries(
    st.sampled_from("abcdefghij"),
    st.tuples(st.sampled_from(["cat", "dog"]), st.sampled_from(["train", "test"])).map(" ".join),
    min_size=1,
)


@given(_LINES, _LINES)
def test_the_counts_add_up_and_the_way_back_is_the_opposite(
    one: dict[str, str], other: dict[str, str]
) -> None:
    before, after = dataset("1", **one), dataset("2", **other)
    there, back = difference(before, after), difference(after, before)
    for label, counts in there["classes"].items():
        gained = counts["added"] + counts["relabelled_to"]
        lost = counts["removed"] + counts["relabelled_from"]
        assert counts["after"] == counts["before"] + gained - lost
        assert counts["added"] == back["classes"][label]["removed"]
    assert there["added"] == back["removed"]
    assert len(there["moved"]) == len(back["moved"])
    same = difference(before, before)
    assert [same[kind] for kind in ("added", "removed", "relabelled", "moved")] == [[]] * 4
    assert same["unchanged"] == len(one)


def test_against_the_newest_unless_another_is_named(tmp_path: Path) -> None:
    from mintage.app.root import App
    from mintage.core.settings import load_settings

    photos = two_classes(tmp_path / "photos", each=6)
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        first = app.create.collect(photos, "pets")
        (photos / "dark/000.jpg").unlink()
        second = app.create.collect(photos, "pets")
        other = app.create.collect(photos, "animals", seed=3)
        found = app.create.diff(first.reference[:12])
        assert found["after"] == second.reference
        assert [each["path"] for each in found["removed"]] == ["dark/000.jpg"]
        between = app.create.diff("pets", "animals")
        assert between["after"] == other.reference
        assert not between["added"]
