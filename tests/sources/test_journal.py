"""Writing labels: durably, by one process at a time, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.disks import filled, small_disk

from mintage.core.errors import ConfigError, DataError, DependencyDown
from mintage.sources.decisions import Decision, Header
from mintage.sources.journal import Journal
from mintage.sources.labels import read_labels

HEADER = Header(("good", "bad"))

WRITER = """
import sys
from pathlib import Path
from mintage.sources.decisions import Decision, Header
from mintage.sources.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.declare(Header(("good", "bad")))
number = 0
while True:
    journal.add(Decision("label", f"{number}.jpg", "0" * 64, "ada", "now", 0.5, "good"))
    print(number, flush=True)
    number += 1
"""


def said(number: int) -> Decision:
    return Decision("label", f"{number}.jpg", f"{number:064x}", "ada", "now", 0.5, "good")


def begun(path: Path, count: int = 3) -> bytes:
    with Journal(path) as journal:
        journal.declare(HEADER)
        journal.add(*(said(number) for number in range(count)))
    return path.read_bytes()


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    begun(path)
    with Journal(path) as journal:
        assert journal.header == HEADER
        assert [*journal.book] == ["0.jpg", "1.jpg", "2.jpg"]
        assert journal.notes == []
        journal.declare(HEADER)  # nothing new: no line
        journal.add(said(3))
        assert [*journal.book][-1] == "3.jpg"
    assert path.read_bytes().count(b"\n") == 5


def test_only_ever_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    before = begun(path)
    with Journal(path) as journal:
        journal.declare(Header(("good", "bad", "dent")))
        journal.add(Decision("undo", "2.jpg", f"{2:064x}", "ada", "now"))
    assert path.read_bytes().startswith(before)
    found = read_labels(path)
    assert found.header.classes == ("good", "bad", "dent")
    assert found.book.final("2.jpg") is None


def test_a_half_written_last_line_is_taken_away_with_a_note_wherever_it_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.jsonl"
    data = begun(path)
    last = data.rindex(b"\n", 0, -1) + 1
    for cut in range(last + 1, len(data) - 1):
        path.write_bytes(data[:cut])
        with Journal(path) as journal:
            assert [*journal.book] == ["0.jpg", "1.jpg"]
            assert f"({cut - last} bytes)" in journal.notes[0]
            journal.add(said(2))
        assert path.read_bytes() == data
    path.write_bytes(data[:-1])  # only the line feed is gone
    with Journal(path) as journal:
        assert [*journal.book] == ["0.jpg", "1.jpg", "2.jpg"]
    assert path.read_bytes() == data


def test_zeros_that_a_power_cut_left_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    data = begun(path)
    path.write_bytes(data + b"\0" * 100)
    with Journal(path) as journal:
        assert len(journal.notes) == 1
    assert path.read_bytes() == data


def test_a_first_line_that_was_never_whole_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    whole = begun(path, 0)
    for cut in (0, 5, 21, len(whole) - 2):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            assert journal.header is None
            assert len(journal.notes) == bool(cut)
            journal.declare(HEADER)
        assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    lines = begun(path).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"#?!\n", *lines[2:]]))
    with Journal(path) as journal:
        assert [*journal.book] == ["0.jpg", "1.jpg", "2.jpg"]
        assert "line 3 is not a decision" in journal.notes[0]
    assert b"#?!\n" in path.read_bytes()


def test_another_file_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    for data in (b'{"path": "a.jpg", "label": "good"}\n', b"notes", b"\0\0"):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a labels file"):
            Journal(path)
        assert path.read_bytes() == data
    with pytest.raises(ConfigError, match=r"ends in \.jsonl"):
        Journal(tmp_path / "labels.csv")
    assert not (tmp_path / "labels.csv").exists()


def test_two_at_once_are_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    first = Journal(path)
    with pytest.raises(ConfigError, match="Another mintage label is writing"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_after_kill_nine_everything_that_was_answered_for_is_there(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for __ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    answered = 20 + len(process.stdout.read().splitlines())
    process.wait(10)
    process.stdout.close()
    with Journal(path) as journal:  # the lock ended with the process
        assert len([*journal.book]) in (answered, answered + 1)


def test_on_a_full_disk_nothing_is_half_written_and_it_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        path = disk / "labels.jsonl"
        with Journal(path) as journal:
            journal.declare(HEADER)
            journal.add(said(0))
            before = path.read_bytes()
            long = [said(number) for number in range(1, 200)]
            with filled(disk), pytest.raises(DependencyDown, match="No space left"):
                journal.add(*long)
            assert path.read_bytes() == before
            assert [*journal.book] == ["0.jpg"]
            journal.add(said(1))
        assert [*read_labels(path).book] == ["0.jpg", "1.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_where_it_may_not_be_written_another_place_is_proposed(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError) as refused:
        Journal(tmp_path / "labels.jsonl")
    assert "--out" in refused.value.remedy


def test_on_a_disk_that_can_only_be_read_another_place_is_proposed(tmp_path: Path) -> None:
    from tests.disks import read_only

    with small_disk(tmp_path / "disk", 1) as disk:
        read_only(disk)
        with pytest.raises(ConfigError, match="Read-only file system") as refused:
            Journal(disk / "labels.jsonl")
        assert "--out" in refused.value.remedy


def test_a_folder_or_a_pipe_of_that_name_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        Journal(tmp_path / "folder.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(DataError, match="not a regular file"):
        Journal(tmp_path / "pipe.jsonl")
