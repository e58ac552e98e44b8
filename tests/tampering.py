"""What an attacker may do to bytes and to folders, for every matrix of refusals."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mintage.core.errors import TrustError

_BITS = (0, 5)
"""5 is the bit that turns upper case into lower: where case is lost, it alone shows that."""


def flips(data: bytes, *, sample: int | None = None, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Every byte flipped in turn, or a ``sample`` of them with both ends: what, and the bytes."""
    positions: list[int] | range = range(len(data))
    if sample is not None and sample < len(data):
        drawn = random.Random(seed).sample(positions, sample)
        positions = sorted({0, len(data) - 1, *drawn})
    for position in positions:
        for bit in _BITS:
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            yield f"byte {position}, bit {bit}", bytes(changed)


def lengths(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut, emptied, grown, and said twice."""
    for size in sorted({0, 1, len(data) // 2, len(data) - 1} - {len(data)}):
        yield f"cut to {size}", data[:size]
    for end in (b"\0", b" ", b"\n", b"}"):
        yield f"{end!r} behind", data + end
        yield f"{end!r} before", end + data
    yield "twice", data + data


def mutations(
    data: bytes, *, sample: int | None = None, seed: int = 0
) -> Iterator[tuple[str, bytes]]:
    """``flips`` and ``lengths``: what was done, and the bytes after it."""
    yield from flips(data, sample=sample, seed=seed)
    yield from lengths(data)


def refusal(what: str, act: Callable[[], object]) -> str:
    """The named reason for which ``act`` is refused; nothing else counts as a refusal."""
    try:
        act()
    except TrustError as error:
        reason = error
    except Exception as error:
        raise AssertionError(f"{what}: not refused but {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"{what}: accepted")
    assert reason.exit_status == 3, what
    assert len(reason.message) > 10, what
    return str(reason.message)


def each_refused(original: bytes, verify: Callable[[bytes], Any], **sampled: int) -> int:
    """Check that ``verify`` accepts the bytes and refuses every mutation; how many there were."""
    verify(original)
    count = 0
    for what, changed in mutations(original, **sampled):
        refusal(what, lambda changed=changed: verify(changed))  # type: ignore[misc]
        count += 1
    return count


def _swap(folder: Path, first: str, second: str) -> None:
    (folder / first).rename(folder / "x")
    (folder / second).rename(folder / first)
    (folder / "x").rename(folder / second)


def _link(folder: Path, name: str) -> None:
    elsewhere = folder.parent / f"{folder.name}-elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)


def _pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def _add(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")


def folder_changes(
    names: Mapping[str, bytes] | list[str],
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What can be done to a folder of these files: what, and a function that does it."""
    listed = sorted(names)
    for name in listed:
        yield f"{name} removed", lambda folder, name=name: (folder / name).unlink()
        yield (
            f"{name} renamed",
            lambda folder, name=name: (folder / name).rename(folder / f"{name}2"),
        )
        yield (
            f"{name} in capitals",
            lambda folder, name=name: (folder / name).rename(folder / name.upper()),
        )
        yield f"{name} a link", lambda folder, name=name: _link(folder, name)
        yield f"{name} a pipe", lambda folder, name=name: _pipe(folder, name)
        yield f"{name} under capitals too", lambda folder, name=name: _add(folder, name.upper())
        for other in listed[listed.index(name) + 1 :]:
            yield (
                f"{name} and {other} swapped",
                lambda folder, name=name, other=other: _swap(folder, name, other),
            )
    for added in (
        *(".git/config", ".gitignore", ".gitattributes", ".github/x", ".hidden", "extra", "a/b/c"),
        *(
            "model.onnx.data",
            "signature.json.bak",
            "signature.json\u200b",
            "CARD.MD",
            "weights.pkl",
        ),
        *("\u0441ard.md", "ca\u0301rd.md", "\uff43ard.md", "card.md ", "card.md.", "card\u202e.md"),
    ):
        yield f"{added!r} added", lambda folder, added=added: _add(folder, added)
    for empty in ("empty", ".git", "\u200b"):
        yield f"{empty!r} added, empty", lambda folder, empty=empty: (folder / empty).mkdir()
    yield "a link to nowhere", lambda folder: (folder / "nowhere").symlink_to("missing")
    yield "a link to itself", lambda folder: (folder / "loop").symlink_to(folder)


def changed_copies(
    folder: Path, scratch: Path, names: Mapping[str, bytes] | list[str]
) -> Iterator[tuple[str, Path]]:
    """A copy of the folder with each change of ``folder_changes`` made to it."""
    for number, (what, change) in enumerate(folder_changes(names)):
        copy = Path(shutil.copytree(folder, scratch / str(number) / folder.name))
        change(copy)
        yield what, copy
