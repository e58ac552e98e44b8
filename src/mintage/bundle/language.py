"""A language model's bundle, format 1: weights as safetensors, what reads them, and where from.

It is signed as every bundle is, but too large to be read into memory: its files are hashed where
they lie. The document is ``docs/formats/language-bundle.md``; whoever changes one changes the
other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Final

from mintage.core.canonical import canonical_json, read_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.files import read_whole, write_folder
from mintage.core.messages import _
from mintage.trust.given import KeySource
from mintage.trust.keys import Signer
from mintage.trust.signing import SIGNATURE_FILE, check_folder, files_digest, sign_files

FORMAT: Final = 1
TASK: Final = "text"
MANIFEST_FILE, CARD_FILE, EVALUATION_FILE = "bundle.json", "card.md", "evaluation.json"
TOKENIZER_FILE = "tokenizer.json"
REQUIRED_FILES = frozenset(
    {MANIFEST_FILE, CARD_FILE, EVALUATION_FILE, "config.json", TOKENIZER_FILE}
    | {"tokenizer_config.json", "chat_template.jinja"}
)
_OPTIONAL = frozenset(
    {"generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"}
    | {"merges.txt", "bom.json"}
)
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
_WEIGHTS_ENDING = ".safetensors"
_MEMBERS = frozenset(
    {"format", "task", "modality", "base", "dataset", "recipe", "metrics", "seed", "libraries"}
)


@dataclass(frozen=True)
class Base:
    """The weights that it began from; ``licence`` is what their README says, '' for nothing."""

    name: str
    architecture: str
    parameters: int
    digest: str
    revision: str | None
    licence: str


@dataclass(frozen=True)
class LanguageManifest:
    """What ``bundle.json`` says; ``dataset`` is ``{"name", "version"}``."""

    base: Base
    dataset: Mapping[str, str]
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]
    seed: int
    libraries: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """As it is stored: canonical JSON."""
        return canonical_json(
            {
                "format": FORMAT,
                "task": TASK,
                "modality": "text",
                "base": asdict(self.base),
                "dataset": dict(self.dataset),
                "recipe": dict(self.recipe),
                "metrics": dict(self.metrics),
                "seed": self.seed,
                "libraries": dict(self.libraries),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> LanguageManifest:
        """Read a stored one.

        Raises:
            DataError: it is none, or one of a newer format.
        """
        content = _object(data)
        if not isinstance(content.get("format"), int) or content.get("task") != TASK:
            raise _wrong(_("it is of no language model"))
        if content["format"] > FORMAT:
            raise DataError(
                _(
                    "This bundle has format {found}; this Mintage reads up to {format}.",
                    found=content["format"],
                    format=FORMAT,
                ),
                remedy=_("Upgrade with: pip install --upgrade mintage"),
            )
        if content.keys() != _MEMBERS:
            odd = ", ".join(sorted(content.keys() ^ _MEMBERS))
            raise _wrong(_("these are unknown or missing: {names}", names=odd))
        try:
            base = Base(**content["base"])
        except TypeError as error:
            raise _wrong(_("'base' is {found!r}", found=content["base"])) from error
        said = {name: content[name] for name in ("dataset", "recipe", "metrics", "libraries")}
        return cls(base=base, seed=content["seed"], **said)


@dataclass(frozen=True)
class LanguageBundle:
    """One whose every file was found to be what was signed."""

    manifest: LanguageManifest
    evaluation: Mapping[str, Any]
    digests: Mapping[str, str]
    digest: str
    subject: str
    key_id: str
    folder: Path


def is_language(folder: Path) -> bool:
    """Whether a folder says that it is a language model's, before anything of it is believed."""
    try:
        said = json.loads(read_whole(folder / MANIFEST_FILE))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("task") == TASK


def write_language_bundle(
    folder: Path,
    manifest: LanguageManifest,
    files: Mapping[str, bytes | mmap],
    signer: Signer,
    subject: str,
) -> str:
    """Write the whole folder at once, signed as ``subject`` (``chats@3``); returns its digest.

    ``files`` are all but ``bundle.json`` and ``signature.json``.

    Raises:
        DataError: a file that is not such a bundle's, or one is missing.
    """
    content = {**files, MANIFEST_FILE: manifest.to_bytes()}
    check_names(content)
    signature = sign_files(content, subject, signer)
    write_folder(folder, {**content, SIGNATURE_FILE: signature})
    return files_digest({name: sha256_hex(data) for name, data in content.items()})


def load_language(folder: Path, keys: KeySource, subject: str | None = None) -> LanguageBundle:
    """Check every file of a bundle where it lies; the weights are read through, not kept.

    Raises:
        DataError: it is none that this Mintage reads.
        SignatureMismatch: it is not what a trusted key signed.
    """
    checked = check_folder(folder, keys.public_keys("bundle"), subject=subject)
    check_names(checked.digests)
    for name in sorted(checked.digests):
        if name.endswith(_WEIGHTS_ENDING):
            _check_weights(folder, name)
    manifest = LanguageManifest.from_bytes(_same(folder, MANIFEST_FILE, checked.digests))
    return LanguageBundle(
        manifest=manifest,
        evaluation=_object(_same(folder, EVALUATION_FILE, checked.digests)),
        digests=checked.digests,
        digest=checked.digest,
        subject=checked.subject,
        key_id=checked.key_id,
        folder=folder,
    )


def belongs(name: str) -> bool:
    """Whether a bundle may have a file of this name."""
    return name in REQUIRED_FILES | _OPTIONAL or _WEIGHTS.fullmatch(name) is not None


def check_names(names: Iterable[str]) -> None:
    """Check that these files, without the signature, are those of a language model's bundle.

    Raises:
        DataError: one is missing, or one does not belong.
    """
    there = set(names)
    weights = {name for name in there if _WEIGHTS.fullmatch(name)}
    wrong = [_("{name} is missing", name=name) for name in sorted(REQUIRED_FILES - there)]
    if not any(name.endswith(_WEIGHTS_ENDING) for name in weights):
        wrong.append(_("{name} is missing", name="model.safetensors"))
    foreign = sorted(name for name in there if not belongs(name))
    wrong += [_("{name} does not belong", name=name) for name in foreign]
    if wrong:
        raise _wrong(wrong[0])


def small_file(bundle: LanguageBundle, name: str) -> bytes | None:
    """A small file of a checked bundle, None where it has no such; never the weights.

    Raises:
        SignatureMismatch: it was changed since the bundle was checked.
    """
    return _same(bundle.folder, name, bundle.digests) if name in bundle.digests else None


def _check_weights(folder: Path, name: str) -> None:
    # Not above: the verbs of sale, which read bundles' names alone, wait for no numerics.
    from mintage.modalities.safe_tensors import check_file  # noqa: PLC0415

    try:
        check_file(folder / name)
    except DataError as error:
        raise _wrong(_("{file}: {reason}", file=name, reason=error.message)) from error


def _same(folder: Path, name: str, digests: Mapping[str, str]) -> bytes:
    """A small file's bytes, if they are still those that were checked."""
    data = read_whole(folder / name)
    if sha256_hex(data) != digests[name]:
        raise SignatureMismatch(_("{name} was changed while it was read.", name=name))
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        content = read_json(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(_("it is not an object")) from error
    if not isinstance(content, dict):
        raise _wrong(_("it is not an object"))
    return content


def _wrong(what: str) -> DataError:
    return DataError(
        _(
            "This is no language model's bundle of format {format}: {what}.",
            format=FORMAT,
            what=what,
        ),
        remedy=_("Make it with mintage train, or fetch it again from its maker."),
    )
