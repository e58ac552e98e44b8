"""Recipes: complete, plain JSON, and refusing what nobody would read."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mintage.core.errors import ConfigError
from mintage.core.machine import has_bfloat16
from mintage.create.design import Data, compact, cost_ms, design
from mintage.create.recipe import Recipe

PETS = {"data": Data((1800, 1800), 375), "threads": 2}


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
        "bfloat16" if has_bfloat16() else "float32",
    )
    assert candidate.initialisation == "glorot_uniform"
    assert candidate.augmentation == replace(candidate.augmentation).none()


@pytest.mark.parametrize(("able", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_an_accelerator_decides_on_the_precision_not_the_processor(able, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    assert design("compact", **PETS, seconds=60).candidates[0].precision == precision


def test_under_fifteen_minutes_auto_trains_one_candidate_and_then_searches():
    assert names(design("auto", **PETS, seconds=105)) == ["compact"]
    one = design("auto", **PETS, seconds=899)
    assert (names(one), one.search) == (["compact"], False)
    many = design("auto", **PETS, seconds=900)
    assert many.search
    assert len(many.candidates) >= 6
    assert {each.network for each in many.candidates} == {"seed-cnn", "compact"}
    assert design("auto", **PETS, seconds=60, search=True).search
    assert not design("auto", **PETS, seconds=900, search=False).search
    assert names(design("auto", **PETS)) == ["seed-cnn", "compact"]


def test_a_search_tries_candidates_that_differ_from_the_tables_choice_in_one_thing():
    favourite, *others = list(design("compact", **PETS, seconds=300, search=True).candidates)
    assert len(others) >= 4
    for other in others:
        same = replace(
            other,
            name=favourite.name,
            **(
                {"input_size": favourite.input_size, "training_sides": favourite.training_sides}
                if other.input_size != favourite.input_size
                else {}
            ),
        )
        apart = [k for k in vars(same) if getattr(same, k) != getattr(favourite, k)]
        assert (
            set(apart) <= {"width"}
            or set(apart) <= {"depth"}
            or set(apart) <= {"augmentation"}
            or set(apart) <= {"mixup", "cutmix"}
        )


def test_a_search_among_narrow_networks_tries_one_of_full_width():
    favourite, *others = design("compact", **PETS, seconds=60, search=True).candidates
    assert favourite.width == 0.5
    assert 1.0 in {other.width for other in others}
    assert favourite.augmentation.crop >= max(other.augmentation.crop for other in others)


def test_auto_falls_back_to_the_seed_network_when_compact_would_hardly_begin():
    large = PETS | {"data": Data((50_000, 50_000), 375)}
    assert names(design("auto", **large, seconds=20)) == ["seed-cnn"]
    assert names(design("auto", **PETS, seconds=20, speed=30.0)) == ["seed-cnn"]


def test_backbones_that_are_at_hand_are_chosen_first(monkeypatch):
    from mintage.modalities.image import pretrained

    asked = []

    def describe(weights, say):
        asked.append(weights)
        return SimpleNamespace(
            digest="ab" * 32, input_size=64, mean=(0.5,) * 3, deviation=(0.25,) * 3
        )

    monkeypatch.setattr(pretrained, "describe", describe)
    (candidate,) = design("auto", **PETS, seconds=60, backbone="weights/tiny").candidates
    assert (candidate.network, candidate.weights, asked) == (
        "hub",
        "weights/tiny",
        ["weights/tiny"],
    )


def test_pictures_grow_with_the_time_and_never_beyond_the_data():
    def side(seconds, typical_side=375, examples=3600, speed=1.0):
        return compact(
            examples=examples, typical_side=typical_side, seconds=seconds, speed=speed
        ).input_size

    sides = [side(each) for each in (5, 15, 30, 60, 105, 600)]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1]
    assert side(600, typical_side=64, examples=200) == 64
    assert side(600, typical_side=20, examples=200) == 48


def test_little_time_gets_a_narrow_network_and_enough_of_it_a_whole_one():
    def chosen(seconds, typical_side=375):
        found = compact(examples=3600, typical_side=typical_side, seconds=seconds)
        return found.width, found.augmentation.crop

    assert chosen(10) == (0.5, 0.0)
    assert chosen(60) == (0.5, 0.35)
    assert chosen(300) == (1.0, 0.8)
    assert chosen(300, typical_side=32) == (1.0, 0.8)
    # Of many pictures enough is seen in fewer passes.
    assert compact(examples=50_000, typical_side=32, seconds=600).width == 1.0
    for typical_side in (32, 100, 375):
        assert compact(examples=3600, typical_side=typical_side).width == 1.0


def test_by_the_clock_the_seed_network_is_trained_for_what_it_can_learn_in_that_time():
    (candidate,) = design("seed-cnn", **PETS, seconds=5).candidates
    assert (candidate.schedule, candidate.augmentation.flips) == ("one_cycle", "measure")
    assert candidate.answer_mirrored
    assert candidate.early_stopping_patience is None


def test_a_slow_machine_gets_what_a_fast_one_gets_in_less_time():
    for seconds in (10, 30, 100, 300):
        fast = compact(examples=3600, typical_side=375, seconds=seconds)
        assert compact(examples=3600, typical_side=375, seconds=3 * seconds, speed=3.0) == fast


def test_uneven_classes_are_weighted_and_judged_alike_and_even_ones_left_alone():
    uneven = design("compact", data=Data((1000, 100), 375), epochs=3)
    assert uneven.choose_by == "balanced_accuracy"
    assert [each.class_weights for each in uneven.candidates] == ["balanced"]
    even = design("compact", **PETS, epochs=3)
    assert (even.choose_by, even.candidates[0].class_weights) == ("accuracy", "none")


def test_costs_grow_with_side_width_and_depth():
    base = compact(examples=3600, typical_side=375, seconds=60)
    for larger in ({"width": 2.0}, {"depth": 3}, {"training_sides": (140,)}):
        assert cost_ms(replace(base, **larger)) > 1.5 * cost_ms(base)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"dropout": 1.5}, "dropout"),
        ({"mixup": 0.7, "cutmix": 0.7}, "mixup"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"width": "wide"}, "width"),
        ({"name": "../../elsewhere"}, "name"),
        ({"weights": "folder"}, "hub"),
        ({"restore_best_weights": 1}, "restore_best_weights"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(wrong, hint):
    document = design("compact", **PETS, seconds=60).to_json()
    document["candidates"][0].update(wrong)
    with pytest.raises(ConfigError, match=hint):
        Recipe.from_json(document)


def test_two_candidates_of_one_name_would_share_a_folder_and_are_refused():
    document = design("compact", **PETS, seconds=60).to_json()
    document["candidates"] *= 2
    with pytest.raises(ConfigError, match="twice"):
        Recipe.from_json(document)


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
