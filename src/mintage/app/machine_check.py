"""What a diagnosis asks of the machine: versions, cores, memory, clock, ports, what shows text."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mintage.app.finding import Finding
from mintage.core.clock import Clock
from mintage.core.machine import (
    available_cores,
    machine_memory_bytes,
    memory_limit_bytes,
)
from mintage.core.messages import _
from mintage.core.settings import Settings
from mintage.core.units import format_size
from mintage.core.version import __version__

_PLAIN = ("numpy", "onnxruntime", "pillow", "cryptography", "sqlalchemy", "fastapi", "pydantic")
_NOT_FOR_USERS = ("dev", "bench", "all")
_LEAST_MEMORY = 1_000_000_000
_FIRST_YEAR, _LAST_YEAR = 2026, 2100
_GPU_SECONDS = 60
_ASK_TORCH = (
    "import torch; n = torch.cuda.device_count();"
    "print(', '.join(torch.cuda.get_device_name(i) for i in range(n)))"
)


def examine_machine(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Each finding as soon as it is known; the slowest last."""
    yield _versions()
    yield from _extras()
    yield _cores()
    yield _memory()
    yield from _ports(settings)
    yield _clock(clock)
    yield _zones()
    yield _encoding()
    yield _gpu()


def _versions() -> Finding:
    found = ", ".join(f"{name} {version}" for name in _PLAIN if (version := _version(name)))
    return Finding(
        _("versions"),
        "ok",
        _(
            "mintage {mintage}, Python {python}, {libraries}",
            mintage=__version__,
            python=platform.python_version(),
            libraries=found,
        ),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> Iterator[Finding]:
    """Each extra of the package: whether all that it brings is there."""
    wanted: dict[str, list[str]] = {}
    try:
        required = metadata.requires("mintage")
    except metadata.PackageNotFoundError:  # run from its source, without being installed
        return
    for line in required or ():
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if found and found[2] not in _NOT_FOR_USERS:
            wanted.setdefault(found[2], []).append(found[1])
    for extra, libraries in sorted(wanted.items()):
        missing = [name for name in libraries if _version(name) is None]
        if not missing:
            there = ", ".join(f"{name} {_version(name)}" for name in libraries)
            yield Finding(_("extra [{extra}]", extra=extra), "ok", there)
            continue
        yield Finding(
            _("extra [{extra}]", extra=extra),
            "warning",
            _("not installed: {missing}", missing=", ".join(missing)),
            _("If you need it: pip install 'mintage[{extra}]'", extra=extra),
        )


def _cores() -> Finding:
    return Finding(
        _("cores"),
        "ok",
        _("{cores} to use, of {all} in the machine", cores=available_cores(), all=os.cpu_count()),
    )


def _memory() -> Finding:
    machine, limit = machine_memory_bytes(), memory_limit_bytes()
    least = min((size for size in (machine, limit) if size is not None), default=None)
    if machine is None or least is None:
        return Finding(_("memory"), "ok", _("the system does not say how much"))
    found = _("{machine} in the machine", machine=format_size(machine))
    if limit is not None:
        found = _(
            "{limit} to use, of {machine} in the machine",
            limit=format_size(limit),
            machine=format_size(machine),
        )
    if least < _LEAST_MEMORY:
        return Finding(
            _("memory"), "warning", found, _("Training needs about 1 GB; serving needs less.")
        )
    return Finding(_("memory"), "ok", found)


def _ports(settings: Settings) -> Iterator[Finding]:
    for host, port, option in (
        (settings.host, settings.port, "--port"),
        (settings.operator_host, settings.operator_port, "--operator-port"),
    ):
        check = _("port {port}", port=port)
        if port == 0:
            yield Finding(check, "ok", _("any free one is taken"))
            continue
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            yield Finding(
                check,
                "warning",
                _("cannot be listened on at {host}: {reason}", host=host, reason=reason),
                _("If it is not your own server, serve with {option} 0.", option=option),
            )
        else:
            yield Finding(check, "ok", _("free at {host}", host=host))


def _clock(clock: Clock) -> Finding:
    now, ticks = clock.now(), clock.monotonic()
    found = _("{now} UTC", now=now.strftime("%Y-%m-%d %H:%M:%S"))
    if not _FIRST_YEAR <= now.year < _LAST_YEAR or clock.monotonic() < ticks:
        return Finding(
            _("clock"), "problem", found, _("Set the machine's clock, best by NTP; bills need it.")
        )
    return Finding(_("clock"), "ok", found)


def _zones() -> Finding:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return Finding(
            _("time zones"),
            "problem",
            _("the machine has no time zone data"),
            _("Install it with: pip install tzdata"),
        )
    return Finding(_("time zones"), "ok", _("there"))


def _encoding() -> Finding:
    encoding = sys.stdout.encoding or "ascii"
    try:
        "铸模 é".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Finding(
            _("terminal encoding"),
            "warning",
            _("this terminal shows {encoding}, not every name", encoding=encoding),
            _("Set a UTF-8 locale, such as: export LC_ALL=C.UTF-8"),
        )
    return Finding(_("terminal encoding"), "ok", encoding)


def _gpu() -> Finding:
    """Asked of PyTorch in a process of its own, as importing it takes seconds and may fail."""
    check = _("GPU")
    if _version("torch") is None:
        return Finding(check, "ok", _("not asked: PyTorch is not installed"))
    try:
        asked = subprocess.run(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-c", _ASK_TORCH],
            capture_output=True,
            text=True,
            timeout=_GPU_SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        last = str(said).strip().splitlines()[-1]
        return Finding(
            check,
            "problem",
            _("PyTorch does not load: {last}", last=last),
            _("Install it anew: pip install --force-reinstall 'mintage[train]'"),
        )
    names = asked.stdout.strip()
    return Finding(check, "ok", names or _("none; training uses the processor"))
