"""One scaling study from the grid to its files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medtrain import files
from medtrain.errors import StorageError
from medtrain.scaling.advice import advise
from medtrain.scaling.grid import Case, Grid, baseline_of
from medtrain.scaling.measure import CaseError, Workload, measure, to_json
from medtrain.scaling.page import render
from medtrain.scaling.pictures import draw
from medtrain.scaling.study import Measurement, Study, study
from medtrain.scaling.tables import COLUMNS, columns, markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """How often, on what, and what is known of the machine (JSON-ready, for the page)."""

    work: Workload
    repeats: int = 3
    scratch: Path | None = None


def run_study(
    grids: Sequence[Grid],
    options: StudyOptions,
    *,
    say: Callable[[str], None] = lambda line: None,
    measure_once: Callable[..., Measurement] = measure,
) -> tuple[list[Measurement], list[str]]:
    """Measure every setting once a round, in an order of its own; the first round is not counted.

    Returns the measurements and a line for every case that could not be measured (a strategy that
    needs a GPU, a batch that does not fit): the others are still compared.
    """
    cases = [case for grid in grids for case in grid.cases()]
    settings = list({case.setting: case for case in cases}.values())
    broken: dict[Any, str] = {}
    results: dict[Any, list[Measurement]] = {case.setting: [] for case in settings}
    for turn in range(options.repeats + 1):
        # Each round starts elsewhere, so that no setting is always measured after the same one.
        first = turn % len(settings)
        for case in settings[first:] + settings[:first]:
            if case.setting in broken:
                continue
            say(f"{'warm-up' if turn == 0 else f'round {turn}'}: {case}")
            try:
                found = measure_once(case, options.work, scratch=options.scratch)
            except CaseError as error:
                broken[case.setting] = str(error)
                say(f"left out: {error}")
                continue
            if turn > 0:
                results[case.setting].append(found)
    return _for_cases(cases, results), list(broken.values())


def _for_cases(cases: Sequence[Case], results: dict[Any, list[Measurement]]) -> list[Measurement]:
    """Measurements of a setting under the name of every case that has it (strong and weak)."""
    measured = {case: results[case.setting] for case in cases}
    return [replace(m, case=case) for case, found in measured.items() for m in found]


def write_files(
    out: Path,
    measurements: Sequence[Measurement],
    facts: dict[str, Any],
    left_out: Sequence[str],
) -> dict[str, Any]:
    """Write measurements.jsonl, scale.{json,csv,md,html} and plots/*.svg; returns scale.json.

    facts: machine, versions, data digest, commit, workload. Raises StorageError.
    """
    found = study(_comparable(measurements))
    advice = advise(found, cores=int(facts["machine"]["cores"]))
    report = {
        **facts,
        "rows": [row.to_json() for row in found.rows],
        "devices": [{**asdict(row), "name": str(row.case)} for row in found.devices],
        "amdahl": [asdict(fit) for fit in found.amdahl],
        "advice": advice,
        "left_out": list(left_out),
    }
    pictures = draw(found, measurements)
    try:
        (out / "plots").mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{to_json(m)}\n" for m in measurements)
        files.write_text(out / "measurements.jsonl", lines)
        files.write_text(out / "scale.csv", _csv(found))
        files.write_text(out / "scale.md", markdown(found, report))
        for name, picture in pictures.files.items():
            files.write_text(out / "plots" / f"{name}.svg", picture)
        files.write_text(out / "scale.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
        files.write_text(out / "scale.html", render(found, report, pictures))
    except OSError as error:
        raise StorageError(f"--out {out}: cannot write: {error.strerror}") from None
    return report


def _comparable(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those whose baseline was measured too."""
    cases = list(dict.fromkeys(m.case for m in measurements))

    def has_baseline(case: Case) -> bool:
        try:
            baseline_of(case, cases)
        except StopIteration:
            return False
        return True

    return [m for m in measurements if has_baseline(m.case)]


def _csv(found: Study) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(columns(row) for row in found.rows)
    return buffer.getvalue()
