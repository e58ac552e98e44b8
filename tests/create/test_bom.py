"""The bill of materials that each bundle carries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mintage.bundle.loader import load
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.messages import _, speaking
from mintage.create.bom import (
    BOM_FILE,
    Ancestor,
    Made,
    Metric,
    bill_in_short,
    bill_of_materials,
    classification_metrics,
)
from mintage.trust.keys import KeyRing

MADE = Made(
    task="image-classification",
    architecture="seed-cnn",
    inputs=["uint8[N, 28, 28, 3], RGB"],
    outputs=["float32[N, 1], logits"],
    metrics=[Metric("accuracy", 0.98, "", [0.94, 0.995]), Metric("recall", 1.0, "class: cats")],
    about=_(
        "A classifier of {modality} into {count} classes: {labels}.",
        modality=_("images"),
        count=2,
        labels="cats, dogs",
    ),
    limits="Nobody's face.",
)
CARD = {
    "name": "pets",
    "version": "ab" * 32,
    "about": {"licence": "CC0", "consent": "given", "origin": "our cameras"},
}
LIBRARIES = {"mintage": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.0"}
FILES = {"model.onnx": b"onnx", "card.md": b"# pets\n", "bundle.json": b"{}"}
ANCESTOR = Ancestor("microsoft/resnet-18", "ResNet", "cd" * 32, "f00", "apache-2.0")


def bill(**changes: Any) -> Any:
    made = replace(MADE, **changes)
    return json.loads(bill_of_materials(made, CARD, LIBRARIES, FILES))


def test_a_bill_names_the_model_its_files_its_data_and_its_libraries() -> None:
    found = bill()
    model = found["metadata"]["component"]
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert model["type"] == "machine-learning-model"
    assert {each["name"]: each["hashes"][0]["content"] for each in model["components"]} == {
        name: sha256_hex(data) for name, data in FILES.items()
    }
    data, *libraries = found["components"]
    assert data["type"] == "data"
    assert (data["name"], data["hashes"][0]["content"]) == ("pets", CARD["version"])
    assert data["licenses"] == [{"license": {"name": "CC0"}}]
    assert {each["name"]: each["value"] for each in data["properties"]} == {
        "mintage:consent": "given",
        "mintage:origin": "our cameras",
    }
    assert [each["purl"] for each in libraries] == [
        "pkg:pypi/numpy@2.4.0",
        "pkg:pypi/torch@2.13.0%2Bcpu",
    ]
    assert found["metadata"]["tools"]["components"][0]["version"] == "0.1.0"
    (edges,) = found["dependencies"]
    known = {data["bom-ref"], *(each["bom-ref"] for each in libraries)}
    assert (edges["ref"], set(edges["dependsOn"])) == ("model", known)


def test_a_bill_tells_what_was_measured_and_what_the_model_is_not_for() -> None:
    card = bill()["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "accuracy",
            "value": "0.98",
            "confidenceInterval": {"lowerBound": "0.94", "upperBound": "0.995"},
        },
        {"type": "recall", "value": "1", "slice": "class: cats"},
    ]
    assert card["modelParameters"]["datasets"] == [{"ref": "dataset"}]
    assert card["considerations"]["technicalLimitations"] == ["Nobody's face."]


def test_weights_that_it_began_from_are_its_ancestor() -> None:
    found = bill(ancestor=ANCESTOR)
    (ancestor,) = found["metadata"]["component"]["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["version"]) == ("microsoft/resnet-18", "f00")
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert ancestor["licenses"] == [{"license": {"name": "apache-2.0"}}]
    assert "ancestor" in found["dependencies"][0]["dependsOn"]


def test_the_same_content_is_the_same_bytes_in_every_language_and_another_has_another_number() -> (
    None
):
    first = bill_of_materials(MADE, CARD, LIBRARIES, FILES)
    turned = dict(reversed(FILES.items()))
    with speaking("zh"):
        assert bill_of_materials(MADE, CARD, LIBRARIES, turned) == first
    assert first == canonical_json(json.loads(first))
    other = bill_of_materials(MADE, CARD, LIBRARIES, {**FILES, "card.md": b""})
    numbers = [json.loads(each)["serialNumber"] for each in (first, other)]
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize(
    "changes", [{}, {"ancestor": ANCESTOR}, {"ancestor": Ancestor("a", "b", "0" * 64)}]
)
def test_a_bill_fits_the_schema_of_cyclonedx(changes: dict[str, Any]) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    checker = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    for card in (CARD, {**CARD, "about": {}}):
        made = replace(MADE, **changes)
        text = bill_of_materials(made, card, LIBRARIES, FILES).decode()
        assert checker.validate_str(text) is None
    broken = text.replace('"machine-learning-model"', '"machine"', 1)
    assert checker.validate_str(broken) is not None


def test_the_figures_are_those_of_the_evaluation() -> None:
    measured = {
        "accuracy": 0.9,
        "interval": [0.8, 0.95],
        "balanced_accuracy": 0.85,
        "roc_auc": None,
        "log_loss": 0.3,
        "calibration_error": 0.02,
        "per_class": {"cats": {"precision": 1.0, "recall": 0.5, "f1": 0.667, "examples": 4}},
    }
    found = {(each.name, each.part): each.value for each in classification_metrics(measured)}
    assert found["accuracy", ""] == 0.9
    assert found["recall", "class: cats"] == 0.5
    assert ("roc_auc", "") not in found  # one class alone has none


def test_a_bill_in_short_is_none_where_there_is_none() -> None:
    short = bill_in_short(bill_of_materials(MADE, CARD, LIBRARIES, FILES))
    assert short is not None
    assert (short["format"], short["components"]) == ("CycloneDX 1.6", 3)
    for odd in (None, b"", b"[]", b"{}", b"\xff", b"7", b'{"bomFormat":1}'):
        assert bill_in_short(odd) is None


def test_a_trained_model_carries_a_bill_of_the_very_files_that_are_signed(
    trained_home: Path,
) -> None:
    bundle = load(trained_home / "models/pets/1", KeyRing(trained_home / "keys"), "pets@1")
    found = json.loads(bundle.files[BOM_FILE])
    model = found["metadata"]["component"]
    assert {each["name"]: each["hashes"][0]["content"] for each in model["components"]} == {
        name: sha256_hex(data) for name, data in bundle.files.items() if name != BOM_FILE
    }
    assert found["components"][0]["version"] == bundle.manifest.dataset["version"]
    accuracy = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
    assert float(accuracy["value"]) == bundle.manifest.metrics["accuracy"]
    assert "pets@1" not in bundle.files[BOM_FILE].decode()
    assert bill_in_short(bundle.files[BOM_FILE]) is not None
