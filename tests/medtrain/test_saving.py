"""Processes that write their own parts must see the same folder."""

from types import SimpleNamespace

import pytest
import torch

from medtrain.checkpoint import CheckpointStore
from medtrain.errors import StorageError
from medtrain.progress import Progress
from medtrain.saving import Saver, _is_there
from medtrain.strategies import SerialStrategy


def test_a_folder_is_asked_for_without_leaving_one_behind(tmp_path):
    (tmp_path / "shared").mkdir()
    assert _is_there(tmp_path / "shared")
    assert not _is_there(tmp_path / "missing")
    assert not _is_there(tmp_path / "missing" / "inner")
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_run_folder_that_another_node_does_not_see_is_refused_before_anything_is_written(tmp_path):
    class OtherNodeSeesNothing(SerialStrategy):
        def __init__(self):
            super().__init__(torch.device("cpu"))
            self.shards = SimpleNamespace(save=pytest.fail)

        def agree(self, flag):
            assert not flag  # this one sees it
            return 1

    average = SimpleNamespace(is_kept=False, statistics=lambda model: {})
    parts = SimpleNamespace(
        strategy=OtherNodeSeesNothing(), model=torch.nn.Linear(2, 2), average=average
    )
    saver = Saver(parts, CheckpointStore(tmp_path), config=None, data=None)
    with pytest.raises(StorageError, match="not all processes find it") as caught:
        saver.save(Progress(), False)
    assert caught.value.exit_code == 74
    assert "--set fsdp.sharded_checkpoint=false" in str(caught.value)
    assert not (tmp_path / "checkpoints" / "last").exists()
