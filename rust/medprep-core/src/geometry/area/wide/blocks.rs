//! Whole ratios on both axes: integer sums of blocks of at most 256 values, which floats hold exactly.
//!
//! Columns are summed down the rows of a block, then along the row once per target row.

use crate::ImageU16;
use crate::geometry::placement::Placement;

/// 256 times 65,535 is below 2^24; the definition sums larger blocks in floats, which round.
const MOST_EXACT: usize = 256;

/// False for blocks that are left to the definition.
pub(super) fn resize(
    src: &ImageU16,
    dst: &mut ImageU16,
    [rows, columns]: [Placement; 2],
    [ratio_y, ratio_x]: [usize; 2],
    sums: &mut Vec<u32>,
) -> bool {
    if ratio_y * ratio_x > MOST_EXACT {
        return false;
    }
    let channels = src.channels();
    let block = ratio_x * channels;
    sums.resize(columns.count * block, 0);
    for (i, y) in rows.wanted().enumerate() {
        for in_block in 0..ratio_y {
            let row = &src.row(y * ratio_y + in_block)[columns.skip * block..][..sums.len()];
            add_row(sums, row, in_block == 0);
        }
        let len = columns.count * channels;
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..][..len];
        means(sums, channels, [ratio_y, ratio_x], out);
    }
    true
}

fn add_row(sums: &mut [u32], row: &[u16], is_first: bool) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every vector path includes AVX2.
    unsafe {
        add_row_avx2(sums, row, is_first);
    }
    #[cfg(not(target_arch = "x86_64"))]
    add_row_anywhere(sums, row, is_first);
}

/// # Safety
/// AVX2 is there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn add_row_avx2(sums: &mut [u32], row: &[u16], is_first: bool) {
    add_row_anywhere(sums, row, is_first);
}

#[expect(clippy::inline_always, reason = "else not compiled for AVX2")]
#[inline(always)]
fn add_row_anywhere(sums: &mut [u32], row: &[u16], is_first: bool) {
    if is_first {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = u32::from(value);
        }
    } else {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(u32::from(value));
        }
    }
}

fn means(sums: &[u32], channels: usize, ratio: [usize; 2], out: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every vector path includes AVX2.
    unsafe {
        means_avx2(sums, channels, ratio, out);
    }
    #[cfg(not(target_arch = "x86_64"))]
    means_anywhere(sums, channels, ratio, out);
}

/// # Safety
/// AVX2 is there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn means_avx2(sums: &[u32], channels: usize, ratio: [usize; 2], out: &mut [u16]) {
    means_anywhere(sums, channels, ratio, out);
}

#[expect(clippy::inline_always, reason = "else not compiled for AVX2")]
#[inline(always)]
fn means_anywhere(sums: &[u32], channels: usize, ratio: [usize; 2], out: &mut [u16]) {
    match (channels, ratio[1]) {
        (1, 2) => means_of::<1, 2>(sums, ratio, out),
        (1, 3) => means_of::<1, 3>(sums, ratio, out),
        (1, 4) => means_of::<1, 4>(sums, ratio, out),
        (1, 8) => means_of::<1, 8>(sums, ratio, out),
        (3, 2) => means_of::<3, 2>(sums, ratio, out),
        (3, 4) => means_of::<3, 4>(sums, ratio, out),
        _ => {
            let blocks = sums.chunks_exact(ratio[1] * channels);
            for (out, block) in out.chunks_exact_mut(channels).zip(blocks) {
                for (channel, out) in out.iter_mut().enumerate() {
                    let sum = block.iter().skip(channel).step_by(channels).sum();
                    *out = mean(sum, ratio);
                }
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "else not compiled for AVX2")]
#[inline(always)]
fn means_of<const CHANNELS: usize, const RATIO: usize>(
    sums: &[u32],
    ratio: [usize; 2],
    out: &mut [u16],
) {
    let blocks = sums.as_chunks::<CHANNELS>().0.as_chunks::<RATIO>().0;
    for (out, block) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(blocks) {
        for channel in 0..CHANNELS {
            let mut sum = 0_u32;
            for pixel in block {
                sum = sum.wrapping_add(pixel[channel]);
            }
            out[channel] = mean(sum, ratio);
        }
    }
}

/// 2 x 2 rounds half up, all others half to even.
#[expect(clippy::inline_always, reason = "else not compiled for AVX2")]
#[inline(always)]
fn mean(sum: u32, ratio: [usize; 2]) -> u16 {
    if ratio == [2, 2] {
        return ((sum + 2) >> 2) as u16;
    }
    (sum as f32 * (1.0 / (ratio[0] * ratio[1]) as f32)).round_ties_even() as u16
}
