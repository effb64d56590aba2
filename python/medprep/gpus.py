"""NVIDIA GPUs, and whether the installed torch can use them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

GPU_QUERY_TIMEOUT_S = 15

# What `torch_code` of a GPU means.
CODE_WORDS = {
    "native": "torch has code made for it",
    "compatible": "torch has code of the same generation for it",
    "compiled at start": "torch's code is compiled for it at the first start, which takes minutes",
    "none": "torch has NO code for it",
    "unknown": "compute capability unknown",
    "no torch": "torch is not installed",
    "torch cannot reach it": "torch cannot reach it",
}


def list_gpus() -> list[dict[str, Any]]:
    """NVIDIA GPUs as the driver lists them; empty without a driver.

    Each: index, name, memory_gib, driver, capability (such as `9.0`).
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = "index,name,memory.total,driver_version,compute_cap"
    try:
        done = subprocess.run(
            [program, f"--query-gpu={query}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=GPU_QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(done.stdout) if done.returncode == 0 else []


def parse_gpus(text: str) -> list[dict[str, Any]]:
    """Parse the CSV lines of nvidia-smi; lines that are none are left out."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 5 or not fields[0].isdigit():
            continue
        index, name, memory, driver, capability = fields
        gpus.append(
            {
                "index": int(index),
                "name": name,
                "memory_gib": float(memory) / 1024 if memory.replace(".", "").isdigit() else None,
                "driver": driver,
                "capability": capability if re.fullmatch(r"\d+\.\d+", capability) else None,
            }
        )
    return gpus


def match_gpus(
    gpus: Sequence[dict[str, Any]], torch: dict[str, Any] | None
) -> list[tuple[str, str]]:
    """Say for each GPU whether the installed torch can use it; adds `torch_code` to each GPU.

    torch: version, cuda, cuda_available, arch_list; None without torch.
    Returns the problems: pairs of what is wrong and what to do.
    """
    if torch is None or "error" in torch:
        _mark(gpus, "no torch")
        return []
    if gpus and not torch["cuda_available"]:
        _mark(gpus, "torch cannot reach it")
        return [_unreachable(gpus, torch)]
    problems = []
    for gpu in gpus:
        gpu["torch_code"] = gpu_code(gpu["capability"], torch["arch_list"])
        if gpu["torch_code"] == "none":
            what = (
                f"GPU {gpu['index']} ({gpu['name']}, compute capability {gpu['capability']}): "
                f"torch {torch['version']} holds no code for it; it was compiled for "
                + ", ".join(torch["arch_list"])
            )
            problems.append((what, "install a torch release that still supports this GPU"))
    return problems


def _mark(gpus: Sequence[dict[str, Any]], code: str) -> None:
    for gpu in gpus:
        gpu["torch_code"] = code


def _unreachable(gpus: Sequence[dict[str, Any]], torch: dict[str, Any]) -> tuple[str, str]:
    what = f"the driver lists {len(gpus)} GPU(s), but torch sees none: "
    if torch["cuda"] is None:
        return what + "this torch is a CPU build", "install a CUDA build of torch"
    what += f"it was built for CUDA {torch['cuda']} and the driver is {gpus[0]['driver']}"
    return what, "update the driver, and check that CUDA_VISIBLE_DEVICES hides nothing"


def gpu_code(capability: str | None, arch_list: Sequence[str]) -> str:
    """Which of torch's code a GPU runs: `native`, `compatible`, `compiled at start`, `none`.

    capability: such as `8.6`. arch_list: as torch.cuda.get_arch_list(): `sm_80` is machine code,
    which runs on the same major version from its minor version on; `compute_80` is PTX, which the
    driver compiles for the same or any newer GPU; the suffixes `a` and `f` mean that one
    architecture (family) only.
    """
    if capability is None:
        return "unknown"
    major, minor = (int(part) for part in capability.split("."))
    best = "none"
    for arch in arch_list:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if not found:
            continue
        kind, built = found[1], (int(found[2]), int(found[3]))
        if kind == "sm" and built == (major, minor):
            return "native"
        if found[4]:
            continue
        if kind == "sm" and built[0] == major and built[1] <= minor:
            best = "compatible"
        elif kind == "compute" and built <= (major, minor) and best == "none":
            best = "compiled at start"
    return best
