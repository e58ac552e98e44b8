"""The bundles that answered, and the data behind them, by what is signed of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mintage.capture.chain.evidence import SIGNATURE, Evidence
from mintage.capture.chain.steps import Step
from mintage.core.canonical import read_json, sha256_hex
from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.given import KeySource
from mintage.trust.signing import SignedList, open_signature

_BY_PUBLISHER = _("Do not believe it: ask the seller for the evidence anew.")


def check_bundle(
    root: Step, evidence: Evidence, keys: KeySource, digest: str, model: tuple[str, str]
) -> None:
    """Go on from events to the bundle of this digest that answered, and to its data.

    Raises:
        SignatureMismatch: it is another, or not what was signed.
    """
    name = f"{model[0]}@{model[1]}"
    if digest in evidence.upstreams:
        said = _(
            "answers of {model}, a model of others: the chain ends with its name",
            model=evidence.upstreams[digest],
        )
        root.leave_open(said)
        return
    files = evidence.bundle(digest)
    if files is None or SIGNATURE not in files:
        root.leave_open(_("bundle {model} {digest}…: not held", model=name, digest=digest[:12]))
        return
    with root.walking(Step(_("bundle {model} {digest}…", model=name, digest=digest[:12]))) as step:
        signed = open_signature(files[SIGNATURE], keys.public_keys("bundle"), subject=name)
        if signed.digest != digest:
            raise SignatureMismatch(
                _("This signature is of another bundle than the events name."),
                remedy=_BY_PUBLISHER,
            )
        evaluation = _listed(files, signed, "evaluation.json")
        manifest = _listed(files, signed, "bundle.json")
        step.said = _(
            "bundle {model} {digest}…, signed by {key_id}…",
            model=name,
            digest=digest[:12],
            key_id=signed.key_id[:12],
        )
    accuracy = evaluation.get("accuracy")
    said = _("evaluation: as it was signed")
    if isinstance(accuracy, float):
        said = _(
            "evaluation: {accuracy:.1%} right of {examples}, as it was signed",
            accuracy=accuracy,
            examples=evaluation.get("examples"),
        )
    step.steps.append(Step(said))
    _check_dataset(step, evidence, keys, manifest.get("dataset"))


def _check_dataset(above: Step, evidence: Evidence, keys: KeySource, named: Any) -> None:
    if not isinstance(named, dict) or not {"name", "version"} <= named.keys():
        above.leave_open(_("dataset: the bundle names none"))
        return
    reference = f"{named['name']}#{named['version']}"
    shown = f"{reference[: len(str(named['name'])) + 13]}…"
    files = evidence.dataset(str(named["version"]))
    if files is None or SIGNATURE not in files:
        above.leave_open(_("dataset {dataset}: not held", dataset=shown))
        return
    with above.walking(Step(_("dataset {dataset}: as it was signed", dataset=shown))):
        signed = open_signature(files[SIGNATURE], keys.public_keys("data"), subject=reference)
        if signed.digests.get("manifest.jsonl") != named["version"]:
            raise SignatureMismatch(
                _("This signature is of another dataset than the bundle names."),
                remedy=_BY_PUBLISHER,
            )
        _listed(files, signed, "card.json")


def _listed(files: Mapping[str, bytes], signed: SignedList, name: str) -> Mapping[str, Any]:
    """One of the files that a signature lists, if it is what was signed."""
    data = files.get(name, b"")
    if signed.digests.get(name) != sha256_hex(data):
        raise SignatureMismatch(
            _("{subject}: {name} is not what was signed.", subject=signed.subject, name=name),
            remedy=_BY_PUBLISHER,
        )
    found: Mapping[str, Any] = read_json(data)
    return found
