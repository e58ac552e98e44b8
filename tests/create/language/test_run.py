"""A language model is fine-tuned for real: it learns, keeps to its time, and can be killed."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny_language_model as tiny
from tests.create.language.conversations import rows, texts, write
from tests.e2e.test_resume import done, runs_of, started

from mintage.app.root import App
from mintage.app.showing import Showing
from mintage.bundle.language import load_language, small_file
from mintage.core.clock import SystemClock
from mintage.core.errors import ConfigError, DataError, DependencyDown
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create.bom import BOM_FILE
from mintage.create.language import run as runs
from mintage.create.language import tuning
from mintage.create.language.collect import in_split
from mintage.create.language.recipe import LanguageRecipe
from mintage.create.language.tokens import Encoded, encode
from mintage.modalities.hub import transformers


class Ticking(SystemClock):
    """A quarter of a second passes at each look."""

    def __init__(self) -> None:
        self.looked = 0

    def monotonic(self) -> float:
        self.looked += 1
        return self.looked / 4


RECIPE = """base = "{base}"
learning_rate = 0.005
epochs = 4
batch_tokens = 512
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base") / "tiny", texts(rows()))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A workspace with conversations, and a recipe that learns fast."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "tune.toml").write_text(RECIPE.format(base=base))
    with App(load_settings(home=folder / "home", threads=1)) as app:
        app.tuning.collect(write(folder / "chats.jsonl", rows()), "chats")
    return folder / "home"


@pytest.fixture(scope="module")
def trained(home: Path) -> dict[str, Any]:
    with App(load_settings(home=home, threads=1)) as app:
        result = app.tuning.train("chats", recipe=str(home.parent / "tune.toml"), seed=3)
    return dict(result.record)


def test_the_loss_on_conversations_that_nobody_learned_falls(trained: dict[str, Any]) -> None:
    measured = trained["evaluation"]
    assert measured["loss"] < measured["base"]["loss"] - 1
    assert measured["interval"][1] < measured["base"]["interval"][0]
    assert measured["perplexity"] == pytest.approx(np.exp(measured["loss"]))
    assert trained["history"][0]["step"] == 0
    assert trained["best_step"] > 0


def test_the_signed_weights_are_what_was_measured(
    trained: dict[str, Any], home: Path, base: Path
) -> None:
    """Opened by transformers alone, without our code for training."""
    library = transformers()
    with App(load_settings(home=home, threads=1)) as app:
        bundle = load_language(Path(trained["bundle"]), app.keys, trained["model"])
        test = in_split(app.workspace, app.create.dataset("chats"), "test")
    tokenizer = library.AutoTokenizer.from_pretrained(str(bundle.folder))
    network = library.AutoModelForCausalLM.from_pretrained(str(bundle.folder)).eval()
    encoded = [encode(tokenizer, each) for each in test]
    lost = counted = 0.0
    for each in encoded:
        labels = [i if own else -100 for i, own in zip(each.ids, each.learned, strict=True)]
        with torch.inference_mode():
            mean = network(input_ids=torch.tensor([each.ids]), labels=torch.tensor([labels])).loss
        lost, counted = lost + float(mean) * each.answers, counted + each.answers
    assert lost / counted == pytest.approx(bundle.evaluation["loss"], abs=1e-4)
    assert bundle.manifest.base.name == base.name
    assert "adapter" not in " ".join(bundle.digests)
    # A server stops where an answer ends, not only where a text does.
    stops = network.generation_config.eos_token_id
    assert tokenizer.convert_tokens_to_ids(tiny.END_TURN) in stops
    assert str(home) not in (bundle.folder / "bundle.json").read_text()


def test_its_bill_of_materials_names_the_first_weights_and_no_path_of_this_machine(
    trained: dict[str, Any], home: Path, base: Path
) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        bundle = load_language(Path(trained["bundle"]), app.keys, trained["model"])
        (shown,) = Showing(app.workspace, app.keys).of(trained["model"])
    content = small_file(bundle, BOM_FILE)
    assert content is not None
    bill = json.loads(content)
    model = bill["metadata"]["component"]
    (ancestor,) = model["pedigree"]["ancestors"]
    assert ancestor["name"] == base.name
    assert ancestor["hashes"][0]["content"] == bundle.manifest.base.digest
    assert {each["name"] for each in model["components"]} == {*bundle.digests} - {BOM_FILE}
    assert all(
        bundle.digests[each["name"]] == each["hashes"][0]["content"] for each in model["components"]
    )
    assert str(base.parent) not in content.decode()
    assert shown["bill_of_materials"]["serial_number"] == bill["serialNumber"]
    assert small_file(bundle, "nothing.json") is None


def test_the_same_seed_makes_the_same_bundle_and_another_another(
    trained: dict[str, Any], home: Path
) -> None:
    recipe = str(home.parent / "tune.toml")
    with App(load_settings(home=home, threads=1)) as app:
        same = app.tuning.train("chats", recipe=recipe, seed=3).record
        other = app.tuning.train("chats", recipe=recipe, seed=4).record
    assert same["bundle_digest"] == trained["bundle_digest"]
    assert other["bundle_digest"] != trained["bundle_digest"]


@pytest.mark.timeout(600)
def test_one_that_is_killed_goes_on_to_the_same_bundle(trained: dict[str, Any], home: Path) -> None:
    words = ("train", "chats", "--recipe", str(home.parent / "tune.toml"), "--seed", "3")
    killed = 0
    for __ in range(6):
        before = runs_of(home)
        process = started(home, *words)
        while (
            not (made := runs_of(home) - before)
            or not (home / "runs" / next(iter(made)) / tuning.STATE_FILE).exists()
        ):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        time.sleep(0.1 * killed)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (run,) = made
        if (home / "runs" / run / "run.json").exists():
            continue  # it was quicker
        done(home, "train", "--resume", run)
        record = json.loads((home / "runs" / run / "run.json").read_text())
        assert record["bundle_digest"] == trained["bundle_digest"]
        killed += 1
        if killed == 2:
            return
    pytest.fail("it was never killed in time")


@pytest.mark.timeout(120)
def test_a_time_ends_with_a_signed_model(home: Path, base: Path) -> None:
    """By a clock that goes on as it is looked at, however busy the machine is."""
    with App(load_settings(home=home, threads=1), Ticking()) as app:
        found = app.tuning.train("chats", recipe=f"hub:{base}", seconds=60.0).record
    assert found["stopped_because"] == "the time was over"
    assert Path(found["bundle"]).is_dir()
    assert 40 <= found["seconds"] <= 60 * 1.05
    report = Path(found["report"]).read_text()
    assert "perplexity before fine-tuning" in report
    assert report.count("<svg") == 1


def test_training_ends_when_validation_data_gets_no_better_with_the_best_weights(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([5.0, 4.0, 3.0, 3.5, 3.4, float("nan"), 3.2, 3.3, 1.0])
    weights: list[dict[str, Any]] = []

    def look(network: Any, *_: object) -> tuple[Any, Any, list[str]]:
        learned = {n: p.detach().clone() for n, p in network.named_parameters() if p.requires_grad}
        weights.append(learned)
        return np.array([next(said)]), np.array([1]), ["a"]

    monkeypatch.setattr(tuning, "measured", look)
    opened = runs.open_base(str(base), runs.find(str(base), print))
    network = runs.adapted(opened.network, rank=2, alpha=4, dropout=0.0)
    examples = [Encoded((1, 2, 3, 4 + i), (False, True, True, True), str(i)) for i in range(20)]
    recipe = LanguageRecipe("x", batch_tokens=64, epochs=20, looks=20, patience=4)
    course = tuning.Tuning(
        network,
        recipe,
        examples,
        examples[:1],
        0,
        folder=tmp_path,
        progress=Silent(),
        share=None,
        should_stop=lambda: False,
    ).run()
    assert course.stopped_because == "validation data got no better any more"
    assert course.best_loss == 3.0
    assert [each["validation_loss"] for each in course.history] == [
        *(5.0, 4.0, 3.0, 3.5, 3.4, None, 3.2)
    ]
    kept = {n: p for n, p in network.named_parameters() if p.requires_grad}
    assert all(torch.equal(kept[name], each) for name, each in weights[2].items())
    assert not all(torch.equal(kept[name], each) for name, each in weights[-1].items())


def test_merging_that_changes_what_is_said_is_refused(base: Path) -> None:
    opened = runs.open_base(str(base), runs.find(str(base), print))
    network = runs.adapted(opened.network, rank=2, alpha=4, dropout=0.0)
    shown = [Encoded((1, 2, 3, 4), (False, True, True, True), "a")]

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(network, name)

        def __call__(self, **given: Any) -> Any:
            return network(**given)

        def merge_and_unload(self) -> Any:
            whole = network.merge_and_unload()
            with torch.no_grad():
                whole.transformer.ln_f.weight.mul_(3)
            return whole

    with pytest.raises(DataError, match="Merging changed"):
        runs.minting.merged(Broken(), shown, 0)


def test_weights_that_write_no_text_are_refused(tmp_path: Path, home: Path) -> None:
    library = transformers()
    shape = library.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=2
    )
    library.ResNetForImageClassification(shape).save_pretrained(tmp_path / "resnet")
    with App(load_settings(home=home, threads=1)) as app:
        with pytest.raises(ConfigError, match="does not write text"):
            app.tuning.train("chats", recipe=f"hub:{tmp_path / 'resnet'}")
        with pytest.raises(ConfigError, match="no folder"):
            app.tuning.train("chats", recipe="hub:./nowhere")
        with pytest.raises(ConfigError, match="begins from weights"):
            app.tuning.train("chats", recipe="auto")
        with pytest.raises(ConfigError, match="too short"):
            app.tuning.train("chats", recipe="hub:x", seconds=3.0)
        with pytest.raises(ConfigError, match="not both"):
            app.tuning.train("chats", recipe="hub:x", seconds=30.0, epochs=2)


def test_conversations_that_are_too_long_are_left_out_and_said(tmp_path: Path, base: Path) -> None:
    long = {"prompt": "Say it. " * 400, "answer": "No."}
    said: list[str] = []

    class Told:
        def start(self, *_: object) -> None: ...
        def advance(self, *_: object) -> None: ...
        def finish(self) -> None: ...
        def say(self, text: str) -> None:
            said.append(text)

    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        app.tuning.collect(write(tmp_path / "chats.jsonl", [*rows(30), long]), "chats")
        record = app.tuning.train("chats", recipe=f"hub:{base}", epochs=1, progress=Told()).record
    assert sum(record["left_out"].values()) == 1
    assert any("1 conversations of more than 512 tokens" in each for each in said)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("base = 7", "does not say its base"),
        ("learning_rate = 0.1", "does not say its base"),
        ('base = "x"\nrnk = 4', "'rnk' is not known"),
        ('base = "x"\nrank = 0', "rank is 1 to 1024"),
        ('base = "x"\nrank = "4"', "rank is a number"),
        ('base = "x"\nrank = 1.5', "rank is a whole number"),
        ('base = "x"\nepochs = 1.5', "epochs is a whole number"),
        ('base = "x"\nseed = true', "seed is a number"),
        ("base = ", "no TOML"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "tune.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        LanguageRecipe.read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        LanguageRecipe.read(tmp_path / "none.toml")


def test_what_a_recipe_misspells_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "tune.toml"
    path.write_text('base = "x"\nlearningrate = 0.1')
    with pytest.raises(ConfigError) as refused:
        LanguageRecipe.read(path)
    assert "learning_rate" in str(refused.value.remedy)


@pytest.fixture
def odd(base: Path, tmp_path: Path) -> Path:
    """Weights to spoil."""
    return Path(shutil.copytree(base, tmp_path / "odd"))


def trained_once(home: Path, base: Path, **more: Any) -> dict[str, Any]:
    with App(load_settings(home=home, threads=1)) as app:
        result = app.tuning.train("chats", recipe=f"hub:{base}", epochs=1, model="odd", **more)
    return dict(result.record)


def test_weights_whose_sampling_is_half_said_are_trained_and_written(home: Path, odd: Path) -> None:
    said = json.loads((odd / "generation_config.json").read_text())
    (odd / "generation_config.json").write_text(json.dumps({**said, "temperature": 0.6}))
    bundle = Path(trained_once(home, odd)["bundle"])
    written = json.loads((bundle / "generation_config.json").read_text())
    assert (written["temperature"], written["do_sample"]) == (0.6, True)


def test_of_several_templates_the_default_is_kept(home: Path, odd: Path) -> None:
    library = transformers()
    tokenizer = library.AutoTokenizer.from_pretrained(str(odd))
    plain = tokenizer.chat_template
    tokenizer.chat_template = {"default": plain, "tools": "{{ tools }}" + plain}
    tokenizer.save_pretrained(odd)
    bundle = Path(trained_once(home, odd)["bundle"])
    assert (bundle / "chat_template.jinja").read_text() == plain
    assert not (bundle / "additional_chat_templates").exists()


def test_what_a_template_refuses_is_left_out_and_said(tmp_path: Path, odd: Path) -> None:
    template = (odd / "chat_template.jinja").read_text()
    refuses = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system') }}{% endif %}"
    )
    (odd / "chat_template.jinja").write_text(refuses + template)
    said = [
        {**each, **({"system": "Be brief."} if n < 3 else {})} for n, each in enumerate(rows(40))
    ]
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        app.tuning.collect(write(tmp_path / "chats.jsonl", said), "chats")
        record = app.tuning.train("chats", recipe=f"hub:{odd}", epochs=1).record
        assert sum(record["left_out"].values()) == 3
        assert sum(record["examples"].values()) == 37
        strict = [{**each, "system": "Be brief."} for each in rows(40)]
        app.tuning.collect(write(tmp_path / "strict.jsonl", strict), "strict")
        with pytest.raises(DataError, match="refuses conversations: No system"):
            app.tuning.train("strict", recipe=f"hub:{odd}", epochs=1)


@pytest.mark.parametrize(("weight", "said"), [(float("nan"), "is damaged"), (3e38, "are damaged")])
def test_damaged_weights_are_told_from_before_they_are_trained(
    home: Path, odd: Path, weight: float, said: str
) -> None:
    network = transformers().AutoModelForCausalLM.from_pretrained(str(odd))
    with torch.no_grad():
        network.transformer.ln_f.weight.fill_(weight)
    network.save_pretrained(odd)
    with pytest.raises(ConfigError, match=said):
        trained_once(home, odd)


def test_a_run_goes_on_only_with_the_weights_that_it_began_from(
    home: Path, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.minting, "merged", cut)
    before = runs_of(home)
    with pytest.raises(KeyboardInterrupt):
        trained_once(home, odd)
    monkeypatch.undo()
    (run,) = runs_of(home) - before
    tiny.save(odd, texts(rows()), seed=9)
    with App(load_settings(home=home, threads=1)) as app:
        with pytest.raises(ConfigError, match="not the weights that this run began from"):
            app.tuning.resume(app.create.run_row(run))
        tiny.save(odd, texts(rows()))
        resumed = app.tuning.resume(app.create.run_row(run))
        again = app.tuning.resume(app.create.run_row(run))
    assert resumed.model == again.model


def test_what_a_customer_quotes_does_not_end_answers(base: Path) -> None:
    tokenizer = transformers().AutoTokenizer.from_pretrained(str(base))
    turn, over = (
        tokenizer.convert_tokens_to_ids(each) for each in (tiny.BEGIN_TURN, tiny.END_TURN)
    )
    example = Encoded(
        (5, turn, 6, turn, 7, over, 8), (False, False, True, True, True, True, True), "a"
    )
    assert runs.minting.ends_of_answers(tokenizer, [example]) == sorted(
        {tokenizer.eos_token_id, over}
    )


def test_without_what_adapts_networks_nothing_is_begun(
    home: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    before = runs_of(home)
    with pytest.raises(DependencyDown, match="peft"):
        trained_once(home, base)
    assert runs_of(home) == before
