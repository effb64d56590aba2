"""The arithmetic of bench reports, and the promise that only equal work is compared."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from dicom_files import dicom
from PIL import Image

from medprep.bench import headers
from medprep.bench.arithmetic import (
    Configuration,
    Measurement,
    choose_baseline,
    compare,
    configurations,
)
from medprep.bench.header_tables import header_text, save_header_plot
from medprep.bench.measure import Result, measure
from medprep.bench.plot import save_plot
from medprep.bench.tables import HEADER, cautions, markdown, text_table
from medprep.errors import UsageError, VerificationError
from medprep.synth import write_dataset


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


def measurement(engine, kernel, threads, seconds, *, digest="ab", images=100, startup=()):
    return Measurement(
        configuration=Configuration(engine, kernel, threads),
        seconds=tuple(seconds),
        images=images,
        digest=digest,
        startup_seconds=tuple(startup),
    )


def test_speedup_and_efficiency_are_computed_from_medians():
    table = compare(
        [
            measurement("sequential", "python", 1, (8.0, 9.0, 10.0)),
            measurement("threads", "rust", 1, (3.0, 3.0, 30.0)),
            measurement("threads", "rust", 4, (1.0, 2.0, 0.9)),
        ]
    )
    assert table.baseline == Configuration("sequential", "python", 1)
    one, four = table.rows[1], table.rows[2]
    assert one.median_seconds == 3.0  # one slow round does not move the median
    assert (one.speedup, one.efficiency) == (3.0, 3.0)
    assert (four.speedup, four.efficiency) == (9.0, 2.25)
    assert (four.scaling, four.scaling_efficiency) == (3.0, 0.75)
    assert four.images_per_s == 100.0
    assert four.spread == pytest.approx(1.1)


def test_scaling_refers_to_the_fewest_threads_measured():
    table = compare(
        [measurement("dask", "rust", 2, (4.0,)), measurement("dask", "rust", 8, (2.0,))]
    )
    assert table.rows[1].scaling == 2.0
    assert table.rows[1].scaling_efficiency == 0.5


def test_cluster_start_up_is_stated_and_left_out():
    table = compare(
        [
            measurement("sequential", "python", 1, (6.0,)),
            measurement("dask", "python", 2, (3.0, 3.0), startup=(50.0, 70.0)),
        ]
    )
    assert table.rows[1].speedup == 2.0
    assert table.rows[1].startup_seconds == 60.0
    assert table.rows[0].startup_seconds is None


def test_runs_of_different_work_are_refused():
    same = measurement("sequential", "python", 1, (1.0,))
    with pytest.raises(VerificationError, match="bench refused: threads\\+rust, 2 threads"):
        compare([same, measurement("threads", "rust", 2, (1.0,), digest="cd")])
    with pytest.raises(VerificationError, match="99 images"):
        compare([same, measurement("threads", "rust", 2, (1.0,), images=99)])


def test_the_baseline_is_the_nearest_measured_thing_to_sequential_python():
    rust = Configuration("sequential", "rust", 1)
    threads = [Configuration("threads", k, n) for k in ("rust", "python") for n in (4, 2)]
    assert choose_baseline([*threads, rust]) == rust
    assert choose_baseline(threads) == Configuration("threads", "python", 2)


def test_sequential_is_measured_once_and_duplicates_are_dropped():
    found = configurations(["sequential", "threads"], ["rust"], [1, 2, 2])
    assert found == [
        Configuration("sequential", "rust", 1),
        Configuration("threads", "rust", 1),
        Configuration("threads", "rust", 2),
    ]
    with pytest.raises(UsageError, match="--threads must be 1 or more, got 0"):
        configurations(["threads"], ["rust"], [0])


def test_a_measurement_without_time_is_an_error():
    with pytest.raises(ValueError, match="must be positive"):
        measurement("threads", "rust", 1, (0.0,))


# -- measuring, with a run that only pretends ---------------------------------------------------

PAIRS = [Configuration("sequential", "python", 1), Configuration("threads", "rust", 2)]


class FakeRun:
    """Notes what it was asked for; `digests` may differ by kernel."""

    def __init__(self, digests=None):
        self.calls = []
        self.digests = digests or {}

    def __call__(self, configuration, out, scheduler):
        assert (out / "plan.json").read_text() == "the plan"
        (out / "train-00000.npz").write_bytes(b"shard")
        self.calls.append(configuration)
        return Result(images=3, digest=self.digests.get(configuration.kernel, "same"))


@pytest.fixture
def plan(tmp_path):
    folder = tmp_path / "plan"
    folder.mkdir()
    (folder / "plan.json").write_text("the plan")
    return folder


def test_rounds_are_interleaved_and_the_first_is_not_counted(plan, tmp_path):
    run, lines = FakeRun(), []
    (tmp_path / "scratch").mkdir()
    measured = measure(
        PAIRS, run=run, plan=plan, repeats=3, scratch=tmp_path / "scratch", progress=lines.append
    )
    assert [len(m.seconds) for m in measured] == [3, 3]
    assert [m.configuration for m in measured] == PAIRS
    rounds = [run.calls[k : k + 2] for k in range(0, 8, 2)]
    assert len(run.calls) == 8 and all(sorted(r) == sorted(PAIRS) for r in rounds)
    assert len({tuple(r) for r in rounds}) == 2  # the order changes from round to round
    assert sum(line.startswith("warm-up") for line in lines) == 2


def test_shards_are_deleted_and_the_plan_is_left_alone(plan, tmp_path):
    (tmp_path / "scratch").mkdir()
    measure(PAIRS, run=FakeRun(), plan=plan, repeats=1, scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert [p.name for p in plan.iterdir()] == ["plan.json"]


def test_a_pair_that_makes_other_shards_stops_the_bench_and_cleans_up(plan, tmp_path):
    (tmp_path / "scratch").mkdir()
    run = FakeRun({"python": "one", "rust": "two"})
    with pytest.raises(VerificationError, match="bench refused"):
        measure(PAIRS, run=run, plan=plan, repeats=1, scratch=tmp_path / "scratch")
    assert len(run.calls) == 2
    assert list((tmp_path / "scratch").iterdir()) == []


# -- telling ------------------------------------------------------------------------------------


@pytest.fixture
def comparison():
    return compare(
        [
            measurement("sequential", "python", 1, (8.0, 9.0, 10.0)),
            measurement("threads", "rust", 1, (3.0, 3.0, 3.3)),
            measurement("threads", "rust", 2, (1.5, 1.6, 1.7)),
            measurement("dask", "rust", 2, (2.0, 2.1, 2.2), startup=(1.5, 1.6, 1.7)),
        ]
    )


def test_the_table_names_the_baseline_and_every_figure(comparison):
    text = text_table(comparison)
    assert "speedup: t(sequential+python, 1 thread) / t" in text
    line = next(line for line in text.splitlines() if line.startswith("dask"))
    figures = dict(zip(HEADER, line.split(), strict=True))
    assert (figures["seconds"], figures["spread"], figures["images/s"]) == ("2.100", "10%", "48")
    assert (figures["speedup"], figures["efficiency"]) == ("4.29×", "214%")
    assert (figures["scaling"], figures["start-up s"]) == ("1.00×", "1.60")


@pytest.fixture
def report():
    return {
        "machine": {
            "cpu": "Some CPU",
            "cores": {"usable": 2},
            "memory": {"total_gib": 8.0},
            "load_1min": 0.5,
        },
        "versions": {"medprep": "0.1.0", "opencv": None},
        "input": {"images": 100, "bytes": 2**21, "bytes_per_image": 2**21 / 100, "pipeline": "p"},
        "method": {
            "repeats": 3,
            "warm_up": 1,
            "plan_seconds": 0.1,
            "scratch_file_system": "ext4",
        },
    }


def test_the_page_holds_context_table_and_raw_seconds(report, comparison):
    page = markdown(report, comparison, "bench.png")
    assert "Some CPU, 2 usable cores" in page and "opencv" not in page
    assert "| threads | rust | 2 | 1.600 |" in page
    assert "- sequential+python, 1 thread: 8.0000, 9.0000, 10.0000" in page
    assert "![images per second over threads](bench.png)" in page


def test_noisy_and_busy_benches_are_told_to_be_so(report, comparison):
    report["machine"] |= {"load_1min": 3.0, "cores": {"usable": 1}}
    noise, busy, many = cautions(report, comparison)
    assert "sequential+python, 1 thread varied by 22% between rounds" in noise
    assert "busy at the start (load 3.0 on 1 cores)" in busy
    assert "2 threads on 1 cores" in many


def test_a_quiet_bench_needs_no_caution(report):
    quiet = compare([measurement("threads", "rust", 1, (1.0, 1.01, 1.02))])
    assert cautions(report, quiet) == []


def test_the_plot_is_a_png_of_readable_size(comparison, tmp_path):
    save_plot(comparison, tmp_path / "bench.png", title="made up")
    with Image.open(tmp_path / "bench.png") as image:
        assert image.format == "PNG" and image.width > 1000


# -- for real -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "photos"
    write_dataset(folder, images=16, seed=2, size=64)
    return folder


def test_the_command_compares_real_runs_and_leaves_only_its_report(photos, tmp_path):
    (tmp_path / "scratch").mkdir()
    places = ("--out", tmp_path / "report", "--scratch", tmp_path / "scratch")
    report = medprep("bench", photos, "--threads", "1,2", "--size", 32, "--repeats", 2, *places)
    pairs = [(row["engine"], row["kernel"], row["threads"]) for row in report["rows"]]
    assert pairs == [
        ("sequential", "python", 1),
        ("sequential", "rust", 1),
        ("threads", "python", 1),
        ("threads", "python", 2),
        ("threads", "rust", 1),
        ("threads", "rust", 2),
    ]
    assert report["baseline"] == "sequential+python, 1 thread"
    assert report["rows"][0]["speedup"] == 1.0
    assert all(len(row["seconds"]) == 2 for row in report["rows"])
    assert report["method"]["shards"] >= 8  # enough for two threads
    assert list((tmp_path / "scratch").iterdir()) == []
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"bench.json", "bench.md", "bench.png"}
    assert json.loads((tmp_path / "report/bench.json").read_text())["digest"] == report["digest"]


@pytest.mark.distributed
def test_a_dask_cluster_is_started_apart_from_the_measured_time(photos):
    words = ("--threads", 2, "--size", 32, "--repeats", 1, "--kernels", "rust")
    report = medprep("bench", photos, *words, "--engines", "threads,dask")
    assert report["baseline"] == "threads+rust, 2 threads"
    dask = report["rows"][1]
    assert dask["startup_seconds"] > 0.1


def test_wrong_words_are_refused_before_anything_runs(photos):
    assert "'gpu' is none of" in medprep("bench", photos, "--engines", "gpu", code=2)["error"]
    assert "such as 1,2,4" in medprep("bench", photos, "--threads", "0", code=2)["error"]


# -- headers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    """Six DICOM files and a photo."""
    folder = tmp_path_factory.mktemp("bench") / "scanner"
    folder.mkdir()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for number in range(6):
        (folder / f"{number}.dcm").write_bytes(dicom(pixels))
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder


def test_readers_without_their_packages_are_left_out_by_name(scanner, tmp_path, monkeypatch):
    monkeypatch.setattr(headers, "_is_installed", lambda package: package == "dask")
    paths = headers.dicom_paths(scanner, ["photo.png", *(f"{n}.dcm" for n in range(6))], 1)
    assert len(paths) == 6
    report = headers.compare_headers(scanner, paths, [2, 1, 2], repeats=2)
    assert [(row["reader"], row["threads"]) for row in report["rows"]] == [
        ("medprep", 1),
        ("medprep", 2),
    ]
    assert (report["files"], report["baseline"]) == (6, "medprep, 1 thread")
    assert all(len(row["seconds"]) == 2 for row in report["rows"])
    why = "pydicom not installed (pip install pydicom)"
    assert report["left_out"] == {
        "pydicom, sequential": why,
        "pydicom, Dask processes": why,
    }
    text = header_text(report)
    assert "medprep" in text.splitlines()[1]
    assert f"left out: pydicom, sequential: {why}" in text
    save_header_plot(report, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 800


def test_a_reader_that_fails_on_files_is_told_to_do_so():
    row = {"reader": "pydicom, sequential", "threads": 1, "seconds": [0.2, 0.4], "files_read": 5}
    row |= {"median_seconds": 0.3, "files_per_s": 20.0, "speedup": 1.0}
    report = {"files": 6, "baseline": "pydicom, sequential, 1 thread", "rows": [row]}
    text = header_text({**report, "left_out": {}})
    assert "0.3000" in text
    assert "67%" in text  # spread
    assert "caution: pydicom, sequential failed on 1 of the files" in text


def test_the_command_compares_readers_of_headers_where_there_is_dicom(scanner, tmp_path):
    words = ("--threads", 1, "--size", 8, "--repeats", 1, "--kernels", "rust", "--keep-paths")
    report = medprep("bench", scanner, *words, "--out", tmp_path / "report")
    assert report["headers"]["files"] == 6
    assert "medprep" in {row["reader"] for row in report["headers"]["rows"]}
    named = {row["reader"] for row in report["headers"]["rows"]} | set(
        report["headers"]["left_out"]
    )
    assert named == {"medprep", "pydicom, sequential", "pydicom, Dask processes"}
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"bench.json", "bench.md", "bench.png", "bench-headers.png"}
    assert "## DICOM headers" in (tmp_path / "report" / "bench.md").read_text()


@pytest.mark.distributed
def test_all_readers_read_all_files(scanner):
    pytest.importorskip("pydicom", reason="the reader that is compared with")
    paths = [f"{number}.dcm" for number in range(6)]
    report = headers.compare_headers(scanner, paths, [2], repeats=1)
    assert [(row["reader"], row["files_read"]) for row in report["rows"]] == [
        ("medprep", 6),
        ("pydicom, Dask processes", 6),
        ("pydicom, sequential", 6),
    ]
    assert report["baseline"] == "pydicom, sequential, 1 thread"
