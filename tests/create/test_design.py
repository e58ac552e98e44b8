"""Recipes: complete, plain JSON, and refusing what nobody would read."""

import json
from dataclasses import replace

import pytest

from mintage.core.errors import ConfigError
from mintage.create.design import Recipe, compact_side, design

PETS = {"classes": 2, "examples": 3600, "typical_side": 375, "threads": 2}


def names(recipe):
    return [each.name for each in recipe.candidates]


@pytest.mark.parametrize("name", ["auto", "seed-cnn", "compact", "seed-cnn,compact"])
@pytest.mark.parametrize("budget", [{"seconds": 105.0}, {"epochs": 3}, {}])
def test_a_recipe_survives_being_written_as_json(name, budget):
    recipe = design(name, **PETS, **budget, seed=4)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda d: d.update(epoch=3), "epochs"),
        (lambda d: d["candidates"][0].update(learning_rat=0.1), "learning_rate"),
        (lambda d: d["candidates"][0]["augmentation"].update(rotation=3), "rotation_degrees"),
        (lambda d: d["candidates"][0].update(zzz=1), "batch_size"),
        (lambda d: d["candidates"][0].update(loss="squared_eror"), "squared_error"),
        (lambda d: d["candidates"][0].pop("network"), "lacks network"),
        (lambda d: d.update(candidates=["compact"]), "compact"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_the_nearest_right_one(wrong, hint):
    document = design("compact", **PETS, seconds=60).to_json()
    wrong(document)
    with pytest.raises(ConfigError, match=hint):
        Recipe.from_json(document)


def test_the_seed_network_is_trained_as_in_the_textbook():
    recipe = design("seed-cnn", **PETS)
    (candidate,) = recipe.candidates
    assert recipe.epochs == 10
    assert (candidate.input_size, candidate.optimiser, candidate.learning_rate) == (
        28,
        "adam",
        1e-3,
    )
    assert (candidate.batch_size, candidate.loss, candidate.precision) == (
        32,
        "cross_entropy",
        "float32",
    )
    assert candidate.initialisation == "glorot_uniform"
    assert candidate.augmentation == replace(candidate.augmentation).none()


def test_under_fifteen_minutes_auto_trains_one_candidate_and_otherwise_both():
    assert names(design("auto", **PETS, seconds=105)) == ["compact"]
    assert names(design("auto", **PETS, seconds=899)) == ["compact"]
    assert names(design("auto", **PETS, seconds=900)) == ["seed-cnn", "compact"]
    assert names(design("auto", **PETS)) == ["seed-cnn", "compact"]


def test_auto_falls_back_to_the_seed_network_when_compact_would_hardly_begin():
    assert names(design("auto", **(PETS | {"examples": 100_000}), seconds=20)) == ["seed-cnn"]


def test_pictures_grow_with_the_time_and_never_beyond_the_data():
    sides = [
        compact_side(examples=3600, typical_side=375, seconds=each)
        for each in (5, 15, 30, 60, 105, 600)
    ]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1]
    assert compact_side(examples=200, typical_side=64, seconds=600) == 64
    assert compact_side(examples=200, typical_side=20, seconds=600) == 48


@pytest.mark.parametrize("name", ["compct", "seed-cnn,", "compact,compact", ""])
def test_a_recipe_that_does_not_exist_is_refused(name):
    with pytest.raises(ConfigError):
        design(name, **PETS)


def test_a_misspelt_recipe_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="'compact'"):
        design("compct", **PETS)


@pytest.mark.parametrize("budget", [{"seconds": 0}, {"epochs": 0}, {"seconds": -1}])
def test_a_budget_of_nothing_is_refused(budget):
    with pytest.raises(ConfigError):
        design("compact", **PETS, **budget)
