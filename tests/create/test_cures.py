from math import log
from typing import Any

import pytest

from mintage.core.messages import speaking, told
from mintage.create.cures import cures, help_in_words, name_of, recipe_of

AUGMENTATION = {
    "flips": "both",
    "rotation_degrees": 8.0,
    "crop": -log(0.7),
    "scale": -log(0.9),
    "aspect": log(1.2),
    "translation": 0.025,
    "brightness": 0.2,
    "contrast": 0.15,
    "colour": 0.1,
    "erasing": 0.25,
}


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({"mixup": 0.25}, "mixup in 25% of the batches"),
        ({"cutmix": 0.5}, "cutmix in 50% of the batches"),
        ({"weight_decay": 0.05}, "weight decay (L2) of 0.05"),
        ({"l1": 0.001}, "L1 of 0.001"),
        ({"dropout": 0.3}, "dropout of 30%"),
        ({"label_smoothing": 0.1}, "label smoothing of 0.1"),
        ({"averaging": 0.99}, "averaging of the weights over the last steps"),
        (
            {"early_stopping_patience": 10, "restore_best_weights": True},
            "early stopping after 10 epochs that were no better; the best weights kept",
        ),
        (
            {"restore_best_weights": True},
            "the weights that were best on validation data are kept",
        ),
        ({"class_weights": "balanced"}, "rare classes count more"),
    ],
)
def test_each_cure_of_training_is_named_once_and_with_its_strength(
    candidate: dict[str, Any], words: str
) -> None:
    assert [str(each) for each in cures(candidate)] == [words]


def test_each_change_of_a_picture_is_named_in_what_it_does_to_it() -> None:
    assert [str(each) for each in cures({"augmentation": AUGMENTATION})] == [
        "mirror images, left to right and upside down",
        "rotation by up to 8°",
        "cropping down to 70% of the side",
        "scaling down to 90%",
        "stretching by up to 20%",
        "shifting by up to 2.5% of the side",
        "brightness changed by up to 5.0% of the range",
        "contrast changed by up to 15%",
        "colours changed by up to 10%",
        "erasing: a rectangle hidden in 25% of the pictures",
    ]


def test_what_a_recipe_has_not_or_has_at_zero_is_no_cure() -> None:
    assert cures({}) == []
    off = dict.fromkeys(AUGMENTATION, 0.0) | {"flips": "none"}
    zero = {"mixup": 0.0, "l1": 0.0, "dropout": 0.0, "early_stopping_patience": None}
    assert cures({**zero, "augmentation": off, "class_weights": "none"}) == []
    assert cures({"augmentation": {"flips": "measure"}}) == []


def test_every_cure_that_a_recipe_can_have_has_a_name() -> None:
    """Whoever adds a change of pictures to recipes adds its name here too."""
    from dataclasses import asdict, fields

    from mintage.modalities.image.augment import Augmentation

    assert {each.name for each in fields(Augmentation)} == set(AUGMENTATION)
    some = asdict(Augmentation())
    on = sum(bool(value) for name, value in some.items() if name != "flips")
    assert len(cures({"augmentation": some})) == on


def test_mirror_images_that_were_measured_are_named_as_they_were_found() -> None:
    measured = {"name": "compact", "augmentation": {"flips": "measure"}}
    run = {
        "candidates": [{"name": "compact"}],
        "recipe": {"candidates": [measured]},
        "flips": {"chosen": "horizontal", "because": "…"},
    }
    found = cures(recipe_of(run, "compact"))
    assert [str(each) for each in found] == ["mirror images, left to right"]
    assert cures(recipe_of({**run, "flips": None}, "compact")) == []
    assert recipe_of({"candidates": [{"name": "compact"}]}, "compact") == {}


def test_all_cures_are_no_total_in_chinese() -> None:
    with speaking("zh"):
        assert told(name_of("all")) == "全部对策"


def test_a_line_of_an_ablation_is_said_in_words() -> None:
    assert name_of("weight_decay") == "weight decay (L2)"
    assert name_of("of-tomorrow") == "of-tomorrow"
    rows = [("none", None), ("l1", None), ("l1", True), ("l1", False)]
    words = [help_in_words({"cure": cure, "helps": helps}) for cure, helps in rows]
    assert len(set(words)) == 4
    assert "harm" in words[-1]
