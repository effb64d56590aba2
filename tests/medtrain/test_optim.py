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
    schedule = Schedule(config, optimizer, epoch_steps=7, epochs=2)
    rates = []
    for _ in range(15):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[9] == pytest.approx(0.55)  # half way: the mean of both ends
    assert rates[14] == pytest.approx(0.1)


def test_schedule_goes_on_from_its_state():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule(OptimConfig(), optimizer, epoch_steps=5, epochs=2)
    for _ in range(3):
        schedule.step()
    other = Schedule(OptimConfig(), optimizer, epoch_steps=5, epochs=2)
    other.load_state(schedule.state(), epochs_done=0.6)
    assert other.learning_rate == schedule.learning_rate == optimizer.param_groups[0]["lr"]


def test_auto_precision_is_fp32_on_the_cpu_and_bf16_works_there():
    cpu = torch.device("cpu")
    assert build_precision("auto", cpu).name == "fp32"
    layer = nn.Linear(8, 8)
    with build_precision("bf16", cpu).autocast():
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16


def rates_of(config, *, epoch_steps, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule(config, optimizer, epoch_steps=epoch_steps, epochs=epochs)
    rates = []
    for _ in range(epoch_steps * epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return rates


def test_step_schedule_falls_every_so_many_epochs():
    config = OptimConfig(learning_rate=1.0, schedule="step", step_epochs=2, step_factor=0.5)
    rates = rates_of(config, epoch_steps=3, epochs=5)
    assert rates == [1.0] * 6 + [0.5] * 6 + [0.25] * 3


def test_one_cycle_rises_to_its_peak_and_falls_as_torchs_own():
    ours = rates_of(OptimConfig(learning_rate=1.0, schedule="one-cycle"), epoch_steps=500, epochs=2)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=1000)
    expected = []
    for _ in range(1000):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # torch places its turning points one step earlier, at total_steps - 1
    assert ours == pytest.approx(expected, abs=6e-3)
    assert max(ours) == pytest.approx(1.0, abs=1e-3) and ours[0] == pytest.approx(0.04)


def test_one_cycle_refuses_another_warm_up():
    with pytest.raises(ConfigError, match="warmup_steps must be 0"):
        OptimConfig(schedule="one-cycle", warmup_steps=3)


def test_schedule_keeps_its_share_of_the_run_when_an_epoch_has_other_steps():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    config = OptimConfig(learning_rate=1.0)
    two = Schedule(config, optimizer, epoch_steps=10, epochs=4)
    for _ in range(15):
        two.step()
    one = Schedule(config, optimizer, epoch_steps=20, epochs=4)  # half as many processes
    one.load_state(two.state(), epochs_done=1.5)
    assert one.learning_rate == pytest.approx(two.learning_rate)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_fused_optimizer_takes_the_same_steps_up_to_rounding(name):
    weights = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(20, 5)
        config = OptimConfig(name=name, fused=fused, learning_rate=0.1)
        optimizer = build_optimizer(config, model)
        for _ in range(4):
            model(torch.ones(3, 20)).square().sum().backward()
            optimizer.step()
        assert all(bool(group.get("fused")) is fused for group in optimizer.param_groups)
        weights.append(model.weight.detach().clone())
    assert torch.allclose(*weights, atol=1e-6)
