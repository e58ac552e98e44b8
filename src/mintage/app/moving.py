"""The verbs between machines: a bundle leaves as one file, and arrives verified.

A language model's is too large for one: it leaves and arrives as the folder that it is.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mintage.app.creating import Creating
from mintage.app.language import OWN
from mintage.bundle import repository as bundles
from mintage.bundle.archive import ENDING, pack
from mintage.bundle.graph_check import check_graph
from mintage.bundle.language import LanguageBundle, is_language, load_language
from mintage.bundle.loader import LoadedBundle, load
from mintage.core.canonical import sha256_hex
from mintage.core.errors import (
    ConfigError,
    DataError,
    InputError,
    RequestError,
    SignatureMismatch,
    TrustError,
)
from mintage.core.files import copy_folder, size_on_disk, write_atomic, write_folder
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.units import check_name
from mintage.create import repository as models
from mintage.deliver import repository as publications
from mintage.deliver.upstreams.declarations import Upstreams
from mintage.store.workspace import Workspace
from mintage.trust.key_files import read_public_key, role_named
from mintage.trust.key_list import KeyList, ListedKey
from mintage.trust.keys import KeyRing, PublicKey, Role
from mintage.trust.openings import log_reading
from mintage.trust.signing import SIGNATURE_FILE
from mintage.trust.trusted import TakenList, TrustedKeys, read_key_list

_VERSION = re.compile("[1-9][0-9]{0,8}")
_MOST_NAME_BYTES = 200
"""Of the 255 that file systems allow, less what the name adds that the file has while written."""
Outcome = Literal["imported", "restored", "present"]
_Bundle: TypeAlias = LoadedBundle | LanguageBundle


@dataclass(frozen=True)
class Verified:
    """A bundle that is what ``key_id`` signed as ``subject``: its digest, and its files' names."""

    subject: str
    digest: str
    key_id: str
    files: tuple[str, ...]


class Moving:
    """Export, import, and whose bundles are believed."""

    def __init__(self, workspace: Workspace, keys: KeyRing, create: Creating) -> None:
        self._workspace = workspace
        self._keys = keys
        self._create = create
        self._trusted = TrustedKeys(workspace.database, keys, workspace.now)

    def verify(self, reference: str) -> Verified:
        """What was signed of a model of this workspace.

        Raises:
            SignatureMismatch: any byte, name or file of it is not what a trusted key signed.
            InputError: there is no such model, or it is a path that was not written as one.
        """
        bundles = self._create.bundles
        try:
            if not bundles.is_language(reference):
                return _as_verified(bundles.find(reference))
            found = bundles.find_language(reference)
            return Verified(found.subject, found.digest, found.key_id, tuple(sorted(found.digests)))
        except InputError as error:
            if not os.path.lexists(reference):
                raise
            raise DataError(
                _(
                    "{reference} is a file or folder here, and no model has that name.",
                    reference=reference,
                ),
                remedy=_(
                    "To verify it as a bundle, write it as a path: mintage verify {path}",
                    path=shlex.quote(os.path.join(os.curdir, reference)),  # noqa: PTH118 - Path drops the dot
                ),
            ) from error

    def export(
        self,
        reference: str,
        path: Path | None = None,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write a verified model as one file; the same model gives the same bytes.

        Without ``path`` it is ``pets-3.mintage``, which a folder given as ``path`` gets too; of a
        language model it is the folder ``chats-3``, whose ``sha256`` is None. ``own_key`` is
        whether this workspace's key signed it.

        Raises:
            SignatureMismatch: it is not what was signed; nothing is written.
            ConfigError: another file is there already, and ``force`` was not given; or its folder
                is not there.
        """
        if self._create.bundles.is_language(reference):
            bundle = self._create.bundles.find_language(reference)
            log_reading(self._workspace, "bundle", name=bundle.subject, digest=bundle.digest)
            return self._exported(bundle, *self._copied_out(bundle, path, force, progress))
        packed = self._create.model(reference)
        log_reading(self._workspace, "bundle", name=packed.subject, digest=packed.digest)
        content = pack({**packed.files, SIGNATURE_FILE: packed.signature})
        target = _target(path, packed.subject.replace("@", "-") + ENDING)
        if not _holds(target, content):
            if target.exists() and not force:
                raise _there_already(target)
            write_atomic(target, content)
        return self._exported(packed, target, len(content), sha256_hex(content))

    def _exported(
        self, bundle: _Bundle, target: Path, size: int, sha256: str | None = None
    ) -> dict[str, Any]:
        own = self._keys.own("bundle")
        return {
            "model": bundle.subject,
            "path": str(target),
            "sha256": sha256,
            "bytes": size,
            "bundle_digest": bundle.digest,
            "key_id": bundle.key_id,
            "own_key": own is not None and own.key_id == bundle.key_id,
        }

    def _copied_out(
        self, bundle: LanguageBundle, path: Path | None, force: bool, progress: Progress | None
    ) -> tuple[Path, int]:
        """The folder that holds a language model's files now, and how many bytes they have."""
        target = _target(path, bundle.subject.replace("@", "-"))
        if not self._is_same(target, bundle):
            # Only what says that it is such a bundle is replaced: nobody's own folder.
            if target.exists() and not (force and is_language(target)):
                raise _there_already(target)
            self._copy(bundle, target, progress)
        return target, size_on_disk(target)

    def _copy(self, bundle: LanguageBundle, target: Path, progress: Progress | None = None) -> None:
        """Copy a language model's files; what arrives is what was signed, or nothing does."""

        def check(copied: Path) -> None:
            if load_language(copied, self._keys, bundle.subject).digest != bundle.digest:
                raise SignatureMismatch(
                    _("{model} was changed while it was copied.", model=bundle.subject)
                )

        names, done = [*sorted(bundle.digests), SIGNATURE_FILE], 0
        progress = progress or Silent()
        progress.start(
            _("Copying {model}", model=bundle.subject), float(size_on_disk(bundle.folder))
        )
        for part in copy_folder(bundle.folder, names, target, check):
            done += part
            progress.advance(done)
        progress.finish()

    def _is_same(self, folder: Path, bundle: LanguageBundle) -> bool:
        try:
            found = load_language(folder, self._keys, bundle.subject)
        except (SignatureMismatch, DataError):
            return False
        return found.digest == bundle.digest

    def import_(
        self, path: Path, progress: Progress | None = None, *, allow_older: bool = False
    ) -> dict[str, Any]:
        """Take in an archive under the very name and version that it was signed as.

        It is verified in memory before anything is written; then folder and row are made as a
        trained model's are. A language model's folder is verified where it lies, and its copy
        again. ``outcome`` says what was done: ``present`` is nothing.

        Raises:
            SignatureMismatch: no key that is trusted here signed these very bytes.
            DataError: no archive of a bundle, or one whose graph may not be opened; or another
                model has its name and version.
            RequestError: a newer version was sold here already (409), this one is not here, and
                ``allow_older`` is not said.
        """
        bundle: _Bundle
        write: Callable[[Path], None]
        if is_language(path):
            copied = bundle = load_language(path, self._keys)
            write = partial(self._copy, copied, progress=progress)
        elif _is_folder(path):
            raise DataError(
                _("{path} is a folder, not an archive.", path=path),
                remedy=_("Make the archive where the model is: mintage export pets@3"),
            )
        else:
            packed = bundle = load(path, self._keys)
            check_graph(packed.model)
            content = {**packed.files, SIGNATURE_FILE: packed.signature}
            write = partial(write_folder, files=content)
        name, version = _name_and_version(bundle.subject)
        with self._workspace.name_lock("models", name):
            outcome = self._take_in(bundle, name, version, write, allow_older=allow_older)
        return {
            "model": bundle.subject,
            "outcome": outcome,
            "bundle_digest": bundle.digest,
            "key_id": bundle.key_id,
        }

    def _take_in(
        self,
        bundle: _Bundle,
        name: str,
        version: int,
        write: Callable[[Path], None],
        *,
        allow_older: bool,
    ) -> Outcome:
        database = self._workspace.database
        with database.read() as connection:
            row = models.find_model(connection, name, version)
        if row is not None and row["bundle_digest"] != bundle.digest:
            raise DataError(
                _("There is another {model} here already.", model=bundle.subject),
                remedy=_(
                    "Remove that one first, if nothing needs it: mintage remove {model}; "
                    "or import into another workspace with --home.",
                    model=bundle.subject,
                ),
                http_status=409,
            )
        if row is not None and self._is_whole(bundle):
            return "present"
        newest = self._newest_sold(name)
        if row is None and newest is not None and version < newest and not allow_older:
            raise RequestError(
                _(
                    "{model} is older than {name}@{newest}, which was sold here already.",
                    model=bundle.subject,
                    name=name,
                    newest=newest,
                ),
                remedy=_("To take it in on purpose, add --allow-older."),
                http_status=409,
            )
        write(self._workspace.model_folder(name, version))
        record = self._record(bundle, name, version)
        if row is not None:
            database.write(lambda connection: bundles.restore(connection, record))
            return "restored"
        database.write(lambda connection: bundles.add_imported(connection, record))
        return "imported"

    def _newest_sold(self, name: str) -> int | None:
        """The highest version of a model that was ever on sale here."""
        with self._workspace.database.read() as connection:
            published = publications.newest_published(connection, name)
        declared = Upstreams(self._workspace.database, self._workspace.now).newest(OWN, name)
        return max((each for each in (published, declared) if each is not None), default=None)

    def _is_whole(self, bundle: _Bundle) -> bool:
        """Whether what this workspace has of it is what was signed."""
        try:
            if isinstance(bundle, LanguageBundle):
                self._create.bundles.find_language(bundle.subject)
            else:
                self._create.model(bundle.subject)
        except (SignatureMismatch, DataError):
            return False
        return True

    def _record(self, bundle: _Bundle, name: str, version: int) -> Mapping[str, Any]:
        return {
            "name": name,
            "version": version,
            "bundle_digest": bundle.digest,
            "dataset": bundle.manifest.dataset["name"],
            "dataset_version": bundle.manifest.dataset["version"],
            "run": "",  # it ran elsewhere
            "key_id": bundle.key_id,
            "created_at": self._workspace.now(),
        }

    def read_key(self, path: Path) -> PublicKey:
        """The public key in a PEM file, to be looked at before it is trusted.

        Raises:
            DataError: it cannot be read, or holds no key or several.
            TrustError: it holds a private key, or a kind that Mintage does not verify with.
        """
        return read_public_key(path)

    def role_of(self, path: Path, key: PublicKey) -> Role:
        """What a key is believed for where nobody says: as its file is called, or its usual role.

        Raises:
            ConfigError: signatures of the role in the file's name are not made with such a key.
        """
        named = role_named(path)
        if named is None:
            return key.usual_role
        if not key.fits(named):
            raise ConfigError(
                _(
                    "{path} is called a key for the role {role}, whose signatures are not made "
                    "with {algorithm}.",
                    path=path,
                    role=named,
                    algorithm=key.algorithm,
                ),
                remedy=_("Ask whoever gave it to you, or say with --role what it is for."),
            )
        return named

    def trust(self, key: PublicKey, roles: Sequence[Role] = ()) -> bool:
        """Believe what this key signs from now on; False where it was believed already.

        Without ``roles`` it is believed for bundles alone, or a key of Ed25519 for the log.

        Raises:
            ConfigError: signatures of such a role are not made with a key of this kind.
        """
        return self._trusted.add(key, roles)

    def distrust(self, key_id: str) -> tuple[PublicKey, Sequence[Role]]:
        """Believe a key no longer, and what it was believed for; its id may be shortened.

        Raises:
            ConfigError: not a key id, or several begin so.
            RequestError: none does (404).
        """
        return self._trusted.remove(key_id)

    def trusted(self) -> list[dict[str, Any]]:
        """Every trusted key: ``key_id, algorithm, roles, paths``; each role has a file.

        A root whose list was taken has that as ``list``.

        Raises:
            TrustError: such a list is not what its root signed.
        """
        files = self._trusted.list()
        keys = {file.key.key_id: file.key for file in files}
        lists = {root.key.key_id: keys for root, keys in self._keys.lists()}
        return [
            {
                **described_key(key, [file.role for file in files if file.key.key_id == key_id]),
                "paths": [str(file.path) for file in files if file.key.key_id == key_id],
                **({"list": _described_list(lists[key_id])} if key_id in lists else {}),
            }
            for key_id, key in keys.items()
        ]

    def take_list(self, path: Path) -> TakenList:
        """Take the list of signing keys of a publisher whose root key is trusted here.

        Raises:
            DataError: it cannot be read, or is no list of keys.
            ConfigError: no root key is trusted here.
            SignatureMismatch: no trusted root signed it, or a newer one was taken already.
        """
        return self._trusted.update(read_key_list(path))

    def junk(self) -> list[TrustError]:
        """What is wrong with each file among the trusted keys that holds none."""
        return list(self._trusted.junk().values())


def described_key(key: PublicKey, roles: Sequence[Role]) -> dict[str, Any]:
    """A public key as it is shown: its id is the SHA-256 of its DER."""
    return {"key_id": key.key_id, "algorithm": key.algorithm, "roles": sorted(set(roles))}


def described_listed(listed: ListedKey) -> dict[str, Any]:
    """A signing key with its times as it is shown; its PEM is in the list itself."""
    said = listed.to_json()
    return {name: value for name, value in said.items() if name not in ("pem", "switch")}


def _described_list(keys: KeyList) -> dict[str, Any]:
    return {**keys.to_json(), "keys": [described_listed(each) for each in keys.keys]}


def _target(path: Path | None, name: str) -> Path:
    """The file to write: ``name``, or ``path``, or ``name`` in the folder ``path``."""
    target = Path(name) if path is None else path / name if _is_folder(path) else path
    length = len(os.fsencode(target.name))
    if length > _MOST_NAME_BYTES:
        raise ConfigError(
            _("The file's name is too long: {length} bytes.", length=length),
            remedy=_("Name one of at most {most} bytes.", most=_MOST_NAME_BYTES),
        )
    if not _is_folder(target.parent):
        raise ConfigError(
            _("There is no folder {folder}.", folder=target.parent),
            remedy=_("Make it first: mkdir -p {folder}", folder=shlex.quote(str(target.parent))),
        )
    return target


def _there_already(target: Path) -> ConfigError:
    return ConfigError(
        _("{path} is there already, with other content.", path=target),
        remedy=_("Name another file, or replace this one with --force."),
    )


def _is_folder(path: Path) -> bool:
    """False, too, for a name that is too long, where ``Path.is_dir`` raises (Python 3.11)."""
    return os.path.isdir(path)  # noqa: PTH112 - as the docstring says


def _holds(path: Path, content: bytes) -> bool:
    if not path.is_file() or path.stat().st_size != len(content):
        return False
    return path.read_bytes() == content


def _name_and_version(subject: str) -> tuple[str, int]:
    name, __, version = subject.rpartition("@")
    if not _VERSION.fullmatch(version):
        raise DataError(
            _("This is signed as {subject!r}, which is no model's version.", subject=subject),
            remedy=_("Ask its maker for one that mintage train has signed."),
        )
    return check_name(name, "model"), int(version)


def _as_verified(bundle: LoadedBundle) -> Verified:
    return Verified(bundle.subject, bundle.digest, bundle.key_id, tuple(sorted(bundle.files)))
