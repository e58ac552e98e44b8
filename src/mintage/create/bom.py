"""``bom.json``: what a model is made of, as a CycloneDX 1.6 bill of materials (an ML-BOM).

Written by us, since no library writes model cards. Nothing in it is from a clock or a dice: its
serial number follows from its content. The model's name and version are not in it, since one
content has one digest under whatever name; they stand in the signature.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any, Final

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.messages import speaking, told

BOM_FILE: Final = "bom.json"
_SPEC: Final = "1.6"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:mintage:bom")
_OWN: Final = "mintage"


@dataclass(frozen=True)
class Metric:
    """One measured figure: of which ``part`` of the test data, and its 95 % interval."""

    name: str
    value: float
    part: str = ""
    interval: Sequence[float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As CycloneDX has it: numbers are texts."""
        found: dict[str, Any] = {"type": self.name, "value": _text(self.value)}
        if self.part:
            found["slice"] = self.part
        if self.interval is not None:
            low, high = map(_text, self.interval)
            found["confidenceInterval"] = {"lowerBound": low, "upperBound": high}
        return found


def classification_metrics(measured: Mapping[str, Any]) -> list[Metric]:
    """The figures of a classifier's ``evaluation.json``, those of each class among them."""
    names = ("balanced_accuracy", "roc_auc", "log_loss", "calibration_error")
    whole = [Metric(name, measured[name]) for name in names if measured.get(name) is not None]
    each = [
        Metric(name, row[name], f"class: {label}")
        for label, row in measured["per_class"].items()
        for name in ("precision", "recall", "f1")
    ]
    return [Metric("accuracy", measured["accuracy"], "", measured["interval"]), *whole, *each]


@dataclass(frozen=True)
class Ancestor:
    """Weights of others that training began from; '' where nothing is said."""

    name: str
    architecture: str
    digest: str
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Made:
    """What a bill says of a model, beyond its files, data and libraries.

    ``inputs`` and ``outputs`` are formats in words; ``about`` and ``limits`` are the card's own.
    """

    task: str
    architecture: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    metrics: Sequence[Metric]
    about: str
    limits: str
    ancestor: Ancestor | None = None


def bill_of_materials(
    made: Made,
    dataset: Mapping[str, Any],
    libraries: Mapping[str, str],
    files: Mapping[str, bytes | mmap],
) -> bytes:
    """The content of ``bom.json``: canonical JSON, the same for the same content.

    ``dataset`` is the dataset's card, ``files`` those of the bundle that are signed, but this one.
    """
    with speaking("en"):  # it is signed: no reader's language may change a bundle's digest
        parts = [_data(dataset), *_libraries(libraries)]
        model = _model(made, dataset["name"], files)
    depends = [each["bom-ref"] for each in parts]
    if made.ancestor is not None:
        depends.append("ancestor")
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "version": 1,
        "metadata": {
            "tools": {"components": [_tool(libraries)]},
            "component": model,
        },
        "components": parts,
        "dependencies": [{"ref": "model", "dependsOn": sorted(depends)}],
    }
    serial = uuid.uuid5(_NAMESPACE, sha256_hex(canonical_json(content)))
    return canonical_json({**content, "serialNumber": f"urn:uuid:{serial}"})


def bill_in_short(content: bytes | None) -> dict[str, Any] | None:
    """What ``show`` says of a ``bom.json``: its format, serial number and how many components.

    None where there is none, or one that no reader would know.
    """
    try:
        bill = json.loads(content or b"null")
        return {
            "format": f"{bill['bomFormat']} {bill['specVersion']}",
            "serial_number": bill.get("serialNumber"),
            "components": len(bill.get("components", [])),
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _model(made: Made, dataset: str, files: Mapping[str, bytes | mmap]) -> dict[str, Any]:
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": f"{made.architecture} on {dataset}",
        "description": told(made.about),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": made.task,
                "modelArchitecture": made.architecture,
                "datasets": [{"ref": "dataset"}],
                "inputs": [{"format": each} for each in made.inputs],
                "outputs": [{"format": each} for each in made.outputs],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [each.to_json() for each in made.metrics]
            },
            "considerations": {
                "useCases": [told(made.about)],
                "technicalLimitations": [told(made.limits)],
            },
        },
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, **_hashed(sha256_hex(data))}
            for name, data in sorted(files.items())
        ],
    }
    if made.ancestor is not None:
        model["pedigree"] = {"ancestors": [_ancestor(made.ancestor)]}
    return model


def _ancestor(ancestor: Ancestor) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "ancestor",
        "name": ancestor.name,
        "modelCard": {"modelParameters": {"modelArchitecture": ancestor.architecture}},
        **_hashed(ancestor.digest),
        **_licensed(ancestor.licence),
    }
    return found | ({"version": ancestor.revision} if ancestor.revision else {})


def _data(card: Mapping[str, Any]) -> dict[str, Any]:
    about = card["about"]
    said = [
        {"name": f"mintage:{name}", "value": str(about[name])}
        for name in ("consent", "origin")
        if about.get(name)
    ]
    return {
        "type": "data",
        "bom-ref": "dataset",
        "name": card["name"],
        "version": card["version"],
        "data": [{"type": "dataset", "name": card["name"]}],
        **_hashed(card["version"]),
        **_licensed(str(about.get("licence", ""))),
        **({"properties": said} if said else {}),
    }


def _libraries(libraries: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, version in sorted(libraries.items()):
        if name != _OWN:
            purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
            yield {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
            }


def _tool(libraries: Mapping[str, str]) -> dict[str, Any]:
    """What made it; without a purl, since no index has it under that name for certain."""
    version = libraries.get(_OWN)
    return {"type": "application", "name": _OWN, **({"version": version} if version else {})}


def _hashed(digest: str) -> dict[str, Any]:
    return {"hashes": [{"alg": "SHA-256", "content": digest}]}


def _licensed(licence: str) -> dict[str, Any]:
    """By name, as it was stated: nobody has checked that it is an identifier of SPDX."""
    return {"licenses": [{"license": {"name": licence}}]} if licence else {}


def _text(value: float) -> str:
    return canonical_json(value).decode()
