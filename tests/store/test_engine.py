import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, select

from mintage.core.errors import ConfigError, DependencyDown
from mintage.store.engine import Database
from mintage.store.schema import customers
from mintage.store.workspace import Workspace

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))


def add(name: str):
    def work(connection: Connection) -> str:
        connection.execute(customers.insert(), {"id": name, "name": name, "created_at": "now"})
        return name

    return work


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(customers.c.id)).scalars())


def test_writes_that_wait_together_share_a_commit(workspace: Workspace) -> None:
    commits = []
    event.listen(workspace.database._engine, "commit", commits.append)
    futures = [workspace.database.submit(add(f"c{n}")) for n in range(300)]
    assert [future.result() for future in futures] == [f"c{n}" for n in range(300)]
    assert len(commits) < 150


def test_a_failing_write_fails_alone(workspace: Workspace) -> None:
    gate = threading.Event()
    blocked = workspace.database.submit(lambda _: gate.wait(5))
    futures = [workspace.database.submit(add(name)) for name in ("a", "b", "a", "c")]
    gate.set()
    assert blocked.result() is True
    with pytest.raises(Exception, match="UNIQUE"):
        futures[2].result()
    assert sorted(names(workspace.database)) == ["a", "b", "c"]


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mintage.store.workspace import Workspace\n"
        "from mintage.store.schema import customers\n"
        "w = Workspace(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    row = {'id': f'{sys.argv[2]}-{n}', 'name': f'{sys.argv[2]}-{n}', 'created_at': ''}\n"
        "    w.database.write(lambda c: c.execute(customers.insert(), row).rowcount)\n"
        "    print(row['id'], flush=True); n += 1\n"
    )
    for number in range(ROUNDS):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(number)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        with child:
            acknowledged = [child.stdout.readline().decode().strip() for _ in range(20 + number)]
            child.send_signal(signal.SIGKILL)
        with Workspace(tmp_path) as opened:
            assert set(acknowledged) <= set(names(opened.database))


def test_two_processes_worth_of_writers_do_not_starve_each_other(tmp_path: Path) -> None:
    with Workspace(tmp_path) as one, Workspace(tmp_path) as two:
        futures = [
            database.submit(add(f"{which}{n}"))
            for n in range(100)
            for which, database in (("a", one.database), ("b", two.database))
        ]
        for future in futures:
            future.result(timeout=20)
        with one.database.read() as connection:
            assert connection.execute(select(func.count()).select_from(customers)).scalar() == 200


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    with Workspace(tmp_path) as opened:
        database = opened.database
    with pytest.raises(DependencyDown):
        database.write(add("late"))


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with Workspace(tmp_path) as opened:
        opened.database.write(
            lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").rowcount
        )
    with pytest.raises(ConfigError, match="newer Mintage"):
        Workspace(tmp_path)
