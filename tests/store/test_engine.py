import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from mintage.core.errors import ConfigError, DependencyDown
from mintage.store import engine
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
    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        futures[2].result()
    assert sorted(names(workspace.database)) == ["a", "b", "c"]


def test_a_disk_that_stalls_fills_no_memory(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_MOST_WAITING", 5)
    gate, begun = threading.Event(), threading.Event()
    stalled = workspace.database.submit(lambda _: (begun.set(), gate.wait(5)))
    assert begun.wait(5)
    waiting = [workspace.database.submit(add(f"c{n}")) for n in range(5)]
    with pytest.raises(DependencyDown, match="does not keep up: 5 writes wait"):
        workspace.database.submit(add("one too many"))
    gate.set()
    stalled.result()
    assert [each.result() for each in waiting] == [f"c{n}" for n in range(5)]
    assert workspace.database.write(add("later")) == "later"


def test_what_was_acknowledged_is_there_after_kill_9(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    program = (
        "import sys; from pathlib import Path; from mintage.store.workspace import Workspace\n"
        "from mintage.store.schema import customers\n"
        "from mintage.core.settings import load_settings\n"
        "w = Workspace(Path(sys.argv[1]), database_url=load_settings().database_url); n = 0\n"
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
        with Workspace(tmp_path, database_url=database_url) as opened:
            assert set(acknowledged) <= set(names(opened.database))


def test_two_processes_worth_of_writers_do_not_starve_each_other(
    workspace: Workspace, database_url: SecretStr | None
) -> None:
    one = workspace
    with Workspace(one.home, database_url=database_url) as two:
        futures = [
            database.submit(add(f"{which}{n}"))
            for n in range(100)
            for which, database in (("a", one.database), ("b", two.database))
        ]
        for future in futures:
            future.result(timeout=20)
        with one.database.read() as connection:
            assert connection.execute(select(func.count()).select_from(customers)).scalar() == 200


def test_a_closed_database_says_so(workspace: Workspace) -> None:
    workspace.close()
    with pytest.raises(DependencyDown, match="closed"):
        workspace.database.write(add("late"))


def test_a_newer_schema_is_refused_with_the_remedy(
    workspace: Workspace, database_url: SecretStr | None
) -> None:
    workspace.database.write(
        lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").rowcount
    )
    workspace.close()
    with pytest.raises(ConfigError, match="newer Mintage"):
        Workspace(workspace.home, database_url=database_url)


def test_an_error_of_the_statement_itself_stays_what_it_is(workspace: Workspace) -> None:
    with pytest.raises(DBAPIError, match=r"no such table|does not exist"):
        workspace.database.write(lambda c: c.exec_driver_sql("SELECT * FROM absent"))


def test_a_write_that_goes_on_after_its_statement_failed_changes_nothing(
    workspace: Workspace,
) -> None:
    """PostgreSQL answers a COMMIT then with ROLLBACK, and says nothing of it."""

    def careless(connection: Connection) -> str:
        add("a")(connection)
        with suppress(DBAPIError):
            connection.exec_driver_sql("SELECT * FROM absent")
        return "done"

    gate = threading.Event()
    workspace.database.submit(lambda _: gate.wait(5))
    among = [workspace.database.submit(work) for work in (add("b"), careless, add("c"))]
    gate.set()
    kept = {future.result() for future in (among[0], among[2])}
    for done in (among[1], workspace.database.submit(careless)):
        if done.exception() is None:
            kept.add("a")
            break
    assert set(names(workspace.database)) == kept
    assert workspace.database.write(add("d")) == "d"
