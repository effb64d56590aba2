"""Find the coefficients of src/photometric/lab/fitted.rs and write that file.

    python rust/medprep-core/tools/fit.py rust/medprep-core/src/photometric/lab/fitted.rs
    cargo fmt --all

Vector code has no fast table look-ups, so OpenCV's tables are computed: integers from
A + mulhi(u, B +- mulhi(u, C)), the cube root from float polynomials. Every fit is checked here over
all of its inputs with the arithmetic of the kernels; `tests/paths.rs` checks all 2^24 colours.
Needs numpy and scipy; takes about 20 s.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

f32 = np.float32
Array = np.ndarray

HEADER = """\
//! Coefficients found by `rust/medprep-core/tools/fit.py`; `tests/paths.rs` checks all colours.
//!
//! Integer fits are A + mulhi(u, B + mulhi(u, C)) with 16-bit u, minus for the concave inverse.
"""

# -- OpenCV's tables (lab/tables.rs) ------------------------------------------------------------


def linear_light() -> Array:
    """SRGB value -> linear light, 0..=2040."""
    value = (np.arange(256).astype(f32) / f32(255)).astype(np.float64)
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.rint(f32(2040) * light.astype(f32)).astype(np.int64)


def cube_root() -> Array:
    """X, Y or Z, 0..=2040 -> f(t) of CIE Lab, times 2^15."""
    t = np.arange(2041).astype(f32) / f32(255 * 8)
    line = t.astype(np.float64) * np.float64(f32(841 / 108)) + np.float64(f32(16 / 116))
    root = np.cbrt(t.astype(np.float64)).astype(f32)
    f = np.where(t < f32(216 / 24389), line.astype(f32), root)
    table = np.rint(f32(32768) * f).astype(np.int64)
    table[324] = 17745  # OpenCV's soft-float cube root truncates its last bit
    return table


def srgb() -> Array:
    """Linear light, 0..4096 -> sRGB value."""
    light = (np.arange(4096).astype(f32) / f32(4096)).astype(np.float64)
    curve = 1.055 * light ** (1 / 2.4) - 0.055
    value = np.where(light <= 0.0031308, light * 12.92, curve).astype(f32)
    return np.rint(f32(255) * value).astype(np.int64)


def luminance() -> tuple[Array, Array]:
    """L -> Y and f(Y), times 2^14."""
    level = np.arange(256)
    is_line = level <= 20
    line_y = np.rint(level * 16384 * 180 / (17 * 29**3))
    line_f = np.rint(16384 * (16 / 116 + 5 * level / (3 * 17 * 29)))
    f = level.astype(f32) * f32(100 * 16384 / (255 * 116)) + f32(16 * 16384 / 116)
    y = np.where(is_line, line_y, np.rint(f.astype(np.float64) ** 3 / 2**28))
    return y.astype(np.int64), np.where(is_line, line_f, np.rint(f)).astype(np.int64)


# -- integer fits -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quadratic:
    """(a + mulhi(u, b +- mulhi(u, c))) >> shift."""

    a: int
    b: int
    c: int


def mulhi(a: Array | int, b: Array | int) -> Array:
    """The upper half of a 16-bit product."""
    return (np.asarray(a) * b) >> 16


def fit_quadratic(
    target: Array, u: Array, *, shift: int, convex: bool, span: int = 200
) -> Quadratic | None:
    """The fit with the widest interval for `a` that meets every point; None if there is none."""
    low = target << shift
    high = low + (1 << shift) - 1
    sign = 1 if convex else -1
    x = u / 65536.0
    powers = np.stack([np.ones(len(x)), x, x * x], 1)
    margin = np.ones(len(x))
    solved = linprog(
        [0, 0, 0, -1],
        A_ub=np.concatenate([np.c_[powers, margin], np.c_[-powers, margin]]),
        b_ub=np.concatenate([high + 1.0, -low * 1.0]),
        bounds=[
            (None, None), (0, 65535), (0, 65535) if convex else (-65535, 0), (None, None)
        ],
    )  # fmt: skip
    if solved.x is None:
        return None
    around_b, around_c = int(solved.x[1]), abs(int(solved.x[2]))
    best, widest = None, -1
    for c in sorted(set(np.clip(around_c + np.arange(-span, span + 1), 0, 65535).tolist())):
        for b in range(max(0, around_b - 24), min(65535, around_b + 25)):
            slope = b + sign * mulhi(u, c)
            if slope.min() < 0 or slope.max() > 65535:
                continue
            rise = mulhi(u, slope)
            least, most = int((low - rise).max()), int((high - rise).min())
            if most - least > widest:
                best, widest = Quadratic((least + most) // 2, b, c), most - least
    return best


def fit_linear_light() -> list[Quadratic]:
    """16 segments of 16 values."""
    table, u = linear_light(), np.arange(16) << 12
    fits = [fit_quadratic(part, u, shift=5, convex=True) for part in table.reshape(16, 16)]
    return [found(fit) for fit in fits]


def fit_srgb() -> list[Quadratic]:
    """32 fine segments of 8 for the dark eighth, then 32 coarse ones of 128; two are not used."""
    table = srgb()
    fits = [
        fit_quadratic(part, np.arange(8) << 13, shift=8, convex=False)
        for part in table[:256].reshape(32, 8)
    ]
    fits += [Quadratic(0, 0, 0)] * 2
    fits += [
        fit_quadratic(part, np.arange(128) << 9, shift=8, convex=False)
        for part in table.reshape(32, 128)[2:]
    ]
    return [found(fit) for fit in fits]


def fit_y() -> list[Quadratic]:
    """16 segments of 16; that of L = 239 fits no quadratic and is put right by the kernel."""
    y, _ = luminance()
    u = np.arange(16) << 12
    fits = [fit_quadratic(part, u, shift=4, convex=True, span=300) for part in y.reshape(16, 16)]
    all_but_239 = Quadratic((11754 << 4) + 1, 34110, 2060)
    return [fit or all_but_239 for fit in fits]


def found(fit: Quadratic | None) -> Quadratic:
    """The fit, which must exist."""
    if fit is None:
        sys.exit("a segment fits no quadratic: the kernels need another form")
    return fit


def check_closed_forms() -> None:
    """The integer forms that the kernels hold as constants: f(Y), L."""
    level = np.arange(256)
    assert (luminance()[1] == 55 * level + mulhi(level + 1, 25485) + 2260).all()
    root = cube_root()
    assert (((mulhi(root - 4440, 37887) - 12) >> 6) == (296 * root - 1336934 + 16384) >> 15).all()


# -- the cube root ------------------------------------------------------------------------------


def fit_cube_root(segments: int, degree: int) -> Array:
    """Polynomials in the mantissa, to be scaled by 2^(exponent / 3): (degree + 1, segments)."""
    index, table = np.arange(19, 2041), cube_root()[19:]
    mantissa, exponent = np.frexp(index.astype(float))
    mantissa, exponent = mantissa * 2, exponent - 1
    scale = (2.0 ** (exponent / 3)).astype(f32)
    segment = np.floor((mantissa - 1) * segments).astype(int)
    coefficients = np.zeros((degree + 1, segments))
    for s in range(segments):
        here = segment == s
        centre = 1 + (s + 0.5) / segments
        powers = np.stack([(mantissa[here] - centre) ** p for p in range(degree + 1)], 1)
        powers *= scale[here].astype(float)[:, None]
        margin = np.ones(here.sum())
        solved = linprog(
            [0] * (degree + 1) + [-1],
            A_ub=np.concatenate([np.c_[powers, margin], np.c_[-powers, margin]]),
            b_ub=np.concatenate([table[here] + 0.5, -(table[here] - 0.5)]),
            bounds=[(None, None)] * (degree + 2),
            method="highs",
        )
        around_centre = np.poly1d(solved.x[: degree + 1][::-1])
        coefficients[:, s] = around_centre(np.poly1d([1, -centre])).coeffs[::-1]
    rounded = coefficients.astype(f32)
    x = mantissa.astype(f32)
    value = rounded[degree][segment]
    for p in range(degree - 1, -1, -1):  # one rounding each, as a fused multiply-add
        value = (value.astype(float) * x + rounded[p][segment]).astype(f32)
    assert (np.rint((value * scale).astype(f32)) == table).all(), (segments, degree)
    return rounded


def cube_root_scales(count: int) -> list[np.float32]:
    """2^(exponent / 3) at the place of the float's exponent field modulo `count`."""
    scales = [f32(0)] * count
    for exponent in range(4, 11):
        scales[(exponent + 127) % count] = f32(2.0 ** (exponent / 3))
    return scales


def check_cube_root_line(slope: np.float32, offset: np.float32) -> None:
    """Below index 19 the cube root is a line."""
    assert (np.rint(np.arange(19) * slope + offset) == cube_root()[:19]).all()


# -- the file -----------------------------------------------------------------------------------


def literal(value: float) -> str:
    """A float as the shortest text that reads back the same."""
    return np.format_float_positional(f32(value), unique=True, trim="0")


def array(name: str, kind: str, values: Sequence[object]) -> str:
    """One Rust constant; `cargo fmt` breaks the line."""
    items = ", ".join(map(str, values))
    return f"pub(super) const {name}: [{kind}; {len(values)}] = [{items}];"


def render() -> str:
    """The whole file."""
    check_closed_forms()
    slope, offset = f32(841 / 108 * 32768 / 2040), f32(16 / 116 * 32768)
    check_cube_root_line(slope, offset)
    lines = [HEADER]
    for name, fits in (("GAMMA", fit_linear_light()), ("INVERSE", fit_srgb())):
        for part in "abc":
            values = [getattr(fit, part) for fit in fits]
            lines.append(array(f"{name}_{part.upper()}", "u16", values))
    y = fit_y()
    lines.append(array("Y_A", "u16", [fit.a >> 4 for fit in y]))
    lines.append(array("Y_R", "u16", [fit.a & 15 for fit in y]))
    lines.append(array("Y_B", "u16", [fit.b for fit in y]))
    lines.append(array("Y_C", "u16", [fit.c for fit in y]))
    for power, row in enumerate(fit_cube_root(32, 2)):
        lines.append(array(f"CBRT32_C{power}", "f32", [literal(v) for v in row]))
    lines.append(array("CBRT_SCALE16", "f32", [literal(v) for v in cube_root_scales(16)]))
    lines.append("/// The cube root is a line below this index.")
    lines.append("pub(super) const LINE_END: i32 = 19;")
    lines.append(f"pub(super) const LINE_SLOPE: f32 = {literal(slope)};")
    lines.append(f"pub(super) const LINE_OFFSET: f32 = {literal(offset)};")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
