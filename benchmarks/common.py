"""What every benchmark needs: where things are, processes of their own, and the machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.processes import memory_bytes, pinned
from benchmarks.stopwatch import class_files

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("MINTAGE_TEST_DATA", ROOT.parent / "shared" / "data"))
KERAS_PYTHON = ROOT / ".venv-keras" / "bin" / "python"
LITSERVE_PYTHON = ROOT / ".venv-litserve" / "bin" / "python"
BENTOML_PYTHON = ROOT / ".venv-bentoml" / "bin" / "python"
LITELLM_PYTHON = ROOT / ".venv-litellm" / "bin" / "python"

Result = dict[str, Any]


class Failed(SystemExit):
    """A process that was to be measured ended with an error; uncaught, its words end ours too."""


def cores() -> int:
    """How many threads either side gets."""
    return len(os.sched_getaffinity(0))


def mintage(home: Path, *words: object) -> Any:
    """One verb, in a process of its own, with its JSON."""
    command = [sys.executable, "-m", "mintage", *map(str, words), "--home", str(home), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def trained(home: Path, dataset: str, held_out: Path, *options: object) -> Result:
    """Train in a process of its own; wall time is that of the whole process."""
    began = time.monotonic()
    run = mintage(home, "train", dataset, *options)
    seconds = time.monotonic() - began
    measured = mintage(home, "evaluate", run["model"], "--data", held_out)
    return {
        "seconds": seconds,
        "load": os.getloadavg()[0],
        "candidate": run["candidate"],
        "validation": run["metrics"]["validation_accuracy"],
        "accuracy": measured["accuracy"],
    }


def part_of(folder: Path, most: int, target: Path) -> Path:
    """A copy of a folder of class folders with at most so many files, evenly chosen."""
    for path, __ in class_files(folder, most):
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.parent.name / path.name)
    return target


def script(
    module: str,
    *,
    python: Path | str = sys.executable,
    watch_memory: bool = False,
    threads: int | None = None,
    on: Sequence[int] = (),
    **options: object,
) -> Result:
    """A script of ``peers`` or ``ours`` in a process of its own, with its JSON.

    ``wall`` is the whole process's, from before it is started until it is gone, ``cpu`` what it
    used of the processor. With ``watch_memory`` the answer has ``peak`` too, in bytes. ``on`` names
    the cores it is kept on, if it is.
    """
    if not Path(python).exists():
        raise Failed(absent(python))
    threads = threads or cores()
    command = [str(python), "-m", f"benchmarks.{module}", f"--threads={threads}"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "MINTAGE_THREADS": str(threads),
        "MINTAGE_LANG": "en",
    }
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        used = _children_seconds()
        began = time.monotonic()
        process = subprocess.Popen(
            [*pinned(on), *command, f"--started={began}"],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=complained,
        )
        try:
            peak = _peak_memory(process) if watch_memory else {}
            code = process.wait()
        finally:
            process.kill()
        wall = time.monotonic() - began
        for stream in (said, complained):
            stream.seek(0)
        if code:
            raise Failed(f"{' '.join(command)}\nended with {code}\n{complained.read()[-4000:]}")
        answered: Result = json.loads(said.read().splitlines()[-1])
    taken = {"wall": round(wall, 4), "cpu": round(_children_seconds() - used, 2)}
    return answered | taken | ({"peak": peak} if peak else {})


def absent(python: Path | str) -> str:
    """What to say of a peer's environment that is not there."""
    verbs = {KERAS_PYTHON: "bench-train", LITELLM_PYTHON: "bench-gateway"}
    verb = verbs.get(Path(python), "bench-serve")
    return f"{python} is not there; make {verb} installs it."


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_memory(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Bytes: the most that was resident, and the most that no file stands behind.

    The first is the kernel's own high-water mark, the second is looked at fifty times a second.
    """
    peak = {"resident": 0, "anonymous": 0}
    while process.poll() is None:
        found = memory_bytes(process.pid)
        for name, field in (("resident", "highest"), ("anonymous", "anonymous")):
            peak[name] = max(peak[name], found.get(field, 0))
        time.sleep(0.02)
    return peak


def machine(*libraries: str) -> dict[str, Any]:
    """What a figure depends on, besides the program: processor, memory, system, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": cores(),
        "processor": _processor(),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in libraries},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or "unknown"


def commit() -> str:
    """The commit that is measured, with a ``+`` where files differ from it; "" without git."""
    try:
        asked = [["rev-parse", "--short=10", "HEAD"], ["status", "--porcelain", "--", "src"]]
        found, changed = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
            for words in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


def say(text: str) -> None:
    """One line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def spread(values: Sequence[float], form: str) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """The file is the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)
