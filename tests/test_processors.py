"""The number of processors that a process may use, from files as the kernel writes them, and OpenMP's environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward import processors


def written(root: Path, groups: str, **files: str) -> Path:
    """A root with ``proc/self/cgroup`` and, by their paths below ``sys/fs/cgroup``, files of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "affinity", lambda: 8)


V1 = "9:name=systemd:/\n2:cpuset:/a\n1:cpu,cpuacct:/a/b\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "350000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {}, 8),
        # The quota of a group that this one lies in binds too, and so does one further down.
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/a\n", {"other/cpu.max": "100000 100000\n"}, 8),
        # In a container the mount point is the group, whose path is the host's.
        ("0::/docker/1f\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/../..\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/a\n", {"unified/a/cpu.max": "400000 100000\n"}, 4),
        # Version 1, whose folder may be named after one controller or after all of its hierarchy.
        (V1, {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/a/cpu.cfs_quota_us": "100000\n", "cpu/a/cpu.cfs_period_us": "20000\n"}, 5),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        # Files that hold something else set no quota.
        ("0::/\n", {"cpu.max": ""}, 8),
        ("0::/\n", {"cpu.max": "200000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 0\n"}, 8),
        ("nonsense\n\n", {"cpu.max": "200000 100000\n"}, 8),
    ],
)
def test_quota_is_the_smallest_on_the_way_up_rounded_down(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert processors.available(written(tmp_path, groups, **files)) == expected


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert processors.available(tmp_path) == 8


def test_affinity_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); from pushforward import processors as p; print(p.available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_environment_makes_threads_wait_without_spinning_and_bounds_their_number_by_the_quota(tmp_path: Path) -> None:
    environment = {"HOME": "/"}
    processors.set_environment(environment, written(tmp_path, "0::/\n", **{"cpu.max": "200000 100000\n"}))
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    assert environment == {"HOME": "/", "OMP_NUM_THREADS": "2", **waiting}


def test_environment_leaves_the_number_to_openmp_where_no_quota_is_set(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    processors.set_environment(environment, tmp_path)
    assert set(environment) == {"OMP_WAIT_POLICY", "KMP_BLOCKTIME"}


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_environment_keeps_the_number_that_the_user_set(tmp_path: Path, name: str) -> None:
    environment = {name: "7"}
    processors.set_environment(environment, written(tmp_path, "0::/\n", **{"cpu.max": "200000 100000\n"}))
    assert {key: value for key, value in environment.items() if "NUM" in key} == {name: "7"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"])
def test_environment_keeps_the_waiting_that_the_user_set(tmp_path: Path, name: str) -> None:
    environment = {name: "1"}
    processors.set_environment(environment, tmp_path)
    assert environment == {name: "1"}
