from pathlib import Path

import pytest

from medtrain.config import Config
from medtrain.distributed import World, discover, first_host
from medtrain.errors import UsageError
from medtrain.job import Job, resolve_processes

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


def decide(**values):
    given = dict(gpus=None, procs=None, nodes=1, world=World(), cuda_devices=0, one=False)
    return resolve_processes(**(given | values))


def test_torchrun_is_joined():
    assert discover(TORCHRUN) == World(3, 1, 4, 2, "torchrun")
    assert discover(TORCHRUN).nodes == 2


def test_srun_is_joined_only_with_several_tasks():
    assert discover(SRUN) == World(2, 0, 4, 2, "srun")
    assert discover(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}) == World()
    assert discover({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}) == World()


def test_torchrun_inside_srun_wins():
    assert discover(SRUN | TORCHRUN).joined == "torchrun"


def test_unequal_nodes_are_read():
    env = SRUN | {"SLURM_STEP_TASKS_PER_NODE": "3,1", "SLURM_NODEID": "1"}
    assert discover(env).local_world_size == 1


def test_broken_launcher_variables_are_named():
    with pytest.raises(UsageError, match="RANK='x' is not a whole number"):
        discover({"WORLD_SIZE": "2", "RANK": "x"})


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [("n1", "n1"), ("gpu[03-05,9],login1", "gpu03"), ("a1,a2", "a1"), ("r[7]", "r7")],
)
def test_first_host_of_a_node_list(nodelist, host):
    assert first_host(nodelist) == host


def test_gpus_without_cuda_are_refused():
    with pytest.raises(UsageError, match="--gpus 2: this machine has no usable CUDA GPU"):
        decide(gpus=2)


def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(UsageError, match="4 processes need as many GPUs; this machine has 2"):
        decide(gpus=4, cuda_devices=2)


def test_flags_must_agree_with_the_launcher():
    world = discover(TORCHRUN)
    assert decide(procs=2, world=world) == ("cpu", 2)
    with pytest.raises(UsageError, match="--procs 4, but torchrun started 2 processes"):
        decide(procs=4, world=world)
    with pytest.raises(UsageError, match="--gpus 1, but torchrun started 2 processes"):
        decide(gpus=1, world=world, cuda_devices=8)
    with pytest.raises(UsageError, match="--nodes 3, but torchrun runs on 2 machines"):
        decide(procs=2, nodes=3, world=world)


def test_unsaid_processes_are_all_gpus_or_refused():
    assert decide(cuda_devices=3) == ("cuda", 3)
    with pytest.raises(UsageError, match="use --procs N to train on the CPU"):
        decide()


def test_serial_is_one_process():
    assert decide(one=True) == ("cpu", 1)
    assert decide(one=True, cuda_devices=4) == ("cuda", 1)
    assert decide(one=True, cuda_devices=4, procs=1) == ("cpu", 1)
    with pytest.raises(UsageError, match="serial strategy is one process, not 2"):
        decide(one=True, procs=2)


@pytest.mark.parametrize("flag", ["gpus", "procs", "nodes"])
def test_counts_below_one_are_refused(flag):
    with pytest.raises(UsageError, match=f"--{flag} must be >= 1, got 0"):
        decide(**{"procs": 1} | {flag: 0} if flag != "gpus" else {"gpus": 0})


def test_default_folder_names_recipe_and_time():
    job = Job(config=Config(), data=Path("d")).with_out(0)
    assert job.run == Path("runs/classify-19700101-000000")


def test_threads_are_shared_among_local_processes():
    job = Job(config=Config(), data=Path("d"))
    assert job.threads(World(local_world_size=4), cores=10) == 2
    assert job.threads(World(local_world_size=4), cores=2) == 1
