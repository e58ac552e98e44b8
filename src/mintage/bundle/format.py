"""The bundle's format, version 1: which files, and what ``bundle.json`` says.

The document is ``docs/formats/bundle.md``; whoever changes one changes the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json, read_json, sha256_hex
from mintage.core.errors import DataError
from mintage.core.files import write_folder
from mintage.core.messages import _
from mintage.core.types import InputSpec
from mintage.trust.keys import Signer
from mintage.trust.signing import SIGNATURE_FILE, files_digest, sign_files

FORMAT = 1
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
REQUIRED_FILES = frozenset({MANIFEST_FILE, MODEL_FILE, "card.md", "evaluation.json"})
OPTIONAL_FILES = frozenset({"tokenizer.json", "columns.json", "bom.json"})


@dataclass(frozen=True)
class Manifest:
    """What ``bundle.json`` says. It holds nothing that a clock measured.

    ``novelty`` are the parameters of the detector of unfamiliar inputs, opaque here;
    ``dataset`` is ``{"name", "version"}``, the version being the dataset's digest.
    """

    modality: str
    task: str
    labels: tuple[str, ...]
    input: InputSpec
    temperature: float
    abstain_threshold: float | None
    novelty: Mapping[str, Any] | None
    dataset: Mapping[str, str]
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]
    seed: int
    libraries: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The content of ``bundle.json``.

        Raises:
            DataError: a value is not what the format allows.
        """
        content = {
            "format": FORMAT,
            "modality": self.modality,
            "task": self.task,
            "labels": list(self.labels),
            "input": {"side": self.input.side, "parameters": dict(self.input.parameters)},
            "temperature": self.temperature,
            "abstain_threshold": self.abstain_threshold,
            "novelty": None if self.novelty is None else dict(self.novelty),
            "dataset": dict(self.dataset),
            "recipe": dict(self.recipe),
            "metrics": dict(self.metrics),
            "seed": self.seed,
            "libraries": dict(self.libraries),
        }
        _check(content)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Manifest:
        """Read what ``to_json`` wrote.

        Raises:
            DataError: a newer format, an unknown or missing key, or a value out of its range.
        """
        _check(content)
        return cls(
            modality=content["modality"],
            task=content["task"],
            labels=tuple(content["labels"]),
            input=InputSpec(
                content["modality"], content["input"]["side"], content["input"]["parameters"]
            ),
            temperature=float(content["temperature"]),
            abstain_threshold=content["abstain_threshold"],
            novelty=content["novelty"],
            dataset=content["dataset"],
            recipe=content["recipe"],
            metrics=content["metrics"],
            seed=content["seed"],
            libraries=content["libraries"],
        )

    def to_bytes(self) -> bytes:
        """``bundle.json`` as it is stored: canonical JSON, so that same content is same bytes."""
        return canonical_json(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a stored ``bundle.json``; raises DataError as ``from_json`` does."""
        try:
            content = read_json(data)
        except (ValueError, RecursionError) as error:
            raise DataError(
                _(
                    "{manifest_file} is not JSON: {error}.",
                    manifest_file=MANIFEST_FILE,
                    error=error,
                ),
                remedy=_("Make it with mintage train, or fetch it again from its maker."),
            ) from error
        return cls.from_json(content)


def write_bundle(
    folder: Path, manifest: Manifest, files: Mapping[str, bytes], signer: Signer, subject: str
) -> str:
    """Write the whole folder at once, signed as ``subject`` (``pets@3``); returns its digest.

    ``files`` are all but ``bundle.json`` and ``signature.json``, which are made here.

    Raises:
        DataError: a file that is not a bundle's, or a required one is missing.
    """
    if made := {MANIFEST_FILE, SIGNATURE_FILE} & files.keys():
        raise DataError(
            _("{made}: made by write_bundle, not given to it.", made=", ".join(sorted(made)))
        )
    content = {**files, MANIFEST_FILE: manifest.to_bytes()}
    check_names(content)
    signature = sign_files(content, subject, signer)
    write_folder(folder, {**content, SIGNATURE_FILE: signature})
    return bundle_digest(manifest, files)


def bundle_digest(manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """The digest that ``write_bundle`` returns: whoever signs it, and under whatever number."""
    content = {**files, MANIFEST_FILE: manifest.to_bytes()}
    return files_digest({name: sha256_hex(data) for name, data in content.items()})


def check_names(names: Mapping[str, Any]) -> None:
    """Check that these files, without the signature, are those of a bundle.

    Raises:
        DataError: one is missing, or one does not belong.
    """
    missing = REQUIRED_FILES - names.keys()
    foreign = names.keys() - REQUIRED_FILES - OPTIONAL_FILES
    if missing or foreign:
        wrong = [_("{name} is missing", name=name) for name in sorted(missing)]
        wrong += [_("{name} does not belong", name=name) for name in sorted(foreign)]
        listed = wrong[0]
        for one in wrong[1:]:
            listed = _("{first}; {second}", first=listed, second=one)
        raise DataError(
            _("This is not a bundle of format {format}: {wrong}.", format=FORMAT, wrong=listed),
            remedy=_("Make it with mintage train, or fetch it again from its maker."),
        )


def _check(content: Any) -> None:
    if not isinstance(content, dict):
        raise _wrong(_("it is not an object"))
    found = content.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise _wrong(_("'format' is {found!r}", found=found))
    if found > FORMAT:
        raise DataError(
            _(
                "This bundle has format {found}; this Mintage reads up to {format}.",
                found=found,
                format=FORMAT,
            ),
            remedy=_("Upgrade with: pip install --upgrade mintage"),
        )
    _check_keys("", content, _RULES)
    _check_keys("input.", content["input"], _INPUT_RULES)
    _check_keys("dataset.", content["dataset"], _DATASET_RULES)


def _check_keys(
    prefix: str, content: Mapping[str, Any], rules: Mapping[str, Callable[[Any], bool]]
) -> None:
    for name in content:
        if name not in rules:
            raise _wrong(_("{key!r} is not known in this format", key=prefix + name))
    for name, is_right in rules.items():
        if name not in content:
            raise _wrong(_("{key!r} is missing", key=prefix + name))
        if not is_right(content[name]):
            raise _wrong(_("{key!r} is {found!r}", key=prefix + name, found=content[name]))


def _wrong(what: str) -> DataError:
    return DataError(
        _(
            "{manifest_file} is not of format {format}: {what}.",
            manifest_file=MANIFEST_FILE,
            format=FORMAT,
            what=what,
        ),
        remedy=_("Fetch the bundle again from its maker, or make it anew."),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_labels(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(_is_name(label) for label in value)
        and len(set(value)) == len(value)
    )


def _is_libraries(value: Any) -> bool:
    return _is_object(value) and all(_is_name(version) for version in value.values())


_RULES: Mapping[str, Callable[[Any], bool]] = {
    "format": _is_count,
    "modality": _is_name,
    "task": _is_name,
    "labels": _is_labels,
    "input": _is_object,
    "temperature": lambda value: _is_number(value) and value > 0,
    "abstain_threshold": lambda value: value is None or (_is_number(value) and 0 < value <= 1),
    "novelty": lambda value: value is None or _is_object(value),
    "dataset": _is_object,
    "recipe": _is_object,
    "metrics": _is_object,
    "seed": _is_count,
    "libraries": _is_libraries,
}
_INPUT_RULES: Mapping[str, Callable[[Any], bool]] = {
    "side": lambda value: _is_count(value) and value > 0,
    "parameters": _is_object,
}
_DATASET_RULES: Mapping[str, Callable[[Any], bool]] = {"name": _is_name, "version": _is_name}
