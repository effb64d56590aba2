import pytest
import torch
from torch import nn

from medtrain.config import OptimConfig
from medtrain.errors import ConfigError
from medtrain.optim import Schedule, build_optimizer
from medtrain.precision import build_precision


def test_biases_and_norms_are_not_decayed():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = build_optimizer(OptimConfig(weight_decay=0.1), model)
    decayed, free = optimizer.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert len(free["params"]) == 4


def test_cosine_warms_up_and_ends_at_the_final_rate():
    config = OptimConfig(learning_rate=1.0, warmup_steps=4, final_learning_rate=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule(config, optimizer, total_steps=14)
    rates = []
    for _ in range(15):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[9] == pytest.approx(0.55)  # half way: the mean of both ends
    assert rates[14] == pytest.approx(0.1)


def test_schedule_goes_on_from_its_state():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule(OptimConfig(), optimizer, total_steps=10)
    for _ in range(3):
        schedule.step()
    other = Schedule(OptimConfig(), optimizer, total_steps=10)
    other.load_state(schedule.state())
    assert other.learning_rate == schedule.learning_rate == optimizer.param_groups[0]["lr"]


def test_auto_precision_is_fp32_on_the_cpu_and_bf16_works_there():
    cpu = torch.device("cpu")
    assert build_precision("auto", cpu).name == "fp32"
    layer = nn.Linear(8, 8)
    with build_precision("bf16", cpu).autocast():
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16


def test_fp16_is_refused_by_name():
    from medtrain.config import TrainConfig

    with pytest.raises(ConfigError, match="'fp16' is not available in this version"):
        TrainConfig(precision="fp16")
