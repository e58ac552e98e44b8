"""Recipe files: every choice visible and explained, read back as they were, refused by name."""

import contextlib
import dataclasses
import json
import string
import tomllib
import types
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mintage.core.errors import ConfigError
from mintage.core.messages import speaking
from mintage.create import recipe_words
from mintage.create.recipe import _KEYS_OF, Candidate, Recipe
from mintage.create.recipe_file import from_json, from_toml, is_file, read, to_toml
from mintage.modalities.image.augment import Augmentation

KINDS = {"recipe": Recipe, "candidate": Candidate, "augmentation": Augmentation}
KEYS = [
    f"{name}.{field.name}" for name, kind in KINDS.items() for field in dataclasses.fields(kind)
]
COMPACT = Candidate("compact", "compact", 48, "he_normal", augmentation=Augmentation())
RECIPE = Recipe("mine", (COMPACT, dataclasses.replace(COMPACT, name="other")), epochs=3)


def values(key, hint):
    """What a field may hold, by what is known of its choices, its range and its type."""
    if get_origin(hint) in {Union, types.UnionType}:
        return some.none() | values(key, get_args(hint)[0])
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            return some.lists(values(key, kinds[0]), max_size=3).map(tuple)
        return some.tuples(*(values(key, kind) for kind in kinds))
    if key in recipe_words._KNOWN:
        return some.sampled_from(recipe_words._KNOWN[key])
    low, high = recipe_words._BOUNDS.get(key, (1, 10**9))
    if hint is int:
        return some.integers(int(low), int(high))
    if hint is float:
        return some.floats(low, high)
    return {bool: some.booleans(), str: some.text(max_size=20)}[hint]


@some.composite
def recipes(draw):
    def drawn(kind, /, **known):
        hints = get_type_hints(KINDS[kind])
        return {
            key: known[key] if key in known else draw(values(f"{kind}.{key}", hint))
            for key, hint in hints.items()
        }

    letters = some.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
    candidates = []
    for name in draw(some.lists(letters, min_size=1, max_size=3, unique=True)):
        network = draw(some.sampled_from(["seed-cnn", "compact", "hub"]))
        weights = draw(some.text(min_size=1)) if network == "hub" else None
        mixup = draw(some.floats(0, 0.5))
        candidate = drawn(
            "candidate",
            name=name,
            network=network,
            weights=None if network != "hub" else f"hub/{weights}",
            mixup=mixup,
            cutmix=draw(some.floats(0, 0.5)),
            augmentation=Augmentation(**drawn("augmentation")),
        )
        for networks, keys in _KEYS_OF.items():
            if network not in networks:
                candidate |= keys
        candidates.append(Candidate(**candidate))
    epochs = draw(some.none() | some.integers(1, 1000))
    seconds = draw(some.none() | some.floats(1e-3, 1e7)) if epochs is None else None
    return Recipe(**drawn("recipe", candidates=tuple(candidates), epochs=epochs, seconds=seconds))


@settings(max_examples=60, deadline=None)
@given(recipe=recipes(), language=some.sampled_from(["en", "zh"]))
def test_every_recipe_is_read_back_as_it_was_written(recipe, language):
    with speaking(language):
        text = to_toml(recipe, header=("first", "second"))
    assert from_toml(text, where="x.toml") == recipe
    assert from_json(json.dumps(recipe.to_json()), where="x.json") == recipe


@settings(max_examples=60, deadline=None)
@given(recipe=recipes())
def test_another_reader_of_toml_finds_the_values_of_the_json(recipe):
    """``to_json`` is the dataclass's own; words stand where it has null."""
    document = tomllib.loads(to_toml(recipe))
    assert document.pop("format") == 1
    wanted = recipe.to_json()
    for table, kind in [
        (wanted, "recipe"),
        *((each, "candidate") for each in wanted["candidates"]),
    ]:
        for key, value in table.items():
            if value is None:
                table[key] = recipe_words.ABSENT[f"{kind}.{key}"]
    assert document == wanted


def test_every_field_has_its_comment_and_no_comment_is_left_over():
    assert set(recipe_words._MEANINGS) == set(KEYS) - {"recipe.candidates"}


def test_every_field_that_may_be_empty_has_a_word_for_it():
    optional = {
        f"{name}.{key}"
        for name, kind in KINDS.items()
        for key, hint in get_type_hints(kind).items()
        if get_origin(hint) in {Union, types.UnionType}
    }
    assert set(recipe_words.ABSENT) == optional


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_key_is_written_with_what_it_does(language):
    with speaking(language):
        lines = to_toml(RECIPE).splitlines()
        for key in set(KEYS) - {"recipe.candidates", "candidate.augmentation"}:
            name = key.partition(".")[2]
            comment = recipe_words.comment(key)
            found = [line for line in lines if line.startswith(f"{name} = ")]
            assert any(line.endswith(f"  # {comment}") for line in found), key
        assert sum(line.startswith("[candidates.augmentation]  # ") for line in lines) == 2


def test_comments_are_one_line_each_and_say_the_range():
    for key in set(KEYS) - {"recipe.candidates"}:
        assert "\n" not in recipe_words.comment(key)
    assert recipe_words.comment("candidate.dropout").endswith("(0 – 0.95)")
    assert recipe_words.comment("candidate.optimiser").endswith("(adam | sgd | muon)")
    patience = recipe_words.comment("candidate.early_stopping_patience")
    assert patience.endswith('("off" | 1 – 10000)')
    assert "(> 0, ≤ " in recipe_words.comment("candidate.learning_rate")


def test_comments_are_in_the_readers_language_and_keys_are_not():
    with speaking("zh"):
        chinese = to_toml(RECIPE)
    assert chinese != to_toml(RECIPE)
    assert tomllib.loads(chinese) == tomllib.loads(to_toml(RECIPE))
    for line in chinese.splitlines():
        if "  # " in line:
            assert any("\u4e00" <= letter <= "\u9fff" for letter in line), line


SHORT = """
name = "mine"
epochs = 3
[[candidates]]
name = "compact"
network = "compact"
input_size = 48
initialisation = "he_normal"
{}
[candidates.augmentation]
{}
"""


def test_what_a_person_leaves_out_has_its_default():
    found = from_toml(SHORT.format("dropout = 0", ""), where="x.toml")
    (candidate,) = found.candidates
    assert (found.seed, found.epochs, found.seconds) == (0, 3, None)
    assert candidate == COMPACT
    assert type(candidate.dropout) is float


@pytest.mark.parametrize(
    ("candidate", "augmentation", "said"),
    [
        ("learning_rat = 0.1", "", r"\[\[candidates\]\] 1 has no 'learning_rat'.*'learning_rate'"),
        ("", "rotation = 3", r"\[candidates.augmentation\] 1 has no 'rotation'.*rotation_degrees"),
        ("zzz = 1", "", r"It has: name, network"),
        ("seed = 3", "", r"It belongs to the top of the file"),
        ("crop = 0.3", "", r"It belongs to \[candidates.augmentation\]"),
        ('flip = "none"', "", r"Did you mean 'flips', of \[candidates.augmentation\]"),
        ("", "mixup = 0.3", r"It belongs to \[\[candidates\]\]"),
        ('dropout = "much"', "", r'dropout must be a number; it is "much"'),
        ("depth = 1.5", "", r"depth must be a whole number; it is 1.5"),
        ("depth = true", "", r"depth must be a whole number; it is true"),
        ("dropout = true", "", r"dropout must be a number; it is true"),
        ("restore_best_weights = 1", "", r"must be true or false; it is 1"),
        ("loss = 3", "", r"loss must be a text in quotes; it is 3"),
        ("learning_rate = nan", "", r"learning_rate must be a number; it is NaN"),
        (f"l1 = 1{'0' * 400}", "", r"l1 must be a number"),
        ('early_stopping_patience = "of"', "", r'a whole number, or "off"; it is "of"'),
        ("mean = [0.5, 0.5]", "", r"mean must be a list of 3, each a number; it is \[0.5, 0.5\]"),
        ("mean = 0.5", "", r"mean must be a list of 3"),
        ('training_sides = [32, "a"]', "", r"training_sides must be a list, each a whole number"),
        ("training_sides = [24, 48]", "", r"training_sides must lie between 32 and 1024; it is 24"),
        ("dropout = 2024-01-01", "", r"dropout must be a number; it is 2024-01-01"),
        ("dropout = 1.5", "", r"dropout must lie between 0 and 0.95"),
        ('loss = "squared_eror"', "", r"squared_eror.*squared_error"),
        ("", 'flips = "sideways"', r"sideways.*horizontal"),
        ("name = 'again'", "", r"line 9"),
        ("dropout = ", "", r"not TOML at line 9, column 11"),
        ('loss = "squared', "", r"not TOML at line 9"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_what_is_right(candidate, augmentation, said):
    with pytest.raises(ConfigError, match=rf"(?s)mine\.toml.*{said}"):
        from_toml(SHORT.format(candidate, augmentation), where="mine.toml")


@pytest.mark.parametrize(
    "line",
    ["training_sides = [32]", "width = 4.0", "depth = 5", "backbone_rate = 0.5",
     'weights_sha256 = "00"'],
)  # fmt: skip
def test_a_key_that_a_network_does_not_have_is_refused(line):
    text = SHORT.format(line, "").replace("compact", "seed-cnn")
    with pytest.raises(ConfigError, match=f"seed-cnn has no {line.partition(' ')[0]}"):
        from_toml(text.replace("input_size = 48", "input_size = 28"), where="mine.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x'", "lacks candidates"),
        ("name = 'x'\n[[candidates]]\nname = 'a'", r"\[\[candidates\]\] 1 lacks network"),
        ("name = 'x'\ncandidates = []", "at least one candidate"),
        ("name = 'x'\ncandidates = 'compact'", "one table or more: .*it is .compact"),
        ("name = 'x'\n[candidates]\nname = 'a'", "one table or more"),
        ("format = 2", "format 2; this Mintage reads format 1.*Upgrade"),
        ("format = true", "format true"),
        (f"seed = 1{'0' * 5000}", "not TOML"),
        ("x = " + "[" * 5000, "not TOML"),
        ("name = 'x'\nepochs = 3\nseconds = 4\n[[candidates]]", "lacks name"),
    ],
)
def test_files_that_are_no_recipe_are_refused(text, said):
    with pytest.raises(ConfigError, match=rf"(?s)mine\.toml.*{said}"):
        from_toml(text, where="mine.toml")


def test_the_second_candidate_is_the_one_that_is_named():
    text = to_toml(RECIPE).replace('name = "other"', 'name = "other"\ndropot = 1')
    with pytest.raises(ConfigError, match=r"\[\[candidates\]\] 2 has no 'dropot'.*'dropout'"):
        from_toml(text, where="mine.toml")


LINES = to_toml(RECIPE).splitlines()


@settings(max_examples=150, deadline=None)
@given(
    at=some.integers(0, len(LINES) - 1),
    value=some.one_of(
        some.text(max_size=30),
        some.sampled_from(
            [
                "-1",
                "0",
                "1e400",
                "inf",
                "-nan",
                "[]",
                "[[]]",
                "{}",
                "{a = 1}",
                '""',
                '"off"',
                "07:32:00",
            ]
        ),
    ),
)
def test_whatever_is_written_into_a_file_is_a_recipe_or_a_clear_refusal(at, value):
    name, equals, __ = LINES[at].partition(" = ")
    changed = [*LINES[:at], f"{name}{equals}{value}", *LINES[at + 1 :]]
    with contextlib.suppress(ConfigError):
        found = from_toml("\n".join(changed), where="mine.toml")
        assert from_toml(to_toml(found), where="again.toml") == found


@settings(max_examples=50, deadline=None)
@given(text=some.text())
def test_any_text_is_refused_as_json_too(text):
    with pytest.raises(ConfigError, match=r"mine\.json"):
        from_json(text, where="mine.json")


def test_a_folder_called_as_nothing_is_called_is_still_a_folder():
    hub = dataclasses.replace(COMPACT, network="hub", weights="from scratch")
    text = to_toml(Recipe("mine", (hub,), epochs=1))
    assert from_toml(text, where="x").candidates[0].weights == "./from scratch"


def test_json_of_a_run_is_read_with_its_whole_numbers_as_numbers(tmp_path):
    path = tmp_path / "recipe.JSON"
    document = RECIPE.to_json()
    document["candidates"][0]["mean"] = [0, 0, 0]
    path.write_text(json.dumps(document))
    found = read(path)
    assert found == RECIPE
    assert [type(each) for each in found.candidates[0].mean] == [float] * 3


def test_files_of_other_editors_are_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + to_toml(RECIPE).replace("\n", "\r\n").encode())
    assert read(path) == RECIPE


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_a_file_that_is_not_utf_8_is_refused_with_the_remedy(tmp_path, encoding):
    path = tmp_path / "mine.toml"
    path.write_bytes(f'name = "配方"\n{to_toml(RECIPE)}'.encode(encoding))
    with pytest.raises(ConfigError, match=r"mine\.toml is not UTF-8 text.*--output"):
        read(path)


def test_a_file_that_is_not_there_is_refused_with_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match=r"No such file.*mintage recipe"):
        read(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)


def test_names_of_recipes_are_not_taken_for_files():
    assert [
        each
        for each in ("a.toml", "b/c.JSON", "auto", "hub:x.json", "seed-cnn,compact")
        if is_file(each)
    ] == ["a.toml", "b/c.JSON"]
