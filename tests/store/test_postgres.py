"""PostgreSQL alone: its address, its refusals in words, and what happens when it goes away."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
import traceback
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError
from tests.postgres import PASSWORD, Server, without_postgres

from mintage.core.errors import ConfigError, DependencyDown, RequestError
from mintage.core.settings import load_settings
from mintage.store import postgres as backend
from mintage.store.backend import backend_of
from mintage.store.engine import Database
from mintage.store.postgres_shared import Door
from mintage.store.schema import customers
from mintage.store.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(postgres: Server):
    address = postgres.new_database()
    yield address
    postgres.give_back(address)


def add(name: str):
    def work(connection: Connection) -> str:
        connection.execute(customers.insert(), {"id": name, "name": name, "created_at": "now"})
        return name

    return work


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(customers.c.id).order_by(customers.c.id)).scalars())


def aside(address: SecretStr) -> psycopg.Connection:
    """A connection of somebody else's."""
    plain = address.get_secret_value().replace("+psycopg", "")
    return psycopg.connect(plain, autocommit=True)


def with_options(address: SecretStr, options: str) -> SecretStr:
    return SecretStr(f"{address.get_secret_value()}&options={options}")


END_WRITER = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE %s AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize(
    "address",
    ["mysql://u:hunter2@h/d", "hunter2", "postgresql://u:hunter2@h:port/d", "sqlite:///hunter2"],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"MINTAGE_DATABASE_URL.*USER:PASSWORD@HOST") as refused:
        Workspace(tmp_path, database_url=SecretStr(address))
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_messages_name_host_and_database_and_neither_user_nor_password(scheme: str) -> None:
    made = backend_of(Path(), SecretStr(f"{scheme}://u:hunter2@db.example:5433/shop?password=x"))
    assert made.where == "PostgreSQL db.example:5433/shop"


def test_a_password_that_is_wrong_is_told_nowhere(
    tmp_path: Path, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = database_url.get_secret_value().replace(PASSWORD, "hunter2")
    monkeypatch.setenv("MINTAGE_DATABASE_URL", wrong)
    settings = load_settings(home=tmp_path)
    with pytest.raises(DependencyDown, match=r"does not answer.*password auth") as refused:
        Workspace(tmp_path, database_url=settings.database_url)
    told = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in told + repr(settings) + str(settings.model_dump())


def test_a_driver_that_is_missing_is_named_with_the_line_that_installs_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from pydantic import SecretStr\n"
        "from mintage.core.errors import DependencyDown\n"
        "from mintage.store.workspace import Workspace\n"
        "Workspace(Path(sys.argv[1]) / 'sqlite').close()\n"
        "try: Workspace(Path(sys.argv[1]) / 'p', database_url=SecretStr('postgresql://h/d'))\n"
        "except DependencyDown as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    assert "psycopg" in told
    assert "pip install 'mintage[postgres]'" in told


def test_a_workspace_is_not_opened_without_its_facts(
    tmp_path: Path, database_url: SecretStr
) -> None:
    Workspace(tmp_path / "there", database_url=database_url).close()
    with pytest.raises(ConfigError, match=r"in PostgreSQL.*MINTAGE_DATABASE_URL"):
        Workspace(tmp_path / "there")
    Workspace(tmp_path / "here").close()
    with pytest.raises(ConfigError, match=r"own mintage.db.*Unset MINTAGE_DATABASE_URL"):
        Workspace(tmp_path / "here", database_url=database_url)


def test_servers_that_find_no_tables_make_them_once(tmp_path: Path, postgres: Server) -> None:
    address = postgres.new_database(tables=False)
    failures: list[BaseException] = []

    def open_one(number: int) -> None:
        try:
            with Workspace(tmp_path / str(number), database_url=address) as opened:
                opened.database.write(add(str(number)))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=open_one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Workspace(tmp_path / "0", database_url=address) as opened:
        assert names(opened.database) == ["0", "1", "2"]


def test_text_is_sorted_by_its_bytes_whatever_the_locale(database_url: SecretStr) -> None:
    with aside(database_url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')"
        ).fetchall()
    assert len(rows) > 50
    others = [(table, column) for table, column, collation in rows if collation != "C"]
    assert others == [("alembic_version", "version_num")]


def test_an_error_quotes_nothing_that_a_row_holds(workspace: Workspace) -> None:
    name = "Ada".upper()  # else the traceback's lines quote it
    workspace.database.write(add(name))
    with pytest.raises(IntegrityError, match="unique constraint") as refused:
        workspace.database.write(add(name))
    assert name not in "".join(traceback.format_exception(refused.value))


def test_a_text_that_it_cannot_keep_is_the_callers_to_mend(workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="NUL"):
        workspace.database.write(add("a\x00b"))
    with pytest.raises(RequestError), workspace.database.read() as connection:
        connection.execute(select(customers).where(customers.c.id == "a\x00b"))


def test_whoever_waits_too_long_for_another_server_is_told(
    tmp_path: Path, database_url: SecretStr
) -> None:
    impatient = with_options(database_url, "-c%20lock_timeout=100ms")
    with Workspace(tmp_path, database_url=impatient) as opened, aside(database_url) as other:
        other.execute(f"SELECT pg_advisory_lock({backend._LOCK})")
        with pytest.raises(DependencyDown, match="Another server holds PostgreSQL"):
            opened.database.write(add("a"))
        other.execute(f"SELECT pg_advisory_unlock({backend._LOCK})")
        assert opened.database.write(add("b")) == "b"
        assert names(opened.database) == ["b"]


def test_a_database_that_is_only_read_says_so(tmp_path: Path, database_url: SecretStr) -> None:
    standby = with_options(database_url, "-c%20default_transaction_read_only=on")
    message = r"may not be written.*primary"
    with (
        Workspace(tmp_path, database_url=standby) as opened,
        pytest.raises(DependencyDown, match=message),
    ):
        opened.database.write(add("a"))


def test_what_is_acknowledged_is_on_disk_whatever_the_servers_setting(
    tmp_path: Path, database_url: SecretStr
) -> None:
    careless = with_options(database_url, "-c%20synchronous_commit=off")
    with Workspace(tmp_path, database_url=careless) as opened:
        said = opened.database.write(
            lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar()
        )
    assert said == "on"


def test_more_readers_than_connections_wait_and_are_told(
    tmp_path: Path, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1}
    monkeypatch.setattr(backend, "_POOL", few)
    with Workspace(tmp_path, database_url=database_url) as opened:
        with opened.database.read(), pytest.raises(DependencyDown, match="in use"):
            names(opened.database)
        assert names(opened.database) == []


def test_a_connection_that_ended_while_nobody_used_it_costs_no_write(
    workspace: Workspace, database_url: SecretStr
) -> None:
    workspace.database.write(add("a"))
    with aside(database_url) as other:
        assert other.execute(END_WRITER, ["COMMIT"]).rowcount >= 1
    assert workspace.database.write(add("b")) == "b"
    assert names(workspace.database) == ["a", "b"]


def test_a_commit_whose_fate_is_unknown_is_not_tried_again(
    workspace: Workspace, database_url: SecretStr
) -> None:
    calls = []

    def cut_off(connection: Connection) -> None:
        calls.append(add("a")(connection))
        with aside(database_url) as other:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with pytest.raises(DependencyDown, match=r"does not answer.*Idempotency-Key"):
        workspace.database.write(cut_off)
    assert calls == ["a"]
    assert workspace.database.write(add("b")) == "b"
    assert names(workspace.database) == ["b"]


def test_while_it_is_away_nothing_is_kept_or_counted_and_then_all_goes_on(
    postgres: Server, workspace: Workspace
) -> None:
    database = workspace.database
    before, buckets = database.epoch(), database.buckets()
    buckets.pour("a", 1, room_seconds=1, now=0)
    postgres.stop()
    try:
        assert database.epoch() is None
        for failing in (
            lambda: names(database),
            lambda: database.write(add("a")),
            lambda: buckets.pour("a", 1, room_seconds=1, now=0),
        ):
            with pytest.raises(DependencyDown, match="does not answer"):
                failing()
    finally:
        postgres.start()
    assert database.write(add("b")) == "b"
    assert names(database) == ["b"]
    assert not buckets.pour("a", 1, room_seconds=1, now=0).fitted
    assert database.epoch() not in (None, before)


def test_an_address_that_swallows_everything_takes_half_of_the_time_of_whoever_asks() -> None:
    door, asked = Door(), []

    def slowly(**_given: object) -> None:
        asked.append(time.sleep(0.2))
        raise psycopg.OperationalError("timeout expired")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg, "connect", slowly)
        begun = time.monotonic()
        while time.monotonic() < begun + 1:
            with pytest.raises(psycopg.OperationalError, match="expired"):
                door.connect()
            time.sleep(0.01)
    assert 2 <= len(asked) <= 3


def test_limits_of_long_ago_are_forgotten(workspace: Workspace, database_url: SecretStr) -> None:
    buckets = workspace.database.buckets()
    for name, now in (("old", time.time() - 100_000), ("new", time.time())):
        buckets.pour(name, 10, room_seconds=10, now=now)
    with Workspace(workspace.home, database_url=database_url) as other:
        other.database.buckets().pour("new", 0, room_seconds=10, now=time.time())
    with aside(database_url) as connection:
        assert connection.execute("SELECT name FROM rate_buckets").fetchall() == [("new",)]


def test_without_postgresql_its_tests_are_skipped_and_in_make_test_they_fail() -> None:
    with pytest.raises(pytest.skip.Exception, match="apt-get install postgresql"):
        without_postgres(required=False)
    with pytest.raises(pytest.fail.Exception):
        without_postgres(required=True)
    assert "MINTAGE_TEST_POSTGRES=1" in (ROOT / "Makefile").read_text()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs Linux and its setpriv")
def test_a_suite_that_is_killed_leaves_no_postgresql_running(postgres: Server) -> None:
    program = (
        "from tests.postgres import Server\n"
        "server = Server(); server.begin(); print(server.folder, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        folder = Path(child.stdout.readline().strip())
        number = int((folder / "data/postmaster.pid").read_text().split()[0])
        assert Path(f"/proc/{number}").exists()
        child.kill()
    end = time.monotonic() + 30
    while time.monotonic() < end and Path(f"/proc/{number}").exists():
        time.sleep(0.02)
    assert not Path(f"/proc/{number}").exists()
    shutil.rmtree(folder)


def test_a_sum_of_integers_is_an_integer_as_it_is_in_sqlite(workspace: Workspace) -> None:
    with workspace.database.read() as connection:
        row = connection.exec_driver_sql("SELECT sum(n), avg(n) FROM generate_series(1, 2) n").one()
    assert [type(each) for each in row] == [int, Decimal]
