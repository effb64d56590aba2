"""The doctor's words match the facts, also inside containers and next to odd GPUs."""

from __future__ import annotations

import builtins
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from medprep import doctor, machine
from medprep.gpus import gpu_code, match_gpus, parse_gpus


def medprep(*words: object, code: int = 0) -> dict:
    """Run the command as a user does; gives the JSON object on the last line of stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "medprep", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_cgroup_v2_quota_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(8)))
    write(tmp_path / "proc/self/cgroup", "0::/job/step\n")
    write(tmp_path / "sys/fs/cgroup/job/step/cpu.max", "max 100000\n")
    write(tmp_path / "sys/fs/cgroup/job/cpu.max", "250000 100000\n")  # the parent's limit holds too
    found = machine.cores(tmp_path)
    assert (found.affinity, found.cgroup, found.usable) == (8, 2.5, 2)


def test_a_cgroup_v1_quota_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(8)))
    write(tmp_path / "proc/self/cgroup", "4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n")  # mounted at the container
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    found = machine.cores(tmp_path)
    assert (found.cgroup, found.usable) == (0.5, 1)


def test_without_a_quota_the_affinity_mask_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 3})
    assert machine.cores(tmp_path).usable == 2


def test_the_memory_limit_of_the_cgroup_is_told_when_it_binds(tmp_path):
    write(tmp_path / "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", str(2 * 2**30))
    found = machine.memory(tmp_path)
    assert (found.total_gib, found.available_gib, found.cgroup_gib) == (8.0, 4.0, 2.0)
    write(tmp_path / "sys/fs/cgroup/memory.max", "max")
    assert machine.memory(tmp_path).cgroup_gib is None


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path):
    (tmp_path / "scratch").mkdir()
    write(
        tmp_path / "proc/mounts",
        f"/dev/a / ext4 rw 0 0\nfs {tmp_path} lustre rw 0 0\nx {tmp_path}/scr tmpfs rw 0 0\n",
    )
    assert machine.file_system(tmp_path / "scratch", tmp_path) == "lustre"


def test_gpu_lines_of_the_driver_are_parsed():
    text = "0, NVIDIA H200, 143771, 570.86.15, 9.0\n1, Old, [N/A], 390.1, [N/A]\nNo devices\n"
    first, second = parse_gpus(text)
    assert first["name"] == "NVIDIA H200" and first["capability"] == "9.0"
    assert first["memory_gib"] == pytest.approx(140.4, abs=0.01)
    assert second["memory_gib"] is None and second["capability"] is None


@pytest.mark.parametrize(
    ("capability", "arch_list", "code"),
    [
        ("9.0", ["sm_80", "sm_90"], "native"),
        ("9.0", ["sm_90a"], "native"),
        ("8.9", ["sm_80", "sm_90"], "compatible"),
        ("8.0", ["sm_86"], "none"),  # machine code never runs on an older minor version
        ("12.0", ["sm_90", "compute_90"], "compiled at start"),
        ("7.0", ["sm_75", "sm_80", "compute_80"], "none"),
        ("10.3", ["sm_100"], "compatible"),
        ("10.3", ["sm_100a"], "none"),
        (None, ["sm_90"], "unknown"),
    ],
)
def test_code_for_a_gpu_follows_cudas_compatibility_rules(capability, arch_list, code):
    assert gpu_code(capability, arch_list) == code


TORCH = {"version": "2.15.0", "cuda": "13.2", "cuda_available": True, "arch_list": ["sm_80"]}


def test_a_gpu_without_code_in_torch_is_named_with_what_torch_has():
    gpus = parse_gpus("0, Tesla P100, 12198, 580.1, 6.0\n1, A100, 40960, 580.1, 8.0\n")
    ((what, action),) = match_gpus(gpus, TORCH)
    assert "GPU 0 (Tesla P100, compute capability 6.0)" in what
    assert "no code for it; it was compiled for sm_80" in what
    assert "torch" in action
    assert [gpu["torch_code"] for gpu in gpus] == ["none", "native"]


def test_a_cpu_build_next_to_a_gpu_is_said_to_be_one():
    gpus = parse_gpus("0, A100, 40960, 580.1, 8.0\n")
    ((what, action),) = match_gpus(gpus, {**TORCH, "cuda": None, "cuda_available": False})
    assert "CPU build" in what and action == "install a CUDA build of torch"


@pytest.fixture
def no_torch(monkeypatch):
    """As if torch were not installed: any attempt to import it fails the test."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "torch" else find_spec(name, *a),
    )
    version = doctor.metadata.version

    def without_torch(name: str) -> str:
        if name in ("torch", "torchvision"):
            raise doctor.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor.metadata, "version", without_torch)
    real_import = builtins.__import__

    def guarded(name, *args, **kwargs):
        assert name.partition(".")[0] != "torch", "torch was imported though it is not installed"
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)


def test_without_torch_the_extra_is_named_with_its_command(no_torch, tmp_path):
    report = doctor.examine(tmp_path)
    assert report["torch"] is None
    assert report["extras"]["train"]["missing"][:2] == ["torch", "torchvision"]
    text = doctor.render(report)
    assert "pip install 'medprep[train]'" in text
    assert "torch         not installed" in text


def test_a_missing_core_is_an_error_and_says_how_to_get_it(no_torch, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "medprep._core", None)
    report = doctor.examine(tmp_path)
    assert report["ok"] is False
    text = doctor.render(report)
    assert "ERROR: the compiled core cannot be loaded" in text and "make setup" in text
    assert text.splitlines()[-1].startswith("broken")


def test_the_report_is_json_and_names_the_cpu_path(no_torch, tmp_path, monkeypatch):
    core = type(sys)("medprep._core")
    core.__version__, core.__file__ = "9.9", "/somewhere/_core.so"
    core.cpu_path = lambda: "scalar"
    monkeypatch.setitem(sys.modules, "medprep._core", core)
    report = json.loads(json.dumps(doctor.examine(tmp_path)))
    assert report["ok"] is True
    assert report["core"] == {"version": "9.9", "cpu_path": "scalar", "file": "/somewhere/_core.so"}
    assert report["machine"]["cores"]["usable"] >= 1
    assert report["disk"]["path"] == str(tmp_path)
    assert report["limits"]["open_files"]["soft"] > 0
    assert "scalar code path" in doctor.render(report)


def test_little_shared_memory_and_disk_are_warned_about(no_torch, tmp_path, monkeypatch):
    def small(path, root=None):
        return machine.Space(path=str(path), total_gib=1.0, free_gib=0.06, kind="tmpfs")

    monkeypatch.setattr(machine, "space", small)
    whats = [f["what"] for f in doctor.examine(tmp_path)["findings"] if f["level"] == "warning"]
    assert any("0.1 GiB free on /dev/shm" in what and "DataLoader" in what for what in whats)
    assert any(str(tmp_path) in what for what in whats)


def test_the_command_examines_this_machine():
    report = medprep("doctor")
    assert report["ok"] is True
    assert report["core"]["cpu_path"]
