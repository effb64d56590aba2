"""The specification: presets, overrides, files, and one fingerprint in two languages."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprep import _core, pipeline
from medprep.errors import SpecError, UsageError
from medprep.pipeline import PRESETS, Overrides, PipelineSpec, parse_clahe, parse_size
from medprep.steps import Clahe, Decode, Gamma, Median, Resize

SPECS = st.builds(
    lambda channels, resize, optional: PipelineSpec((Decode(channels=channels), resize, *optional)),
    st.sampled_from(["rgb", "grey"]),
    st.builds(
        Resize,
        height=st.integers(1, 16384),
        width=st.integers(1, 16384),
        mode=st.sampled_from(["stretch", "crop", "letterbox"]),
        interpolation=st.sampled_from(["area", "linear"]),
    ),
    st.tuples(
        st.builds(Clahe, clip_limit=st.floats(0.01, 1e4), tiles=st.integers(1, 256)),
        st.builds(Gamma, gamma=st.floats(0.01, 100)),
        st.just(Median()),
    ).flatmap(lambda steps: st.sampled_from([steps, steps[:1], steps[1:], steps[1:2], ()])),
)


@settings(max_examples=300, deadline=None)
@given(SPECS)
def test_python_and_rust_agree_on_text_and_fingerprint(spec):
    text = json.dumps(spec.to_json())
    assert _core.canonical_spec(text) == spec.canonical()
    assert _core.fingerprint(text) == spec.fingerprint()
    assert pipeline.from_json(json.loads(text)) == spec


def test_presets_are_those_of_the_design():
    found = {name: spec.describe() for name, spec in PRESETS.items()}
    assert found == {
        "glaucoma": "rgb 224x224 stretch area, CLAHE 2.0:8, gamma 1.2, median 3",
        "pneumonia": "grey 128x128 stretch area",
        "dermatology": "rgb 256x256 crop area",
        "captioning": "rgb 224x224 crop area",
        "detection": "grey 416x416 letterbox area",
        "plain": "auto 224x224 stretch area",
    }


def test_the_fingerprint_of_a_preset_never_changes():
    assert PRESETS["pneumonia"].fingerprint() == (
        "23d9ced5ff36c2ae17c38d0822d781620b29300de05b55fdf49cbea8b243d16a"
    )


def test_flags_change_single_values():
    spec = Overrides(size=(64, 96), clahe=False, gamma=2, resize="crop").apply(PRESETS["glaucoma"])
    assert spec.describe() == "rgb 64x96 crop area, gamma 2.0, median 3"
    spec = Overrides(clahe=(3.0, 4), median=3, interpolation="linear").apply(PRESETS["pneumonia"])
    assert spec.describe() == "grey 128x128 stretch linear, CLAHE 3.0:4, median 3"


def test_a_mistyped_preset_gets_a_suggestion():
    with pytest.raises(UsageError, match="unknown preset 'glaucma'; did you mean 'glaucoma'"):
        pipeline.preset("glaucma")


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_steps_file_is_read_and_wrong_ones_name_the_file(tmp_path, suffix):
    path = tmp_path / f"steps{suffix}"
    path.write_text(json.dumps(PRESETS["glaucoma"].to_json()))
    assert pipeline.from_file(path) == PRESETS["glaucoma"]
    path.write_text("{oops")
    with pytest.raises(SpecError, match="not valid YAML or JSON") as caught:
        pipeline.from_file(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot read the steps: No such file"):
        pipeline.from_file(tmp_path / "missing.yaml")


DECODE = {"step": "decode", "channels": "rgb"}
RESIZE = {"step": "resize", "height": 8, "width": 8}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([DECODE], "exactly one step 'resize', found 0"),
        ([DECODE, RESIZE, RESIZE], "exactly one step 'resize', found 2"),
        ([RESIZE, DECODE], "must stand in the order"),
        ([DECODE, RESIZE, {"step": "median"}, {"step": "gamma", "gamma": 1}], "in the order"),
        ([DECODE, {**RESIZE, "heigth": 3}], "unknown key 'heigth'; did you mean 'height'"),
        ([DECODE, {"step": "resize", "height": 3}], "needs width"),
        ([DECODE, {**RESIZE, "height": 0}], "whole number in 1..16384, got 0"),
        ([DECODE, {**RESIZE, "height": True}], "whole number"),
        ([DECODE, {**RESIZE, "mode": "strech"}], "did you mean 'stretch'"),
        (
            [DECODE, RESIZE, {"step": "gama", "gamma": 1}],
            "unknown step 'gama'; did you mean 'gamma'",
        ),
        ([DECODE, RESIZE, {"step": "gamma", "gamma": float("nan")}], "0.01..100"),
        ([DECODE, RESIZE, {"step": "median", "size": 5}], "must be 3, got 5"),
        ([DECODE, RESIZE, {"step": "clahe", "clip_limit": "2"}], "CLAHE clip limit"),
        (["decode"], "must be an object"),
        ("decode", "must be a list"),
    ],
)
def test_a_wrong_pipeline_says_what_is_wrong(steps, message):
    with pytest.raises(SpecError, match=message):
        pipeline.from_json({"steps": steps})


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int7"])
def test_other_dtypes_are_refused_by_name(dtype):
    with pytest.raises(SpecError, match=f"dtype '{dtype}' is not supported"):
        Overrides(dtype=dtype).apply(PRESETS["plain"])


def test_sizes_and_clahe_are_parsed():
    assert parse_size("224") == (224, 224)
    assert parse_size("64X96") == (64, 96)
    assert parse_clahe("2:8") == (2.0, 8)
    for wrong in ("0", "-3", "1x2x3", "x", "", "99999999", "²"):
        with pytest.raises(UsageError, match="size must be N or HxW"):
            parse_size(wrong)
    with pytest.raises(UsageError, match="CLIP:TILES"):
        parse_clahe("2")
