"""Decoded pictures: of a sealed workspace they are in memory alone, and decoded as seldom."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core import registry
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create import prepare
from mintage.create.prepare import Pictures
from mintage.trust.sealing.wrapping import make_key_file


@pytest.fixture
def decoded_sides(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The side of each array that was decoded, as it happens."""
    sides: list[int] = []
    before = prepare._decode_into

    def counted(array: object, *rest: object) -> None:
        sides.append(array.shape[1])  # type: ignore[attr-defined]
        before(array, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "_decode_into", counted)
    return sides


def sealed(folder: Path) -> App:
    key = folder / "kek"
    if not key.exists():
        make_key_file(key)
    return App(load_settings(home=folder / "sealed", seal_key=f"file:{key}", threads=1))


def test_a_sealed_workspace_trains_to_the_bundle_of_an_open_one_and_decodes_as_seldom(
    tmp_path: Path, decoded_sides: list[int]
) -> None:
    photos = two_classes(tmp_path / "photos", each=60)
    digests, sides = [], []
    for app in (App(load_settings(home=tmp_path / "open", threads=1)), sealed(tmp_path)):
        with app:
            app.create.collect(photos, "pets")
            result = app.create.train("pets", recipe="seed-cnn,compact", epochs=1, report=False)
        digests.append(result.record["bundle_digest"])
        sides.append(sorted(decoded_sides))
        decoded_sides.clear()
    assert digests[0] == digests[1]
    assert sides[0] == sides[1]
    assert len(set(sides[1])) == len(sides[1]) == 2


def test_labels_of_a_sealed_workspace_are_judged_on_pictures_decoded_once(
    tmp_path: Path, decoded_sides: list[int]
) -> None:
    photos = two_classes(tmp_path / "photos", each=60)
    with sealed(tmp_path) as app:
        app.create.collect(photos, "pets")
        found = app.create.inspect("pets", look="labels", seconds=60.0, threads=1)
    assert found["label_errors"] is not None
    assert len(decoded_sides) == len(set(decoded_sides))


def test_where_memory_is_short_pictures_of_one_side_alone_are_held(
    tmp_path: Path, decoded_sides: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sealed(tmp_path) as app:
        dataset = app.create.collect(two_classes(tmp_path / "photos"), "pets")
        kind = registry.modalities().get("image")
        pictures = Pictures(app.workspace, dataset, kind, Silent())
        for side in (28, 32, 28):
            assert pictures.at(side).shape == (len(dataset.examples), side, side, 3)
        assert decoded_sides == [28, 32]
        assert pictures.make_room(28) == 0
        monkeypatch.setattr(prepare, "memory_free_bytes", lambda: 1000)
        assert pictures.make_room(48) == len(dataset.examples) * 48 * 48 * 3
        pictures.at(28)
        assert decoded_sides == [28, 32, 28]
