"""Loss scaling, and what a precision tells about this machine."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medtrain import precision
from medtrain.errors import ConfigError
from medtrain.precision import build_precision, compute_dtype, resolve_precision

CPU = torch.device("cpu")


def one_weight(value=1.0):
    weight = nn.Parameter(torch.tensor([value]))
    return weight, torch.optim.SGD([weight], lr=0.5)


def test_fp16_gradients_are_unscaled_before_anyone_sees_them():
    weight, optimizer = one_weight()
    fp16 = build_precision("fp16", CPU)
    fp16.scale((weight * 3.0).sum()).backward()
    assert weight.grad.item() == 3.0 * 2.0**16
    fp16.unscale(optimizer)
    assert weight.grad.item() == 3.0
    assert fp16.step(optimizer)
    assert weight.item() == 1.0 - 0.5 * 3.0  # exactly one step


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_fp16_overflow_leaves_the_step_out_and_halves_the_scale(bad):
    weight, optimizer = one_weight()
    fp16 = build_precision("fp16", CPU)
    weight.grad = torch.tensor([bad])
    fp16.unscale(optimizer)
    assert not fp16.step(optimizer)
    assert weight.item() == 1.0
    assert fp16.state() == {"loss_scale": 2.0**15, "good_steps": 0}
    weight.grad = torch.tensor([2.0**15])
    fp16.unscale(optimizer)
    assert fp16.step(optimizer)
    assert weight.item() == 0.5


def test_fp16_follows_the_overflow_of_another_rank():
    weight, optimizer = one_weight()
    fp16 = build_precision("fp16", CPU, agree=lambda flag: 1)
    weight.grad = torch.tensor([1.0])
    fp16.unscale(optimizer)
    assert not fp16.step(optimizer)
    assert weight.item() == 1.0


def test_fp16_scale_grows_after_many_good_steps_and_is_restored(monkeypatch):
    monkeypatch.setattr(precision, "_GROW_AFTER", 3)
    weight, optimizer = one_weight()
    fp16 = build_precision("fp16", CPU)
    for _ in range(4):
        weight.grad = torch.tensor([0.0])
        fp16.unscale(optimizer)
        fp16.step(optimizer)
    assert fp16.state() == {"loss_scale": 2.0**17, "good_steps": 1}
    other = build_precision("fp16", CPU)
    other.load_state(fp16.state())
    assert other.state() == fp16.state()


def test_fp16_starts_anew_from_a_checkpoint_of_another_precision():
    fp16 = build_precision("fp16", CPU)
    fp16.load_state(build_precision("fp32", CPU).state())
    assert fp16.state() == {"loss_scale": 2.0**16, "good_steps": 0}


def test_bf16_has_no_scale_and_always_steps():
    weight, optimizer = one_weight()
    bf16 = build_precision("bf16", CPU)
    loss = (weight * 3.0).sum()
    assert bf16.scale(loss) is loss
    weight.grad = torch.tensor([1.0])
    bf16.unscale(optimizer)
    assert bf16.step(optimizer) and weight.item() == 0.5
    assert bf16.state() == {}


@pytest.mark.parametrize(("has_bf16", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_on_gpus_that_have_it(monkeypatch, has_bf16, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert resolve_precision("auto", torch.device("cuda")) == chosen


def test_bf16_is_refused_where_a_gpu_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ConfigError, match="this GPU has no bfloat16; use fp16 or fp32"):
        resolve_precision("bf16", torch.device("cuda"))


def test_auto_is_full_precision_on_the_cpu():
    assert build_precision("auto", CPU).name == "fp32"
    assert compute_dtype("auto", CPU) == torch.float32
    assert compute_dtype("fp16", CPU) == torch.float16


def test_slow_half_precision_is_said_with_the_measured_factor(monkeypatch):
    monkeypatch.setattr(precision, "measured_slowdown", lambda dtype: 3.04)
    caution = build_precision("bf16", CPU).caution
    assert caution is not None and "bf16 is 3.0 times slower than fp32 on this CPU" in caution
    monkeypatch.setattr(precision, "measured_slowdown", lambda dtype: 0.6)
    assert build_precision("bf16", CPU).caution is None


def test_measuring_leaves_torchs_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert precision.measured_slowdown(torch.bfloat16) > 0
    assert torch.equal(torch.rand(3), expected)
