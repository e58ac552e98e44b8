import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.app.security.advisories import (
    Advisories,
    Record,
    installed_versions,
    is_affected,
    normalised,
    severity_of,
)
from mintage.app.security.cvss import base_score
from mintage.core.errors import DataError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def record(
    *events: dict[str, str], name: str = "Some_Library", called: str = "GHSA-1", **more: Any
) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    said = {"id": called, "modified": "2026-11-20T00:00:00Z", "summary": "it bites"}
    return {**said, "affected": [affected], **more}


def read(*events: dict[str, str], **more: Any) -> Record:
    return Record.model_validate(record(*events, **more))


def found(advisories: Advisories, **installed: str) -> list[Any]:
    named = {name.replace("_", "-"): version for name, version in installed.items()}
    return [each for each in advisories.examine(named, NOW) if each.code != "advisories.age"]


@pytest.fixture
def write(tmp_path: Path):
    def writing(*records: object, name: str = "advisories.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(records[0] if len(records) == 1 else list(records)))
        return path

    return writing


@pytest.mark.parametrize(
    ("vector", "score"),
    [  # as the specification's authors publish them, and NVD for CVE-2014-0160 and its like
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", None),
        ("", None),
    ],
)
def test_a_vectors_score_is_the_published_one(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


VERSIONS = ["0.9", "1.0", "1.0.post1", "1.5rc1", "1.5", "2.0", "2.1", "10.0"]


@given(
    begin=st.integers(0, len(VERSIONS) - 1),
    end=st.integers(0, len(VERSIONS) - 1),
    at=st.integers(0, len(VERSIONS) - 1),
    inclusive=st.booleans(),
)
def test_a_version_is_affected_from_where_it_was_introduced_to_where_it_ends(
    begin: int, end: int, at: int, inclusive: bool
) -> None:
    kind = "last_affected" if inclusive else "fixed"
    told = read({kind: VERSIONS[end]}, {"introduced": VERSIONS[begin]})
    if begin < end:
        inside = begin <= at <= end if inclusive else begin <= at < end
        assert is_affected(told, "some-library", VERSIONS[at]) == inside


def test_zero_is_before_every_version_and_a_list_names_single_ones() -> None:
    assert is_affected(read({"introduced": "0"}), "some-library", "0.0.1.dev1")
    assert not is_affected(read({"introduced": "0"}), "another", "1.0")
    said = record()
    said["affected"][0]["versions"] = ["1.0", "odd-one"]
    listed = Record.model_validate(said)
    assert is_affected(listed, "some-library", "1.0.0")
    assert is_affected(listed, "some-library", "odd-one")
    assert not is_affected(listed, "some-library", "1.1")
    withdrawn = listed.model_copy(update={"withdrawn": "2026-01-01T00:00:00Z"})
    assert not is_affected(withdrawn, "some-library", "1.0")


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({"database_specific": {"severity": "MODERATE"}}, "medium"),
        ({"database_specific": {"severity": "CRITICAL"}}, "critical"),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]}, "high"),  # noqa: E501
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]}, "low"),  # noqa: E501
        ({}, "high"),
    ],
)  # fmt: skip
def test_how_grave_it_is_is_what_the_record_says_and_high_where_it_says_nothing(
    said: dict[str, Any], severity: str
) -> None:
    assert severity_of(read(**said)) == severity


def test_a_known_bad_version_is_found_with_what_mends_it_and_a_good_one_is_not(write) -> None:
    told = record({"introduced": "1.0"}, {"fixed": "1.4"}, {"introduced": "2.0"}, {"fixed": "2.3"})
    advisories = Advisories.read(write(told))
    (bad,) = found(advisories, some_library="2.1")
    assert bad.code == "dependency.vulnerable"
    assert "some-library 2.1 is known to be vulnerable: GHSA-1 it bites" in bad.found
    assert "pip install 'some-library>=2.3'" in bad.remedy
    assert found(advisories, some_library="1.4") == []
    assert found(advisories, another="1.1") == []


def test_one_weakness_under_two_names_is_told_once(write) -> None:
    both = write(
        record({"introduced": "0"}, aliases=["CVE-2026-1"]),
        record({"introduced": "0"}, called="PYSEC-1", aliases=["CVE-2026-1"]),
        record({"introduced": "0"}, called="PYSEC-2"),
    )
    assert [each.found.split()[7] for each in found(Advisories.read(both), some_library="1")] == [
        "GHSA-1",
        "PYSEC-2",
    ]


def test_a_file_a_list_a_folder_and_a_zip_are_read_alike(write, tmp_path: Path) -> None:
    one, other = record({"introduced": "0"}), record({"introduced": "0"}, called="GHSA-2")
    listed = write(one, other)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps(one))
    (folder / "deep/b.json").write_text(json.dumps(other))
    (folder / "README.md").write_text("no advisory")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.json", json.dumps(one))
        archive.writestr("b.json", json.dumps(other))
    for path in (listed, folder, tmp_path / "all.zip"):
        assert len(found(Advisories.read(path), some_library="1")) == 2


@pytest.mark.parametrize("text", [
        "", "no JSON", "3", '{"no": "id"}', "[]", "[[1]]", '{"id": 7}',
        '{"id": "A", "affected": "all"}', '{"id": "A", "affected": [{"ranges": [7]}]}',
        '{"id": "A", "aliases": 7}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_advisory_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(DataError, match=r"odd\.json"):
        Advisories.read(tmp_path / "odd.json")
    with pytest.raises(DataError, match="cannot be read"):
        Advisories.read(tmp_path / "nowhere.json")


def test_the_age_of_the_advisories_is_told_and_old_ones_are_a_weakness(write) -> None:
    (fresh,) = Advisories.read(write(record())).examine({}, NOW)
    assert fresh.severity == "info"
    assert "the newest 3 days old" in fresh.found
    (old,) = Advisories.read(write(record(modified="2026-09-01T00:00:00Z"))).examine({}, NOW)
    assert old.severity == "low"
    (odd,) = Advisories.read(write(record(modified="yesterday"))).examine({}, NOW)
    assert "none says when" in odd.found


def test_what_is_installed_is_known_by_names_as_advisories_have_them() -> None:
    assert normalised("Some.Library__x") == "some-library-x"
    versions = installed_versions()
    assert "prometheus-client" in versions
    assert all(name == normalised(name) for name in versions)
