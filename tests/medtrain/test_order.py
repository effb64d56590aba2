import numpy as np
import pytest

from medtrain import seed
from medtrain.data.order import cut, global_batches, micro_batches


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    first = seed.order(7, 3, 1000)
    assert sorted(first) == list(range(1000))
    assert (first == seed.order(7, 3, 1000)).all()
    assert (first != seed.order(7, 4, 1000)).any()
    assert (first != seed.order(8, 3, 1000)).any()


def test_order_is_pinned_so_that_old_runs_resume_on_new_machines():
    assert seed.order(42, 0, 10).tolist() == ORDER_42_0_10


ORDER_42_0_10 = [9, 8, 7, 2, 3, 6, 1, 5, 0, 4]  # by this implementation, 2026-11-21


def test_draws_of_a_sample_do_not_depend_on_its_neighbours():
    together = seed.uniforms(1, 2, np.array([5, 9, 400]), 7)
    alone = seed.uniforms(1, 2, np.array([9]), 7)
    assert (together[1] == alone[0]).all()
    assert not (together[0] == together[1]).any()
    assert not (alone == seed.uniforms(1, 3, np.array([9]), 7)).any()


def test_draws_are_uniform():
    draws = seed.uniforms(0, 0, np.arange(20_000), 7)
    assert draws.min() >= 0 and draws.max() < 1
    # 20,000 draws: the mean's standard deviation is 0.002
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(draws.T) - np.eye(7)).max() < 0.04


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 12, 13, 100])
@pytest.mark.parametrize("size", [2, 6, 200])
def test_global_batches_cover_an_epoch_and_leave_no_single_sample(count, size):
    ranges = list(global_batches(count, size))
    assert [p for a, b in ranges for p in range(a, b)] == list(range(count))
    if count > 1:
        assert min(b - a for a, b in ranges) >= 2


def test_global_batches_go_on_from_a_position():
    assert list(global_batches(23, 6))[2:] == list(global_batches(23, 6, start=12))
    assert list(global_batches(23, 6, start=23)) == []


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("count", [2, 3, 5, 12, 23])
def test_union_over_ranks_is_the_global_batch(count, accumulate, world_size):
    ranks = [
        micro_batches(count, accumulate=accumulate, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(parts) for parts in ranks}) == 1  # equally many collectives
    positions = [p for parts in ranks for part in parts for p in part]
    assert sorted(positions) == list(range(count))
    assert all(len(part) != 1 for parts in ranks for part in parts)


def test_cut_is_even():
    assert [len(part) for part in cut(23, 4)] == [6, 6, 6, 5]
    assert [len(part) for part in cut(5, 6)] == [3, 2]
