"""Facts about this machine, as a job sees it: inside its affinity mask and its cgroup.

Reads files only (Linux `/proc` and `/sys`); nothing here imports more than the standard library.
Each function takes the root of those file systems, so that tests can bring their own.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GIB = 2**30
# Flags of /proc/cpuinfo that kernels may care about, from old to new.
SIMD_FLAGS = (
    "sse2", "ssse3", "sse4_1", "sse4_2", "avx", "fma", "avx2",
    "avx512f", "avx512bw", "avx512vbmi", "avx512_vnni", "asimd", "sve",
)  # fmt: skip
_ROOT = Path("/")


@dataclass(frozen=True, kw_only=True)
class Cores:
    """How many processors there are, and how many of them this process may use.

    online: processors of the machine. affinity: in this process's mask. cgroup: CPU quota of the
    container or job, None without one. usable: the smallest of them, at least 1.
    """

    online: int
    affinity: int
    cgroup: float | None
    usable: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory in GiB; cgroup is the limit of the container or job, None without one."""

    total_gib: float
    available_gib: float
    cgroup_gib: float | None


@dataclass(frozen=True, kw_only=True)
class Space:
    """A file system: the folder asked about, its size and what is free, in GiB."""

    path: str
    total_gib: float
    free_gib: float
    kind: str


def cores(root: Path = _ROOT) -> Cores:
    """Count processors, aware of the affinity mask and of cgroup quotas (v1 and v2)."""
    online = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else online
    quota = _cpu_quota(root)
    usable = min(affinity, int(quota) or 1) if quota is not None else affinity
    return Cores(online=online, affinity=affinity, cgroup=quota, usable=max(1, usable))


def memory(root: Path = _ROOT) -> Memory:
    """Total and available memory, and the cgroup's limit where it is the smaller one."""
    fields = dict(
        re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo") or "", re.MULTILINE)
    )
    total = int(fields.get("MemTotal", 0)) * 1024
    limit = _memory_limit(root)
    bounded = limit is not None and (total == 0 or limit < total)
    return Memory(
        total_gib=total / GIB,
        available_gib=int(fields.get("MemAvailable", 0)) * 1024 / GIB,
        cgroup_gib=limit / GIB if bounded and limit is not None else None,
    )


def space(path: Path, root: Path = _ROOT) -> Space:
    """Room on the file system that holds `path`. Raises OSError if it does not exist."""
    usage = shutil.disk_usage(path)
    return Space(
        path=str(path),
        total_gib=usage.total / GIB,
        free_gib=usage.free / GIB,
        kind=file_system(path, root),
    )


def file_system(path: Path, root: Path = _ROOT) -> str:
    """Type of the file system that holds `path` (`ext4`, `lustre`, ...), `unknown` if not told."""
    target = str(path.resolve())
    best, kind = -1, "unknown"
    for line in (_read(root / "proc/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        mount = fields[1].replace("\\040", " ")
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= best:  # later mounts hide earlier ones
            best, kind = len(mount), fields[2]
    return kind


def cpu_model(root: Path = _ROOT) -> str:
    """The processor's name as the kernel reports it."""
    text = _read(root / "proc/cpuinfo") or ""
    for key in ("model name", "Model", "Hardware"):
        found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def simd_flags(root: Path = _ROOT) -> list[str]:
    """SIMD extensions of the processor, in the kernel's spelling, oldest first."""
    text = _read(root / "proc/cpuinfo") or ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    present = set(found.group(1).split()) if found else set()
    return [flag for flag in SIMD_FLAGS if flag in present]


def describe(root: Path = _ROOT) -> dict[str, Any]:
    """The machine as reports name it: processor, cores, memory, load. JSON-ready."""
    return {
        "cpu": cpu_model(root),
        "simd": simd_flags(root),
        "cores": asdict(cores(root)),
        "memory": asdict(memory(root)),
        "load_1min": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _cpu_quota(root: Path) -> float | None:
    """Smallest CPU quota from this process's cgroup up to the root, in processors."""
    quotas = []
    for folder in _cgroup_folders(root, "cpu"):
        limit, _, period = (_read(folder / "cpu.max") or "").partition(" ")
        if not limit:
            limit = (_read(folder / "cpu.cfs_quota_us") or "").strip()
            period = (_read(folder / "cpu.cfs_period_us") or "").strip()
        if limit.isdigit() and period.strip().isdigit() and int(period) > 0:
            quotas.append(int(limit) / int(period))
    return min(quotas, default=None)


def _memory_limit(root: Path) -> int | None:
    """Smallest memory limit from this process's cgroup up to the root, in bytes."""
    limits = []
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = (_read(folder / name) or "").strip()
            if text.isdigit():
                limits.append(int(text))
    return min(limits, default=None)


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """This process's cgroup and its parents, as folders of v2 and of the v1 controller."""
    folders: list[Path] = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers
        inner = base / path.strip().lstrip("/")
        folders += [inner, *(p for p in inner.parents if p == base or base in p.parents)]
        # inside a container the path may be the host's; the limits then sit at the mount itself
        folders.append(root / "sys/fs/cgroup" / (controller if controllers else ""))
    return folders


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
