"""What a diagnosis asks of the workspace, which need not be one that can be opened."""

from __future__ import annotations

import shlex
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import SecretStr

from mintage.app.audits_due import Due, doubts
from mintage.app.finding import Finding
from mintage.app.key_check import examine_keys
from mintage.app.language import reason_missing
from mintage.app.stopped import stopped
from mintage.bundle import language
from mintage.bundle.format import REQUIRED_FILES
from mintage.bundle.language import is_language
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, TrustError
from mintage.core.machine import file_system
from mintage.core.messages import Message, _
from mintage.core.units import format_size
from mintage.deliver.upstreams.secret import Secret
from mintage.store.checkup import Health, examine
from mintage.store.place import NETWORK_FILE_SYSTEMS
from mintage.store.workspace import FORMAT, described_format, elsewhere
from mintage.trust.audit import leaf_of
from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE

_LITTLE, _TOO_LITTLE = 2_000_000_000, 100_000_000
_AHEAD_SECONDS = 300
_DATASET_FILES = frozenset({"manifest.jsonl", "card.json", SIGNATURE_FILE})
_MODEL_FILES = REQUIRED_FILES | {SIGNATURE_FILE}
_LANGUAGE_FILES = language.REQUIRED_FILES | {SIGNATURE_FILE}
_BACKUP = _("Restore the workspace from a backup.")


def examine_workspace(
    home: Path, clock: Clock, database_url: SecretStr | None = None
) -> Iterator[Finding]:
    """Each finding as soon as it is known; a home that does not exist yet is no fault."""
    check = _("workspace")
    try:
        home = home.expanduser().absolute()
        there = home.exists()
    except (OSError, RuntimeError) as error:
        yield Finding(check, "problem", str(error), _("Name another with --home."))
        return
    if there and not home.is_dir():
        yield Finding(
            check,
            "problem",
            _("{home} is not a folder", home=home),
            _("Name another with --home."),
        )
        return
    above = next(folder for folder in (home, *home.parents) if folder.is_dir())
    yield _disk(above)
    yield _file_system(home)
    writable = _writable(above)
    yield writable
    if not there or not (home / "workspace.json").exists():
        yield Finding(check, "ok", _("{home} is not made yet", home=home))
        return
    yield _format(home)
    yield from _permissions(home)
    yield from examine_keys(home / "keys", clock)
    misplaced = _elsewhere(home, database_url)
    if misplaced is not None:
        yield Finding(_("database"), "problem", misplaced.message, misplaced.remedy)
    elif database_url is not None:
        yield from _examined(home, database_url, clock, writable=True)
    else:
        yield from _file(home / "mintage.db", clock, writable=writable.status == "ok")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = _("{free} free", free=format_size(free))
    remedy = _("Make room; mintage gc frees what nothing needs.")
    if free < _TOO_LITTLE:
        return Finding(_("disk"), "problem", found, remedy)
    return Finding(_("disk"), "warning" if free < _LITTLE else "ok", found, remedy)


def _file_system(home: Path) -> Finding:
    kind = file_system(home)
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            _("file system"),
            "problem",
            _("{kind}, a network file system, where locks cannot be relied on", kind=kind),
            _("Name a folder on a disk of this machine with --home."),
        )
    return Finding(_("file system"), "ok", kind or _("the system does not say which"))


def _writable(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"x" * 4096)
    except OSError as error:
        return Finding(
            _("writable"),
            "problem",
            _("{folder} cannot be written: {reason}", folder=folder, reason=error.strerror),
            _("Check who owns the folder and whether its disk is full, or name another."),
        )
    return Finding(_("writable"), "ok", str(folder))


def _format(home: Path) -> Finding:
    path = home / "workspace.json"
    try:
        found = described_format(path.read_bytes())
    except OSError as error:
        return Finding(_("format"), "problem", f"{path}: {error.strerror}", _BACKUP)
    if found is None:
        said = _("{path} is not a workspace's description", path=path)
        return Finding(_("format"), "problem", said, _BACKUP)
    said = _("{found}; this Mintage reads up to {format}", found=found, format=FORMAT)
    if found > FORMAT:
        remedy = _("Upgrade with: pip install --upgrade mintage")
        return Finding(_("format"), "problem", said, remedy)
    return Finding(_("format"), "ok", said)


def _permissions(home: Path) -> Iterator[Finding]:
    """Customers and usage are nobody else's business; behind a closed folder nothing is open."""
    database = home / "mintage.db"
    open_ones = [home] if _mode(home) & 0o044 else []
    if _mode(home) & 0o011 and database.exists() and _mode(database) & 0o044:
        open_ones.append(database)
    for path in open_ones:
        yield Finding(
            _("permissions"),
            "warning",
            _("{path} can be read by others", path=path),
            _("Close it with: chmod 700 {home}", home=shlex.quote(str(home))),
        )
    if not open_ones:
        yield Finding(_("permissions"), "ok", _("nobody else can read the workspace"))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _elsewhere(home: Path, database_url: SecretStr | None) -> ConfigError | None:
    try:
        return elsewhere(home, (home / "workspace.json").read_bytes(), database_url)
    except (OSError, ValueError, AttributeError):  # said already, as its format
        return None


def _file(path: Path, clock: Clock, *, writable: bool) -> Iterator[Finding]:
    if not path.exists():
        yield Finding(_("database"), "problem", _("{path} is gone", path=path), _BACKUP)
        return
    yield from _examined(path.parent, None, clock, writable=writable)
    if path.stat().st_mtime > clock.now().timestamp() + _AHEAD_SECONDS:
        yield Finding(
            _("clock"),
            "problem",
            _("the last record was written later than the clock now says"),
            _("Set the machine's clock, best by NTP; bills need it."),
        )


def _examined(
    home: Path, database_url: SecretStr | None, clock: Clock, *, writable: bool
) -> Iterator[Finding]:
    check = _("database")
    health = examine(home, database_url, writable=writable)
    if health.damage:
        yield Finding(check, "problem", health.damage, health.remedy)
        return
    yield Finding(check, "ok", _("sound, {size}", size=format_size(health.size_bytes)))
    yield _log(health)
    no_keys = health.is_signed and not (home / "keys" / "log.pem").exists()
    if no_keys:
        yield Finding(
            _("audit log"),
            "warning",
            _("the key that signed it is not here, so that no head is signed"),
            _("Put the folder keys of this workspace back into it."),
        )
    for origin, reason in health.frozen:
        yield Finding(
            _("audit log"),
            "warning",
            _("{origin} was frozen: {reason}", origin=origin, reason=Message(reason)),
            _("Another goes on in its place; see: mintage audit verify"),
        )
    yield from _files(home, health)
    if not no_keys:  # which is said
        yield from _stopped(home, health)
    yield from _upstreams(health)
    yield from doubts(map(Due.of, health.audits), timestamp(clock.now()))


def _upstreams(health: Health) -> Iterator[Finding]:
    """Whether the keys of upstreams can be read here, in this environment."""
    whole = True
    for product, name, reference in health.secrets:
        reason = reason_missing(Secret(reference))
        if reason is not None:
            whole = False
            yield Finding(
                _("key of {upstream}", upstream=name),
                "warning",
                reason,
                _("The server needs it where it starts, to ask for {product}.", product=product),
            )
    if health.secrets and whole:
        yield Finding(_("keys of upstreams"), "ok", _("can be read"))


def _log(health: Health) -> Finding:
    whole = all(leaf_of(record, salt) == leaf for record, salt, leaf in health.latest)
    if not health.gapless or not whole:
        return Finding(
            _("audit log"),
            "problem",
            _("it is not as it was written"),
            _("Stop, keep a copy of the workspace, and see: mintage audit verify"),
        )
    return Finding(
        _("audit log"),
        "ok",
        _(
            "{records} records without a gap, the last {checked} checked",
            records=health.leaves,
            checked=len(health.latest),
        ),
    )


def _files(home: Path, health: Health) -> Iterator[Finding]:
    """Whether what has a row has its files; that they are the signed ones, ``show`` tells."""
    standing = [
        (f"{row['name']}#{row['version']}", home / "datasets", row, _DATASET_FILES)
        for row in health.datasets
    ] + [
        (f"{row['name']}@{row['version']}", home / "models", row, _MODEL_FILES)
        for row in health.models
    ]
    whole = True
    for reference, kind, row, names in standing:
        folder = kind / row["name"] / str(row["version"])
        missing = _missing(folder, _LANGUAGE_FILES if is_language(folder) else names)
        if missing:
            whole = False
            yield Finding(
                _("files of {reference}", reference=reference),
                "problem",
                _("missing: {paths}", paths=", ".join(str(path) for path in missing)),
                _(
                    "Restore the workspace from a backup, or give it up: "
                    "mintage remove {reference}",
                    reference=reference,
                ),
            )
    if whole:
        said = _("all there, of {count} datasets and models", count=len(standing))
        yield Finding(_("files"), "ok", said)


def _stopped(home: Path, health: Health) -> Iterator[Finding]:
    """Whether a server that starts now would answer with all that is on sale."""

    def folder(name: str, version: int) -> Path:
        return home / "models" / name / str(version)

    try:
        found = [*stopped(KeyRing(home / "keys"), health.on_sale, folder)]
    except TrustError:
        return  # said already, of the keys
    for each in found:
        yield Finding(
            _("product {product}", product=each.product),
            "problem",
            _(
                "no server that starts now answers with {model}: {problem}",
                model=each.model,
                problem=each.problem.message,
            ),
            _(
                "If you know that it is yours as it is: mintage signing-key sign-again {model}; "
                "else publish another: mintage publish MODEL@VERSION --product {product}",
                model=each.model,
                product=each.product,
            ),
        )


def _missing(folder: Path, names: Collection[str]) -> list[Path]:
    """The folder, where nothing of it is left; else its files that are gone or empty."""
    gone = [
        folder / name
        for name in sorted(names)
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]
    return [folder] if len(gone) == len(names) else gone
