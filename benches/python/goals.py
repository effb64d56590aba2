"""What was promised for each workload, and whether a measurement keeps it.

The limits are those of the project's goals for one thread; on AVX-512 and on AVX2 they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_sets import DASK, NAMES, RECIPE
from peers import MEDPREP
from run_cost import FIXED_MIB
from workloads import Workload

AVX512, AVX2 = "AVX-512", "AVX2"
CPU_OF_ONE_THREAD = 1.05  # at most, per image, with two threads

# The bare decoders that the promises are about; against a slower one they would say nothing.
FLOORS = {
    "jpeg": "bare decoder: libjpeg-turbo (simplejpeg)",
    "png": "bare inflate: libdeflate (deflate)",
}
# Of the bare decoder's time, at most, and of OpenCV's speed, at least: (AVX-512, AVX2).
OF_FLOOR = {
    "JPEG 2480x2048 -> 512": (0.70, 0.80),
    "JPEG 2480x2048 -> 224": (0.65, 0.75),
    "JPEG 512 -> 224": (0.85, 1.0),
    "grey JPEG 1700x1200 -> 416": (0.55, 0.60),
    "PNG 512 -> 224": (1.6, 1.7),
}
X_OPENCV = {
    "JPEG 2480x2048 -> 512": (2.8, 2.5),
    "JPEG 2480x2048 -> 224": (2.7, 2.4),
    "JPEG 512 -> 224": (3.6, 3.1),
    "grey JPEG 1700x1200 -> 416": (3.3, 3.0),
    "PNG 512 -> 224": (3.5, 3.3),
    "post-chain 224": (5.0, 3.5),
    "post-chain 512": (5.0, 3.5),
    "JPEG 2480x2048 -> 224, --fast-decode": (4.0, 4.0),
}
# Of medprep's speed against other makers of data sets, at least, with as many threads.
X_DASK = {"jpeg": 2.5, "png": 3.0}
X_RECIPE = {"JPEG 2480x2048 -> 224": 8.0, "JPEG 512 -> 224": 20.0, "PNG 512 -> 224": 20.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One promise and what was found. is_least: `limit` is a lower bound, else an upper one."""

    what: str
    limit: float
    found: float
    is_least: bool

    @property
    def is_kept(self) -> bool:
        """Whether the measurement is on the right side; on the limit is right."""
        return self.found >= self.limit if self.is_least else self.found <= self.limit

    def to_json(self) -> dict[str, Any]:
        """The goal as plain values, unrounded."""
        return {
            "what": self.what,
            "at_least" if self.is_least else "at_most": self.limit,
            "found": self.found,
            "kept": self.is_kept,
        }

    def __str__(self) -> str:
        bound = "at least" if self.is_least else "at most"
        verdict = "kept" if self.is_kept else "missed"
        return f"{self.what} {bound} {self.limit:.2f}: {self.found:.2f}, {verdict}"


def instructions(core_path: str | None) -> str | None:
    """Which column of the goals counts on that path of the core; None on the scalar one."""
    if core_path is not None and core_path.startswith("avx512"):
        return AVX512
    return AVX2 if core_path == "avx2" else None


def chain_goals(
    workload: Workload, rows: Sequence[dict[str, Any]], core_path: str | None
) -> list[Goal]:
    """Those of a chain, one thread. rows: of `peer_report.chain_rows`."""
    name, column = instructions(core_path), workload.name
    mine = next((row for row in rows if row["peer"] == MEDPREP), None)
    if name is None or mine is None:
        return []
    which = (AVX512, AVX2).index(name)
    goals = []
    has_floor = FLOORS[workload.image_format] in [row["peer"] for row in rows]
    if column in OF_FLOOR and has_floor:
        goals.append(
            Goal(
                what=f"t / bare decoder ({name})",
                limit=OF_FLOOR[column][which],
                found=mine["of_floor"],
                is_least=False,
            )
        )
    if column in X_OPENCV:
        goals.append(
            Goal(
                what=f"x OpenCV ({name})",
                limit=X_OPENCV[column][which],
                found=mine["x_opencv"],
                is_least=True,
            )
        )
    return goals


def data_set_goals(workload: Workload, rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Those of files to archive. rows: of `peer_report.data_set_rows`."""
    limits = {NAMES[DASK]: X_DASK.get(workload.image_format)}
    limits[NAMES[RECIPE]] = X_RECIPE.get(workload.name)
    goals = []
    for row in rows:
        limit, found = limits.get(row["maker"]), row["of_medprep"]
        if limit is not None and found is not None:
            threads = row["threads"]
            what = f"against {row['maker']}, {threads} thread{'s' if threads > 1 else ''},"
            goals.append(Goal(what=what, limit=limit, found=found, is_least=True))
    return goals


def cost_goals(rows: Sequence[dict[str, Any]], *, image_mib: float) -> list[Goal]:
    """Those of CPU and memory. rows: of `run_cost.cost_rows`; image_mib: the largest, decoded.

    What a thread may hold is a decoded image and its scratch memory; the latter is counted as
    nothing here, so the limit is on the strict side. Several processes are only there to compare.
    """
    goals = []
    for row in rows:
        threads = row["threads"]
        if row["processes"] > 1:
            continue
        if threads == 2:
            goals.append(
                Goal(
                    what="CPU per image at two threads, of one thread's,",
                    limit=CPU_OF_ONE_THREAD,
                    found=row["of_one_thread"],
                    is_least=False,
                )
            )
        goals.append(
            Goal(
                what=f"MiB resident at threads = {threads}",
                limit=FIXED_MIB + threads * image_mib,
                found=row["peak_mib"],
                is_least=False,
            )
        )
    return goals
