"""What ran where: `environment.json` beside the numbers, so that they can be judged later."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("medprep", "torch", "torchvision", "timm", "numpy", "safetensors")


def usable_cores() -> int:
    """Cores this process may use; fewer than the machine has under SLURM and in containers."""
    return len(os.sched_getaffinity(0))


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: each mapped shard holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe_machine() -> dict[str, Any]:
    """Cores, CPU model, memory in GiB and GPU names."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cores": usable_cores(),
        "cpu_model": _cpu_model(),
        "memory_gib": round(pages * page_bytes / 2**30, 1),
        "gpus": gpus,
        "system": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that the numbers depend on."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_commit() -> str | None:
    """The commit of the code, when it runs from a clone."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    lines = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(lines, platform.processor())
