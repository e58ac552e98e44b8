"""What every registered plug-in keeps; registering one is enrolling it here."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from tests.pictures import jpeg

from mintage.core import registry
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.ports import Modality, Source, Task
from mintage.core.types import InputSpec

EXAMPLES = {"image": jpeg(1, (50, 40))}


@pytest.mark.parametrize("name", list(registry.modalities()))
def test_a_modality_reads_what_it_stores_and_refuses_what_it_cannot(name: str) -> None:
    modality = registry.modalities().get(name)
    assert isinstance(modality, Modality)
    assert modality.name == name
    assert all(ending.startswith(".") and ending.islower() for ending in modality.endings)
    assert not modality.endings & modality.unsupported
    ingested = modality.ingest(EXAMPLES[name])
    json.dumps(dict(ingested.properties))
    spec = InputSpec(name, 16)
    first, second = modality.decode(EXAMPLES[name], spec), modality.decode(ingested.data, spec)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert modality.ingest(ingested.data).data == ingested.data
    assert modality.ingest(ingested.data).fingerprint == ingested.fingerprint
    assert modality.near_duplicates([ingested.fingerprint] * 2) == [(0, 1)]
    plain = modality.ingest(EXAMPLES[name], fingerprint=False)
    assert (plain.data, plain.fingerprint) == (ingested.data, b"")
    ending, alone = modality.without_metadata(EXAMPLES[name])
    assert ending in modality.endings
    assert modality.ingest(alone) == ingested
    for kind in modality.strangers(spec):
        assert kind.dtype == np.uint8
        assert kind.shape[1:] == first.shape
    for broken in (b"", b"\0" * 100, ingested.data[: len(ingested.data) // 3]):
        with pytest.raises(DataError):
            modality.ingest(broken)


@pytest.mark.parametrize("name", list(registry.tasks()))
def test_a_task_answers_and_evaluates_in_json(name: str) -> None:
    task = registry.tasks().get(name)
    assert isinstance(task, Task)
    assert task.name == name
    logits = np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32)
    labels, targets = ["a", "b"], np.arange(40) % 2
    temperature = task.fit_temperature(logits, targets)
    assert temperature > 0
    probabilities = task.probabilities(logits, temperature)
    assert np.allclose(probabilities.sum(axis=1), 1)
    canonical_json(task.output(probabilities[0], labels))
    canonical_json(task.evaluate(probabilities, targets, labels))


@pytest.mark.parametrize("name", list(registry.sources()))
def test_a_source_is_one(name: str) -> None:
    assert isinstance(registry.sources().get(name), Source)


@pytest.mark.parametrize("name", list(registry.sources()))
def test_a_source_can_be_asked_for_what_has_no_label(name: str) -> None:
    assert "labelled" in inspect.signature(registry.sources().get(name).list).parameters
