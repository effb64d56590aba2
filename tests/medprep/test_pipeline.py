"""The specification: presets, overrides, files, and one fingerprint in two languages."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprep import _core, pipeline
from medprep.errors import SpecError, UsageError
from medprep.pipeline import PRESETS, Overrides, PipelineSpec, parse_clahe, parse_size, parse_window
from medprep.steps import Clahe, Decode, Gamma, Median, Resize, Window

SPECS = st.builds(
    lambda decode, window, resize, optional: PipelineSpec((decode, *window, resize, *optional)),
    st.builds(
        Decode,
        channels=st.sampled_from(["rgb", "grey"]),
        frames=st.sampled_from([None, "first", "middle"]),
    ),
    st.sampled_from([(), (Window(mode="auto"),), (Window(mode="none"),)])
    | st.builds(
        lambda center, width: (Window(center=center, width=width),),
        st.just(0.0) | st.floats(0.001, 1e9) | st.floats(-1e9, -0.001),
        st.floats(1, 1e9),
    ),
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


def test_an_unknown_dtype_is_refused_by_name():
    with pytest.raises(SpecError, match="dtype must be one of uint8, uint16, float32; got 'int7'"):
        Overrides(dtype="int7").apply(PRESETS["plain"])


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("glaucoma", {"dtype": "uint16"}, "8-bit Lab"),
        ("pneumonia", {"dtype": "uint16", "interpolation": "linear"}, "no stable definition"),
        ("pneumonia", {"dtype": "float32", "interpolation": "linear"}, "no stable definition"),
    ],
)
def test_steps_without_a_16_bit_definition_are_refused_in_both_languages(
    preset, overrides, message
):
    with pytest.raises(SpecError, match=message):
        Overrides(**overrides).apply(PRESETS[preset])
    fine = Overrides(interpolation=overrides.get("interpolation")).apply(PRESETS[preset])
    text = json.dumps(fine.to_json() | {"dtype": overrides["dtype"]})
    with pytest.raises(SpecError, match=message):
        _core.fingerprint(text)


def test_colour_with_clahe_is_float32_of_the_8_bit_pipeline():
    assert not Overrides(dtype="float32").apply(PRESETS["glaucoma"]).is_wide
    assert Overrides(dtype="float32").apply(PRESETS["pneumonia"]).is_wide


def test_a_window_is_a_mode_or_two_numbers():
    spec = Overrides(window=(40, 400), frames="first", dtype="uint16").apply(PRESETS["pneumonia"])
    assert spec.describe() == "grey 128x128 stretch area, first frame, window 40.0:400.0, uint16"
    assert spec.to_json()["steps"][:2] == [
        {"step": "decode", "channels": "grey", "frames": "first"},
        {"step": "window", "center": 40.0, "width": 400.0},
    ]
    assert parse_window("auto") == "auto" and parse_window("-600:1500.5") == (-600.0, 1500.5)
    for wrong in ("", "40", "a:b", "40:"):
        with pytest.raises(UsageError, match="a window must be auto, none or CENTER:WIDTH"):
            parse_window(wrong)
    for window, message in [
        ({"mode": "auto", "center": 1.0}, "not both"),
        ({"center": 1.0}, "a mode, or center and width"),
        ({"center": 1e-7, "width": 3}, "0 or at least 0.001"),
        ({"center": 1.0, "width": 0.5}, "window width must be a number"),
        ({"mode": "automatic"}, "did you mean 'auto'"),
    ]:
        step = {"step": "window", **window}
        with pytest.raises(SpecError, match=message):
            pipeline.from_json({"steps": [DECODE, step, RESIZE]})


def test_sizes_and_clahe_are_parsed():
    assert parse_size("224") == (224, 224)
    assert parse_size("64X96") == (64, 96)
    assert parse_clahe("2:8") == (2.0, 8)
    for wrong in ("0", "-3", "1x2x3", "x", "", "99999999", "²"):
        with pytest.raises(UsageError, match="size must be N or HxW"):
            parse_size(wrong)
    with pytest.raises(UsageError, match="CLIP:TILES"):
        parse_clahe("2")
