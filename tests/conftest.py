"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

# Before torch or ONNX Runtime is imported: two suites on two cores must not fight over spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mintage.core.clock import timestamp
from mintage.store.workspace import Workspace
from tests.postgres import REQUIRED, Server, binaries, without_postgres
from tests.sealing import sealed_with

SEALED = bool(os.environ.get("MINTAGE_TEST_SEALED"))
"""Whether any test that asks for a workspace gets a sealed one."""

# How fast examples are made says something of the machine, and nothing of what is tested.
settings.register_profile("ours", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("ours")


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.elapsed += seconds

    def __str__(self) -> str:
        return timestamp(self.moment)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real PostgreSQL, started for these tests alone."""
    if binaries() is None:
        without_postgres(required=REQUIRED)
    server = Server()
    try:
        server.begin()
        yield server
    finally:
        server.end()


@pytest.fixture
def database_url() -> SecretStr | None:
    """SQLite, but for the folders whose tests run on both (``tests.databases``)."""
    return None


@pytest.fixture
def workspace(
    tmp_path: Path, clock: ManualClock, database_url: SecretStr | None
) -> Iterator[Workspace]:
    home = tmp_path / "workspace"
    with opened_workspace(home, clock, database_url=database_url) as opened:
        yield opened


def opened_workspace(home: Path, clock: ManualClock, **more: Any) -> Workspace:
    """A workspace; a sealed one where MINTAGE_TEST_SEALED is set, to run any test on one."""
    if SEALED:
        more |= sealed_with(home.with_name(f"{home.name}.key"))
    return Workspace(home, clock, **more)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MINTAGE_") and name not in ("MINTAGE_TEST_DATA", "MINTAGE_ROUNDS"):
            monkeypatch.delenv(name)
    # Whoever runs the tests may have any locale.
    monkeypatch.setenv("MINTAGE_LANG", "en")


def _data_folder() -> Path:
    configured = os.environ.get("MINTAGE_TEST_DATA")
    return Path(configured) if configured else Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, without it."""
    folder = _data_folder()
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder} (set MINTAGE_TEST_DATA)")
    return folder


@pytest.fixture
def shared_vectors() -> Path:
    """The folder of outside test vectors."""
    folder = _data_folder().parent / "vectors"
    if not folder.is_dir():
        pytest.skip(f"outside vectors are not at {folder} (set MINTAGE_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the dataset ``pets`` and the model ``pets@1``; copy it before a change."""
    from mintage.app.root import App
    from mintage.core.settings import load_settings
    from tests.pictures import two_classes

    folder = tmp_path_factory.mktemp("trained")
    photos = two_classes(folder / "photos", each=60)
    with App(load_settings(home=folder / "workspace", threads=1)) as app:
        app.create.collect(photos, "pets")
        app.create.train("pets", recipe="seed-cnn", epochs=15)
    return folder / "workspace"


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    """A copy of the trained workspace, for a test to change."""
    return Path(shutil.copytree(trained_home, tmp_path / "home"))
