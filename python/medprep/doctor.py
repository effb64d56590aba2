"""What this machine can do for medprep and medtrain, and what stands in the way.

`examine` returns one JSON-ready object; `render` says it in words. A finding of level `error`
means that shards cannot be made here; `warning` means slower or less than expected.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import resource
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from medprep import machine
from medprep.errors import SpecError
from medprep.gpus import CODE_WORDS, list_gpus, match_gpus

LOW_DISK_GIB = 5.0
LOW_SHM_GIB = 1.0
LOW_OPEN_FILES = 1024

BASE_PACKAGES = ("numpy", "click", "pyyaml", "matplotlib")
# extra -> (distributions it installs, what it is for)
EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "train": (
        ("torch", "torchvision", "timm", "safetensors", "tensorboard"),
        "medtrain: training, evaluation, prediction",
    ),
    "opencv": (("opencv-python-headless",), "kernel python, the reference"),
    "dask": (("dask", "distributed"), "engine dask, clusters"),
}
# Any of these provides cv2.
_OPENCV = (
    "opencv-python-headless", "opencv-python",
    "opencv-contrib-python-headless", "opencv-contrib-python",
)  # fmt: skip
_LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "locked_memory_bytes": resource.RLIMIT_MEMLOCK,
    "address_space_bytes": resource.RLIMIT_AS,
    "core_file_bytes": resource.RLIMIT_CORE,
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know. level: `error`, `warning` or `note`; action: what to do, or empty."""

    level: str
    what: str
    action: str = ""


def examine(folder: Path) -> dict[str, Any]:
    """Look at the machine, the installation and the file system of `folder`.

    Returns an object of plain values: ok, machine, disk, shm, limits, versions, core, extras,
    gpus, torch, findings. `ok` is false when a finding is an error. torch is imported if and only
    if it is installed; no GPU memory is touched.
    """
    findings: list[Finding] = []
    report: dict[str, Any] = {
        "machine": machine.describe(),
        "disk": _space(folder, LOW_DISK_GIB, findings),
        "shm": _space(Path("/dev/shm"), LOW_SHM_GIB, findings),
        "limits": _limits(findings),
        "versions": _versions(),
        "core": _core(findings),
        "extras": _extras(findings),
    }
    gpus = list_gpus()
    report["gpus"] = gpus
    report["torch"] = _torch(findings)
    for what, action in match_gpus(gpus, report["torch"]):
        findings.append(Finding(level="warning", what=what, action=action))
    report["findings"] = [asdict(finding) for finding in findings]
    return {"ok": not any(f.level == "error" for f in findings), **report}


def _space(folder: Path, low_gib: float, findings: list[Finding]) -> dict[str, Any] | None:
    try:
        found = machine.space(folder)
    except OSError as error:
        findings.append(Finding(level="warning", what=f"{folder}: {error.strerror}"))
        return None
    if found.free_gib < low_gib:
        shared = "DataLoader workers exchange batches there" if folder.name == "shm" else ""
        findings.append(
            Finding(
                level="warning",
                what=f"only {found.free_gib:.1f} GiB free on {folder}"
                + (f" ({shared})" if shared else ""),
                action="run docker with --shm-size=8g, or train with data.workers=0"
                if shared
                else "choose an OUT on a larger file system",
            )
        )
    return asdict(found)


def _limits(findings: list[Finding]) -> dict[str, Any]:
    limits = {}
    for name, number in _LIMITS.items():
        soft, hard = (
            None if value == resource.RLIM_INFINITY else value
            for value in resource.getrlimit(number)
        )
        limits[name] = {"soft": soft, "hard": hard}
    soft = limits["open_files"]["soft"]
    if soft is not None and soft < LOW_OPEN_FILES:
        findings.append(
            Finding(
                level="warning",
                what=f"only {soft} open files are allowed (every mapped shard holds one)",
                action=f"run `ulimit -n {limits['open_files']['hard'] or 65536}` first",
            )
        )
    return limits


def _versions() -> dict[str, str | None]:
    names = [*BASE_PACKAGES, *(name for packages, _ in EXTRAS.values() for name in packages)]
    versions = {name: _version(name) for name in names}
    return {"medprep": _version("medprep"), "python": platform.python_version(), **versions}


def _version(name: str) -> str | None:
    """Version of an installed distribution; any OpenCV build answers for the headless one."""
    for candidate in _OPENCV if name in _OPENCV else (name,):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _core(findings: list[Finding]) -> dict[str, Any]:
    """The compiled core: version, file and the code path it has chosen for this processor."""
    try:
        core = importlib.import_module("medprep._core")
    except ImportError as error:
        findings.append(
            Finding(
                level="error",
                what=f"the compiled core cannot be loaded: {error}",
                action="install a wheel (pip install medprep), or `make setup` in a clone",
            )
        )
        return {"error": str(error)}
    try:
        path = core.cpu_path()
    except SpecError as error:  # an unusable MEDPREP_CPU
        path = None
        findings.append(Finding(level="error", what=str(error), action="unset MEDPREP_CPU"))
    return {"version": core.__version__, "cpu_path": path, "file": core.__file__}


def _extras(findings: list[Finding]) -> dict[str, Any]:
    extras = {}
    for name, (packages, purpose) in EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        command = f"pip install 'medprep[{name}]'"
        extras[name] = {
            "installed": not missing,
            "missing": missing,
            "purpose": purpose,
            "command": command,
        }
        if missing:
            findings.append(
                Finding(
                    level="note",
                    what=f"extra [{name}] is not complete: no {', '.join(missing)} ({purpose})",
                    action=command,
                )
            )
    return extras


def _torch(findings: list[Finding]) -> dict[str, Any] | None:
    """What torch is and which GPUs it was compiled for; None when it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        import torch
    except (ImportError, OSError) as error:
        findings.append(
            Finding(
                level="warning",
                what=f"torch is installed but cannot be imported: {error}",
                action="pip install --force-reinstall 'medprep[train]'",
            )
        )
        return {"error": str(error)}
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cuda_available": torch.cuda.is_available(),
        "arch_list": torch.cuda.get_arch_list(),
        "devices": torch.cuda.device_count(),
        "threads": torch.get_num_threads(),
        "gloo": torch.distributed.is_available() and torch.distributed.is_gloo_available(),
        "nccl": torch.distributed.is_available() and torch.distributed.is_nccl_available(),
    }


_LEVELS = {"error": "ERROR", "warning": "warning", "note": "note"}


def render(report: dict[str, Any]) -> str:
    """Say the report in words, most important last."""
    lines = [*_machine_lines(report), *_software_lines(report), *_gpu_lines(report), ""]
    for finding in report["findings"]:
        lines.append(f"{_LEVELS[finding['level']]}: {finding['what']}")
        if finding["action"]:
            lines.append(f"    -> {finding['action']}")
    lines.append(_verdict(report))
    return "\n".join(lines)


def _machine_lines(report: dict[str, Any]) -> list[str]:
    box = report["machine"]
    cores, memory = box["cores"], box["memory"]
    why = []
    if cores["affinity"] < cores["online"]:
        why.append(f"affinity mask {cores['affinity']}")
    if cores["cgroup"] is not None:
        why.append(f"cgroup quota {cores['cgroup']:g}")
    limited = f" of {cores['online']} ({', '.join(why)})" if why else ""
    bound = memory["cgroup_gib"]
    limit = f", limited to {bound:.1f} GiB by the cgroup" if bound is not None else ""
    lines = [
        ("processor", f"{box['cpu']} ({' '.join(box['simd'][-4:]) or 'no SIMD flags known'})"),
        ("cores to use", f"{cores['usable']}{limited}; load now {box['load_1min']:.1f}"),
        (
            "memory",
            f"{memory['available_gib']:.1f} of {memory['total_gib']:.1f} GiB available{limit}",
        ),
    ]
    for name in ("disk", "shm"):
        disk = report[name]
        if disk:
            text = f"{disk['free_gib']:.1f} of {disk['total_gib']:.1f} GiB free"
            lines.append((name, f"{text} on {disk['path']} ({disk['kind']})"))
    shown = {
        name: "unlimited" if limit["soft"] is None else str(limit["soft"])
        for name, limit in report["limits"].items()
    }
    lines.append(("limits", f"open files {shown['open_files']}, processes {shown['processes']}"))
    lines.append(("system", box["system"]))
    return [f"{name:<13} {text}" for name, text in lines]


def _software_lines(report: dict[str, Any]) -> list[str]:
    core, versions = report["core"], report["versions"]
    if "error" in core:
        core_text = f"cannot be loaded: {core['error']}"
    else:
        core_text = f"{core['version']}, {core['cpu_path'] or 'no usable'} code path"
    have = [
        f"{name} {version}" for name, version in versions.items() if version and name != "torch"
    ]
    lines = [("core", core_text), ("versions", ", ".join(have))]
    torch = report["torch"]
    if torch is None:
        lines.append(("torch", "not installed"))
    elif "error" in torch:
        lines.append(("torch", f"broken: {torch['error']}"))
    else:
        build = f"CUDA {torch['cuda']} build" if torch["cuda"] else "CPU build"
        transports = [name for name in ("gloo", "nccl") if torch[name]]
        lines.append(
            (
                "torch",
                f"{torch['version']} ({build}), sees {torch['devices']} GPU(s), "
                f"{' and '.join(transports) or 'no process groups'}",
            )
        )
    for name, extra in report["extras"].items():
        state = "installed" if extra["installed"] else f"not complete: {extra['command']}"
        lines.append((f"[{name}]", state))
    return [f"{name:<13} {text}" for name, text in lines]


def _gpu_lines(report: dict[str, Any]) -> list[str]:
    if not report["gpus"]:
        return [f"{'GPUs':<13} none (training runs on the CPU: --procs N)"]
    lines = []
    for gpu in report["gpus"]:
        memory = f"{gpu['memory_gib']:.0f} GiB" if gpu["memory_gib"] else "memory unknown"
        words = CODE_WORDS[gpu["torch_code"]]
        lines.append(
            f"{'GPU ' + str(gpu['index']):<13} {gpu['name']}, {memory}, "
            f"compute capability {gpu['capability'] or 'unknown'}: {words}"
        )
    return lines


def _verdict(report: dict[str, Any]) -> str:
    levels = [finding["level"] for finding in report["findings"]]
    if not report["ok"]:
        return "broken: shards cannot be made here until the errors above are gone"
    if "warning" in levels:
        return f"works, with {levels.count('warning')} warning(s) above"
    return "all well: medprep can work here"
