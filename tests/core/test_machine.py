from pathlib import Path

import pytest

from mintage.core.machine import (
    available_cores,
    file_system,
    has_bfloat16,
    machine_memory_bytes,
    memory_free_bytes,
    memory_limit_bytes,
)

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /srv nfs4 rw 0 0
//box/share /srv/my\\040models cifs rw 0 0
tmpfs /srv/local tmpfs rw 0 0
/dev/vdb /twice ext4 rw 0 0
server:/twice /twice nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/x/y", "nfs4"),
        ("/srvx", "ext4"),
        ("/srv/my models/pets", "cifs"),
        ("/srv/local/../local/x", "tmpfs"),
        ("/twice/x", "nfs"),
    ],
)
def test_a_path_lies_on_the_deepest_mount_above_it(tmp_path: Path, path: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system(Path(path), mounts) == kind


def test_a_link_lies_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/srv/models")
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(tmp_path / "link", tmp_path / "mounts") == "nfs4"


def test_a_system_that_says_nothing_of_mounts_is_believed(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "none") == ""


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_cgroups_memory_counts_where_it_is_less_than_the_machines(
    tmp_path: Path, name: str
) -> None:
    assert memory_limit_bytes(tmp_path) is None
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("500000000\n")
    assert memory_limit_bytes(tmp_path) == 500_000_000
    for unlimited in ("max", "9223372036854771712"):
        path.write_text(unlimited)
        assert memory_limit_bytes(tmp_path) is None
    assert (machine_memory_bytes() or 0) > 500_000_000


def test_bfloat16_is_what_the_processor_says_it_has(tmp_path: Path) -> None:
    for flags, has in (
        ("flags : fpu avx512f avx512_bf16 amx_tile", True),
        ("Features : fp asimd bf16", True),
        ("flags : fpu avx512f avx512vnni", False),
    ):
        (tmp_path / "cpuinfo").write_text(flags)
        assert has_bfloat16(tmp_path / "cpuinfo") is has
    assert not has_bfloat16(tmp_path / "missing")


def test_free_memory_is_the_machines_or_what_the_cgroup_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable:   5000 kB\n")
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    assert memory_free_bytes(cgroup, meminfo=meminfo) == 5_120_000
    (cgroup / "memory.max").write_text("4000000\n")
    (cgroup / "memory.current").write_text("3500000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 200000\n")
    assert memory_free_bytes(cgroup, meminfo=meminfo) == 700_000
    assert memory_free_bytes(tmp_path / "none", meminfo=tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/system.slice/shop.service", "", {"cpu.max": "100000 100000"}),
        ("0::/system.slice/shop.service", "", {"cpu.max": "150000 100000"}),  # shared out fully
        (
            "4:cpu,cpuacct:/system.slice/shop.service",
            "cpu",
            {"cpu.cfs_quota_us": "100000", "cpu.cfs_period_us": "100000"},
        ),
    ],
)
@pytest.mark.parametrize("depth", [2, 1, 0], ids=["own group", "group above", "root"])
def test_the_quota_of_a_services_own_group_counts_and_of_those_above(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    folder: str,
    files: dict[str, str],
    depth: int,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    membership = tmp_path / "self"
    membership.write_text(f"1:name=systemd:/x\n{line}\n")
    group = tmp_path / folder / Path(*("system.slice", "shop.service")[:depth])
    group.mkdir(parents=True, exist_ok=True)
    assert available_cores(tmp_path, membership) == 16
    for name, text in files.items():
        (group / name).write_text(text)
    assert available_cores(tmp_path, membership) == (2 if "150000" in str(files) else 1)


def test_the_least_of_several_limits_counts(tmp_path: Path) -> None:
    membership = tmp_path / "self"
    membership.write_text("0::/a/b\n")
    (tmp_path / "a/b").mkdir(parents=True)
    for group, limit, used in (("a", 600_000_000, 500_000_000), ("a/b", 700_000_000, 1_000_000)):
        (tmp_path / group / "memory.max").write_text(str(limit))
        (tmp_path / group / "memory.current").write_text(str(used))
    assert memory_limit_bytes(tmp_path, membership) == 600_000_000
    assert memory_free_bytes(tmp_path, membership) == 100_000_000
