"""The GPU table: its arithmetic, and a tiny run of the whole command on the CPU."""

from __future__ import annotations

import pytest
import torch

import train_gpu
from train_gpu import BEGIN, END, HEAD, Result, cells, main, peak_of, shares_of, update

TINY = ["--device", "cpu", "--models", "tiny_cnn", "--size", "32", "--batch-size", "4"]


def result(**changes):
    values = {
        **{"model": "medical_cnn", "setting": "bf16", "batch": 100, "rates": (90.0, 100.0, 130.0)},
        **{"shares": dict.fromkeys(train_gpu.PARTS, 0.125) | {"communication": None}},
        **{"flops": 1e12, "memory": 2**31, "inference": 400.0},
    }
    return Result(**(values | changes))


def row(found, peak=None, world_size=1):
    return dict(zip(HEAD, cells(found, peak, world_size), strict=True))


def test_a_line_of_the_table_is_computed_from_the_median_rate():
    found = row(result(), peak=1000.0)
    assert (found["images/s"], found["windows"], found["ms/step"]) == ("100.0", "40%", "1,000.0")
    assert (found["TFLOP/s"], found["MFU"], found["memory, GiB"]) == ("100.00", "10%", "2.0")
    assert (found["forward"], found["communication"]) == ("12%", "–")


def test_utilisation_is_of_all_devices_and_not_guessed_for_unknown_ones():
    assert row(result(), peak=1000.0, world_size=4)["MFU"] == "2%"
    assert peak_of("NVIDIA H200", "bf16+channels_last+compile") == 989
    assert peak_of("NVIDIA H200", "fp32") == 67
    assert peak_of("some other device", "bf16") is None
    assert row(result(memory=None), peak=None)["MFU"] == "–"


def test_shares_of_a_step_make_a_whole():
    alone = {
        **{"whole": 10.0, "waiting": 1.0, "inputs": 1.0, "forward": 2.0, "backward": 4.0},
        **{"optimizer": 1.0, "the rest": 2.0},
    }
    shares = shares_of(alone)
    assert shares["the rest"] == 0.1 and shares["communication"] is None
    assert sum(share for share in shares.values() if share) == pytest.approx(1.0)
    several = shares_of(alone | {"backward": 3.0, "communication": 1.0})
    assert (several["backward"], several["communication"]) == (0.3, 0.1)
    assert sum(several.values()) == pytest.approx(1.0)


def test_the_command_measures_and_writes_its_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = tmp_path / "performance.md"
    page.write_text(f"# Performance\n\n{BEGIN}\n{END}\nafter\n")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    main([*TINY, "--settings", "bf16+channels_last", "--steps", "5", "--update", str(page)])
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
    printed = capsys.readouterr().out.strip()
    assert page.read_text() == f"# Performance\n\n{BEGIN}\n\n{printed}\n\n{END}\nafter\n"
    head, _, line = (line for line in printed.splitlines() if line.startswith("|"))
    assert head == f"| {' | '.join(HEAD)} |"
    found = dict(zip(HEAD, line.strip("| ").replace(",", "").split(" | "), strict=True))
    assert (found["model"], found["setting"]) == ("tiny_cnn", "bf16+channels_last")
    assert float(found["images/s"]) > 0 and float(found["inference images/s"]) > 0
    assert found["MFU"] == found["memory, GiB"] == "–"  # no GPU was measured
    assert found["forward"].endswith("%") and found["backward"].endswith("%")
    assert list(tmp_path.glob("train-gpu-*")) == []


def test_what_cannot_run_here_is_left_out_with_its_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    main([*TINY, "--models", "timm/no_such_model", "--settings", "fp32", "--steps", "5"])
    assert "- timm/no_such_model, fp32: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--settings", "fp8"], "'fp8' is not one of fp32, tf32, bf16, fp16"),
        (["--settings", "bf16+fused"], r"'bf16\+fused' is not one of"),
        (["--steps", "2"], "--steps must be at least 5"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_measured(words, said):
    with pytest.raises(SystemExit, match=said):
        main([*TINY, *words])


def test_without_a_gpu_nothing_is_measured_instead(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA GPU here; --device cpu tries the command"):
        main([])


def test_a_page_without_the_markers_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Performance\n")
    with pytest.raises(SystemExit, match="are not there, in this order"):
        update(page, "table")
    assert page.read_text() == "# Performance\n"
