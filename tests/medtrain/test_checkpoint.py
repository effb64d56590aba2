import json
import os
import stat

import pytest
import torch
from toy import flip_bit

from medtrain import checkpoint
from medtrain.checkpoint import CheckpointStore
from medtrain.errors import CheckpointError
from medtrain.strategies.base import TrainingState


def tensors(value):
    return TrainingState({"w": torch.full((3, 4), value)}, {"w//step": torch.tensor(value)})


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.save(tensors(1.0), {"epoch": 1}, best=True)
    store.save(tensors(2.0), {"epoch": 2}, best=False)
    return store


def test_what_is_saved_is_loaded(store):
    found = store.load_newest(pytest.fail)
    assert found.state["epoch"] == 2
    assert torch.equal(found.tensors.model["w"], torch.full((3, 4), 2.0))
    assert found.tensors.optimizer["w//step"] == 2.0


def test_best_is_a_copy_that_later_saves_leave_alone(store):
    assert store.load_best().state["epoch"] == 1
    best, previous = (store.folder / name / checkpoint.MODEL for name in ("best", "previous"))
    assert not best.samefile(previous)


def test_flipped_payload_bit_is_refused_and_the_previous_one_used(store):
    flip_bit(store.folder / "last" / checkpoint.MODEL)
    warnings = []
    assert store.load_newest(warnings.append).state["epoch"] == 1
    assert "model.safetensors: altered, its SHA-256 does not match" in warnings[0]
    assert warnings[0].endswith("trying the one before it")


def test_torn_file_is_refused_with_both_sizes(store):
    path = store.folder / "last" / checkpoint.OPTIMIZER
    size = path.stat().st_size
    os.truncate(path, size - 5)
    with pytest.raises(CheckpointError, match=f"torn, {size - 5} bytes instead of {size}"):
        checkpoint.load(store.folder / "last")


@pytest.mark.parametrize("name", [checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.STATE])
def test_missing_file_is_refused(store, name):
    (store.folder / "last" / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        checkpoint.load(store.folder / "last")


def test_edited_state_is_refused(store):
    path = store.folder / "last" / checkpoint.STATE
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 3'))
    with pytest.raises(CheckpointError, match=r"state.json: altered"):
        checkpoint.load(store.folder / "last")


def test_no_trusted_checkpoint_ends_the_run_with_exit_code_4(store):
    for name in ("last", "previous"):
        flip_bit(store.folder / name / checkpoint.MODEL)
    with pytest.raises(CheckpointError, match="no checkpoint can be trusted") as caught:
        store.load_newest(lambda _: None)
    assert caught.value.exit_code == 4
    assert "--resume never" in str(caught.value)


def test_killed_save_leaves_the_old_ones_and_is_cleaned_up(store, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "_fingerprint", die)
        store.save(tensors(3.0), {"epoch": 3}, best=True)
    assert store.load_newest(pytest.fail).state["epoch"] == 2
    store.save(tensors(4.0), {"epoch": 4}, best=True)
    assert sorted(p.name for p in store.folder.iterdir()) == ["best", "last", "previous"]
    assert store.load_best().state["epoch"] == 4


def test_death_between_the_renames_loses_nothing(store):
    (store.folder / "last").rename(store.folder / ".last.tmp-host-1-x")
    assert store.load_newest(lambda _: None).state["epoch"] == 1


def test_files_follow_the_umask_so_that_a_group_can_read_them(tmp_path):
    before = os.umask(0o027)
    try:
        store = CheckpointStore(tmp_path / "shared")
        store.save(tensors(1.0), {}, best=True)
    finally:
        os.umask(before)
    for name in (checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.STATE):
        assert stat.S_IMODE((store.folder / "best" / name).stat().st_mode) == 0o640


def test_state_is_plain_json(store):
    state = json.loads((store.folder / "last" / checkpoint.STATE).read_text())
    assert state["schema"] == 1
    assert set(state["files"]) == {checkpoint.MODEL, checkpoint.OPTIMIZER}


def progress(epoch, *, watched=None, best_epoch=0, position=0):
    return {
        "progress": {
            "epoch": epoch,
            "watched": watched,
            "best_epoch": best_epoch,
            "position": position,
        }
    }


def epochs(store):
    return {
        path.name: checkpoint.load_state(path)["progress"]["epoch"]
        for path in sorted(store.folder.iterdir())
    }


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (1, {"last": 6}),
        (2, {"last": 6, "previous": 5}),
        (4, {"last": 6, "previous": 5, "previous-2": 4, "previous-3": 3}),
    ],
)
def test_the_newest_ones_are_kept(tmp_path, keep, kept):
    store = CheckpointStore(tmp_path / "run", keep_last=keep)
    for epoch in range(1, 7):
        store.save(tensors(float(epoch)), progress(epoch), best=False)
    assert epochs(store) == kept
    assert store.load_newest(pytest.fail).state["progress"]["epoch"] == 6


def test_torn_checkpoints_are_passed_over_to_the_last_one_kept(tmp_path):
    store = CheckpointStore(tmp_path / "run", keep_last=3)
    for epoch in range(1, 4):
        store.save(tensors(float(epoch)), progress(epoch), best=False)
    for name in ("last", "previous"):
        flip_bit(store.folder / name / checkpoint.MODEL)
    warnings = []
    assert store.load_newest(warnings.append).state["progress"]["epoch"] == 1
    assert len(warnings) == 2


@pytest.mark.parametrize("higher", [False, True])
def test_the_best_ones_are_kept_in_their_order(tmp_path, higher):
    store = CheckpointStore(tmp_path / "run", keep_best=3, is_higher_better=higher)
    values = [0.5, 0.3, 0.4, 0.9, 0.35]
    sign = 1 if higher else -1
    best = None
    for epoch, value in enumerate(values, 1):
        is_best = best is None or sign * value > sign * best
        best = value if is_best else best
        store.save(tensors(value), progress(epoch, watched=value), best=is_best)
    ranked = sorted(range(5), key=lambda at: -sign * values[at])[:3]
    found = epochs(store)
    assert [found[name] for name in ("best", "best-2", "best-3")] == [at + 1 for at in ranked]


def test_best_that_a_killed_save_left_behind_is_made_on_resumption(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.save(tensors(1.0), progress(1, best_epoch=1), best=True)
    store.save(tensors(2.0), progress(2, best_epoch=2), best=False)  # killed before the copy
    store.finish_save(store.load_newest(pytest.fail))
    assert store.load_best().state["progress"]["epoch"] == 2


def test_best_that_was_moved_aside_when_killed_is_found_again(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.save(tensors(1.0), progress(1, best_epoch=1), best=True)
    store.save(tensors(2.0), progress(1, best_epoch=1, position=8), best=False)
    (store.folder / "best").rename(store.folder / ".best.tmp-host-1-x")
    store.finish_save(store.load_newest(pytest.fail))
    assert store.load_best().tensors.model["w"][0, 0] == 1.0
    assert sorted(path.name for path in store.folder.iterdir()) == ["best", "last", "previous"]


def test_copy_that_was_killed_is_gone_after_resumption(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.save(tensors(1.0), progress(1, best_epoch=1), best=True)
    (store.folder / ".best.tmp-host-1-x").mkdir()
    store.finish_save(store.load_newest(pytest.fail))
    assert sorted(path.name for path in store.folder.iterdir()) == ["best", "last"]


def test_further_files_are_hashed_and_loaded(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    mean = {"w": torch.zeros(3, 4)}
    store.save(tensors(1.0), {}, best=True, more={checkpoint.AVERAGE: mean, checkpoint.RANKS: {}})
    found = store.load_best()
    assert found.weights["w"].sum() == 0 and found.ranks == {}
    flip_bit(store.folder / "best" / checkpoint.AVERAGE)
    with pytest.raises(CheckpointError, match=r"average.safetensors: altered"):
        store.load_best()


# -- parts that every process writes --------------------------------------------------------------


@pytest.fixture
def parts(tmp_path):
    """A store of two checkpoints in parts, here written by one process without a group."""
    from medtrain.strategies.sharded import FsdpShards

    store = CheckpointStore(tmp_path / "run")
    for epoch in (1, 2):
        model = torch.nn.Linear(3, 2)
        torch.nn.init.constant_(model.weight, float(epoch))
        store.begin_staging(checkpoint.SHARDS)
        with pytest.warns(UserWarning, match="single process"):
            FsdpShards().save(store.staging / checkpoint.SHARDS, model, None)
        ranks = {checkpoint.RANKS: {"mean": torch.ones(2, 3)}}
        store.save(None, {"epoch": epoch}, best=epoch == 1, more=ranks)
    return store


def a_part(store):
    (part,) = (store.folder / "last" / checkpoint.SHARDS).iterdir()
    return part


def test_parts_are_read_as_whole_tensors_without_a_process_group(parts):
    found = parts.load_newest(pytest.fail)
    assert found.state["epoch"] == 2 and found.average == {}
    assert torch.equal(found.weights["weight"], torch.full((2, 3), 2.0))
    assert found.ranks["mean"].shape == (2, 3)
    assert parts.load_best().weights["weight"].max() == 1.0


def test_flipped_bit_of_a_part_is_refused_and_the_previous_one_used(parts):
    flip_bit(a_part(parts))
    warnings = []
    assert parts.load_newest(warnings.append).state["epoch"] == 1
    assert "model-00001-of-00001.safetensors: altered, its SHA-256" in warnings[0]


def test_missing_and_torn_parts_are_refused(parts):
    part = a_part(parts)
    size = part.stat().st_size
    os.truncate(part, size - 5)
    with pytest.raises(CheckpointError, match=f"torn, {size - 5} bytes instead of {size}"):
        checkpoint.load(part.parents[1])
    part.unlink()
    with pytest.raises(CheckpointError, match=r"safetensors: missing"):
        checkpoint.load(part.parents[1])


def test_altered_parts_are_not_put_together(parts):
    flip_bit(a_part(parts))
    parts.consolidate("last")
    with pytest.raises(CheckpointError, match="altered"):
        checkpoint.load(parts.folder / "last")


def test_putting_parts_together_can_be_killed_and_done_again(parts, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "_seal_folder", die)
        parts.consolidate("last")
    assert parts.load_newest(pytest.fail).shards is not None
    parts.consolidate("last")
    found = parts.load_newest(pytest.fail)
    assert found.shards is None and found.state["epoch"] == 2
    assert torch.equal(found.weights["weight"], torch.full((2, 3), 2.0))
    names = {checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.RANKS, checkpoint.STATE}
    assert {path.name for path in found.path.rglob("*")} == names
