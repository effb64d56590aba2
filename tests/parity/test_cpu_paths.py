"""Every vector path of this CPU: OpenCV's pixels, and the data set of the scalar path.

`MEDPREP_CPU` is read once per process, so each path runs in processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

PATHS = ("scalar", "avx2", "avx512", "avx512vbmi")

# Images per check and path: a few seconds together. Of decoding, what has vector paths.
CHECK = """
import json, sys
import cv2, numpy as np
from parity_checks import CHECKS
from medprep import _core

cv2.setNumThreads(1)
counts = {
    "resize": 200, "fit": 60, "clahe": 120, "clahe16": 20, "median": 100, "gamma": 60,
    "resize, median, gamma 16 bits": 60, "decode JPEG": 60, "decode PNG": 60,
}
rng = np.random.default_rng(20261121)
results = [r for name, count in counts.items() for _ in range(count) for r in CHECKS[name](rng)]
wrong = [f"{r.what}: {r.differing} of {r.values}" for r in results if r.differing]
print(json.dumps({"path": _core.cpu_path(), "compared": len(results), "wrong": wrong[:5]}))
"""


def python(path: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "MEDPREP_CPU": path, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@cache
def trouble_with(path: str) -> str | None:
    """Why this machine cannot run the path, in the core's words; None when it can."""
    done = python(path, "-c", "from medprep import _core; print(_core.cpu_path())")
    if done.returncode == 0:
        assert done.stdout.strip() == path
        return None
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    trouble = trouble_with(name)
    if trouble is not None:
        assert f"this CPU cannot run '{name}'" in trouble
        pytest.skip(trouble)
    return name


def test_pixels_of_the_path_equal_opencv(path: str) -> None:
    done = python(path, "-c", CHECK)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["path"] == path
    assert result["compared"] > 1000
    assert not result["wrong"], result["wrong"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 colour images of odd and even sizes in two classes."""
    source = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(7)
    for number in range(12):
        folder = source / ("normal" if number % 2 else "sick")
        folder.mkdir(exist_ok=True)
        height, width = (int(n) for n in rng.integers(150, 700, 2))
        small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / f"{number:02}.{'jpg' if number % 3 else 'png'}"), image)
    return source


def digest(path: str, source: Path, out: Path) -> str:
    words = ("-m", "medprep", "shard", str(source), str(out), "--preset", "glaucoma", "--json")
    done = python(path, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "run.json").read_text())["cpu_path"] == path
    found: str = json.loads(done.stdout.splitlines()[-1])["digest"]
    return found


def test_the_data_set_of_the_path_is_that_of_the_scalar_path(
    path: str, collection: Path, tmp_path: Path
) -> None:
    scalar = digest("scalar", collection, tmp_path / "scalar")
    assert digest(path, collection, tmp_path / "path") == scalar


@pytest.mark.parametrize("verb", ["shard", "bench"])
def test_an_unknown_path_is_refused_once_before_anything_is_written(
    verb: str, collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = python("sse9", "-m", "medprep", verb, str(collection), *([str(out)][: verb == "shard"]))
    assert done.returncode == 2
    reason = "MEDPREP_CPU: unknown path 'sse9'; expected one of scalar, avx2, avx512, avx512vbmi"
    assert done.stderr.count(reason) == 1
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_doctor_names_the_path_and_finds_an_unknown_one() -> None:
    report = json.loads(python("scalar", "-m", "medprep", "doctor", "--json").stdout)
    assert report["core"]["cpu_path"] == "scalar"
    report = json.loads(python("sse9", "-m", "medprep", "doctor", "--json").stdout)
    assert report["ok"] is False
    assert report["core"]["cpu_path"] is None
    assert any("unknown path 'sse9'" in finding["what"] for finding in report["findings"])
