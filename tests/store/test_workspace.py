import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError, DependencyDown, SignatureMismatch
from mintage.core.ids import new_id
from mintage.store import leftovers, place, schema
from mintage.store.sqlite import Sqlite
from mintage.store.workspace import Workspace


def test_a_folder_that_never_got_its_row_is_left_for_gc(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with Workspace(tmp_path, database_url=database_url) as opened:
        orphan = opened.model_folder("pets", 1)
        orphan.mkdir(parents=True)
    with Workspace(tmp_path, database_url=database_url) as again:
        assert leftovers.orphans(again.home, again.database) == [orphan]


@pytest.mark.parametrize("lost", ["missing", "empty"])
def test_a_workspace_whose_database_is_lost_is_refused_and_keeps_its_folders(
    tmp_path: Path, lost: str
) -> None:
    with Workspace(tmp_path) as opened:
        kept = opened.model_folder("pets", 1)
        kept.mkdir(parents=True)
    for path in tmp_path.glob("mintage.db*"):
        path.unlink()
    if lost == "empty":
        (tmp_path / "mintage.db").touch()
    with pytest.raises(ConfigError, match=r"missing or empty.*Restore .* from a backup"):
        Workspace(tmp_path)
    assert kept.exists()


def test_a_folder_set_aside_comes_back_where_its_successor_never_came(home: Path) -> None:
    (folder,) = (path for path in (home / "datasets/pets").iterdir() if path.is_dir())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.rename(folder.with_name(f".{folder.name}.old-tmp_1"))
    staging = folder.with_name(f".{folder.name}.tmp_2")
    staging.mkdir()
    with Workspace(home):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]


def test_a_folder_set_aside_is_removed_where_its_successor_stands(home: Path) -> None:
    (folder,) = (path for path in (home / "datasets/pets").iterdir() if path.is_dir())
    aside = folder.with_name(f".{folder.name}.old-tmp_1")
    aside.mkdir()
    (aside / "card.json").write_text("{}")
    with Workspace(home):
        assert (folder / "manifest.jsonl").exists()
        assert not aside.exists()


def test_one_at_a_time_holds_the_lock_of_a_name(tmp_path: Path) -> None:
    with Workspace(tmp_path) as first, Workspace(tmp_path) as second:
        order = []

        def later() -> None:
            with second.name_lock("datasets", "pets"):
                order.append("second")

        with first.name_lock("datasets", "pets"):
            with second.name_lock("models", "pets"), second.name_lock("datasets", "cars"):
                order.append("others")
            thread = threading.Thread(target=later)
            thread.start()
            thread.join(0.2)
            order.append("first")
        thread.join()
    assert order == ["others", "first", "second"]


def test_nobody_sweeps_while_somebody_else_is_working(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with Workspace(tmp_path, database_url=database_url) as first:
        unfinished = first.dataset_folder("pets", "ab")
        unfinished.mkdir(parents=True)
        with Workspace(tmp_path, database_url=database_url):
            assert unfinished.exists()


def test_a_newer_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    Workspace(tmp_path).close()
    (tmp_path / "workspace.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ConfigError, match=r"newer Mintage.*pip install"):
        Workspace(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json"])
def test_a_damaged_description_is_refused_and_not_overwritten(tmp_path: Path, content: str) -> None:
    Workspace(tmp_path).close()
    (tmp_path / "workspace.json").write_text(content)
    with pytest.raises(ConfigError, match="not a workspace's description"):
        Workspace(tmp_path)
    assert (tmp_path / "workspace.json").read_text() == content


def test_a_file_in_the_workspaces_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="not a folder"):
        Workspace(tmp_path / "file")


def test_a_blob_that_was_changed_is_refused(workspace: Workspace) -> None:
    name = sha256_hex(b"picture")
    workspace.blobs_of("pets").put(name, b"picture")
    assert workspace.blobs_of("pets").get(name) == b"picture"
    workspace.blobs_of("pets").path(name).write_bytes(b"Picture")
    with pytest.raises(SignatureMismatch):
        workspace.blobs_of("pets").get(name)
    workspace.blobs_of("pets").remove(name)
    workspace.blobs_of("pets").remove(name)
    with pytest.raises(DataError, match="missing"):
        workspace.blobs_of("pets").get(name)


@pytest.mark.parametrize("content", ['{"format": "1"}', "3", '"x"', '{"format": null}'])
def test_a_description_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    Workspace(tmp_path).close()
    (tmp_path / "workspace.json").write_text(content)
    with pytest.raises(ConfigError, match="not a workspace's description"):
        Workspace(tmp_path)


def test_a_newer_database_is_refused_also_while_its_maker_works_in_it(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with Workspace(tmp_path, database_url=database_url) as maker:
        maker.database.write(
            lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9'").rowcount
        )
        with pytest.raises(ConfigError, match=r"newer Mintage.*pip install"):
            Workspace(tmp_path, database_url=database_url)


def test_tables_are_made_by_nobody_while_somebody_else_is_inside(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with Workspace(tmp_path, database_url=database_url) as old:
        old.database.write(
            lambda c: c.exec_driver_sql("DELETE FROM alembic_version").rowcount  # an older shape
        )
        with pytest.raises(ConfigError, match=r"in use by another process.*Stop the server"):
            Workspace(tmp_path, database_url=database_url)


OPENING = (
    "import sys; from pathlib import Path; from mintage.store.workspace import Workspace\n"
    "print('here', flush=True); sys.stdin.readline()\n"
    "with Workspace(Path(sys.argv[1])) as w:\n"
    "    print(w.database.is_current(), flush=True)\n"
)


def test_processes_that_open_a_new_workspace_at_once_all_get_the_same_whole_one(
    tmp_path: Path,
) -> None:
    home = tmp_path / "new/home"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        assert child.communicate(timeout=60) == ("True\n", "")
    assert json.loads((home / "workspace.json").read_text())["format"] == 1
    assert not list(home.glob(".*"))


def test_whoever_waited_for_tables_that_were_never_made_makes_them(tmp_path: Path) -> None:
    """The first to come is killed with the lock in its hand, before it made a table."""
    program = (
        "import os, signal, sys, time; from pathlib import Path\n"
        "from mintage.store.engine import Database\n"
        "from mintage.store.workspace import Workspace\n"
        "def never(self):\n    print('making', flush=True); time.sleep(600)\n"
        "Database.migrate = never; Workspace(Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "making\n"
        killer = threading.Timer(0.3, child.send_signal, [signal.SIGKILL])
        killer.start()
        with Workspace(tmp_path) as opened:
            assert opened.database.is_current()
        killer.join()


def test_a_network_file_system_is_refused_and_nothing_is_made_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "file_system", lambda _folder: "nfs4")
    with pytest.raises(ConfigError, match=r"network file system \(nfs4\).*disk of this machine"):
        Workspace(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_home_may_have_spaces_and_letters_of_any_script_in_its_path(tmp_path: Path) -> None:
    home = tmp_path / "my models 模型 100%?#"
    with Workspace(home) as opened:
        assert opened.database.is_current()
    with Workspace(home, reading=True) as opened:
        assert opened.database.is_current()
    assert [path.name for path in tmp_path.iterdir()] == [home.name]


@pytest.mark.parametrize("below", ["file/home", "x" * 300, "loop/home"])
def test_a_home_that_cannot_be_is_an_error_that_names_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((ConfigError, DependencyDown), match=below.partition("/")[0]):
        Workspace(tmp_path / below)


def test_a_home_of_nobody_we_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="leads nowhere"):
        Workspace(Path("~nobody-of-that-name/x"))


# Root may do everything, so the child gives that up first.
AS_NOBODY = """
import os, sys
from pathlib import Path
from mintage.core.errors import MintageError
from mintage.store import inventory
from mintage.store.workspace import Workspace
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    with Workspace(Path(sys.argv[1])) as opened:
        with opened.database.read() as connection:
            print(len(inventory.all_datasets(connection)))
        opened.database.write(lambda connection: 1)
except MintageError as error:
    print(type(error).__name__, error)
"""


def as_nobody(home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(home)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("below", ["closed", "closed/home"])
def test_a_home_that_is_not_permitted_is_refused(below: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "closed").mkdir(mode=0o700 if os.geteuid() == 0 else 0)
        told = as_nobody(Path(folder) / below)
        (Path(folder) / "closed").chmod(0o700)
    assert told.startswith("ConfigError Not allowed")
    assert "Check who owns" in told


def test_a_folder_that_may_only_be_read_is_read_and_refuses_what_writes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        Workspace(home).close()
        for path in home.rglob("*"):
            path.chmod(0o444)
        home.chmod(0o555)
        told = as_nobody(home)
        home.chmod(0o755)
    assert told.startswith(f"0\nConfigError Not allowed to write {home}")


def test_what_is_open_for_reading_only_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no workspace"):
        Workspace(tmp_path / "new", reading=True)
    Workspace(tmp_path / "home").close()
    before = sorted(path.name for path in (tmp_path / "home").iterdir())
    with Workspace(tmp_path / "home", reading=True) as opened:
        with pytest.raises(ConfigError, match="reading only"):
            opened.database.write(lambda _connection: None)
        with opened.database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM models").scalar() == 0
        assert sorted(path.name for path in (tmp_path / "home").iterdir()) == before


def test_a_workspace_that_cannot_be_alone_is_shared_again(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with (
        Workspace(tmp_path, database_url=database_url) as one,
        Workspace(tmp_path, database_url=database_url) as two,
    ):
        with pytest.raises(ConfigError, match="in use"), one.alone():
            pytest.fail("two were alone")
        with pytest.raises(ConfigError, match="in use"), two.alone():
            pytest.fail("two were alone")
        two.close()
        with one.alone():
            pass
        one.close()
        one.close()
        with pytest.raises(DependencyDown, match="closed"), one.alone():
            pytest.fail("it is closed")


def test_a_failing_migration_lets_go_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Sqlite) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ours = Path("/proc/self/fd")  # on Linux
    open_before = len(list(ours.glob("*")))
    with monkeypatch.context() as patch:
        patch.setattr(Sqlite, "writer", full)
        with pytest.raises(DependencyDown, match="Make room"):
            Workspace(tmp_path / "home")
    assert len(list(ours.glob("*"))) == open_before
    with Workspace(tmp_path / "home") as opened:
        assert opened.database.is_current()


def test_the_folder_of_a_run_that_was_removed_is_swept(
    tmp_path: Path, database_url: SecretStr | None
) -> None:
    with Workspace(tmp_path, database_url=database_url) as opened:
        folder = opened.run_folder(new_id("run"))
        folder.mkdir(parents=True)
        row = {"id": folder.name, "dataset": "pets", "dataset_version": "a", "status": "failed"}
        row |= {"started_at": opened.now(), "removed_at": opened.now()}
        insert = schema.runs.insert().values(**row)
        opened.database.write(lambda connection: connection.execute(insert))
    Workspace(tmp_path, database_url=database_url).close()
    assert not folder.exists()


def test_a_locale_whose_file_names_are_not_utf8_is_refused_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """Under another encoding a folder named 宠物 would look like a leftover without a row."""
    home = tmp_path / "home"
    with Workspace(home) as workspace:
        row = {"modality": "image", "task": "class", "examples": 0, "number": 1, "log_position": 0}
        row |= {"name": "宠物", "version": "a" * 64, "created_at": workspace.now()}
        insert = schema.datasets.insert().values(**row)
        workspace.database.write(lambda connection: connection.execute(insert))
        kept = workspace.dataset_folder("宠物", "a" * 64)
        kept.mkdir(parents=True)
        (kept / "card.json").write_text("{}")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MINTAGE_LANG": "en"}
    done = subprocess.run(
        [sys.executable, "-m", "mintage", "list", "--home", str(home)],
        env=os.environ | locale,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not UTF-8 but ascii" in done.stderr
    assert "PYTHONUTF8=1" in done.stderr
    assert (kept / "card.json").exists()
