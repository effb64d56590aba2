//! The definition, pixel by pixel: sections E.2 and E.3 of the reference notes.

use super::InverseTables;
use super::tables::Forward;

/// RGB to Lab.
pub(super) fn lab(tables: &Forward, [r, g, b]: [u8; 3]) -> [u8; 3] {
    let linear = |value: u8| i32::from(tables.linear[value as usize]);
    let (r, g, b) = (linear(r), linear(g), linear(b));
    // sRGB -> XYZ over the D65 white, times 4096; every row sums to 4096.
    let f = |row: [i32; 3]| {
        let index = (row[0] * r + row[1] * g + row[2] * b + 2048) >> 12;
        i32::from(tables.cube_root[index as usize])
    };
    let fx = f([1777, 1541, 778]);
    let fy = f([871, 2929, 296]);
    let fz = f([73, 448, 3575]);
    let saturate = |value: i32| (value >> 15).clamp(0, 255) as u8;
    [
        saturate(296 * fy - 1_336_934 + 16384),
        saturate(500 * (fx - fy) + (128 << 15) + 16384),
        saturate(200 * (fy - fz) + (128 << 15) + 16384),
    ]
}

/// Lab to RGB, then the last table.
pub(super) fn rgb(tables: &InverseTables, [l, a, b]: [u8; 3]) -> [u8; 3] {
    let (y, fy) = (i32::from(tables.y[l as usize]), i32::from(tables.fy[l as usize]));
    // a / 500 and b / 200 at 2^14; the offsets are 128 * 2^14 / 500 and / 200, truncated.
    let a = ((5 * i32::from(a) * 53687 + 128) >> 13) - 4194;
    let b = ((i32::from(b) * 41943 + 16) >> 9) - 10485 + 1;
    let x = xz_of(fy + a);
    let z = xz_of(fy - b);
    let channel = |row: [i32; 3]| {
        let light = (row[0] * x + row[1] * y + row[2] * z + (1 << 13)) >> 14;
        tables.composed[light.clamp(0, 4095) as usize]
    };
    [channel([12615, -6296, -2223]), channel([-3773, 7684, 185]), channel([217, -836, 4715])]
}

/// X or Z from f(X) or f(Z), both times 2^14; divisions truncate as in C.
fn xz_of(f: i32) -> i32 {
    if f <= 3390 { f * 108 / 841 - 290 } else { f * f / (1 << 14) * f / (1 << 14) }
}
