"""Serial = DDP = FSDP = pipeline: the same weights, losses, gradient norms and metrics.

What is compared, and how far it may differ:

| what | tolerance | why |
|---|---|---|
| weights after 8 steps of SGD | 2e-6 | sums over ranks and micro-batches are rounded in another
  order than the serial sum, about 1e-7 of each gradient and step, at a rate of 0.05 |
| losses of 8 steps of AdamW | 1e-4 relative | where gradients vanish, Adam turns rounding into
  whole steps; losses do not see those weights |
| gradient norms before clipping | 1e-4 relative | as the weights, summed over all of them |
| weights, bf16 and fp16 | 2e-2, 3e-3 | 8 and 11 bits of mantissa, other sub-batches |
| metrics of the same weights | none | evaluation batches are the same, bit for bit |
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import scenarios
from safetensors.torch import load_file
from scenarios import DDP2, DDP3, EVERY, FSDP2, FSDP3, PIPELINE2, PIPELINE3, SERIAL, TWO

from medtrain import checkpoint

WEIGHTS = 2e-6
ADAMW_LOSSES = 1e-4
NORMS = 1e-4
HALF_WEIGHTS = {"bf16": 2e-2, "fp16": 3e-3}

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1200)]  # busy machines


def path_of(folder, name, run):
    return folder / f"{name}-{run[0]}-{run[1]}"


def weights(folder, name, run):
    return load_file(path_of(folder, name, run) / "checkpoints/last/model.safetensors")


def optimizer(folder, name, run):
    return load_file(path_of(folder, name, run) / "checkpoints/last/optimizer.safetensors")


def state(folder, name, run):
    text = (path_of(folder, name, run) / "checkpoints/last/state.json").read_text()
    return json.loads(text)


def events(folder, name, run, event):
    lines = (path_of(folder, name, run) / "records.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == event]


def trained(tensors):
    """Without the statistics, which data ranks gather in another order."""
    return {k: v for k, v in tensors.items() if "running" not in k and "num_batches" not in k}


def largest_difference(a, b):
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a)


def pairs(*names):
    """(scenario, run) of every run that is not the serial one."""
    return [(name, run) for name in names for run in scenarios.SCENARIOS[name][1] if run != SERIAL]


@pytest.mark.parametrize(
    ("name", "run"),
    pairs("group", "frozen", "accumulate", "unweighted", "batch", "batch3", "averaged"),
    ids=str,
)
def test_every_strategy_trains_the_serial_weights(runs, name, run):
    serial, spread = weights(runs, name, SERIAL), weights(runs, name, run)
    assert largest_difference(trained(serial), trained(spread)) < WEIGHTS
    steps = [state(runs, name, r)["progress"]["step"] for r in (SERIAL, run)]
    assert steps[0] == steps[1] >= 4


@pytest.mark.parametrize(("name", "run"), pairs("poisoned"), ids=str)
def test_a_nan_on_one_rank_leaves_the_step_out_on_all_of_them(runs, name, run):
    """One step of each epoch; what is trained in the others is the same, statistics included."""
    serial, spread = (events(runs, name, r, "bad_step") for r in (SERIAL, run))
    assert [e["step"] for e in spread] == [e["step"] for e in serial] and len(serial) == 2
    assert events(runs, name, run, "epoch")[-1]["train"]["bad_steps"] == 2
    lists = [(path_of(runs, name, r) / "bad_batches.jsonl").read_text() for r in (SERIAL, run)]
    one, other = ([json.loads(line)["ids"] for line in text.splitlines()] for text in lists)
    assert other == one and all(f"train/{scenarios.POISON_ROW}.png" in ids for ids in one)
    tensors = weights(runs, name, run)
    assert largest_difference(trained(weights(runs, name, SERIAL)), trained(tensors)) < WEIGHTS
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_training_moved_the_weights_far_beyond_the_tolerance(runs):
    for other in ("unweighted", "accumulate", "frozen"):
        one, two = weights(runs, "group", SERIAL), weights(runs, other, SERIAL)
        shared = one.keys() & two.keys()
        moved = max(float((one[key] - two[key]).abs().max()) for key in shared)
        assert moved > 1e-3


def test_accumulation_is_one_step_of_the_larger_batch(runs):
    assert state(runs, "group", SERIAL)["progress"]["step"] == 8
    assert state(runs, "accumulate", DDP3)["progress"]["step"] == 4


@pytest.mark.parametrize(("name", "run"), pairs("adamw"), ids=str)
def test_losses_under_adamw_are_the_serial_ones(runs, name, run):
    one, other = ([e["loss"] for e in events(runs, name, r, "step")] for r in (SERIAL, run))
    assert len(one) == 8
    assert other == pytest.approx(one, rel=ADAMW_LOSSES)
    assert abs(one[-1] - one[0]) > 100 * ADAMW_LOSSES * one[0]


@pytest.mark.parametrize(("name", "run"), pairs("group", "accumulate", "batch"), ids=str)
def test_gradient_norms_before_clipping_are_the_serial_ones(runs, name, run):
    one, other = ([e["grad_norm"] for e in events(runs, name, r, "step")] for r in (SERIAL, run))
    assert other == pytest.approx(one, rel=NORMS)
    assert max(one) > 0.5  # the limit: clipping has happened


@pytest.mark.parametrize("run", [run for run in EVERY if run != SERIAL], ids=str)
def test_optimizer_state_is_saved_whole_under_the_serial_names(runs, run):
    serial, spread = optimizer(runs, "group", SERIAL), optimizer(runs, "group", run)
    assert largest_difference(serial, spread) < 10 * WEIGHTS


@pytest.mark.parametrize(
    ("name", "run", "like"),
    [
        ("gpipe", PIPELINE2, "group"),
        ("naive", PIPELINE3, "accumulate"),
        ("alternating", PIPELINE2, "accumulate"),
        ("alternating", PIPELINE3, "accumulate"),
    ],
    ids=str,
)
def test_schedules_of_a_pipeline_train_the_same_weights(runs, name, run, like):
    assert largest_difference(weights(runs, like, SERIAL), weights(runs, name, run)) < WEIGHTS


def test_options_of_ddp_train_the_same_weights(runs):
    one, other = weights(runs, "group", SERIAL), weights(runs, "ddp_options", DDP3)
    assert largest_difference(one, other) < WEIGHTS


def test_gradients_sent_in_bf16_are_near_and_not_exact(runs):
    one, other = weights(runs, "group", SERIAL), weights(runs, "compressed", DDP2)
    assert WEIGHTS < largest_difference(one, other) < HALF_WEIGHTS["bf16"]


@pytest.mark.parametrize(("name", "run"), pairs("compiled"), ids=str)
def test_compiled_strategies_train_the_same_weights(runs, name, run):
    """Of a pipeline the stages are compiled: the whole model is never called."""
    eager = path_of(runs, "group", SERIAL) / "checkpoints/previous/model.safetensors"
    assert largest_difference(load_file(eager), weights(runs, name, run)) < WEIGHTS


@pytest.mark.parametrize(("name", "run"), pairs("synced"), ids=str)
def test_statistics_over_all_ranks_equal_the_plain_serial_run(runs, name, run):
    """Running statistics included, and one rank without samples in the last batch."""
    assert largest_difference(weights(runs, name, SERIAL), weights(runs, name, run)) < WEIGHTS


@pytest.mark.parametrize(
    ("name", "run", "images", "over"),
    [
        ("group", PIPELINE2, 0, "group normalisation"),
        ("frozen", DDP2, 0, "stored statistics"),
        ("batch", SERIAL, 3, "one batch, 2 accumulated"),
        ("batch", DDP2, 3, "one batch of one process"),
        ("batch", FSDP2, 3, "one batch of one process"),
        ("batch", PIPELINE2, 3, "one of 2 micro-batches of the pipeline"),
        ("synced", SERIAL, 6, "one batch"),
        ("synced", FSDP3, 6, "one batch of each of 3 processes"),
    ],
    ids=str,
)
def test_what_batch_normalisation_sees_is_recorded(runs, name, run, images, over):
    facts = json.loads((path_of(runs, name, run) / "environment.json").read_text())
    assert facts["batch_statistics"] == {"images": images, "over": over}
    (start,) = events(runs, name, run, "start")
    assert start["batch_statistics"] == facts["batch_statistics"]


def test_recomputing_activations_changes_nothing_statistics_included(runs):
    one, other = weights(runs, "batch", FSDP2), weights(runs, "recomputed", FSDP2)
    assert largest_difference(one, other) < WEIGHTS


def test_offloading_to_the_cpu_changes_nothing(runs):
    one, other = weights(runs, "group", FSDP2), weights(runs, "offloaded", FSDP2)
    assert largest_difference(one, other) < WEIGHTS


@pytest.mark.parametrize(("name", "run"), pairs("bf16", "fp16"), ids=str)
def test_half_precisions_stay_near_their_serial_run(runs, name, run):
    serial, spread = weights(runs, name, SERIAL), weights(runs, name, run)
    assert all(tensor.dtype == serial[key].dtype for key, tensor in spread.items())
    assert largest_difference(serial, spread) < HALF_WEIGHTS[name]
    assert largest_difference(serial, weights(runs, "group", SERIAL)) > 1e-6  # and are not fp32


@pytest.mark.parametrize("run", TWO, ids=str)
def test_fp16_saves_its_loss_scale_and_the_others_none(runs, run):
    saved = state(runs, "fp16", run)["precision"]
    assert saved == {"loss_scale": 2.0**10, "good_steps": 8}
    assert state(runs, "bf16", run)["precision"] == {}


def test_epoch_records_are_over_all_ranks(runs):
    for run in (DDP3, FSDP3, PIPELINE3):
        epochs = (events(runs, "group", r, "epoch") for r in (SERIAL, run))
        for one, other in zip(*epochs, strict=True):
            assert one["train"]["loss"] == pytest.approx(other["train"]["loss"], rel=1e-5)
            assert one["train"]["objective"] == pytest.approx(other["train"]["objective"], rel=1e-5)
            assert one["train"]["accuracy"] == other["train"]["accuracy"]


@pytest.mark.parametrize("run", [run for run in EVERY if run != SERIAL], ids=str)
def test_metrics_of_the_same_weights_are_the_same_bits(runs, run):
    serial, spread = (
        json.loads((path_of(runs, "evaluate", r) / "metrics.json").read_text())
        for r in (SERIAL, run)
    )
    assert serial["val"]["n"] == 11 and serial["test"]["n"] == 2  # fewer than 3 ranks
    assert spread == serial
    for split in ("val", "test"):
        one, other = (
            np.load(path_of(runs, "evaluate", r) / f"predictions-{split}.npz")
            for r in (SERIAL, run)
        )
        assert (one["logits"] == other["logits"]).all()
        assert (one["ids"] == other["ids"]).all()


@pytest.mark.parametrize(("name", "run"), pairs("averaged"), ids=str)
def test_averaged_weights_are_saved_whole_and_serial(runs, name, run):
    serial, spread = (
        load_file(path_of(runs, name, r) / "checkpoints/last/average.safetensors")
        for r in (SERIAL, run)
    )
    assert largest_difference(serial, spread) < WEIGHTS
    assert largest_difference(serial, weights(runs, name, SERIAL)) > 1e-3


@pytest.mark.parametrize("run", [DDP2, FSDP2, PIPELINE2], ids=str)
def test_a_checkpoint_of_any_strategy_goes_on_serially(runs, run):
    """One epoch more in one process, from each strategy's checkpoint: the same weights."""
    ends = []
    for source in (SERIAL, run):
        out = runs / f"handover-{run[0]}-from-{source[0]}"
        scenarios.train_on(path_of(runs, "group", source), runs, out)
        ends.append(load_file(out / "checkpoints/last/model.safetensors"))
    assert largest_difference(*ends) < WEIGHTS
    assert largest_difference(ends[0], weights(runs, "group", SERIAL)) > 1e-3


def test_sharding_and_cutting_share_the_memory_that_ddp_repeats(runs):
    (serial,), (ddp,), (fsdp,), (pipeline,) = (
        events(runs, "group", run, "memory") for run in (SERIAL, DDP2, FSDP2, PIPELINE2)
    )
    whole = serial["parameter_bytes"]
    assert ddp["parameter_bytes"] == ddp["gradient_bytes"] == ddp["optimizer_bytes"] == whole
    for shared in (fsdp, pipeline):
        ranks = [rank["parameter_bytes"] for rank in shared["ranks"]]
        assert sum(ranks) == whole and shared["parameter_bytes"] == max(ranks) < whole
    assert fsdp["parameter_bytes"] < 0.6 * whole
    assert fsdp["optimizer_bytes"] == fsdp["parameter_bytes"]
    assert min(rank["peak_bytes"] for rank in ddp["ranks"]) > 0


# -- what a world of several ranks has checked by itself ------------------------------------------


@pytest.fixture(scope="module", params=[2, 3])
def checks(runs, request):
    return json.loads((runs / f"checks-{request.param}.json").read_text())


def test_running_statistics_are_averaged_over_ranks(checks):
    assert checks["statistics"] == checks["mean_rank"]


def test_an_overflow_on_one_rank_leaves_the_step_out_on_all(checks):
    assert checks["moved_after_overflow"] == [False] * checks["world_size"]
    assert len(set(checks["scale_after_overflow"])) == 1


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_gradients_travel_once_a_step_however_many_micro_batches(checks, name):
    one, three = checks[f"{name}_messages"]
    assert one == three > 0


def test_fsdp_gathers_batch_normalisation_in_full_precision(checks):
    assert checks["half_weights"] == ["torch.bfloat16", "torch.float32"]
    assert checks["norm_statistics"] == "torch.float32"
    assert checks["gradients_finite"]


def test_sharded_checkpoint_survives_zeroing_with_frozen_weights(checks):
    assert checks["frozen_bytes"] == checks["reloaded_model"] == checks["reloaded_slots"] == 0.0
    assert checks["zeroed_model"] > 0.0


def test_sharded_checkpoint_consolidates_into_the_whole_tensors(checks):
    assert checks["consolidated_model"] == checks["consolidated_slots"] == 0.0


def test_every_rank_writes_a_part_and_all_are_told_when_one_cannot(checks):
    assert checks["part_files"] == checks["world_size"]
    last = checks["world_size"] - 1
    assert len(checks["unwritable"]) == checks["world_size"]
    for said in checks["unwritable"]:
        assert "cannot write a part of the checkpoint: " in said and f"rank {last}: " in said


@pytest.mark.parametrize(("name", "run"), [("averaged", FSDP2), ("group", FSDP3)], ids=str)
@pytest.mark.parametrize("which", ["last", "best"])
def test_finished_sharded_run_has_whole_tensors_and_no_parts(runs, name, run, which):
    folder = path_of(runs, name, run) / "checkpoints" / which
    expected = {"state.json", "model.safetensors", "optimizer.safetensors"}
    expected |= {"average.safetensors"} if name == "averaged" else set()
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == expected
    checkpoint.load(folder)  # verifies
