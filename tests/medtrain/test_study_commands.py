"""`medtrain scale` and `selftest` as typed, with pretended trainers: words, refusals, devices."""

from __future__ import annotations

import json

import pytest
import torch
import toy
from click.testing import CliRunner

from medtrain import selftest as selftest_module
from medtrain.cli.scale import scale
from medtrain.cli.selftest import selftest
from medtrain.config import PIPELINE_SCHEDULES
from medtrain.errors import MedprepError, UsageError, VerificationError
from medtrain.scaling import Measurement, session
from medtrain.scaling.measure import CaseError, command
from medtrain.selftest import Check
from medtrain.strategies import STRATEGIES


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture
def studied(shards, tmp_path, monkeypatch):
    """Run `medtrain scale` with a pretended trainer; gives its report and the cases measured."""
    cases = []

    def fake(case, work, *, scratch):
        cases.append(case)
        if case.precision == "fp16":
            raise CaseError(f"{case}: out of memory")
        return Measurement(
            case=case, images_per_s=100.0 * case.processes, step_s=0.1, waiting=0.0, startup_s=1.0
        )

    measure = session.run_study
    monkeypatch.setattr(
        "medtrain.scaling.run_study",
        lambda grids, options, *, say: measure(grids, options, say=say, measure_once=fake),
    )

    def run(*words):
        arguments = ["--data", str(shards), "--out", str(tmp_path / "out"), "--repeats", "1"]
        done = CliRunner().invoke(
            scale, [*arguments, "--json", *words], standalone_mode=False, catch_exceptions=False
        )
        return json.loads(done.stdout.splitlines()[-1]), list(dict.fromkeys(cases)), done.stderr

    return run


def test_a_study_without_a_word_about_processes_compares_one_with_two(studied):
    report, cases, said = studied("--batch-sizes", "8")
    assert [(c.strategy, c.processes, c.device) for c in cases] == [
        *[("serial", 1, "cpu"), ("ddp", 1, "cpu"), ("ddp", 2, "cpu")]
    ]
    assert report["rows"][2]["speedup"] == 2.0
    assert "round 1: ddp, 2 processes x 1 thread, fp32, batch 8" in said


def test_every_number_of_threads_has_a_baseline_of_its_own(studied, tmp_path):
    report, cases, _ = studied("--batch-sizes", "8", "--procs", "2", "--threads", "1,2")
    assert [(c.strategy, c.processes, c.threads) for c in cases] == [
        *[("serial", 1, 1), ("ddp", 2, 1), ("serial", 1, 2), ("ddp", 2, 2)]
    ]
    assert [row["baseline"] for row in report["rows"][2:]] == [
        "serial, 1 process x 2 threads, fp32, batch 8"
    ] * 2


def test_threads_are_those_of_each_process(tmp_path):
    from test_scaling import case, workload

    words = command(case(2, threads=3), workload(tmp_path), tmp_path)
    assert words[words.index("--threads") + 1] == "3"
    assert words[words.index("--procs") + 1] == "2"


def test_gpus_and_processes_are_measured_beside_each_other(studied, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    report, cases, _ = studied("--gpus", "1,2", "--procs", "1", "--batch-sizes", "8")
    assert {(c.device, c.processes) for c in cases} == {("cpu", 1), ("cuda", 1), ("cuda", 2)}
    assert report["devices"][0]["reference"]["device"] == "cpu"
    assert report["machine"]["gpus"] == ["GPU 0", "GPU 1"]
    only_gpus = studied("--gpus", "1,2", "--batch-sizes", "8")[0]
    assert only_gpus["devices"] == []


def test_a_gpu_case_is_trained_on_gpus(tmp_path):
    from test_scaling import case, workload

    words = command(case(2, device="cuda"), workload(tmp_path), tmp_path)
    assert words[words.index("--gpus") + 1] == "2" and "--procs" not in words


def test_a_case_that_fails_is_left_out_with_its_reason(studied):
    words = ["--batch-sizes", "8", "--procs", "2", "--precisions", "fp32,fp16"]
    report, _, said = studied(*words)
    assert {row["case"]["precision"] for row in report["rows"]} == {"fp32"}
    assert len(report["left_out"]) == 2 and "out of memory" in report["left_out"][0]
    assert "left out: serial, 1 process x 1 thread, fp16" in said


def test_a_study_without_any_baseline_is_refused_and_writes_nothing(studied, tmp_path):
    with pytest.raises(MedprepError, match=r"nothing to compare with: .*out of memory"):
        studied("--batch-sizes", "8", "--precisions", "fp16")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strategies", "dpp"], "--strategies: unknown 'dpp'; did you mean 'ddp'?"),
        (["--strategies", "x"], "known: serial, ddp, fsdp, pipeline"),
        (["--precisions", "fp31"], "did you mean 'fp32'?"),
        (["--scaling", "week"], "did you mean 'weak'?"),
        (["--procs", "0"], "--procs: expected whole numbers such as 1,2,4, got '0'"),
        (["--procs", "two"], "got 'two'"),
        (["--strategies", ","], "--strategies names nothing"),
        (["--gpus", "2"], "--gpus 2: this machine has no usable CUDA GPU"),
        (["--batch-sizes", "24"], "the training split of .* has 23 samples"),
        (["--procs", "3", "--batch-sizes", "8"], "cannot be cut into 3 equal parts"),
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--steps", "2"], "--steps must be at least 5"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_measured(studied, monkeypatch, words, said):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        studied(*words)


def test_the_words_are_the_strategies_there_are():
    from medtrain.cli.lists import STRATEGIES as WORDS
    from medtrain.cli.lists import STUDIED
    from medtrain.scaling.grid import SPLITS

    assert tuple(STRATEGIES) == WORDS
    assert (*STRATEGIES, *SPLITS) == STUDIED
    assert set(SPLITS.values()) < set(PIPELINE_SCHEDULES)


@pytest.fixture
def tested(monkeypatch):
    """Run `medtrain selftest` with pretended trainers; `checks` is what comparing finds."""
    trained = []
    monkeypatch.setattr(selftest_module, "make_toy_set", lambda folder: folder)
    monkeypatch.setattr(
        selftest_module, "train", lambda strategy, *_, **how: trained.append((strategy, how))
    )

    def run(*words, ok=True):
        check = Check(what="the same weights", difference=None, tolerance=0.0, ok=ok)
        monkeypatch.setattr(selftest_module, "compare_runs", lambda *runs: [check])
        done = CliRunner().invoke(selftest, [*words], standalone_mode=False, catch_exceptions=False)
        return trained, done.stdout

    return run


def test_every_strategy_is_trained_on_the_global_batch_of_the_serial_run(tested):
    trained, out = tested("--strategies", "ddp,pipeline", "--procs", "3", "--threads", "2")
    assert [(name, how["processes"]) for name, how in trained] == [
        *[("serial", 1), ("ddp", 3), ("pipeline", 3)]
    ]
    assert {how["whole"] for _, how in trained} == {24}
    assert {(how["threads"], how["device"]) for _, how in trained} == {(2, "cpu")}
    assert "pipeline, 3 processes, against serial:" in out


def test_gpus_are_tested_where_they_are_there(tested, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    trained, _ = tested("--gpus", "2")
    assert {how["device"] for _, how in trained} == {"cuda"}
    with pytest.raises(UsageError, match="this machine has 2"):
        tested("--gpus", "4")


def test_a_difference_is_an_exit_code_and_names_the_strategy(tested):
    with pytest.raises(VerificationError, match="ddp: not the same as one process") as found:
        tested(ok=False)
    assert found.value.exit_code == 4


@pytest.mark.parametrize("words", [["--procs", "1"], ["--threads", "0"], ["--strategies", "sp"]])
def test_a_self_test_that_compares_nothing_is_refused(tested, words):
    with pytest.raises(UsageError):
        tested(*words)
