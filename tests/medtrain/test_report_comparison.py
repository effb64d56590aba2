"""Speedups only where they mean something; seeds together; differences said."""

import json

import numpy as np
import pytest
from fake_runs import make_run

from medtrain.reports import report_data, write_html

SMALL = {"epochs": 4, "sizes": (800, 120, 150)}


def speedup_of(*runs):
    (row,) = report_data(list(runs))["comparison"]["speedups"]
    return row


@pytest.fixture
def serial(tmp_path):
    return make_run(tmp_path / "serial", images_per_s=100.0, **SMALL)


def ddp(tmp_path, name="ddp", **changes):
    options = {"strategy": "ddp", "world_size": 2, "images_per_s": 190.0} | SMALL | changes
    return make_run(tmp_path / name, **options)


def steady(run):
    rates = [
        e["train"]["images_per_s"]
        for e in map(json.loads, (run / "records.jsonl").read_text().splitlines())
        if e["event"] == "epoch"
    ]
    return float(np.median(rates[1:]))


def test_speedup_is_the_ratio_of_medians_without_the_first_epoch(serial, tmp_path):
    other = ddp(tmp_path)
    row = speedup_of(serial, other)
    assert row["speedup"] == pytest.approx(steady(other) / steady(serial))
    assert row["efficiency"] == pytest.approx(row["speedup"] / 2)
    assert row["baseline"] == "serial" and row["refused"] is None
    assert row["scaling"] == "weak (batch 32 per process in both)"
    assert "from 1 repeat, not 3 or more" in row["notes"]


def test_same_global_batch_is_strong_scaling(serial, tmp_path):
    row = speedup_of(serial, ddp(tmp_path, batch_size=16))
    assert row["scaling"] == "strong (global batch 32 in both)"


def test_threads_count_as_processors_on_a_cpu(serial, tmp_path):
    # two processes of eight threads against one of four: four times the processors, not two
    row = speedup_of(serial, ddp(tmp_path, threads=8))
    assert row["units"] == 4.0


def test_more_than_linear_is_flagged(serial, tmp_path):
    other = ddp(tmp_path, images_per_s=250.0)
    row = speedup_of(serial, other)
    assert row["efficiency"] > 1
    assert row["notes"][0].startswith("more than linear: do not report it")
    page = write_html([serial, other], tmp_path / "r.html").read_text()
    assert "more than linear" in page


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digest": "b" * 64}, "the data set digest differs"),
        ({"precision": "bf16"}, "the precision differs"),
        ({"commit": "f" * 40}, "the commit differs"),
        ({"commit": None}, "one has no commit"),
        ({"model": "tiny_cnn"}, "the model differs"),
        ({"gpu": "NVIDIA A100"}, "the hardware differs"),
        ({"epochs": 1}, "no throughput after the first epoch, which is warm-up"),
    ],
)
def test_runs_that_are_not_alike_get_a_reason_instead(change, reason, serial, tmp_path):
    row = speedup_of(serial, ddp(tmp_path, **change))
    assert row["speedup"] is None and reason in row["refused"]


def test_without_a_serial_run_there_is_no_speedup(tmp_path):
    rows = report_data([ddp(tmp_path, "a"), ddp(tmp_path, "b", world_size=4)])["comparison"]
    assert {row["refused"] for row in rows["speedups"]} == {
        "there is no serial run of the same code to compare with"
    }


def test_without_commits_equal_versions_must_show_that_the_code_is_the_same(tmp_path):
    one = make_run(tmp_path / "one", commit=None, images_per_s=100.0, **SMALL)
    row = speedup_of(one, other := ddp(tmp_path, commit=None))
    assert row["notes"][-1] == "no commit is recorded: same code is taken from equal versions"
    path = other / "environment.json"
    path.write_text(path.read_text().replace('"medprep": "0.1.0"', '"medprep": null'))
    refused = speedup_of(one, other)["refused"]
    assert "neither commit nor equal versions show that the code is the same" in refused


def test_differences_are_said_in_words(serial, tmp_path):
    runs = [serial, ddp(tmp_path, digest="b" * 64, commit=None)]
    comparison = report_data(runs)["comparison"]
    digest = "The data set digest differs between the runs: the numbers are of different data."
    assert comparison["differences"] == [digest]
    assert comparison["unrecorded"] == ["The commit is not recorded for 'ddp'."]


def test_unrecorded_commit_alone_does_not_make_runs_unlike(tmp_path):
    runs = [make_run(tmp_path / f"s{seed}", seed=seed, commit=None, **SMALL) for seed in (1, 2)]
    page = write_html(runs, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The runs are not alike" not in page
    assert "Not all is known of the runs" in page


def test_seeds_become_one_setting_with_median_and_interval(tmp_path):
    runs = [make_run(tmp_path / f"s{seed}", seed=seed, **SMALL) for seed in (1, 2, 3, 4, 5)]
    (summary,) = report_data(runs)["comparison"]["seeds"]
    values = [json.loads((run / "metrics.json").read_text())["test"]["auroc"] for run in runs]
    row = summary["splits"]["test"]["auroc"]
    assert row["median"] == float(np.median(values)) and row["n"] == 5
    assert min(values) <= row["low"] <= row["median"] <= row["high"] <= max(values)
    assert row["method"] == "percentile bootstrap of the median over 5 seeds"
    assert summary["seeds"] == [1, 2, 3, 4, 5]


def test_two_seeds_show_their_range(tmp_path):
    runs = [make_run(tmp_path / f"s{seed}", seed=seed, **SMALL) for seed in (1, 2)]
    (summary,) = report_data(runs)["comparison"]["seeds"]
    assert summary["splits"]["val"]["accuracy"]["method"] == "range of 2 seeds"


def test_other_settings_are_not_taken_for_seeds(tmp_path):
    runs = [
        make_run(tmp_path / "a", seed=1, **SMALL),
        make_run(tmp_path / "b", seed=2, batch_size=64, **SMALL),
    ]
    compared = report_data(runs)["comparison"]
    assert compared["seeds"] == []
    assert [row["name"] for row in compared["config_differences"]] == ["data.batch_size", "seed"]


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / side / "run", **SMALL) for side in ("left", "right")]
    names = [run["name"] for run in report_data(runs)["runs"]]
    assert names == ["left/run", "right/run"]


def test_finished_and_unfinished_runs_share_a_page(serial, tmp_path):
    other = ddp(tmp_path, state="running", epochs=2)
    page = write_html([serial, other], tmp_path / "r.html").read_text()
    assert "2 runs compared" in page and "AUROC on the validation split" in page


def test_memory_of_a_process_is_held_against_ddps(serial, tmp_path):
    runs = [serial, ddp(tmp_path), ddp(tmp_path, "fsdp", strategy="fsdp")]
    rows = report_data(runs)["comparison"]["memory"]
    assert [row["run"] for row in rows] == ["serial", "ddp", "fsdp"]
    assert [row["held_bytes"] for row in rows] == [16 * 4_832_130] * 2 + [8 * 4_832_130]
    assert [row["of_ddp"] for row in rows] == [1.0, 1.0, 0.5]
    page = write_html(runs, tmp_path / "r.html").read_text()
    assert "Memory of a process" in page and "50%" in page


def test_memory_without_a_run_of_ddp_is_shown_without_a_ratio(serial, tmp_path):
    runs = [serial, ddp(tmp_path, "fsdp", strategy="fsdp"), ddp(tmp_path, model="tiny_cnn")]
    rows = report_data(runs)["comparison"]["memory"]
    assert [row["of_ddp"] for row in rows] == [None, None, 1.0]


def test_a_run_that_is_not_done_has_no_memory_yet(serial, tmp_path):
    other = ddp(tmp_path, state="running", epochs=2)
    (row,) = report_data([serial, other])["comparison"]["memory"]
    assert row["run"] == "serial"
