"""Whether what was read still holds: told to all processes, right after any crash."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from mintage.store import schema
from mintage.store.epoch import Epoch
from mintage.store.workspace import Workspace

CUSTOMER = {"id": "cus_1", "name": "Ada", "created_at": "2026-01-01T00:00:00Z"}


def test_a_number_stands_until_a_change_and_never_comes_back(tmp_path: Path) -> None:
    epoch, other = Epoch(tmp_path / "n"), Epoch(tmp_path / "n")
    seen = [epoch.now()]
    for _ in range(3):
        with epoch.changing():
            assert other.now() is None
        seen.append(other.now())
    assert len(set(seen)) == 4
    assert None not in seen


def test_after_a_change_that_failed_what_was_read_is_read_again(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "n")
    before = epoch.now()
    with pytest.raises(KeyError), epoch.changing():
        raise KeyError
    assert epoch.now() not in (None, before)


def test_a_writer_killed_in_a_change_leaves_nothing_to_be_kept_until_the_next(
    tmp_path: Path,
) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from mintage.store.epoch import Epoch\n"
        "with Epoch(Path(sys.argv[1])).changing(): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    epoch = Epoch(tmp_path / "n")
    before = epoch.now()
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "n")], check=False)
    assert epoch.now() is None
    with epoch.changing():
        pass
    assert epoch.now() not in (None, before)


def test_only_what_adds_leaves_the_databases_number_as_it_is(
    workspace: Workspace, database_url: SecretStr | None
) -> None:
    database = workspace.database
    before = database.epoch()
    database.submit(lambda connection: None, only_adds=True).result()
    assert database.epoch() == before
    database.write(lambda connection: connection.execute(insert(schema.customers), CUSTOMER) and 0)
    assert database.epoch() not in (None, before)
    with Workspace(workspace.home, database_url=database_url) as other:
        assert other.database.epoch() == database.epoch()
