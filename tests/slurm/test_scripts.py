"""The job scripts without a cluster: stand-in commands note how they are called."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SLURM = Path(__file__).resolve().parents[2] / "slurm"
SCRIPTS = [*sorted(SLURM.glob("*.sh")), *sorted(SLURM.glob("*.sbatch"))]
LOCAL = sorted((Path(__file__).parent / "local").glob("*.sh"))

STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $* [threads $OMP_NUM_THREADS]" >> "$CALLS"
name=$(basename "$0")_${1//[^a-z]/_}
exit "${!name:-0}"
"""
SLEEPER = """#!/usr/bin/env bash
trap 'echo "got TERM" >> "$CALLS"; exit 75' TERM
trap 'echo "got USR1" >> "$CALLS"; exit 75' USR1
echo "started" >> "$CALLS"
for _ in $(seq 100); do sleep 0.1; done
"""


@pytest.fixture
def job(tmp_path):
    """Run a script with stand-in commands; gives the finished process and the calls made."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    calls.touch()
    for name in ("medprep", "medtrain", "scontrol", "sbatch", "srun"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "SRC": "src",
        "OUT": "out",
        "RECIPE": "glaucoma",
        "DATA": "out",
        "RUN": "run",
        "SLURM_SUBMIT_DIR": str(SLURM.parent),
        "SLURM_JOB_ID": "77",
        "SLURM_CPUS_PER_TASK": "4",
    }

    def run(script, *arguments, **settings):
        done = subprocess.run(
            ["bash", str(SLURM / script), *arguments],
            env=environment | settings,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, calls.read_text().splitlines(), done

    run.folder, run.calls, run.environment = folder, calls, environment
    return run


@pytest.mark.parametrize("script", [*SCRIPTS, *LOCAL], ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-x", str(script)],
        cwd=SLURM.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_scripts_hold_no_site_secrets_and_no_network_settings():
    for script in SCRIPTS:
        code = [line for line in script.read_text().splitlines() if not line.startswith("# ")]
        assert not [line for line in code if "NCCL" in line or "SOCKET_IFNAME" in line], script
        assert not [line for line in code if "--account" in line or "--partition" in line], script


def test_one_job_shards_and_verifies_with_capped_threads(job):
    code, calls, _ = job("preprocess.sbatch", "--preset", "glaucoma")
    assert code == 0
    assert calls == [
        "medprep shard src out --threads 4 --preset glaucoma [threads 1]",
        "medprep verify out [threads 1]",
    ]


def test_an_array_task_makes_its_part(job):
    code, calls, _ = job("preprocess.sbatch", SLURM_ARRAY_TASK_ID="2", SLURM_ARRAY_TASK_COUNT="8")
    assert code == 0
    assert calls == ["medprep shard src out --part 2/8 --threads 4 [threads 1]"]


def test_quarantined_images_do_not_break_the_chain_but_are_told_at_the_end(job):
    part = {"STAGE": "shard", "SLURM_ARRAY_TASK_ID": "0", "PARTS": "2"}
    assert job("preprocess.sbatch", **part, medprep_shard="3")[0] == 0
    assert job("preprocess.sbatch", STAGE="plan", medprep_plan="3")[0] == 0
    assert job("preprocess.sbatch", STAGE="merge", medprep_merge="3")[0] == 3
    code, calls, _ = job("preprocess.sbatch", medprep_shard="3")
    assert code == 3 and calls[-1] == "medprep verify out [threads 1]"


def test_failed_verification_is_the_job_s_exit_status(job):
    assert job("preprocess.sbatch", STAGE="merge", medprep_verify="4")[0] == 4
    assert job("preprocess.sbatch", medprep_shard="3", medprep_verify="4")[0] == 4


def test_a_failed_shard_is_not_verified(job):
    code, calls, _ = job("preprocess.sbatch", medprep_shard="74")
    assert code == 74 and len(calls) == 1


@pytest.mark.parametrize(
    ("words", "failing"),
    [
        (["preprocess.sbatch"], "medprep_shard"),
        (["train.sbatch", "serial"], "medtrain_serial"),
        (["train.sbatch", "ddp"], "medtrain_ddp"),
        (["train.sbatch", "fsdp"], "medtrain_fsdp"),
        (["train.sbatch", "pipeline"], "medtrain_pipeline"),
    ],
    ids=" ".join,
)
def test_a_safely_stopped_job_goes_back_into_the_queue(job, words, failing):
    code, calls, done = job(*words, **{failing: "75"})
    assert code == 75
    assert calls[-1].startswith("scontrol requeue 77")
    assert "requeueing job 77 (restart 1)" in done.stderr


def test_restarts_are_bounded(job):
    settings = {"medprep_shard": "75", "SLURM_RESTART_COUNT": "5", "MAX_RESTARTS": "5"}
    code, calls, done = job("preprocess.sbatch", **settings)
    assert code == 75 and not [call for call in calls if call.startswith("scontrol")]
    assert "MAX_RESTARTS" in done.stderr


@pytest.mark.parametrize(
    ("words", "program", "nodes", "as_"),
    [
        (["preprocess.sbatch"], "medprep", "1", "TERM"),
        (["train.sbatch", "fsdp"], "medtrain", "1", "TERM"),
        (["train.sbatch", "ddp"], "srun", "2", "USR1"),  # at TERM srun kills its tasks
    ],
)
def test_the_warning_reaches_the_program_and_its_answer_is_kept(job, words, program, nodes, as_):
    (job.folder / program).write_text(SLEEPER)
    script, *arguments = words
    process = subprocess.Popen(
        ["bash", str(SLURM / script), *arguments],
        env=job.environment | {"SLURM_JOB_NUM_NODES": nodes},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while "started" not in job.calls.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=10) == 75
    finally:
        process.kill()
    assert job.calls.read_text().splitlines()[:2] == ["started", f"got {as_}"]
    assert "scontrol requeue 77" in job.calls.read_text()


@pytest.mark.parametrize("verb", ["ddp", "fsdp", "pipeline"])
def test_training_starts_one_process_per_gpu_or_as_asked_on_the_cpu(job, verb):
    job("train.sbatch", verb, "--epochs", "1", PROCS="2")
    _, calls, _ = job("train.sbatch", verb, GPUS="4", SLURM_CPUS_PER_TASK="10")
    common = f"medtrain {verb} --recipe glaucoma --data out --out run"
    assert calls == [
        f"{common} --procs 2 --threads 2 --resume auto --epochs 1 [threads 1]",
        f"{common} --gpus 4 --threads 2 --resume auto [threads 1]",
    ]


def test_several_nodes_are_reached_by_srun_with_a_task_a_process(job):
    nodes = {"SLURM_JOB_NUM_NODES": "3", "GPUS": "2", "SLURM_CPUS_PER_TASK": "8"}
    code, calls, _ = job("train.sbatch", "fsdp", "--epochs", "1", **nodes)
    assert code == 0
    assert calls == [
        "srun --nodes=3 --ntasks=6 --ntasks-per-node=2 --cpus-per-task=4 --kill-on-bad-exit=0 "
        "--wait=120 medtrain fsdp --recipe glaucoma --data out --out run --gpus 2 --threads 4 "
        "--resume auto --nodes 3 --epochs 1 [threads 1]"
    ]


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["dpp"], {}, "serial, ddp, fsdp or pipeline, not 'dpp'"),
        ([], {}, "serial, ddp, fsdp or pipeline, not ''"),
        (["--epochs", "1"], {}, "not '--epochs'"),
        (["serial"], {"PROCS": "2"}, "one process, not 1 x 2"),
        (["serial"], {"SLURM_JOB_NUM_NODES": "2"}, "one process, not 2 x 1"),
    ],
)
def test_a_wrong_verb_is_refused_before_anything_starts(job, words, settings, said):
    code, calls, done = job("train.sbatch", *words, **settings)
    assert (code, calls) == (2, [])
    assert said in done.stderr


def test_a_missing_parameter_is_named(job):
    code, calls, done = job("preprocess.sbatch", SRC="")
    assert code != 0 and calls == []
    assert "set SRC to the folder of images" in done.stderr


def test_submitting_makes_three_jobs_that_wait_for_each_other(job):
    (job.folder / "sbatch").write_text(
        '#!/usr/bin/env bash\necho "$STAGE $*" >> "$CALLS"\nwc -l < "$CALLS"\n'
    )
    code, calls, done = job(
        "submit_preprocess.sh",
        "--preset",
        "glaucoma",
        PARTS="3",
        SBATCH_OPTIONS="--mem=1G -p x",
        SHARD_OPTIONS="--kernel python",
    )
    assert code == 0, done.stderr
    assert done.stdout.strip() == "3"
    plan, parts, merge = calls
    script = str(SLURM / "preprocess.sbatch")
    assert plan.startswith("plan --parsable --export=ALL --cpus-per-task=2 --mem=1G -p x")
    assert "--array=0-2 --dependency=afterok:1" in parts and parts.startswith("shard ")
    assert "--dependency=afterok:2" in merge and merge.startswith("merge ")
    assert plan.endswith(f"{script} --preset glaucoma")
    assert parts.endswith(f"{script} --kernel python")
    assert merge.endswith(script)
