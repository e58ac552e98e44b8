"""The verb ``verify``: what a thing is, who signed it, and whether all of it is what was signed.

A path needs no workspace: the wheel and a public key are enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mintage.app.chaining import Document, opened_evidence, read_document, walked
from mintage.app.confirmed import Confirmed
from mintage.app.log_files import LogFiles
from mintage.app.names import INVOICE_NUMBER
from mintage.app.root import App
from mintage.bundle.archive import ENDING
from mintage.bundle.format import MANIFEST_FILE
from mintage.bundle.language import is_language, load_language
from mintage.bundle.loader import load
from mintage.capture.chain.checks import Chain
from mintage.core.errors import ConfigError, DataError, SignatureMismatch
from mintage.core.messages import Message, _, plural
from mintage.core.progress import Progress
from mintage.core.settings import load_settings
from mintage.create.integrity import CheckedDataset, blobs_beside, check_dataset, is_dataset
from mintage.trust.given import GivenKeys, KeySource, given_keys
from mintage.trust.keys import PublicKey, Role
from mintage.trust.standard import check_standard, signature_beside
from mintage.trust.statements import open_statement

_WITH_HEADS = ("consistency_proof", "audit_log")
_WITH_INPUT = ("receipt",)
_FOLDER_ROLES: tuple[Role, ...] = ("bundle", "data")
_ENDINGS = (".json", ".jsonl", ".txt", ".zip", ENDING)


class Verifying:
    """Verifies by the keys of a workspace or, without one, by those that were given."""

    def __init__(self, keys: KeySource, app: App | None = None) -> None:
        self._keys = keys
        self._app = app

    @property
    def notes(self) -> tuple[Message, ...]:
        """What there is to know of the keys that were given."""
        return self._keys.notes if isinstance(self._keys, GivenKeys) else ()

    def verify(
        self,
        reference: str,
        progress: Progress,
        *,
        signature: Path | None = None,
        heads: Sequence[Path] = (),
        sent: Path | None = None,
    ) -> Confirmed:
        """Check anything signed: by its name in a workspace, an invoice's number, or its path.

        ``signature`` is of a folder that another tool signed. ``heads`` are files with tree heads
        that were kept, for a proof or an export of a log. ``sent`` is what a receipt is for.

        Raises:
            SignatureMismatch: any byte, name or file of it is not what a trusted key signed.
            InputError: there is no such thing, or nothing that these are for.
        """
        found = self._verified(reference, progress, signature, heads, sent)
        kind = found.document["kind"]
        for name, given, kinds in (("--head", heads, _WITH_HEADS), ("--input", sent, _WITH_INPUT)):
            if given and kind not in kinds:
                raise ConfigError(
                    _("{option} is not for what this is: {kind}.", option=name, kind=kind),
                    remedy=_("It is for: {kinds}.", kinds=", ".join(kinds)),
                )
        return found

    def _verified(
        self,
        reference: str,
        progress: Progress,
        signature: Path | None,
        heads: Sequence[Path],
        sent: Path | None,
    ) -> Confirmed:
        if signature is not None:
            return self._standard(Path(reference), signature)
        if self._is_path(reference):
            return self._path(Path(reference), progress, heads, sent)
        if self._app is None:
            raise DataError(
                _("There is no file or folder {path}, and no workspace.", path=reference),
                remedy=_("Name what is to be verified by its path, or a workspace with --home."),
            )
        if INVOICE_NUMBER.fullmatch(reference):
            invoices = self._app.billing.invoices
            kept = invoices.signed(invoices.find(reference))
            found = open_statement(kept.data, self._keys)
            return self._document(Document.of(found))
        if "#" in reference:
            return self._named_dataset(self._app, reference, progress)
        model = self._app.moving.verify(reference)
        return _model(model.subject, model.digest, model.key_id, model.files)

    def chain(self, reference: str, receipts: Path | None = None) -> Chain:
        """The chain of an invoice, walked as far as it holds: its number, or a file that has it.

        ``receipts`` is a folder of those that a customer kept.

        Raises:
            InputError: there is no such invoice, or what is held cannot be read.
        """
        if self._is_path(reference) or self._app is None:
            with opened_evidence(Path(reference)) as held:
                return walked(held, self._keys, receipts)
        ours = self._app.billing.evidence(reference, with_costs=True, is_ours=True)
        return walked(ours, self._keys, receipts)

    def _is_path(self, reference: str) -> bool:
        """A name in a workspace wins over a file beside it, unless there is no workspace."""
        if os.sep in reference or reference.endswith(_ENDINGS):
            return True
        return self._app is None and os.path.lexists(reference)

    def _path(
        self, path: Path, progress: Progress, heads: Sequence[Path], sent: Path | None
    ) -> Confirmed:
        """By what lies there; which of these it says that it is only decides who checks it."""
        if _is_missing(path):
            raise DataError(
                _("There is no file or folder {path}.", path=path),
                remedy=_("Name a model such as pets@latest, or the path of anything signed."),
            )
        if os.path.isfile(path / MANIFEST_FILE):  # noqa: PTH113 - Path's raises for long names
            if is_language(path):
                model = load_language(path, self._keys)
                return _model(model.subject, model.digest, model.key_id, sorted(model.digests))
        elif is_dataset(path):
            keys = self._keys.public_keys("data")
            return _dataset(check_dataset(path, blobs_beside(path), keys, progress))
        elif beside := signature_beside(path):
            return self._standard(path, beside)
        elif os.path.isfile(path) and path.suffix != ENDING:  # noqa: PTH113 - as above
            found = LogFiles(self._keys, heads, progress).confirmed(path)
            return found or self._document(read_document(path, self._keys, sent))
        bundle = load(path, self._keys)
        return _model(bundle.subject, bundle.digest, bundle.key_id, sorted(bundle.files))

    def _document(self, found: Document) -> Confirmed:
        """A document or a receipt; one that is older than its key was signed again with it."""
        keys = self._keys.public_keys(found.role)
        validity = next(each.validity for each in keys if each.key_id == found.key_id)
        made_at = found.made_at
        notes: tuple[Message, ...] = ()
        if validity is not None and made_at is not None and made_at < validity.since:
            notes = (
                _(
                    "It is of {made_at}, and was signed again with a key that is in use since "
                    "{since}.",
                    made_at=made_at,
                    since=validity.since,
                ),
            )
        return Confirmed(
            _("{name} is as it was signed: {digest}", name=found.name, digest=found.sha256),
            {
                "kind": found.kind,
                "name": found.name,
                "sha256": found.sha256,
                "key_id": found.key_id,
                "made_at": made_at,
                "signed_again": bool(notes),
            },
            notes,
        )

    def _standard(self, folder: Path, signature: Path) -> Confirmed:
        keys: list[PublicKey] = []
        refusal: SignatureMismatch | None = None
        for role in _FOLDER_ROLES:
            try:
                keys += self._keys.public_keys(role)
            except SignatureMismatch as error:
                refusal = error
        if refusal is not None and not keys:
            raise refusal
        found = check_standard(folder, signature, keys)
        files = sorted(found.digests)
        return Confirmed(
            _signed(found.subject, len(files), found.digest),
            {
                "kind": "folder",
                "subject": found.subject,
                "digest": found.digest,
                "key_id": found.key_id,
                "files": files,
            },
        )

    def _named_dataset(self, app: App, reference: str, progress: Progress) -> Confirmed:
        dataset = app.create.dataset(reference)
        checked = check_dataset(
            dataset.folder,
            app.workspace.home / "blobs"
            if app.workspace.sealing is None
            else app.workspace.blobs_of(dataset.name),
            self._keys.public_keys("data"),
            progress,
            subject=dataset.reference,
        )
        return _dataset(checked)


@contextmanager
def verifying(home: Path | None, key_files: Sequence[Path] = ()) -> Iterator[Verifying]:
    """Verify by these keys alone, or else by a workspace's where there is one; none is made.

    Raises:
        DataError: a file holds no public key, or several.
        TrustError: it holds a private key, or one of another kind.
        ConfigError: the workspace cannot be used.
    """
    if key_files:
        yield Verifying(given_keys(key_files))
        return
    settings = load_settings(home=home)
    if not (settings.home.expanduser() / "workspace.json").exists():
        yield Verifying(GivenKeys())  # a path's signature is refused then, with the key's id
        return
    with App(settings, make=False) as app:
        yield Verifying(app.keys, app)


def _is_missing(path: Path) -> bool:
    """False, too, for a name that is too long, say: whoever opens it says why it cannot be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _model(subject: str, digest: str, key_id: str, files: Sequence[str]) -> Confirmed:
    return Confirmed(
        _signed(subject, len(files), digest),
        {
            "kind": "model",
            "model": subject,
            "bundle_digest": digest,
            "key_id": key_id,
            "files": list(files),
        },
    )


def _dataset(found: CheckedDataset) -> Confirmed:
    said = plural(
        found.examples,
        _("{subject} is as it was signed: one example, {size_bytes:,} bytes"),
        _("{subject} is as it was signed: {examples:,} examples, {size_bytes:,} bytes"),
        subject=found.subject,
        examples=found.examples,
        size_bytes=found.size_bytes,
    )
    return Confirmed(
        said,
        {
            "kind": "dataset",
            "dataset": found.subject,
            "version": found.version,
            "key_id": found.key_id,
            "files": list(found.files),
            "examples": found.examples,
            "bytes": found.size_bytes,
        },
    )


def _signed(subject: str, files: int, digest: str) -> Message:
    return plural(
        files,
        _("{subject} is as it was signed: one file, {digest}"),
        _("{subject} is as it was signed: {count} files, {digest}"),
        subject=subject,
        count=files,
        digest=digest,
    )
