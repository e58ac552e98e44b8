import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock
from tests.postgres import PASSWORD, Server

from mintage.app import machine_check, workspace_check
from mintage.app.doctor import examine
from mintage.app.finding import Finding
from mintage.app.removing import remove
from mintage.app.root import App
from mintage.core.errors import ConfigError
from mintage.core.settings import load_settings
from mintage.store.workspace import Workspace


@pytest.fixture(autouse=True)
def _no_gpu_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing PyTorch in a process of its own takes seconds; one test asks in earnest."""
    monkeypatch.setattr(machine_check, "_ASK_TORCH", "print('one of ours')")


def found(home: Path, **options: object) -> dict[str, Finding]:
    return {str(each.check): each for each in examine(home, **options)}  # type: ignore[arg-type]


def problems(home: Path) -> dict[str, str]:
    return {
        str(each.check): f"{each.found} {each.remedy}"
        for each in examine(home)
        if each.status == "problem"
    }


def test_a_sound_workspace_has_no_problem_and_every_line_says_something(home: Path) -> None:
    lines = found(home)
    assert {each.status for each in lines.values()} <= {"ok", "warning"}
    for check in (
        "settings", "disk", "file system", "writable", "format", "permissions", "keys",
        "database", "audit log", "files",
        "versions", "extra [train]", "cores", "memory", "port 8000", "port 8001", "clock",
        "time zones", "terminal encoding", "GPU",
    ):  # fmt: skip
        assert lines[check].found
    assert "1; this Mintage" in lines["format"].found
    assert "records without a gap" in lines["audit log"].found
    assert lines["GPU"].found == "one of ours"
    for each in lines.values():
        assert each.status == "ok" or each.remedy


def test_it_changes_nothing_and_makes_nothing(home: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    found(home)
    after = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert after == before
    new = tmp_path / "not/yet"
    assert "not made yet" in found(new)["workspace"].found
    assert not new.parent.exists()


def test_it_works_beside_a_server_that_has_the_workspace_open(home: Path) -> None:
    with Workspace(home):
        assert problems(home) == {}


@pytest.mark.parametrize(
    ("file", "content", "check", "said"),
    [
        ("workspace.json", "{}", "format", "not a workspace's description"),
        ("workspace.json", '{"format": 99}', "format", "Upgrade with"),
        ("mintage.db", "no database at all, but long enough to be one", "database", "backup"),
        ("mintage.db", None, "database", "is gone"),
    ],
)
def test_a_broken_workspace_is_diagnosed(
    home: Path, file: str, content: str | None, check: str, said: str
) -> None:
    (home / file).unlink()
    if content is not None:
        (home / file).write_text(content)
    told = problems(home)
    assert said in told[check]
    assert set(told) == {check}


def test_a_page_of_the_database_that_was_overwritten_is_found(home: Path) -> None:
    with (home / "mintage.db").open("r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(3 * 4096))
    assert "damaged" in problems(home)["database"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log_leaves WHERE position = 0",
        "UPDATE log_leaves SET position = position + 7",
        "UPDATE log_leaves SET record = X'7B7D'",
        "UPDATE log_leaves SET record = '{}'",
    ],
)
def test_an_audit_log_that_was_rewritten_is_found(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute(statement)
    connection.close()
    assert "not as it was written" in problems(home)["audit log"]


def test_what_has_a_row_but_no_folder_any_more_is_a_problem(home: Path) -> None:
    assert "of 2 datasets and models" in found(home)["files"].found
    (dataset,) = (home / "datasets/pets").iterdir()
    shutil.rmtree(dataset)
    for path in (home / "models/pets/1").iterdir():
        path.unlink()
    told = problems(home)
    assert f"missing: {dataset} " in told[f"files of pets#{dataset.name}"]
    assert f"missing: {home}/models/pets/1 " in told["files of pets@1"]
    assert "mintage remove pets@1" in told["files of pets@1"]
    assert len(told) == 2


@pytest.mark.parametrize("name", ["signature.json", "model.onnx"])
@pytest.mark.parametrize("emptied", [True, False])
def test_a_model_that_lacks_a_file_is_a_problem(home: Path, name: str, emptied: bool) -> None:
    path = home / "models/pets/1" / name
    path.unlink()
    if emptied:
        path.touch()
    told = problems(home)
    assert f"missing: {path} " in told["files of pets@1"]
    assert len(told) == 1


def test_a_removed_model_is_not_missed(home: Path) -> None:
    with Workspace(home) as workspace:
        remove(workspace, "pets@1")
    assert problems(home) == {}


def test_a_database_of_another_shape_is_found(home: Path) -> None:
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute("ALTER TABLE models DROP COLUMN removed_at")
    connection.close()
    assert "lacks models.removed_at" in problems(home)["database"]


def test_a_database_of_a_newer_version_is_found(home: Path) -> None:
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer Mintage" in problems(home)["database"]


def test_a_home_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a folder" in problems(tmp_path / "file")["workspace"]
    assert "Name another" in problems(Path("~nobody-of-that-name/x"))["workspace"]


def test_a_key_that_others_can_read_is_a_problem_with_the_line_that_mends_it(home: Path) -> None:
    (home / "keys/bundle.pem").chmod(0o640)
    assert "chmod 600" in problems(home)["keys"]


def key_warnings(home: Path, clock: Any = None) -> list[str]:
    found = [each for each in examine(home, clock) if str(each.check) == "keys"]
    return [f"{each.found} {each.remedy}" for each in found if each.status == "warning"]


def test_a_root_key_here_an_old_key_and_a_revoked_one_are_warnings_with_what_to_do(
    home: Path, tmp_path: Path
) -> None:
    clock = ManualClock()
    clock.moment = datetime.now(UTC)
    with App(load_settings(home=home, threads=1), clock) as app:
        app.signing_keys.publish()
        assert len(key_warnings(home, clock)) == 1
        assert "the private root key lies here" in key_warnings(home, clock)[0]
        assert "--root-key" in key_warnings(home, clock)[0]
        app.keys.path("root").rename(tmp_path / "root.pem")
        assert key_warnings(home, clock) == []
        clock.advance(366 * 86_400)
        (old, *__) = key_warnings(home, clock)
        assert "is 366 days old" in old
        assert "mintage signing-key rotate" in old
        for role in ("data", "bundle"):
            app.signing_keys.rotate(role)
        assert key_warnings(home, clock) == []
        mine = app.keys.own("bundle")
        app.moving.trust(mine, ["bundle"])
        app.signing_keys.revoke(mine.key_id, "leaked")
        (revoked,) = key_warnings(home, clock)
        assert "holds a key that was revoked" in revoked
        assert f"mintage trust remove {mine.key_id[:16]}" in revoked
        app.moving.distrust(mine.key_id)
        app.keys.next_path("data").touch(0o600)
        assert "cut short" in key_warnings(home, clock)[0]
        app.keys.next_path("data").unlink()
    (home / "keys/signing-keys.json").write_bytes(b"{")
    assert "signing-keys.json is not as it was written" in problems(home)["keys"]


def test_a_workspace_that_others_can_read_is_a_warning_with_the_line_that_mends_it(
    home: Path,
) -> None:
    assert found(home)["permissions"].status == "ok"
    home.chmod(0o755)
    (home / "mintage.db").chmod(0o644)
    lines = [each for each in examine(home) if each.check == "permissions"]
    assert [each.status for each in lines] == ["warning", "warning"]
    assert [each.found.split()[0] for each in lines] == [str(home), f"{home}/mintage.db"]
    assert all(f"chmod 700 {home}" in each.remedy for each in lines)
    home.chmod(0o711)  # nobody can list it, but who knows the name can read the database
    assert "mintage.db" in found(home)["permissions"].found
    home.chmod(0o700)
    assert found(home)["permissions"].status == "ok"


def test_a_network_file_system_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_check, "file_system", lambda _path: "nfs4")
    assert "nfs4, a network file system" in problems(home)["file system"]


def test_a_wrong_setting_is_a_problem_and_the_rest_is_still_looked_at(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_PORT", "eight thousand")
    monkeypatch.setenv("MINTAGE_HOME", str(home))
    lines = {str(each.check): each for each in examine()}
    assert lines["settings"].status == "problem"
    assert "MINTAGE_PORT" in lines["settings"].found
    assert lines["database"].status == "ok"


@pytest.mark.parametrize(
    ("variable", "other", "option"),
    [
        ("MINTAGE_PORT", "MINTAGE_OPERATOR_PORT", "--port"),
        ("MINTAGE_OPERATOR_PORT", "MINTAGE_PORT", "--operator-port"),
    ],
)
def test_a_port_of_the_settings_that_is_in_use_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, other: str, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(variable, str(port))
        monkeypatch.setenv(other, "0")
        lines = found(home)
    assert lines[f"port {port}"].status == "warning"
    assert f" {option} 0" in lines[f"port {port}"].remedy
    assert lines["port 0"].status == "ok"
    assert not {"port 8000", "port 8001"} & set(lines)


def test_a_clock_that_stands_before_the_last_record_is_a_problem(home: Path, clock) -> None:
    with Workspace(home):
        pass
    os.utime(home / "mintage.db", (clock.now().timestamp() + 3600,) * 2)
    assert found(home, clock=clock)["clock"].status == "ok"  # the machine's own line comes later
    statuses = [each.status for each in examine(home, clock) if each.check == "clock"]
    assert statuses == ["problem", "ok"]
    clock.advance(-40 * 365 * 86400)
    assert found(home, clock=clock)["clock"].status == "problem"


def test_what_is_not_installed_is_said_with_the_line_that_installs_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = machine_check._version
    monkeypatch.setattr(
        machine_check, "_version", lambda name: None if name == "torch" else there(name)
    )
    lines = found(home)
    assert lines["extra [train]"].status == "warning"
    assert "pip install 'mintage[train]'" in lines["extra [train]"].remedy
    assert "PyTorch is not installed" in lines["GPU"].found


def test_a_pytorch_that_does_not_load_is_a_problem(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_check, "_ASK_TORCH", "raise ImportError('libgomp is gone')")
    assert "libgomp is gone" in problems(home)["GPU"]


def test_a_disk_that_is_nearly_full_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_check, "_TOO_LITTLE", 10**18)
    assert "mintage gc" in problems(home)["disk"]


@pytest.mark.slow
def test_the_whole_of_it_in_a_process_that_cannot_show_chinese(home: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from mintage.app.doctor import examine\n"
        "print(json.dumps([each.to_json() for each in examine(Path(sys.argv[1]))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    lines = {each["check"]: each for each in json.loads(done.stdout)}
    assert lines["terminal encoding"]["status"] == "warning"
    assert "C.UTF-8" in lines["terminal encoding"]["remedy"]
    assert lines["GPU"]["status"] == "ok"


def test_from_its_source_alone_there_is_nothing_to_say_of_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(name: str) -> None:
        raise machine_check.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine_check.metadata, "requires", unknown)
    assert list(machine_check._extras()) == []


def test_facts_in_postgresql_are_looked_at_there_and_the_password_is_not_told(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.new_database()
    Workspace(tmp_path / "home", database_url=address).close()
    assert "MINTAGE_DATABASE_URL" in problems(tmp_path / "home")["database"]
    monkeypatch.setenv("MINTAGE_DATABASE_URL", address.get_secret_value())
    lines = found(tmp_path / "home")
    assert {each.status for each in lines.values()} <= {"ok", "warning"}
    assert lines["database"].found.startswith("sound, ")
    assert lines["audit log"].status == "ok"
    monkeypatch.setenv("MINTAGE_DATABASE_URL", address.get_secret_value().replace("@/", "@/no-"))
    gone = problems(tmp_path / "home")
    assert "does not answer" in gone["database"]
    assert PASSWORD not in repr(lines) + repr(gone)
    postgres.give_back(address)


def test_a_workspace_of_another_shape_is_not_opened(home: Path) -> None:
    with sqlite3.connect(home / "mintage.db") as connection:
        connection.execute("ALTER TABLE models DROP COLUMN removed_at")
    connection.close()
    for reading in (False, True):
        with pytest.raises(ConfigError, match=r"lacks models\.removed_at"):
            Workspace(home, reading=reading)
