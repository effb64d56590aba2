"""What users install is the wheel: build it, install it into a clean environment, use it there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, **environment},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet"),
        *("--out", out, "--interpreter", sys.executable),
        cwd=repository,
    )
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and its base dependencies only: no torch, OpenCV, Dask."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    made = run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    assert made.returncode == 0, made.stderr
    lock = Path(__file__).resolve().parents[1] / "requirements" / "dev.lock"
    versions = folder.parent / "versions.txt"
    versions.write_text(
        "\n".join(
            line.removesuffix("\\").strip()
            for line in lock.read_text().splitlines()
            if line and not line.startswith((" ", "#"))
        )
    )
    installed = run(
        *(Path(sys.executable).with_name("uv"), "pip", "install", "--quiet"),
        *("--python", folder / "bin" / "python", "--constraint", versions, wheel),
        cwd=folder.parent,
    )
    if installed.returncode != 0 and "failed to fetch" in installed.stderr.lower():
        pytest.skip(f"the package index cannot be reached: {installed.stderr.strip()[:200]}")
    assert installed.returncode == 0, installed.stderr
    return folder


def test_wheel_holds_both_packages_their_types_and_one_abi3_extension(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"medprep/py.typed", "medtrain/py.typed", "medprep/_core.pyi"} <= names
    assert [n for n in names if n.endswith(".so")] == ["medprep/_core.abi3.so"]
    assert "medtrain/recipes/glaucoma.yaml" in names
    assert "-cp311-abi3-" in wheel.name


@pytest.mark.parametrize("command", ["medprep", "medtrain"])
def test_both_commands_run_from_the_installed_wheel(clean_environment: Path, command: str) -> None:
    shown = run(clean_environment / "bin" / command, "--help", cwd=clean_environment)
    assert shown.returncode == 0, shown.stderr
    assert "Usage:" in shown.stdout


def test_the_installed_wheel_shards_and_verifies(clean_environment: Path, tmp_path: Path) -> None:
    medprep = clean_environment / "bin" / "medprep"
    made = run(medprep, "synth", "images", "--images", "12", "--seed", "1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    sharded = run(medprep, "shard", "images", "out", "--size", "32", "--json", cwd=tmp_path)
    assert sharded.returncode == 0, sharded.stderr
    assert json.loads(sharded.stdout.splitlines()[-1])["images"] == 12
    assert run(medprep, "verify", "out", cwd=tmp_path).returncode == 0


def test_training_without_its_extra_names_the_command_that_installs_it(
    clean_environment: Path, tmp_path: Path
) -> None:
    medtrain = clean_environment / "bin" / "medtrain"
    refused = run(medtrain, "serial", "--recipe", "classify", "--data", "nowhere", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "pip install 'medprep[train]'" in refused.stderr
    assert "Traceback" not in refused.stderr
