"""When all ranks save between two steps: by steps, by time, and together."""

import pytest
import torch

from medtrain.boundary import Boundary
from medtrain.progress import Progress
from medtrain.strategies import SerialStrategy


class Quiet:
    """A loader without trouble, and a stop flag that nobody has raised."""

    trouble = None
    requested = 0


class OtherRankAsks(SerialStrategy):
    def agree(self, flag):
        return max(flag, 1)


@pytest.fixture
def saving():
    """(boundary, what it has saved, its clock in minutes)."""

    def make(strategy=None, **when):
        saved, minutes = [], [7.0]
        boundary = Boundary(
            strategy=strategy or SerialStrategy(torch.device("cpu")),
            stop=Quiet(),
            loader=Quiet(),
            journal=None,
            save=lambda at, best: saved.append((at.step, best)),
            clock=lambda: 60 * minutes[0],
            **{"every_steps": 0, "every_minutes": 0.0} | when,
        )
        return boundary, saved, minutes

    return make


def steps_saved(boundary, saved, minutes, at_minutes):
    """Settles once a step, at the given minutes since the start."""
    for step, now in enumerate(at_minutes):
        minutes[0] = 7.0 + now
        assert boundary.settle(Progress(step=step)) == 0
    return [step for step, _ in saved]


def test_saves_when_the_minutes_are_over_counted_from_the_last_save(saving):
    boundary, saved, minutes = saving(every_minutes=10)
    assert steps_saved(boundary, saved, minutes, [0, 9.9, 10, 19.9, 20.1, 20.2, 45, 46]) == [
        2,
        4,
        6,
    ]
    assert not any(best for _, best in saved)


def test_saving_for_another_reason_starts_the_minutes_anew(saving):
    boundary, saved, minutes = saving(every_minutes=10)
    minutes[0] += 8
    boundary.save(Progress(step=1), True)
    assert steps_saved(boundary, saved, minutes, [9, 11, 17.9, 18]) == [1, 3]


def test_does_not_save_by_time_unless_asked(saving):
    assert steps_saved(*saving(), [0, 1e6, 2e6]) == []


def test_saves_when_the_steps_are_over(saving):
    assert steps_saved(*saving(every_steps=3), range(8)) == [3, 6]


def test_saves_with_a_rank_whose_minutes_are_over_before(saving):
    """Clocks differ: one that is due makes all save, at the same step."""
    strategy = OtherRankAsks(torch.device("cpu"))
    assert steps_saved(*saving(strategy, every_minutes=10), [1]) == [0]
