//! Inverse DCTs that give fewer samples than a block has coefficients: 4 x 4, 2 x 2 or 1 x 1.
//!
//! The definitions are those of libjpeg's reduced transforms (jidctred.c), with the 16-bit products
//! and saturated packs between the passes of libjpeg-turbo's x86 code. 1 x 1 is the mean of the block.
//! Written so that the compiler makes vectors of the eight columns of a block.

#![allow(clippy::inline_always, reason = "to get its caller's target features")]

use super::{F_0_765, F_0_899, F_1_847, F_2_562, Group, Quant};

// The constants of these transforms alone, 13 fractional bits.
const F_0_211: i32 = 1730;
const F_0_509: i32 = 4176;
const F_0_601: i32 = 4926;
const F_0_720: i32 = 5906;
const F_0_850: i32 = 6967;
const F_1_061: i32 = 8697;
const F_1_272: i32 = 10426;
const F_1_451: i32 = 11893;
const F_2_172: i32 = 17799;
const F_3_624: i32 = 29692;

/// Transforms four blocks to `SIZE` x `SIZE` samples each; see [`super::Transform`].
#[inline(always)]
pub(in super::super) fn transform<const SIZE: usize>(
    group: &mut Group,
    quant: &Quant,
    last: u8,
    out: &mut [u8],
    stride: usize,
) {
    if SIZE == 1 || last == 0 {
        return flat::<SIZE>(group, quant[0], last, out, stride);
    }
    for lane in 0..4 {
        if SIZE == 4 {
            let columns = four_columns(group, quant, lane);
            for (y, row) in columns.iter().enumerate() {
                out[y * stride + 4 * lane..][..4].copy_from_slice(&four_of_row(row));
            }
        } else {
            let columns = two_columns(group, quant, lane);
            for (y, row) in columns.iter().enumerate() {
                out[y * stride + 2 * lane..][..2].copy_from_slice(&two_of_row(row));
            }
        }
    }
    group.fill(0);
}

/// Blocks taken for flat: all there is to a block of 1 x 1 sample, or of DC alone.
#[inline(always)]
fn flat<const SIZE: usize>(group: &mut Group, step: i16, last: u8, out: &mut [u8], stride: usize) {
    for lane in 0..4 {
        let level = (i32::from(group[8 * lane].wrapping_mul(step)) + 4) >> 3;
        for y in 0..SIZE {
            out[y * stride + SIZE * lane..][..SIZE].fill(sample(level));
        }
        group[8 * lane] = 0;
    }
    if last > 0 {
        group.fill(0);
    }
}

/// Row `v` of a block, dequantised.
#[inline(always)]
fn row(group: &Group, quant: &Quant, lane: usize, v: usize) -> [i32; 8] {
    let (values, steps) = (&group[32 * v + 8 * lane..][..8], &quant[8 * v..][..8]);
    let mut row = [0; 8];
    for u in 0..8 {
        row[u] = i32::from(values[u].wrapping_mul(steps[u]));
    }
    row
}

/// The columns of a block to four rows (the fourth coefficient of a column has no part in them).
#[inline(always)]
fn four_columns(group: &Group, quant: &Quant, lane: usize) -> [[i32; 8]; 4] {
    let (r0, r1, r2) =
        (row(group, quant, lane, 0), row(group, quant, lane, 1), row(group, quant, lane, 2));
    let (r3, r5) = (row(group, quant, lane, 3), row(group, quant, lane, 5));
    let (r6, r7) = (row(group, quant, lane, 6), row(group, quant, lane, 7));
    let mut out = [[0; 8]; 4];
    for u in 0..8 {
        let four = four([r0[u], r1[u], r2[u], r3[u], r5[u], r6[u], r7[u]], 12);
        out[0][u] = saturated(four[0]);
        out[1][u] = saturated(four[1]);
        out[2][u] = saturated(four[2]);
        out[3][u] = saturated(four[3]);
    }
    out
}

#[inline(always)]
fn four_of_row(row: &[i32; 8]) -> [u8; 4] {
    let levels = four([row[0], row[1], row[2], row[3], row[5], row[6], row[7]], 19);
    [sample(levels[0]), sample(levels[1]), sample(levels[2]), sample(levels[3])]
}

/// Four values from coefficients 0, 1, 2, 3, 5, 6 and 7.
#[inline(always)]
fn four([c0, c1, c2, c3, c5, c6, c7]: [i32; 7], shift: u32) -> [i32; 4] {
    let even = c0 << 14;
    let turn = times(c2, F_1_847.into()).wrapping_sub(times(c6, F_0_765.into()));
    let (outer, inner) = (even.wrapping_add(turn), even.wrapping_sub(turn));
    let odd_inner = times(c5, F_1_451)
        .wrapping_sub(times(c7, F_0_211))
        .wrapping_sub(times(c3, F_2_172))
        .wrapping_add(times(c1, F_1_061));
    let odd_outer = times(c3, F_0_899.into())
        .wrapping_sub(times(c7, F_0_509))
        .wrapping_sub(times(c5, F_0_601))
        .wrapping_add(times(c1, F_2_562.into()));
    [
        descaled(outer.wrapping_add(odd_outer), shift),
        descaled(inner.wrapping_add(odd_inner), shift),
        descaled(inner.wrapping_sub(odd_inner), shift),
        descaled(outer.wrapping_sub(odd_outer), shift),
    ]
}

/// The columns of a block to two rows.
#[inline(always)]
fn two_columns(group: &Group, quant: &Quant, lane: usize) -> [[i32; 8]; 2] {
    let (r0, r1) = (row(group, quant, lane, 0), row(group, quant, lane, 1));
    let (r3, r5) = (row(group, quant, lane, 3), row(group, quant, lane, 5));
    let r7 = row(group, quant, lane, 7);
    let mut out = [[0; 8]; 2];
    for u in 0..8 {
        let [upper, lower] = two([r0[u], r1[u], r3[u], r5[u], r7[u]], 13);
        out[0][u] = saturated(upper);
        out[1][u] = saturated(lower);
    }
    out
}

#[inline(always)]
fn two_of_row(row: &[i32; 8]) -> [u8; 2] {
    let [left, right] = two([row[0], row[1], row[3], row[5], row[7]], 20);
    [sample(left), sample(right)]
}

/// Two values from coefficients 0, 1, 3, 5 and 7.
#[inline(always)]
fn two([c0, c1, c3, c5, c7]: [i32; 5], shift: u32) -> [i32; 2] {
    let even = c0 << 15;
    let odd = times(c5, F_0_850)
        .wrapping_sub(times(c7, F_0_720))
        .wrapping_sub(times(c3, F_1_272))
        .wrapping_add(times(c1, F_3_624));
    [descaled(even.wrapping_add(odd), shift), descaled(even.wrapping_sub(odd), shift)]
}

/// Both fit 16 bits, so that the product fits 32.
#[inline(always)]
fn times(coefficient: i32, factor: i32) -> i32 {
    coefficient.wrapping_mul(factor)
}

#[inline(always)]
fn descaled(value: i32, shift: u32) -> i32 {
    value.wrapping_add(1 << (shift - 1)) >> shift
}

#[inline(always)]
fn saturated(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

#[inline(always)]
fn sample(level: i32) -> u8 {
    (level.clamp(-128, 127) + 128) as u8
}
