"""A real PostgreSQL for the tests: their own, in a folder of its own, gone when they are.

Each process of pytest starts one on a Unix socket in a temporary folder, so that any number of
suites may run at once. It ends with that process, however that ends.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from pydantic import SecretStr

from mintage.store.backend import backend_of
from mintage.store.engine import REVISIONS, Database
from mintage.store.schema import metadata

REQUIRED = bool(os.environ.get("MINTAGE_TEST_POSTGRES"))
"""Whether a test that has no PostgreSQL fails instead of being skipped."""
USER, PASSWORD = "mintage", "s3cret-of-the-tests"
_START_SECONDS = 60
# What a crash of the machine would lose is no test's business; what one of PostgreSQL would, is.
_QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=128MB")
# Whoever a test left behind must write nothing into the next one's tables.
_ALONE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = [*(table.name for table in metadata.sorted_tables), "rate_buckets", "alembic_version"]
# Faster than TRUNCATE, which makes each file anew; `replica` is without foreign keys.
_EMPTY = f"""
SET session_replication_role = replica;
{"".join(f"DELETE FROM {name};" for name in _TABLES)}
INSERT INTO alembic_version VALUES ('{REVISIONS[-1]}');
SELECT setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences
"""


def binaries() -> Path | None:
    """The newest PostgreSQL that is installed, from PATH or where Debian puts them."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    on_path = shutil.which("initdb")
    folders = [*versions, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((each for each in reversed(folders) if (each / "postgres").exists()), None)


def without_postgres(*, required: bool) -> NoReturn:
    """What becomes of a test that cannot have one."""
    reason = "no PostgreSQL is installed (on Debian: apt-get install postgresql)"
    if required:
        pytest.fail(reason)
    pytest.skip(reason)


class Server:
    """One PostgreSQL, and a new database for whoever asks."""

    def __init__(self) -> None:
        self._binaries = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="mintage-postgres-"))
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._clean: list[str] = []

    def begin(self) -> None:
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (self.folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._run(
            "initdb",
            "-U",
            USER,
            "--pwfile",
            str(secret),
            "--auth",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ).communicate()
        self.start()
        self._execute("CREATE DATABASE template_of_ours")
        database = Database(backend_of(self.folder, self._url("template_of_ours")))
        database.migrate()
        database.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"unix_socket_directories={self.folder}", "listen_addresses=", *_QUICK]
        self._process = self._run("postgres", *(word for each in settings for word in ("-c", each)))
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self._execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once, with SIGQUIT without ceremony, as a crash would."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(_START_SECONDS)

    def new_database(self, *, tables: bool = True) -> SecretStr:
        """The address of a database that nobody else uses, with empty tables or none at all."""
        if tables and self._clean:
            return self._url(self._clean.pop())
        name = f"test_{next(self._numbers)}"
        template = "template_of_ours" if tables else "template0"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url(name)

    def give_back(self, address: SecretStr) -> None:
        """Empty the tables, for the next one to use: a tenth of what a new database takes."""
        name = address.get_secret_value().partition("@/")[2].partition("?")[0]
        self._execute(_ALONE, name)
        self._execute(_EMPTY, name)
        self._clean.append(name)

    def end(self) -> None:
        """Stop it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def _url(self, name: str) -> SecretStr:
        return SecretStr(f"postgresql+psycopg://{USER}:{PASSWORD}@/{name}?host={self.folder}")

    def _execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(
            host=str(self.folder), user=USER, password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self._binaries / program), "-D", str(self.folder / "data"), *arguments]
        # It refuses to be root; and it is told where its parent ends, whatever kills that.
        if os.geteuid() == 0:
            us = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        else:
            us = []
        if shutil.which("setpriv"):
            command = ["setpriv", *us, "--pdeathsig", "INT", *command]
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
