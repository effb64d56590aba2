"""The comparison with other libraries: its arithmetic, its honesty, and a tiny run of it."""

from __future__ import annotations

import dataclasses
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

import peer_report
import peers
import run_cost
from compare import main
from data_sets import DASK, MEDPREP, RECIPE, DataSetResult, measure_data_sets
from goals import FLOORS, OF_FLOOR, X_OPENCV, X_RECIPE, chain_goals, cost_goals, data_set_goals
from medprep.bench.arithmetic import Configuration, Measurement, compare
from medprep.errors import UsageError, VerificationError
from medprep.pipeline import Overrides
from medprep.synth import write_dataset
from peer_report import BEGIN, END, Report, cautions, chain_rows, data_set_rows, markdown
from rounds import ChainResult, PeerTimes, Worker, check_pixels, compared, measure_chains
from run_cost import FIXED_MIB, MIB, Cost, RunCosts, Way, cost_rows, measure_run_costs
from stage_times import STAGES, StageTimes, measure_stages, stage_row
from workloads import WORKLOADS, describe, find_files

pytest.importorskip("cv2", reason="OpenCV is the baseline of the comparison")

PNG_512 = next(w for w in WORKLOADS if w.image_format == "png")
BY_NAME = {peer.name: peer for peer in peers.CHAIN_PEERS}
FLOOR = "bare inflate: zlib"
INPUT = {
    "source": "real", "images": 4, "heights": [512, 512], "widths": [512, 640],
    "channels": [3, 3], "bytes": 8192, "pixels": 2_000_000, "bytes_per_image": 2048.0,
    "bytes_per_pixel": 8192 / 2_000_000,
}  # fmt: skip


def peer_times(name, seconds, *, cpu=None, equal=4):
    return PeerTimes(
        peer=BY_NAME[name],
        seconds=tuple(seconds),
        cpu_seconds=tuple(cpu or seconds),
        equal=None if BY_NAME[name].floor else equal,
        note="",
    )


def chain_result(*times, left_out=None):
    return ChainResult(
        workload=PNG_512,
        input=INPUT,
        times=times,
        left_out=left_out or {},
        comparison=compared(times, images=4, digest="ab"),
    )


@pytest.fixture
def chain():
    return chain_result(
        peer_times("OpenCV", (8.0, 8.0, 80.0)),
        peer_times(FLOOR, (1.0, 1.0, 1.0)),
        peer_times("medprep", (2.0, 2.1, 1.9)),
        left_out={"pyvips": "pyvips is not installed"},
    )


@pytest.fixture
def data_set():
    def measured(pair, threads, seconds, startup=()):
        return Measurement(
            configuration=Configuration(*pair, threads),
            seconds=tuple(seconds),
            images=4,
            digest="ab",
            startup_seconds=tuple(startup),
        )

    return DataSetResult(
        workload=PNG_512,
        input=INPUT,
        left_out={},
        comparison=compare(
            [
                measured(RECIPE, 1, (40.0, 40.0)),
                measured(MEDPREP, 1, (2.0, 2.0)),
                measured(MEDPREP, 2, (1.25, 1.25)),
                measured(DASK, 2, (5.0, 5.0), startup=(3.0, 3.0)),
            ]
        ),
    )


@pytest.fixture
def report(chain, data_set):
    return Report(
        machine={
            "cpu": "Some CPU",
            "cores": {"usable": 2},
            "memory": {"total_gib": 8.0},
            "load_1min": 0.1,
        },
        versions={"medprep": "0.1.0", "pyvips": None},
        rounds=3,
        core=1,
        chains=[chain],
        data_sets=[data_set],
    )


# -- arithmetic -----------------------------------------------------------------------------------


def test_ratios_are_of_medians_to_opencv_to_the_bare_decoder_and_to_medprep(chain):
    opencv, floor, ours = chain_rows(chain)
    assert (opencv["x_opencv"], floor["x_opencv"], ours["x_opencv"]) == (1.0, 8.0, 4.0)
    assert (opencv["of_floor"], floor["of_floor"], ours["of_floor"]) == (8.0, 1.0, 2.0)
    assert (opencv["of_medprep"], floor["of_medprep"], ours["of_medprep"]) == (4.0, 0.5, 1.0)
    assert (ours["ms_per_image"], ours["images_per_s"], ours["mp_per_s"]) == (500.0, 2.0, 1.0)
    assert ours["spread"] == pytest.approx(0.1)
    assert opencv["spread"] == 9.0  # one slow round shows here and leaves the median alone


def test_without_a_bare_decoder_there_is_no_ratio_to_it():
    rows = chain_rows(chain_result(peer_times("OpenCV", (2.0,)), peer_times("medprep", (1.0,))))
    assert [row["of_floor"] for row in rows] == [None, None]


def test_data_sets_are_compared_at_the_same_number_of_threads(data_set):
    recipe, one, two, dask = data_set_rows(data_set)
    assert (recipe["of_medprep"], one["of_medprep"]) == (20.0, 1.0)
    assert (two["of_medprep"], dask["of_medprep"]) == (1.0, 4.0)
    assert (two["scaling"], two["scaling_efficiency"]) == (1.6, 0.8)
    assert (dask["startup_seconds"], two["startup_seconds"]) == (3.0, None)


def test_input_is_described_by_shape_and_bytes_per_pixel(tmp_path):
    for width in (8, 16):
        Image.new("RGB", (width, 4)).save(tmp_path / f"{width}.png")
    files = sorted(tmp_path.iterdir())
    found = describe(files, is_real=True)
    assert (found["heights"], found["widths"], found["pixels"]) == ([4, 4], [8, 16], 96)
    total = sum(path.stat().st_size for path in files)
    assert found["bytes_per_pixel"] == total / 96
    assert found["bytes_per_image"] == total / 2


def test_costs_are_of_one_thread_and_above_what_a_run_may_hold_anyway():
    costs = (
        Cost(way=Way(1), images=4, cpu_seconds=(2.0, 2.2, 1.9), peak_bytes=(MIB, 2 * MIB, MIB)),
        Cost(way=Way(2), images=4, cpu_seconds=(3.0,), peak_bytes=((FIXED_MIB + 6) * MIB,)),
        Cost(way=Way(1, processes=2), images=8, cpu_seconds=(5.0, 4.0, 6.0), peak_bytes=(MIB,)),
    )
    one, two, apart = cost_rows(RunCosts(workload=PNG_512, input=INPUT, costs=costs))
    assert (one["cpu_ms_per_image"], one["of_one_thread"]) == (500.0, 1.0)
    assert one["spread"] == pytest.approx(0.15)
    assert (one["peak_mib"], one["per_thread_mib"]) == (2.0, 0.0)
    assert (two["of_one_thread"], two["per_thread_mib"]) == (1.5, 3.0)
    assert (apart["of_one_thread"], apart["spread"]) == (1.25, 0.4)


def told(result, path):
    return [str(goal) for goal in chain_goals(result.workload, chain_rows(result), path)]


def test_goals_are_of_the_cpu_they_were_measured_on():
    result = chain_result(
        peer_times("OpenCV", (8.0,)),
        peer_times(FLOORS["png"], (1.0,)),
        peer_times("medprep", (2.0,)),
    )
    assert told(result, "avx2") == [
        "t / bare decoder (AVX2) at most 1.70: 2.00, missed",
        "x OpenCV (AVX2) at least 3.30: 4.00, kept",
    ]
    assert told(result, "avx512vbmi")[1] == "x OpenCV (AVX-512) at least 3.50: 4.00, kept"
    assert told(result, "scalar") == told(result, None) == []


def test_a_slower_bare_decoder_than_the_promised_one_decides_nothing(chain):
    assert told(chain, "avx2") == ["x OpenCV (AVX2) at least 3.30: 4.00, kept"]


def test_every_goal_of_a_chain_is_of_a_workload_there_is():
    assert set(OF_FLOOR) | set(X_OPENCV) == {workload.name for workload in WORKLOADS}
    assert set(X_RECIPE) == {workload.name for workload in WORKLOADS if workload.in_data_sets}
    assert set(FLOORS.values()) <= set(BY_NAME)


def test_goals_of_data_sets_are_against_the_same_number_of_threads(data_set):
    assert [str(goal) for goal in data_set_goals(PNG_512, data_set_rows(data_set))] == [
        "against first source system's recipe, 1 thread, at least 20.00: 20.00, kept",
        "against Dask + OpenCV, batched, 2 threads, at least 3.00: 4.00, kept",
    ]


def test_goals_of_cpu_and_memory_allow_an_image_for_every_thread():
    costs = (
        Cost(way=Way(1), images=4, cpu_seconds=(2.0,), peak_bytes=((FIXED_MIB + 1) * MIB,)),
        Cost(way=Way(2), images=4, cpu_seconds=(2.2,), peak_bytes=((FIXED_MIB + 9) * MIB,)),
        Cost(way=Way(1, processes=2), images=8, cpu_seconds=(9.0,), peak_bytes=(MIB,)),
    )
    rows = cost_rows(RunCosts(workload=PNG_512, input=INPUT, costs=costs))
    found = cost_goals(rows, image_mib=4.0)
    assert [goal.is_kept for goal in found] == [True, False, False]
    assert [goal.limit for goal in found] == [FIXED_MIB + 4, 1.05, FIXED_MIB + 8]
    assert found[1].to_json() == {
        "what": "CPU per image at two threads, of one thread's,",
        "at_most": 1.05, "found": 1.1, "kept": False,
    }  # fmt: skip


# -- honesty --------------------------------------------------------------------------------------


def worker(name, digests, *, claims):
    return Worker(BY_NAME[name], None, claims, "", digests)


def test_other_pixels_are_counted_where_none_were_promised(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    opencv, pillow = (
        worker("OpenCV", ["1", "2"], claims=True),
        worker("Pillow", ["1", "3"], claims=False),
    )
    floor = worker(FLOOR, ["", ""], claims=False)
    assert check_pixels([opencv, floor, pillow], files) == {"OpenCV": 2, "Pillow": 1}


def test_a_false_claim_of_equal_pixels_stops_the_comparison(tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    opencv, ours = (
        worker("OpenCV", ["1", "2"], claims=True),
        worker("medprep", ["1", "3"], claims=True),
    )
    with pytest.raises(VerificationError, match=r"medprep: 1 of 2 samples differ.*b\.png"):
        check_pixels([opencv, ours], files)


def test_a_peer_that_is_not_installed_is_named_as_left_out(monkeypatch):
    absent = {"kornia_rs", "deflate", "isal"}
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in absent else object())
    chosen, left_out = peers.chain_peers("png")
    assert left_out["kornia-rs"] == "kornia_rs is not installed"
    assert [peer.name for peer in chosen if peer.floor] == [FLOOR]  # the best that is left
    assert {peer.name for peer in chosen} | set(left_out) >= {
        peer.name for peer in peers.CHAIN_PEERS if peer.floor != "jpeg"
    }


def test_a_peer_whose_whole_package_is_missing_is_named_as_left_out():
    peer = dataclasses.replace(BY_NAME["DALI's CPU path"], needs=("no_such_package.part",))
    assert peer.missing() == "no_such_package.part"
    assert dataclasses.replace(peer, needs=("json.decoder",)).missing() is None


def test_a_busy_core_a_second_thread_and_noise_are_cautioned(report, chain):
    assert cautions(report) == [
        "PNG 512 -> 224: OpenCV varied by 900% between rounds",
    ]
    for cpu, words in ((1.0, "used 50% of its core: other work"), (4.0, "more than one thread")):
        result = chain_result(
            peer_times("OpenCV", (2.0,)), peer_times("medprep", (2.0,), cpu=(cpu,))
        )
        text = cautions(
            Report(
                machine=report.machine,
                versions={},
                rounds=1,
                core=0,
                chains=[result],
                data_sets=[],
            )
        )
        assert len(text) == 1 and "medprep" in text[0] and words in text[0]


def test_the_compressed_stream_of_a_png_is_found_and_measured():
    from peers.inflate import idat_of

    buffer = io.BytesIO()
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(buffer, "PNG")
    stream, size = idat_of(buffer.getvalue())
    assert size == len(zlib.decompress(stream)) == 4 * (1 + 5 * 3)


# -- telling --------------------------------------------------------------------------------------


def test_the_page_names_machine_input_figures_and_who_was_left_out(report):
    page = markdown(report, "compare.png")
    assert "Some CPU, 2 usable cores" in page and "versions: medprep 0.1.0\n" in page
    assert "512 x 512–640 pixels" in page and "0.004 bytes per pixel" in page
    assert "| medprep | 500.00 | 10% | 2.0 | 1.0 | 4.00× | 2.00 | 1.00× | 4 of 4 |" in page
    assert "pyvips (pyvips is not installed)" in page
    assert "| Dask + OpenCV, batched | 2 | 5.000 | 0% | 0.8 | 0.4 | 4.00× | 3.00 |" in page
    assert (
        "\n- goal: against Dask + OpenCV, batched, 2 threads, at least 3.00: 4.00, kept\n" in page
    )


def test_a_page_is_updated_between_its_markers_only(report, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"# Mine\n{BEGIN}\nold\n{END}\nafter\n")
    peer_report.update_page(page, report)
    peer_report.update_page(page, report)
    text = page.read_text()
    assert text.startswith(f"# Mine\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text and text.count("### PNG 512 -> 224\n") == 1
    assert (tmp_path / "performance.png").is_file()


def test_a_page_without_markers_is_left_alone(report, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("prose\n")
    with pytest.raises(UsageError, match="are not there"):
        peer_report.update_page(page, report)
    assert page.read_text() == "prose\n"


# -- for real, on three images of 64 px -----------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    data = tmp_path_factory.mktemp("compare") / "data"
    write_dataset(data / "fundus-512", images=3, seed=1, size=64)
    return data


def test_the_command_measures_real_peers_and_writes_its_report(tiny, tmp_path):
    words = ["--data", str(tiny), "--workload", "PNG", "--rounds", "2", "--no-data-sets"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    (made,) = json.loads((tmp_path / "compare.json").read_text())["chains"]
    assert (made["input"]["images"], made["input"]["pixels"]) == (3, 3 * 64 * 64)
    rows = {row["peer"]: row for row in made["rows"]}
    assert rows["medprep"]["equal"] == rows["OpenCV"]["equal"] == 3
    assert all(len(row["seconds"]) == 2 for row in made["rows"])
    ours, opencv = rows["medprep"]["median_seconds"], rows["OpenCV"]["median_seconds"]
    assert rows["medprep"]["x_opencv"] == opencv / ours
    assert sum(row["is_floor"] for row in made["rows"]) == 1
    assert set(rows) | set(made["left_out"]) >= {peer.name for peer in peers.CHAIN_PEERS[5:]}
    assert {path.name for path in tmp_path.iterdir()} == {
        "compare.json",
        "compare.md",
        "compare.png",
    }


def test_post_chains_are_compared_with_opencv_alone_on_resized_images(tiny, tmp_path):
    words = ["--data", str(tiny), "--workload", "post-chain 224", "--rounds", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    (made,) = json.loads((tmp_path / "compare.json").read_text())["chains"]
    opencv, ours = made["rows"]
    assert (opencv["peer"], ours["peer"], ours["equal"]) == ("OpenCV", "medprep", 3)
    assert made["left_out"]["Pillow"] == "this line is against OpenCV"
    pixels = ours["mp_per_s"] * ours["median_seconds"] * 1e6
    assert pixels == pytest.approx(3 * 224 * 224)


def test_a_fast_decode_is_compared_with_an_exact_one_and_claims_no_pixels(tmp_path):
    whole = next(w for w in WORKLOADS if w.spec.decode.fast)
    spec = Overrides(size=(24, 24)).apply(whole.spec)
    small = dataclasses.replace(whole, height=99, width=121, spec=spec)
    files = find_files(small, None, tmp_path, 2, generated=2)
    result = measure_chains(small, files, describe(files, is_real=False), rounds=1)
    rows = {row["peer"]: row for row in chain_rows(result)}
    assert rows["OpenCV"]["equal"] == 2 and rows["medprep"]["equal"] == 0
    assert rows["medprep"]["note"] == "decodes at a fraction of the size"


def test_the_cost_of_a_run_explains_itself_and_names_wrong_words(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_cost.main(["--help"])
    assert ended.value.code == 0
    assert "SRC OUT THREADS" in capsys.readouterr().out
    assert run_cost.main([str(tmp_path / "none"), str(tmp_path), "1"]) == 1
    assert "no such file or folder" in capsys.readouterr().err


def test_where_the_time_goes_adds_up(report):
    rounds = (
        {"decode": 1.0, "clahe": 0.5, "commit": 9.0},
        {"decode": 1.2, "clahe": 0.4},
        {"decode": 1.1, "clahe": 0.6},
    )
    times = StageTimes(workload=PNG_512, images=4, seconds=(2.0, 2.2, 1.9), stages=rounds)
    row = stage_row(times)
    assert (row["ms_per_image"], row["spread"]) == (500.0, pytest.approx(0.15))
    assert (row["shares"]["decode"], row["shares"]["clahe"]) == (0.55, 0.25)
    assert "commit" not in row["shares"]  # goes on beside the others
    assert sum(row["shares"].values()) == pytest.approx(1)
    page = markdown(dataclasses.replace(report, stage_times=[times]), None)
    assert "| PNG 512 -> 224 | 500.00 | 15% | – | 55% | – | 25% |" in page
    assert page.rstrip().endswith("| 20% |")


def test_stages_are_those_that_shard_reports(tiny):
    files = find_files(PNG_512, tiny, tiny, 3, generated=3)
    measured = measure_stages(PNG_512, files, images=5, rounds=2)
    assert (measured.images, len(measured.seconds), len(measured.stages)) == (5, 2, 2)
    assert min(measured.seconds) > 0
    assert {"decode", "resize", "close"} <= measured.stages[0].keys() <= {*STAGES, "commit"}


def test_the_cost_of_a_run_is_measured_in_a_process_of_its_own(tiny, report):
    files = find_files(PNG_512, tiny, tiny, 3, generated=3)
    measured = measure_run_costs(PNG_512, files, images=5, rounds=2, is_real=True)
    runs = [(Way(1), 5), (Way(2), 5), (Way(1, processes=2), 10)]
    assert [(cost.way, cost.images) for cost in measured.costs] == runs
    for cost in measured.costs:
        assert len(cost.cpu_seconds) == len(cost.peak_bytes) == 2
        assert min(cost.cpu_seconds) > 0 and min(cost.peak_bytes) > 0
    page = markdown(dataclasses.replace(report, run_costs=[measured]), None)
    assert "### PNG 512 -> 224, CPU and memory of `medprep shard`" in page
    assert "| 2 processes at once |" in page
    assert "| run | CPU ms/image | spread | of one thread's | peak MiB |" in page.replace("  ", " ")


def test_images_are_made_up_where_no_folder_has_them(tmp_path):
    small = next(w for w in WORKLOADS if w.is_grey)
    small = dataclasses.replace(small, height=48, width=64)
    files = find_files(small, None, tmp_path, 100, generated=2)
    with Image.open(files[0]) as image:
        assert (image.size, image.mode, image.format) == ((64, 48), "L", "JPEG")
    assert len(files) == 2


@pytest.mark.distributed
def test_data_sets_are_made_by_medprep_dask_and_the_first_recipe(tiny):
    pytest.importorskip("distributed")
    files = find_files(PNG_512, tiny, tiny, 3, generated=3)
    made = measure_data_sets(PNG_512, files, images=8, threads=2, rounds=1, is_real=True)
    assert [(row["maker"], row["threads"]) for row in data_set_rows(made)] == [
        ("first source system's recipe", 1),
        ("medprep", 1),
        ("medprep", 2),
        ("Dask + OpenCV, batched", 2),
    ]
    assert made.comparison.images == 8


def test_an_unknown_workload_is_refused(capsys):
    assert main(["--workload", "tiff"]) == 2
    assert "JPEG 512 -> 224" in capsys.readouterr().err
