from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mintage.bundle.format import Manifest
from mintage.bundle.loader import load
from mintage.bundle.novelty import Detector
from mintage.bundle.predictor import NOT_SURE, UNUSUAL, Predictor
from mintage.core.errors import DataError
from mintage.core.types import ProviderInfo
from mintage.trust.keys import KeyRing

from .conftest import LABELS, SIDE, Write, graph

RED = bytes([255, 0, 0]) * SIDE**2
GREEN = bytes([0, 255, 0]) * SIDE**2
GREY = bytes([90, 90, 90]) * SIDE**2


class TickingClock:
    """Each look at the clock is a quarter of a second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 0.25
        return self.seconds


class GreyIsUnusual:
    def unusual(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        assert features.dtype == np.float32
        return np.ptp(features, axis=1) < 0.1


@pytest.fixture
def open_bundle(write: Write, keys: KeyRing, manifest: Manifest) -> Any:
    def opening(model: bytes | None = None, detector: Any = None, **changes: Any) -> Predictor:
        bundle = load(write(manifest=replace(manifest, **changes), model=model), keys)
        return Predictor(
            bundle,
            name="colours",
            version="1",
            threads=2,
            detector=detector,
            clock=TickingClock(),  # type: ignore[arg-type]
        )

    return opening


def test_an_answer_is_the_tasks_of_the_graphs_logits(open_bundle: Any) -> None:
    answer = open_bundle().predict(RED)
    expected = np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum()
    assert answer.task == "class"
    assert answer.output["label"] == "red"
    assert answer.output["unusual"] is False
    assert "message" not in answer.output
    assert list(answer.output["probabilities"]) == list(LABELS)
    assert np.allclose(list(answer.output["probabilities"].values()), expected, atol=1e-6)
    assert answer.probability == answer.output["probability"]
    assert not answer.abstained


def test_a_batch_gives_each_its_own_answer_in_order(open_bundle: Any) -> None:
    provider = open_bundle()
    inputs = np.stack([provider.decode(data) for data in (GREEN, RED, GREEN)])
    assert inputs.dtype == np.uint8
    assert [answer.output["label"] for answer in provider.infer(inputs)] == [
        "green",
        "red",
        "green",
    ]
    assert provider.infer(inputs[:0]) == []


def test_compute_time_is_the_batchs_wall_time_times_threads_by_item(open_bundle: Any) -> None:
    provider = open_bundle()
    inputs = np.stack([provider.decode(RED)] * 5)
    assert [answer.compute_seconds for answer in provider.infer(inputs)] == [0.25 * 2 / 5] * 5


def test_the_temperature_is_the_manifests(open_bundle: Any) -> None:
    cool, warm = open_bundle(temperature=1.0), open_bundle(temperature=4.0)
    assert cool.predict(RED).probability > warm.predict(RED).probability


def test_what_answers_names_itself_fully(open_bundle: Any, write: Write, keys: KeyRing) -> None:
    digest = load(write(), keys).digest
    assert open_bundle().info == ProviderInfo("colours", "1", digest, "class", "image")


def withheld(answer: Any) -> bool:
    return (
        answer.abstained
        and [
            answer.probability,
            *(answer.output[key] for key in ("label", "probability", "probabilities")),
        ]
        == [None] * 4
    )


def test_an_unusual_input_gets_no_label_and_the_rest_of_its_batch_does(open_bundle: Any) -> None:
    provider = open_bundle(detector=GreyIsUnusual(), novelty={"kind": "test"})
    inputs = np.stack([provider.decode(data) for data in (RED, GREY, GREEN)])
    red, grey, green = provider.infer(inputs)
    assert withheld(grey)
    assert grey.output["unusual"] is True
    assert grey.output["message"] == UNUSUAL == "unlike anything this model was shown"
    assert [red.output["label"], green.output["label"]] == ["red", "green"]


def test_a_probability_below_the_threshold_is_not_an_answer(open_bundle: Any) -> None:
    provider = open_bundle(abstain_threshold=0.5)
    assert provider.predict(RED).output["label"] == "red"
    unsure = provider.predict(GREY)
    assert withheld(unsure)
    assert unsure.output["unusual"] is False
    assert unsure.output["message"] == NOT_SURE


def test_what_is_both_unusual_and_unsure_is_called_unusual(open_bundle: Any) -> None:
    provider = open_bundle(detector=GreyIsUnusual(), novelty={}, abstain_threshold=0.9)
    assert provider.predict(GREY).output["message"] == UNUSUAL


def test_a_graph_that_gives_no_number_gives_no_answer(open_bundle: Any) -> None:
    answer = open_bundle(model=graph(gain=float("nan"))).predict(RED)
    assert withheld(answer)
    assert answer.output["message"] == NOT_SURE


def test_a_bundles_own_detector_is_applied_without_being_asked_for(open_bundle: Any) -> None:
    colours = np.random.default_rng(0).normal([0.9, 0.1, 0.1], 0.02, (400, 3)).astype(np.float32)
    detector = Detector.fit(colours[:200], colours[200:])
    assert detector is not None
    provider = open_bundle(novelty=detector.to_json())
    assert provider.predict(bytes([230, 26, 26]) * SIDE**2).output["label"] == "red"
    assert withheld(stranger := provider.predict(GREEN))
    assert stranger.output["message"] == UNUSUAL


def test_a_bundle_whose_detector_cannot_be_read_does_not_answer_without_it(
    open_bundle: Any,
) -> None:
    for novelty in ({}, {"algorithm": "later/v9"}):
        with pytest.raises(DataError, match="novelty"):
            open_bundle(novelty=novelty)


def test_a_graph_without_features_is_refused(open_bundle: Any) -> None:
    with pytest.raises(DataError, match="features"):
        open_bundle(model=graph(features=False))


@pytest.mark.parametrize("model", [b"", b"not onnx", graph(pixels="image"), graph()[:-40]])
def test_a_model_that_is_not_a_bundles_is_an_input_error(open_bundle: Any, model: bytes) -> None:
    with pytest.raises(DataError):
        open_bundle(model=model)


def test_a_graph_that_reads_its_weights_from_another_file_is_refused(
    open_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Large enough that ONNX Runtime, left alone, does read it from the current folder.
    model = onnx.load_from_string(graph(logits=2000))
    onnx.save(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=1000,
    )
    assert (tmp_path / "weights.bin").exists()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="reads 'weight' from another file"):
        open_bundle(model=(tmp_path / "model.onnx").read_bytes())


def test_an_upload_that_cannot_be_read_is_the_modalitys_error(open_bundle: Any) -> None:
    with pytest.raises(DataError, match="not a picture"):
        open_bundle().predict(b"nonsense")


def test_many_threads_share_one_provider(open_bundle: Any) -> None:
    provider = open_bundle()
    wrong: list[str] = []

    def ask(data: bytes, label: str) -> None:
        for _ in range(50):
            found = provider.predict(data).output["label"]
            if found != label:
                wrong.append(found)

    threads = [
        threading.Thread(target=ask, args=pair) for pair in ((RED, "red"), (GREEN, "green")) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_answering_loads_neither_torch_nor_onnx_nor_a_database() -> None:
    code = (
        "import sys, mintage.bundle.predictor\n"
        "print([m for m in ('torch', 'onnx', 'sqlalchemy', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_written_to_the_screen(open_bundle: Any, capfd: Any) -> None:
    open_bundle().predict(RED)
    with pytest.raises(DataError):
        open_bundle(model=b"not onnx")
    assert capfd.readouterr() == ("", "")


def test_one_logit_is_enough(open_bundle: Any) -> None:
    provider = open_bundle(model=graph(logits=1), labels=("red",))
    assert provider.predict(RED).output["label"] == "red"


def test_an_explanation_has_the_answer_of_predict_and_a_map_of_its_label(open_bundle: Any) -> None:
    pixels = bytearray(GREY)
    pixels[0:3] = 255, 0, 0  # one red pixel of four makes it red
    provider = open_bundle(temperature=0.05)
    explained = provider.explain(bytes(pixels))
    assert explained.label == "red"
    assert explained.reason == ""
    assert explained.answer.output == provider.predict(bytes(pixels)).output
    assert explained.map.shape == (SIDE, SIDE)
    assert np.unravel_index(explained.map.argmax(), explained.map.shape) == (0, 0)

    # By hand: the mean red is 154.5 of 255; hidden by black and by white, it and the others move.
    def probability(corner: tuple[float, float, float]) -> float:
        means = (3 * np.array([90.0] * 3) + corner) / 4 / 255 / 0.05
        return float(np.exp(means[0]) / np.exp(means).sum())

    after = (probability((0, 0, 0)) + probability((255, 255, 255))) / 2
    assert explained.map[0, 0] == pytest.approx(probability((255, 0, 0)) - after, abs=1e-4)


def test_what_gets_no_label_gets_no_map_but_the_reason(open_bundle: Any) -> None:
    for options, reason in (({"detector": GreyIsUnusual()}, UNUSUAL), ({}, NOT_SURE)):
        provider = open_bundle(abstain_threshold=0.5, **options)
        explained = provider.explain(GREY)
        assert withheld(explained.answer)
        assert (explained.map, explained.label, explained.reason) == (None, None, reason)
