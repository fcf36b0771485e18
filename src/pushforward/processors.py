"""The processors that this process may use, and the environment that OpenMP reads before torch is loaded.

A container or a job of a cluster often sees every processor of its machine and may use a few of them: the kernel sets
an affinity (which ones) or a quota of a control group (how much time). Threads beyond that wait for each other. This
module loads nothing heavy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

# Variables by which users choose a number of threads: torch reads MKL's where OMP_NUM_THREADS is unset.
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# How threads of OpenMP wait for each other: by default they spin, and where another process has their processor, each
# spins until the kernel takes it away. GNU reads the first, LLVM and Intel the second; GOMP_SPINCOUNT overrides the
# first, and KMP_LIBRARY belongs to the second.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
_WAITING_CHOICES = (*_WAITING, "GOMP_SPINCOUNT", "KMP_LIBRARY")


def available(root: Path = Path("/")) -> int:
    """The number of processors that this process may use: its affinity or its quota, whichever is smaller.

    A quota is rounded down, and the number is at least 1. root: where ``proc`` and ``sys`` are mounted.
    """
    quota = cpu_quota(root)
    return affinity() if quota is None else max(1, min(affinity(), int(quota)))


def affinity() -> int:
    """The number of processors that the kernel may schedule this process on."""
    # macOS and Windows have no affinity that Python reads.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The quota of this process's control groups (version 2 or 1) in processors, or None where none is set.

    A group is also bound by the groups that it lies in, so the smallest quota among all of them counts.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        # "0::/path" for version 2, "4:cpu,cpuacct:/path" for a hierarchy of version 1.
        number, names, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not names:
            mounts, read = ["", "unified"], _quota_of_version_2
        elif "cpu" in names.split(","):
            mounts, read = [names, "cpu"], _quota_of_version_1
        else:
            continue
        for mount in mounts:
            for folder in _upwards(root / "sys/fs/cgroup" / mount, path):
                quotas.append(read(folder))
    return min((quota for quota in quotas if quota is not None), default=None)


def set_environment(environment: MutableMapping[str, str] = os.environ, root: Path = Path("/")) -> None:
    """Set the number of OpenMP's threads and how they wait, each unless the user chose it, before torch is loaded.

    OpenMP and MKL count the affinity themselves (MKL counts a core once where two processors share it), but no quota.
    """
    if not any(name in environment for name in _WAITING_CHOICES):
        environment.update(_WAITING)
    usable = available(root)
    if usable < affinity() and not any(name in environment for name in _COUNTS):
        environment["OMP_NUM_THREADS"] = str(usable)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folders of a group and of those that it lies in, up to the mount point.

    In a container the mount point is often the group itself, under a path that only its host knows: folders that do
    not exist hold no quota.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for count in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:count])


def _quota_of_version_2(folder: Path) -> float | None:
    """From ``cpu.max``, which holds "quota period" in microseconds, or "max" for no quota."""
    return _ratio(*(_read(folder / "cpu.max").split() + ["", ""])[:2])


def _quota_of_version_1(folder: Path) -> float | None:
    """From ``cpu.cfs_quota_us``, which is -1 where there is no quota, and ``cpu.cfs_period_us``."""
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Quota over period, or None where they are no positive numbers."""
    try:
        microseconds, length = int(quota), int(period)
    except ValueError:
        return None
    return microseconds / length if microseconds > 0 and length > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
