"""The job scripts on a real SLURM on this machine: array, requeue, training.

Starts its own munge, controller and two nodes (tests/slurm/local) and stops them in all cases.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from medprep.synth import write_dataset

HERE = Path(__file__).parent
SLURM = HERE.parents[1] / "slurm"
CANNOT_RUN = 77
# Small nodes: one core and little memory a job, so that jobs run side by side.
SMALL = ["--cpus-per-task=1", "--mem=600M", "--time=10"]

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running SLURM; gives the environment in which its commands work."""
    base = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(
        [str(HERE / "local/start.sh"), str(base)], capture_output=True, text=True, check=False
    )
    if started.returncode == CANNOT_RUN:
        pytest.skip(started.stderr.strip().splitlines()[-1])
    try:
        assert started.returncode == 0, started.stderr
        commands = Path(sys.executable).parent  # medprep and medtrain of this environment
        yield os.environ | {
            "SLURM_CONF": str(base / "slurm.conf"),
            "PATH": f"{commands}:{os.environ['PATH']}",
            "ENV_SH": str(SLURM / "env.sh"),
        }
    finally:
        subprocess.run([str(HERE / "local/stop.sh"), str(base)], check=True, timeout=60)
        assert not [pid for pid in pids_in(base) if is_alive(pid)]


def pids_in(base: Path) -> list[int]:
    return [int(file.read_text()) for file in base.rglob("*.pid")]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "photos"
    write_dataset(folder, images=48, seed=5, size=64)
    return folder


@pytest.fixture(scope="module")
def shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set made without SLURM."""
    out = tmp_path_factory.mktemp("shards") / "out"
    call(["medprep", "shard", str(photos), str(out), "--size", "64", "--shard-samples", "8"])
    return out


def call(command: list[str], environment: dict[str, str] | None = None) -> str:
    program = shutil.which(command[0], path=(environment or {}).get("PATH"))
    program = program or str(Path(sys.executable).parent / command[0])
    done = subprocess.run(
        [program, *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def digest_of(out: Path) -> str:
    return str(json.loads((out / "manifest.json").read_text())["digest"])


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.3)


def job_facts(job: str, environment: dict[str, str]) -> dict[str, str]:
    text = call(["scontrol", "--oneliner", "show", "job", job], environment)
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def test_an_array_makes_the_same_data_set_as_one_process(cluster, photos, shards, tmp_path):
    out, log = tmp_path / "out", tmp_path / "job-%A-%a.log"
    last = call(
        [str(SLURM / "submit_preprocess.sh"), "--size", "64", "--shard-samples", "8"],
        cluster
        | {
            "SRC": str(photos),
            "OUT": str(out),
            "PARTS": "3",
            "SBATCH_OPTIONS": " ".join([*SMALL, f"--output={log}"]),
        },
    ).strip()
    wait_until(
        lambda: job_facts(last, cluster)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"),
        "merge job",
    )
    facts = job_facts(last, cluster)
    logs = "\n".join(path.read_text() for path in sorted(tmp_path.glob("job-*.log")))
    assert (facts["JobState"], facts["ExitCode"]) == ("COMPLETED", "0:0"), logs
    assert digest_of(out) == digest_of(shards)
    assert len(list(tmp_path.glob("job-*.log"))) == 5  # plan, three parts, merge


def controller_log(cluster: dict[str, str], lines: int = 40) -> str:
    log = Path(cluster["SLURM_CONF"]).parent / "slurmctld.log"
    return "\n".join(log.read_text().splitlines()[-lines:])


def is_held(start: str) -> bool:
    """True when the job may start in ten seconds or later (`EligibleTime`).

    Its `StartTime` is unknown while the scheduler has not looked yet: lifting the hold then would
    put the start off again and again.
    """
    return start != "Unknown" and datetime.fromisoformat(start) > datetime.now() + timedelta(
        seconds=10
    )


def is_completed_after_requeue(job: str, cluster: dict[str, str]) -> bool:
    """SLURM holds a requeued job back for two minutes; nobody needs to wait for that here.

    The hold may be set after the job is pending already, so it is lifted again and again; but a
    job that starts in the second of its requeue is refused: "Job credential revoked".
    """
    facts = job_facts(job, cluster)
    state = facts["JobState"]
    ended = ("FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
    assert state not in ended, f"{state}\n{controller_log(cluster)}"
    if state == "PENDING" and is_held(facts["EligibleTime"]):
        # May come too late, when the job has just started; that is as good.
        lift = ["scontrol", "update", f"JobId={job}", "StartTime=now+3"]
        subprocess.run(lift, env=cluster, capture_output=True, check=False)
    return state == "COMPLETED"


def test_a_warned_job_stops_safely_requeues_and_goes_on(cluster, photos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "job.log"
    slow = ["--engine", "sequential", "--kernel", "python", "--shard-samples", "2"]
    slow += ["--size", "1200", "--clahe", "2.0:8", "--median", "3"]
    submit = ["sbatch", "--parsable", *SMALL, f"--output={log}", str(SLURM / "preprocess.sbatch")]
    job = call([*submit, *slow], cluster | {"SRC": str(photos), "OUT": str(out)}).strip()
    wait_until(lambda: any((out / "records").glob("*.json")), "first shard")
    call(["scancel", "--batch", "--signal=USR1", job], cluster)  # what --signal=B:USR1@120 sends
    wait_until(lambda: job_facts(job, cluster)["Restarts"] == "1", "requeue")
    assert "requeueing" in log.read_text(), log.read_text()
    assert not (out / "manifest.json").exists()
    wait_until(lambda: is_completed_after_requeue(job, cluster), "second run", timeout_s=200)
    assert "shards are there already" in log.read_text()
    call(["medprep", "verify", str(out)], cluster)


# One core a node and all of its memory: training jobs run one after the other.
TRAINING = ["--cpus-per-task=1", "--mem=2000M", "--time=10"]
TINY = ["--batch-size", "4", "--set", "model.name=tiny_cnn", "--set", "train.log_every=1"]


def training_environment(shards: Path, run: Path, procs: int = 2) -> dict[str, str]:
    environment = {"RECIPE": "glaucoma", "DATA": str(shards), "RUN": str(run)}
    return environment | {"PROCS": str(procs)}


def assert_finished(run: Path, world_size: int) -> None:
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0.0 <= metrics["test"]["auroc"] <= 1.0
    assert json.loads((run / "environment.json").read_text())["world_size"] == world_size


def steps_in(run: Path) -> int:
    records = run / "records.jsonl"
    return records.read_text().count('"event": "step"') if records.is_file() else 0


def train_until_warned(
    words: list[str], cluster: dict[str, str], environment: dict[str, str], log: Path
) -> tuple[str, int]:
    """Submit, send SLURM's warning after some steps, see it requeued; gives job and saved step."""
    run = Path(environment["RUN"])
    submit = ["sbatch", "--parsable", *TRAINING, f"--output={log}", *words]
    job = call(submit, cluster | environment).strip()
    wait_until(lambda: steps_in(run) >= 3, "first steps", timeout_s=240)
    call(["scancel", "--batch", "--signal=USR1", job], cluster)
    wait_until(lambda: job_facts(job, cluster)["Restarts"] == "1", "requeue")
    assert "requeueing" in log.read_text(), log.read_text()
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped", status
    state = json.loads((run / "checkpoints/last/state.json").read_text())
    return job, int(state["progress"]["step"])


@pytest.mark.parametrize("strategy", ["serial", "ddp", "fsdp", "pipeline"])
def test_warned_training_saves_requeues_and_goes_on(cluster, shards, tmp_path, strategy):
    run, log = tmp_path / "run", tmp_path / "job.log"
    words = [str(SLURM / "train.sbatch"), strategy, *TINY, "--epochs", "20"]
    processes = 1 if strategy == "serial" else 2
    environment = training_environment(shards, run, processes)
    job, step = train_until_warned(words, cluster, environment, log)
    assert step >= 3
    wait_until(lambda: is_completed_after_requeue(job, cluster), "second run", timeout_s=300)
    assert f"step {step}" in log.read_text(), log.read_text()  # "resumed from ...: epoch E, step N"
    assert_finished(run, processes)


def test_two_nodes_are_joined_by_srun_and_stop_together(cluster, shards, tmp_path):
    run, log = tmp_path / "run", tmp_path / "job.log"
    words = ["--nodes=2", str(SLURM / "train.sbatch"), "ddp", *TINY, "--epochs", "20"]
    environment = training_environment(shards, run, procs=1)
    environment["MASTER_ADDR"] = "127.0.0.1"  # both nodes are this machine
    job, step = train_until_warned(words, cluster, environment, log)
    wait_until(lambda: is_completed_after_requeue(job, cluster), "second run", timeout_s=300)
    assert f"step {step}" in log.read_text(), log.read_text()
    assert_finished(run, 2)
