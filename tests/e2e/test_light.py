"""The wheel where it serves: an environment that holds what the plain install needs, no more."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-light"
MOST_MEBIBYTES = 300  # as `du -sm` counts
REQUIRED = bool(os.environ.get("MINTAGE_TEST_LIGHT"))  # read here: no test sees MINTAGE_ variables
ABSENT = ("torch", "pyarrow", "matplotlib", "onnx", "onnxscript", "safetensors", "sklearn")


class Light:
    """Runs the installed wheel with the light environment's own Python, in a folder of its own."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self.packages = packages
        self.folder = folder
        outside = ("PYTHON", "VIRTUAL_ENV", "COV", "MINTAGE_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)} | {
            "PYTHONPATH": str(packages),
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
            "MINTAGE_LANG": "en",
            "MINTAGE_HOME": str(folder / "workspace"),
            "MINTAGE_THREADS": "1",
        }

    def command(self, *words: object) -> list[str]:
        return [str(ENVIRONMENT / "bin/python"), *map(str, words)]

    def python(self, program: str) -> Any:
        """What a program prints as JSON."""
        done = subprocess.run(
            self.command("-c", program),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def __call__(self, *words: object, status: int = 0) -> Any:
        """One verb's JSON."""
        done = subprocess.run(
            self.command("-m", "mintage", *words, "--json"),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the present source, built and installed without any network."""
    if not (ENVIRONMENT / ".ready").exists():
        absent = pytest.fail if REQUIRED else pytest.skip
        absent("the light environment is not there (make test makes it in .venv-light)")
    folder = tmp_path_factory.mktemp("light")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(ENVIRONMENT)]
    offline = ["--no-index", "--no-deps", "--disable-pip-version-check"]
    target = folder / "packages"
    install = [*pip, "install", *offline, "--target", str(target), str(wheel)]
    subprocess.run(install, capture_output=True, check=True)
    return target


@pytest.fixture
def light(packages: Path, tmp_path: Path) -> Light:
    return Light(packages, tmp_path)


def mintage(home: Path, *words: object) -> bytes:
    """One verb where the model was trained."""
    command = [sys.executable, "-m", "mintage", *map(str, words), "--home", str(home)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def key(light: Light, home: Path) -> str:
    """``pets@1`` comes from the machine that trained it and is for sale; a customer's key."""
    mintage(home, "export", "pets@1", light.folder / "pets.mintage")
    (light.folder / "publisher.pub").write_bytes(mintage(home, "public-key", "bundle"))
    refused = light("import", "pets.mintage", status=3)
    assert "mintage trust add publisher.pub" in refused["error"]["remedy"]
    assert light("trust", "add", "publisher.pub", "--yes")["added"] is True
    assert light("verify", "pets.mintage")["model"] == "pets@1"
    assert light("import", "pets.mintage")["outcome"] == "imported"
    assert light("verify", "pets@1")["model"] == "pets@1"
    published = light("publish", "pets@1", "--product", "pets")
    assert published["model"] == "pets@1"
    assert published["warnings"]
    issued = light("customer", "add", "Ada")["key"]
    assert isinstance(issued, str)
    return issued


@pytest.fixture
def served(light: Light, key: str) -> Iterator[str]:
    """The address of ``mintage serve``, where something is for sale."""
    words = ("serve", "--port", "0", "--operator-port", "0")
    process = subprocess.Popen(
        light.command("-m", "mintage", *words),
        cwd=light.folder,
        env=light.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found is not None, process.communicate(timeout=30)[1]
    yield found.group()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_model_from_elsewhere_is_verified_sold_and_served_without_torch(
    light: Light, key: str, served: str, home: Path, trained_home: Path
) -> None:
    picture = trained_home.parent / "photos/light/003.jpg"
    (here,) = json.loads(mintage(home, "predict", "pets@1", picture, "--json"))
    (there,) = light("predict", "pets@1", picture)
    assert there["output"] == here["output"]
    scored = light("score", picture.parent, "--model", "pets@1", "--out", "scores.csv")
    assert scored["rows"] == len(list(picture.parent.iterdir()))
    assert (light.folder / "scores.csv").read_text().count("\n") == scored["rows"] + 1
    answered = httpx.post(
        f"{served}/v1/products/pets/predict",
        content=picture.read_bytes(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"},
    )
    assert answered.status_code == 200, answered.text
    assert answered.json()["output"] == here["output"]
    assert httpx.get(f"{served}/").status_code == 200
    (event,) = light("usage")
    assert event["outcome"] == "ok"
    (log,) = light("audit", "verify")["logs"]
    assert log["damage"] is None


def test_what_needs_more_says_what_to_install(light: Light, key: str) -> None:
    found = light("train", "pets", status=5)
    assert "PyTorch" in found["error"]["message"]
    assert "mintage[train]" in found["error"]["remedy"]
    found = light("score", ".", "--model", "pets@1", "--out", "scores.parquet", status=5)
    assert "mintage[parquet]" in found["error"]["remedy"]
    found = light("report", "pets@1", status=2)
    assert "not in this workspace" in found["error"]["message"]
    assert light("evaluate", "pets@1")["model"] == "pets@1"


def test_the_light_environment_holds_no_training_framework_and_our_wheel_is_what_runs(
    light: Light,
) -> None:
    names = [*ABSENT, "mintage"]
    found = light.python(
        "import json; from importlib.util import find_spec\n"
        f"specs = {{name: find_spec(name) for name in {names!r}}}\n"
        "print(json.dumps({name: spec and spec.origin for name, spec in specs.items()}))"
    )
    assert Path(found.pop("mintage")).is_relative_to(light.packages)
    assert found == dict.fromkeys(ABSENT)


@pytest.mark.parametrize(("setting", "outcome"), [("1", "1 error"), ("", "1 skipped")])
def test_make_test_fails_where_the_light_environment_is_missing_and_others_skip(
    tmp_path: Path, setting: str, outcome: str
) -> None:
    copy = tmp_path / "tests/e2e/test_light.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(__file__).read_bytes())
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, copy]
    done = subprocess.run(
        [*map(str, words), "-k", "no_larger_than_promised"],
        cwd=tmp_path,
        env=os.environ | {"MINTAGE_TEST_LIGHT": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout, done.stdout
    assert (done.returncode != 0) is bool(setting)
    assert "MINTAGE_TEST_LIGHT=1 $(BIN)/python -m pytest" in (ROOT / "Makefile").read_text()


def test_the_plain_install_is_no_larger_than_promised(packages: Path) -> None:
    sizes = {path.name: on_disk(path) for path in [*packages.iterdir(), *environment_parts()]}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:12]
    total = sum(sizes.values()) / 2**20
    listed = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in largest)
    print(f"\nthe plain install takes {total:.0f} MiB: {listed}")
    assert total <= MOST_MEBIBYTES, listed


def environment_parts() -> list[Path]:
    (site,) = (ENVIRONMENT / "lib").glob("python3*/site-packages")
    others = [path for path in ENVIRONMENT.iterdir() if path.name not in ("lib", "lib64")]
    return [*site.iterdir(), *others]


def on_disk(path: Path) -> int:
    """Bytes as ``du`` counts them: whole blocks."""
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(each.lstat().st_blocks * 512 for each in (path, *below))
