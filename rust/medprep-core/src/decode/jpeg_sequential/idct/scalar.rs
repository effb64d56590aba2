//! The inverse DCT, one column or row at a time: the definition.

use super::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072, Group, Quant, SHIFT, flat,
};

/// See [`super::Transform`].
pub(in super::super) fn transform(
    group: &mut Group,
    quant: &Quant,
    last: u8,
    out: &mut [u8],
    stride: usize,
) {
    if last == 0 {
        flat(group, quant[0], out, stride);
    } else {
        all(group, quant, out, stride);
    }
}

/// The whole transform, whatever the blocks hold.
pub(super) fn all(group: &mut Group, quant: &Quant, out: &mut [u8], stride: usize) {
    for lane in 0..4 {
        let block = transform_block(group, quant, lane);
        for (y, row) in block.iter().enumerate() {
            for (x, &value) in row.iter().enumerate() {
                let level = value.clamp(-128, 127) + 128;
                out[y * stride + 8 * lane + x] = level as u8;
            }
        }
    }
    group.fill(0);
}

/// Rows of samples around 0, not saturated to 8 bits yet.
fn transform_block(group: &Group, quant: &Quant, lane: usize) -> [[i16; 8]; 8] {
    let mut rows = [[0i16; 8]; 8];
    for (v, row) in rows.iter_mut().enumerate() {
        for (u, value) in row.iter_mut().enumerate() {
            *value = group[32 * v + 8 * lane + u].wrapping_mul(quant[8 * v + u]);
        }
    }
    if rows[1..].as_flattened().iter().all(|&value| value == 0) {
        // libjpeg-turbo's short cut; it differs from the general pass where the shift wraps.
        let first = rows[0].map(|value| value << 2);
        rows = [first; 8];
    } else {
        rows = transpose(&transpose(&rows).map(|column| pass(column, SHIFT[0])));
    }
    rows.map(|row| pass(row, SHIFT[1]))
}

fn transpose(block: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    let mut turned = [[0; 8]; 8];
    for (y, row) in block.iter().enumerate() {
        for (x, &value) in row.iter().enumerate() {
            turned[x][y] = value;
        }
    }
    turned
}

/// a * p + b * q in 32 bits, the multiply-add pair of SIMD instruction sets.
fn pair(a: i16, b: i16, p: i16, q: i16) -> i32 {
    i32::from(a) * i32::from(p) + i32::from(b) * i32::from(q)
}

/// One-dimensional transform of eight values.
fn pass(c: [i16; 8], shift: i32) -> [i16; 8] {
    let sum = i32::from(c[0].wrapping_add(c[4])) << 13;
    let difference = i32::from(c[0].wrapping_sub(c[4])) << 13;
    let low = pair(c[2], c[6], F_0_541, F_0_541 - F_1_847);
    let high = pair(c[2], c[6], F_0_541 + F_0_765, F_0_541);
    let even = [
        sum.wrapping_add(high),
        difference.wrapping_add(low),
        difference.wrapping_sub(low),
        sum.wrapping_sub(high),
    ];

    let z3 = c[3].wrapping_add(c[7]);
    let z4 = c[1].wrapping_add(c[5]);
    let y3 = pair(z3, z4, F_1_175 - F_1_961, F_1_175);
    let y4 = pair(z3, z4, F_1_175, F_1_175 - F_0_390);
    let odd = [
        pair(c[7], c[1], -F_0_899, F_1_501 - F_0_899).wrapping_add(y4),
        pair(c[5], c[3], -F_2_562, F_3_072 - F_2_562).wrapping_add(y3),
        pair(c[5], c[3], F_2_053 - F_2_562, -F_2_562).wrapping_add(y4),
        pair(c[7], c[1], F_0_298 - F_0_899, -F_0_899).wrapping_add(y3),
    ];

    let mut out = [0; 8];
    for i in 0..4 {
        out[i] = descale(even[i].wrapping_add(odd[i]), shift);
        out[7 - i] = descale(even[i].wrapping_sub(odd[i]), shift);
    }
    out
}

/// Rounded shift, saturated to 16 bits.
fn descale(value: i32, shift: i32) -> i16 {
    let rounded = value.wrapping_add(1 << (shift - 1)) >> shift;
    rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
