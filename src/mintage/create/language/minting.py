"""Steps 6 and 7 for language models: merged, measured as it will serve, and signed."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import torch

from mintage.bundle.language import (
    CARD_FILE,
    EVALUATION_FILE,
    MANIFEST_FILE,
    Base,
    LanguageManifest,
    belongs,
    check_names,
    write_language_bundle,
)
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import ConfigError, DataError
from mintage.core.files import readable_failures
from mintage.core.messages import _
from mintage.create import repository
from mintage.create.bom import BOM_FILE, Ancestor, Made, Metric, bill_of_materials
from mintage.create.dataset import Dataset
from mintage.create.language.base import Opened
from mintage.create.language.card import ABOUT, LIMITS, model_card
from mintage.create.language.tokens import Encoded
from mintage.create.language.tuning import token_losses
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing
from mintage.trust.signing import files_digest

_FARTHEST = 0.02
"""In nats a token: what merging may change of the loss. Rounding to bfloat16 changed that of a
small model by 0.001 to 0.002 (n = 5), float32 by nothing."""


@dataclass(frozen=True)
class Minted:
    """A signed bundle."""

    number: int
    digest: str
    folder: Path


def merged(network: Any, shown: Sequence[Encoded], padding: int) -> Any:
    """The network with what was learned added to its layers: as it will serve.

    Raises:
        DataError: it says something else than before on the conversations ``shown``.
    """
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        before, counts = token_losses(network, shown, padding, device)
    whole = network.merge_and_unload()
    with torch.inference_mode():
        after, __ = token_losses(whole, shown, padding, device)
    apart = float(((before - after).abs() / counts).max())
    if not apart <= _FARTHEST:
        raise DataError(
            _("Merging changed what the model says: its loss by {apart:.3f} a token.", apart=apart),
            remedy=_("Train again with a lower learning rate."),
        )
    return whole


class LanguageMint:
    """Signs one run's model as the next version of its name."""

    def __init__(
        self,
        workspace: Workspace,
        keys: KeyRing,
        dataset: Dataset,
        *,
        model: str,
        run: str,
        folder: Path,
        signed: Callable[[int], None],
    ) -> None:
        self.workspace, self.keys, self.dataset = workspace, keys, dataset
        self.model, self.run, self.folder, self.signed = model, run, folder, signed

    def strike(
        self,
        opened: Opened,
        manifest: LanguageManifest,
        evaluation: Mapping[str, Any],
        notes: Sequence[str],
    ) -> Minted:
        """Write weights, tokenizer, card and evaluation, and sign them."""
        card = model_card(self.model, self.dataset.card, manifest.base, evaluation, notes)
        metrics = {name: evaluation[name] for name in ("loss", "perplexity", "interval")}
        manifest = replace(manifest, metrics={**metrics, "base": evaluation["base"]})
        with readable_failures(self.workspace.home), self._staged(opened) as weights:
            files: dict[str, bytes | mmap] = {
                **weights,
                CARD_FILE: card.encode(),
                EVALUATION_FILE: canonical_json(evaluation),
            }
            listed = {**files, MANIFEST_FILE: manifest.to_bytes()}
            made = _made(manifest.base, evaluation)
            files[BOM_FILE] = bill_of_materials(made, self.dataset.card, manifest.libraries, listed)
            return self._sign(manifest, files)

    @contextmanager
    def _staged(self, opened: Opened) -> Iterator[dict[str, bytes | mmap]]:
        """The files of network and tokenizer, mapped from a folder that is gone afterwards."""
        folder = self.folder / "merged"
        shutil.rmtree(folder, ignore_errors=True)
        opened.network.config.use_cache = True
        opened.network.save_pretrained(folder, safe_serialization=True)
        opened.tokenizer.save_pretrained(folder)
        try:
            with ExitStack() as stack:
                files: dict[str, bytes | mmap] = {}
                # A tokenizer's older forms are not needed beside its tokenizer.json.
                for path in sorted(each for each in folder.iterdir() if belongs(each.name)):
                    stream = stack.enter_context(path.open("rb"))
                    files[path.name] = stack.enter_context(
                        mmap(stream.fileno(), 0, access=ACCESS_READ)
                    )
                yield files
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sign(self, manifest: LanguageManifest, files: Mapping[str, bytes | mmap]) -> Minted:
        """Two runs that race get two numbers; one that was killed here gets its own again."""
        content = {**files, "bundle.json": manifest.to_bytes()}
        digest = files_digest({name: sha256_hex(data) for name, data in content.items()})
        with self.workspace.name_lock("models", self.model):
            with self.workspace.database.read() as connection:
                before = repository.model_of(connection, self.run, digest)
                number = before or repository.next_model_version(connection, self.model)
            folder = self.workspace.model_folder(self.model, number)
            if before is None:
                subject = f"{self.model}@{number}"
                signer = self.keys.signer("bundle")
                write_language_bundle(folder, manifest, files, signer, subject)
                row = {
                    "name": self.model,
                    "version": number,
                    "bundle_digest": digest,
                    "dataset": self.dataset.name,
                    "dataset_version": self.dataset.version,
                    "run": self.run,
                    "created_at": self.workspace.now(),
                }
                self.workspace.database.write(
                    lambda connection: repository.add_model(connection, row)
                )
            self.signed(number)
        return Minted(number, digest, folder)


def _made(base: Base, evaluation: Mapping[str, Any]) -> Made:
    """What the bill of materials says of the model itself."""
    before = evaluation["base"]["perplexity"]
    return Made(
        task="text-generation",
        architecture=base.name,
        inputs=["a conversation, as token ids"],
        outputs=["text, as token ids"],
        metrics=[
            Metric("loss", evaluation["loss"], "", evaluation["interval"]),
            Metric("perplexity", evaluation["perplexity"]),
            Metric("perplexity", before, "before fine-tuning"),
        ],
        about=ABOUT,
        limits=LIMITS,
        ancestor=Ancestor(
            name=base.name,
            architecture=base.architecture,
            digest=base.digest,
            revision=base.revision or "",
            licence=base.licence,
        ),
    )


def check_writable(opened: Opened, folder: Path) -> None:
    """Write all but the weights, so that what cannot be written is known before training.

    Raises:
        ConfigError: these weights have what no model's bundle can hold.
    """
    trial = folder / "trial"
    try:
        opened.tokenizer.save_pretrained(trial)
        opened.network.generation_config.save_pretrained(trial)
        opened.network.config.save_pretrained(trial)
        names = {each.name for each in trial.iterdir() if belongs(each.name)}
        check_names(names | {"model.safetensors", "bundle.json", CARD_FILE, EVALUATION_FILE})
    except (ValueError, TypeError, DataError) as error:
        raise ConfigError(
            _(
                "What becomes of {base} could not be written: {reason}",
                base=opened.base.name,
                reason=str(error),
            ),
            remedy=_("Choose other weights."),
        ) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def ends_of_answers(tokenizer: Any, examples: Sequence[Encoded]) -> list[int]:
    """The tokens at which a server stops: the tokenizer's own end, and what ends answers."""
    special = set(tokenizer.all_special_ids)
    found = {tokenizer.eos_token_id}
    for each in examples:
        for first, is_learned in enumerate(each.learned):
            if not is_learned or (first and each.learned[first - 1]):
                continue
            stretch = takewhile(
                lambda pair: pair[1], zip(each.ids[first:], each.learned[first:], strict=True)
            )
            ends = [token for token, __ in stretch if token in special]
            found.update(ends[-1:])  # those before it are part of what is said
    return sorted(found)


def tell_where_to_stop(opened: Opened, examples: Sequence[Encoded]) -> None:
    """Write the ends of answers where servers look for them."""
    library = importlib.import_module("transformers")
    generation = opened.network.generation_config or library.GenerationConfig()
    if not generation.do_sample:  # transformers writes no figures of sampling without it
        said = (generation.temperature, generation.top_p, generation.top_k)
        generation.do_sample = any(each not in (None, 1.0, 50) for each in said)
    generation.eos_token_id = ends_of_answers(opened.tokenizer, examples)
    generation.pad_token_id = opened.tokenizer.pad_token_id
    opened.network.generation_config = generation
