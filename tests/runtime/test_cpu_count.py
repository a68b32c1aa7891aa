"""Number of usable cores: affinity of the process and quotas of its control groups."""

import os

import pytest

from levit.runtime.cpu_count import usable_cores

VISIBLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def write_control_groups(root, groups: str, files: dict[str, str]):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ("0::/docker/0123\n", {"cpu.max": "150000 100000\n"}, min(2, VISIBLE)),
        (
            "4:memory:/x\n3:cpu,cpuacct:/y\n",
            {"cpu/y/cpu.cfs_quota_us": "20000\n", "cpu/y/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, VISIBLE),
        ("0::/\n", {"cpu.max": "max 100000\n"}, VISIBLE),
        ("0::/\n", {"cpu.max": "1000000 1000\n"}, VISIBLE),
        ("nonsense\n\n", {"cpu.max": "nonsense"}, VISIBLE),
    ],
)
def test_quotas_limit_the_number_of_cores(tmp_path, groups, files, expected):
    assert usable_cores(root=write_control_groups(tmp_path, groups, files)) == expected


def test_without_control_groups_the_affinity_is_the_limit(tmp_path):
    assert usable_cores(root=tmp_path) == VISIBLE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_an_affinity_of_one_core_gives_one_usable_core(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(root=tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
