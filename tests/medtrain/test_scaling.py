"""The scaling study: its arithmetic, what it refuses, and what it says."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime

import pytest

from medtrain.errors import UsageError
from medtrain.scaling import Grid, Measurement, StudyOptions, run_study, study
from medtrain.scaling.advice import advise
from medtrain.scaling.grid import Case, baseline_of
from medtrain.scaling.measure import CaseError, Workload, command, from_events
from medtrain.scaling.session import write_files
from medtrain.scaling.study import fit_amdahl
from medtrain.scaling.tables import amdahl_text

FACTS = {
    "machine": {"cores": 4, "cpu_model": "a CPU", "gpus": []},
    "versions": {"torch": "2.15.0"},
    "commit": None,
    "workload": {
        **{"data": "shards", "digest": "ab" * 32, "recipe": "glaucoma", "model": "tiny_cnn"},
        **{"steps": 20, "warmup": 4, "repeats": 3},
    },
}


def grid(**changes):
    values = {
        **{"strategies": ("ddp",), "processes": (2, 4), "threads": (1,)},
        **{"precisions": ("fp32",), "batches": (32,)},
    }
    return Grid(**{**values, **changes})


def measured(case, rate, **changes):
    values = {"images_per_s": rate, "step_s": case.batch / rate, "waiting": 0.0, "startup_s": 1.0}
    return Measurement(case=case, **{**values, **changes})


def case(processes, *, strategy="ddp", scaling="strong", batch=32, threads=1, device="cpu"):
    return Case(scaling, device, strategy, processes, threads, "fp32", batch)


SERIAL = case(1, strategy="serial")


def workload(tmp_path):
    return Workload(data=tmp_path, recipe=None, config=None, sets=(), steps=20, warmup=4)


# -- the grid -----------------------------------------------------------------------------------


def test_a_serial_baseline_is_measured_even_when_it_is_not_asked_for() -> None:
    cases = grid().cases()
    assert cases == [SERIAL, case(2), case(4)]


def test_strong_scaling_keeps_the_global_batch_and_weak_the_batch_per_process() -> None:
    cases = grid(scalings=("strong", "weak")).cases()
    batches = {(c.scaling, c.processes): c.batch for c in cases}
    assert batches == {
        **{("strong", 1): 32, ("strong", 2): 32, ("strong", 4): 32},
        **{("weak", 1): 32, ("weak", 2): 64, ("weak", 4): 128},
    }
    assert all(baseline_of(c, cases).batch == 32 for c in cases)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be cut into 3 equal parts"):
        grid(processes=(3,)).cases()


def test_a_pipeline_keeps_its_batch_whole() -> None:
    assert grid(strategies=("pipeline",), processes=(3,)).cases()[1].batch == 32


@pytest.mark.parametrize("changes", [{"processes": (0,)}, {"threads": ()}, {"scalings": ("odd",)}])
def test_an_impossible_grid_is_refused(changes) -> None:
    with pytest.raises(UsageError):
        grid(**changes)


# -- the arithmetic -----------------------------------------------------------------------------


def test_speedup_and_efficiency_are_ratios_of_medians() -> None:
    runs = [measured(SERIAL, rate) for rate in (90, 100, 130)]
    runs += [measured(case(2), rate) for rate in (150, 170, 190)]
    row = study(runs).rows[1]
    assert row.speedup == 1.7
    assert row.efficiency == 0.85
    assert (row.slowest, row.fastest, row.repeats) == (150, 190, 3)
    assert row.spread == pytest.approx(40 / 170)


def test_more_than_linear_is_flagged_only_beyond_the_spread() -> None:
    def rows(rate):
        runs = [measured(SERIAL, r) for r in (98, 100, 102)]
        return study([*runs, *(measured(case(2), rate) for _ in range(3))]).rows[1]

    assert not rows(206).superlinear  # efficiency 1.03 within a spread of 0.04
    assert rows(210).superlinear


def test_memory_is_that_of_the_process_and_repeat_that_needed_most() -> None:
    runs = [measured(SERIAL, 100, memory=10), measured(SERIAL, 100, memory=30)]
    assert study(runs).rows[0].memory == 30
    assert study([measured(SERIAL, 100)]).rows[0].memory is None


def test_amdahl_finds_the_serial_share_it_was_made_with() -> None:
    share = 0.2
    points = [(n, 1 / (share + (1 - share) / n)) for n in (2, 4, 8)]
    fit = fit_amdahl("ddp", points)
    assert fit.serial_share == pytest.approx(share)
    assert fit.limit == pytest.approx(5)
    assert fit.error == pytest.approx(0, abs=1e-12)


def test_amdahl_says_nothing_of_a_limit_when_scaling_is_more_than_linear() -> None:
    fit = fit_amdahl("ddp", [(2, 2.2)])
    assert fit.serial_share < 0
    assert fit.limit is None


def test_amdahl_gives_no_limit_from_one_point_or_where_more_is_slower() -> None:
    assert "any law would fit" in amdahl_text(fit_amdahl("ddp", [(2, 1.5)]))
    slower = amdahl_text(fit_amdahl("fsdp", [(2, 0.5), (4, 0.4)]))
    assert "slower with more processes" in slower
    assert "at most" not in slower
    assert "at most 2.0x" in amdahl_text(fit_amdahl("ddp", [(2, 4 / 3), (4, 1.6)]))


def test_amdahl_uses_strong_scaling_only() -> None:
    weak = [case(1, strategy="serial", scaling="weak"), case(2, scaling="weak", batch=64)]
    assert study([measured(c, 100) for c in weak]).amdahl == ()


def test_a_case_without_a_baseline_is_refused() -> None:
    with pytest.raises(UsageError, match="no serial measurement"):
        study([measured(case(2), 100)])


def test_a_rate_that_is_no_number_never_enters_a_table() -> None:
    with pytest.raises(ValueError, match="positive"):
        measured(SERIAL, math.nan)


def test_gpus_are_compared_with_the_fastest_serial_cpu_and_not_as_speedup() -> None:
    gpu = case(1, strategy="serial", device="cuda")
    slow, fast = SERIAL, case(1, strategy="serial", threads=4)
    found = study([measured(slow, 10), measured(fast, 20), measured(gpu, 400)])
    assert [(row.reference, row.ratio) for row in found.devices] == [(fast, 20.0)]
    assert found.rows[2].speedup == 1.0


# -- measuring ----------------------------------------------------------------------------------


def test_rounds_are_interleaved_and_the_first_is_not_counted(tmp_path) -> None:
    seen = []

    def fake(which, work, *, scratch):
        seen.append(which)
        return measured(which, 100 + len(seen))

    options = StudyOptions(work=workload(tmp_path), repeats=2)
    runs, left_out = run_study([grid(processes=(2,))], options, measure_once=fake)
    assert seen == [SERIAL, case(2), case(2), SERIAL, SERIAL, case(2)]
    assert [run.images_per_s for run in runs] == [104, 105, 103, 106]
    assert left_out == []


def test_a_setting_of_two_cases_is_measured_once(tmp_path) -> None:
    seen = []

    def fake(which, work, *, scratch):
        seen.append(which.setting)
        return measured(which, 100)

    options = StudyOptions(work=workload(tmp_path), repeats=1)
    both = grid(processes=(2,), scalings=("strong", "weak"))
    runs, _ = run_study([both], options, measure_once=fake)
    assert len(set(seen)) == 3
    assert len(seen) == 6
    assert {run.case.scaling for run in runs} == {"strong", "weak"}


def test_what_cannot_be_measured_is_left_out_with_its_reason(tmp_path) -> None:
    def fake(which, work, *, scratch):
        if which.processes == 4:
            raise CaseError(f"{which}: out of memory")
        return measured(which, 100)

    options = StudyOptions(work=workload(tmp_path), repeats=1)
    runs, left_out = run_study([grid()], options, measure_once=fake)
    assert {run.case.processes for run in runs} == {1, 2}
    assert left_out == [f"{case(4)}: out of memory"]


def test_steps_of_the_warm_up_do_not_count(tmp_path) -> None:
    work = workload(tmp_path)
    assert (work.window, work.total) == (4, 24)
    rates = [5, 100, 110, 90, 105, 95]
    events = [
        {
            **{"event": "step", "step": 4 * (n + 1), "images_per_s": rate, "loss": 1.0},
            **{"data_seconds": 0.1 if n else 9.0, "seconds": 2.0 if n else 20.0},
            "time": "2026-01-01T00:00:30+00:00",
        }
        for n, rate in enumerate(rates)
    ]
    memory = {"event": "memory", "peak_bytes": 7, "ranks": []}
    begin = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    found = from_events(case(2), work, [*events, memory], begin=begin)
    assert found.images_per_s == 100
    assert found.step_s == 0.32
    assert found.waiting == pytest.approx(0.05)
    assert found.startup_s == 10
    assert found.memory == 7
    assert found.losses[0] == (4, 1.0)


def test_windows_that_do_not_divide_the_steps_count_no_warm_up(tmp_path) -> None:
    work = Workload(data=tmp_path, recipe=None, config=None, sets=(), steps=11, warmup=3)
    assert (work.window, work.measured, work.total) == (2, 10, 14)
    events = [
        {
            **{"event": "step", "step": step, "images_per_s": 100 if step > 4 else 1},
            **{"loss": None, "data_seconds": 0.0, "seconds": 1.0},
            "time": "2026-01-01T00:00:30+00:00",
        }
        for step in range(2, 15, 2)
    ]
    found = from_events(case(2), work, events, begin=0.0)
    assert found.images_per_s == 100
    assert found.losses == ()  # not finite: recorded as null
    with pytest.raises(CaseError, match="no step after the warm-up"):
        from_events(case(2), work, events[:2], begin=0.0)


def test_a_process_gets_its_part_of_the_batch(tmp_path) -> None:
    words = command(case(4), workload(tmp_path), tmp_path / "run")
    assert words[words.index("--batch-size") + 1] == "8"
    words = command(case(4, strategy="pipeline"), workload(tmp_path), tmp_path / "run")
    assert words[words.index("--batch-size") + 1] == "32"
    assert not any(word.startswith("pipeline.schedule") for word in words)


@pytest.mark.parametrize("schedule", ["naive", "alternating"])
def test_a_model_split_without_micro_batches_is_a_pipeline_of_that_schedule(tmp_path, schedule):
    split = case(4, strategy=f"pipeline-{schedule}")
    words = command(split, workload(tmp_path), tmp_path / "run")
    assert words[3] == "pipeline" and f"pipeline.schedule={schedule}" in words
    assert words[words.index("--batch-size") + 1] == "32"
    assert split in grid(strategies=(split.strategy,), scalings=("strong", "weak")).cases()


# -- words and files ----------------------------------------------------------------------------


def advice(runs, cores=4):
    return " ".join(advise(study(runs), cores=cores))


def test_advice_follows_from_the_numbers() -> None:
    serial = [measured(SERIAL, 100) for _ in range(3)]
    good = [measured(case(2), 190) for _ in range(3)]
    poor = [measured(case(2), 110) for _ in range(3)]
    worse = [measured(case(2), 80) for _ in range(3)]
    assert "more processes are worth it" in advice([*serial, *good])
    assert "45% of the processes' time" in advice([*serial, *poor])
    assert "No parallel setting beat one process" in advice([*serial, *worse])
    assert "wants 2 cores of the 1" in advice([*serial, *good], cores=1)
    assert "Only one process" in advice(serial)
    hungry = [measured(case(2), 190, waiting=0.4) for _ in range(3)]
    assert "waits 40% of its time for data" in advice([*serial, *hungry])
    assert "fewer than 3 times" in advice([serial[0], good[0]])


def test_the_pipeline_is_held_against_the_split_without_micro_batches() -> None:
    serial = [measured(SERIAL, 100) for _ in range(3)]
    split = [measured(case(2, strategy="pipeline-alternating"), 80) for _ in range(3)]
    faster, same = (
        [measured(case(2, strategy="pipeline"), rate) for rate in rates]
        for rates in ((138, 140, 142), (78, 81, 84))
    )
    words = "gets through {} times the images of pipeline-alternating"
    said = advice([*serial, *split, *faster])
    assert words.format("1.75") in said and "no more than the repeats differ" not in said
    said = advice([*serial, *split, *same])
    assert words.format("1.01") in said and "no more than the repeats differ" in said
    assert "gets through" not in advice([*serial, *faster])


def test_what_strong_and_weak_scaling_share_is_said_once() -> None:
    names = ("serial", "pipeline", "pipeline-naive")
    cases = [
        case(1 if name == "serial" else 2, strategy=name, scaling=scaling)
        for scaling in ("strong", "weak")
        for name in names
    ]
    assert advice([measured(each, 100) for each in cases for _ in range(3)]).count("gets") == 1


def test_noise_is_named_before_anything_else() -> None:
    serial = [measured(SERIAL, rate) for rate in (80, 100, 140)]
    sentences = advise(study([*serial, *(measured(case(2), 150) for _ in range(3))]), cores=4)
    assert "differ by 60%" in sentences[0]


def test_the_files_agree_with_each_other(tmp_path) -> None:
    losses = ((32, 0.7), (64, 0.6))
    runs = [measured(SERIAL, 100, losses=losses) for _ in range(3)]
    runs += [measured(case(2), 150, losses=losses, memory=2**30) for _ in range(3)]
    report = write_files(tmp_path / "out", runs, FACTS, ["fsdp: needs a GPU"])
    rows = list(csv.DictReader((tmp_path / "out" / "scale.csv").read_text().splitlines()))
    assert [float(row["speedup"]) for row in rows] == [1.0, 1.5]
    assert [row["speedup"] for row in report["rows"]] == [1.0, 1.5]
    assert json.loads((tmp_path / "out" / "scale.json").read_text()) == report
    page = (tmp_path / "out" / "scale.html").read_text()
    text = (tmp_path / "out" / "scale.md").read_text()
    for words in ("1.50", "fsdp: needs a GPU", "serial share", "1,024"):
        assert words in page
        assert words in text
    plots = {path.stem for path in (tmp_path / "out" / "plots").glob("*.svg")}
    curves = {f"{name}-strong" for name in ("speedup", "efficiency", "throughput", "memory")}
    assert plots == {*curves, "losses"}
    lines = (tmp_path / "out" / "measurements.jsonl").read_text().splitlines()
    assert len(lines) == 6
