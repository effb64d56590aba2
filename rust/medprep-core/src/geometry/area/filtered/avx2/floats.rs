//! AVX2: sums down columns of 16-bit lanes, sums along rows with one output pixel per 128 bits.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::super::avx2::by_taps;
use super::super::super::plan::{ColumnPlan, GROUP};
use super::super::Rows;
use super::super::cells::{Chunk, VECTOR};
use super::super::floats::{Eight, Rounding};
use crate::intrinsics::multiply_high_256;

/// The even and the odd columns of a vector, as 16-bit words.
#[derive(Clone, Copy)]
struct Columns {
    even: __m256i,
    odd: __m256i,
}

/// 128 times the weighted sum of two rows, each weight in 1/65536: the products rounded down to
/// 1/256, their mean rounded up.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn parts(rows: [__m256i; 2], weights: [__m256i; 2]) -> Columns {
    let high = _mm256_set1_epi16(0xFF00_u16 as i16);
    let even = |i: usize| multiply_high_256(_mm256_slli_epi16::<8>(rows[i]), weights[i]);
    let odd = |i: usize| multiply_high_256(_mm256_and_si256(rows[i], high), weights[i]);
    Columns { even: _mm256_avg_epu16(even(0), even(1)), odd: _mm256_avg_epu16(odd(0), odd(1)) }
}

/// `whole + parts / 128` as floats, 65536 times as large, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn joined(whole: Columns, parts: Columns) -> [__m256; 4] {
    let high = |whole, parts| _mm256_add_epi16(whole, _mm256_srli_epi16::<7>(parts));
    let (high_even, high_odd) = (high(whole.even, parts.even), high(whole.odd, parts.odd));
    let low_even = _mm256_slli_epi16::<9>(parts.even);
    let low_odd = _mm256_slli_epi16::<9>(parts.odd);
    let (low, high) =
        (_mm256_unpacklo_epi16(low_even, low_odd), _mm256_unpacklo_epi16(high_even, high_odd));
    let (low_2, high_2) =
        (_mm256_unpackhi_epi16(low_even, low_odd), _mm256_unpackhi_epi16(high_even, high_odd));
    // Columns 0.. and 16.., 4.. and 20.., 8.. and 24.., 12.. and 28..
    let a = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(low, high));
    let b = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(low, high));
    let c = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(low_2, high_2));
    let d = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(low_2, high_2));
    [
        _mm256_permute2f128_ps::<0x20>(a, b),
        _mm256_permute2f128_ps::<0x20>(c, d),
        _mm256_permute2f128_ps::<0x31>(a, b),
        _mm256_permute2f128_ps::<0x31>(c, d),
    ]
}

/// Sums a chunk's columns over the rows of a cell, a whole row counting 65536.
///
/// # Safety
/// AVX2 and FMA are there; the chunk was planned for rows as long, and `sums` has its vectors.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn sum_down(rows: &Rows<'_>, chunk: &Chunk, sums: &mut [f32]) {
    let [(top, top_part), (bottom, bottom_part)] = rows.edges();
    let weights = [_mm256_set1_epi16(top_part as i16), _mm256_set1_epi16(bottom_part as i16)];
    let whole = rows.whole();
    let last = top.len() - VECTOR;
    for vector in 0..chunk.vectors {
        let at = (chunk.from + VECTOR * vector).min(last);
        // SAFETY: `at` is at most `VECTOR` before the end of the rows, all as long as `top`, and
        // not before `from`, so that the sums, which begin there, have room.
        unsafe {
            let load = |row: &[u8]| {
                let from = row.as_ptr().add(at);
                [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())]
            };
            let (mut both, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
            for row in whole {
                for (i, words) in load(row).into_iter().enumerate() {
                    both[i] = _mm256_add_epi16(both[i], words);
                    odd[i] = _mm256_add_epi16(odd[i], _mm256_srli_epi16::<8>(words));
                }
            }
            let (top, bottom) = (load(top), load(bottom));
            let to = sums.as_mut_ptr().add(at - chunk.from);
            for i in 0..2 {
                let even = _mm256_sub_epi16(both[i], _mm256_slli_epi16::<8>(odd[i]));
                let parts = parts([top[i], bottom[i]], weights);
                let sums = joined(Columns { even, odd: odd[i] }, parts);
                for (j, eight) in sums.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add(32 * i + 8 * j), eight);
                }
            }
        }
    }
}

/// Estimates a chunk's outputs from the sums of its columns: three bytes each into `emit`, and into
/// `doubtful` the outputs that may be wrong. Returns how many of these.
///
/// # Safety
/// As [`sum_down`]; `emit` has room for all outputs of the plan and 4 bytes more, `doubtful` for all
/// and one more, or what is left of them.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn sum_along(
    plan: &ColumnPlan,
    chunk: &Chunk,
    sums: &[f32],
    weights: &[[Eight; 3]],
    rounding: Rounding,
    emit: &mut [u8],
    doubtful: &mut [u32],
) -> usize {
    // SAFETY: the caller's promise is passed on.
    unsafe { by_taps!(plan.taps, estimate(plan, chunk, sums, weights, rounding, emit, doubtful)) }
}

/// `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`sum_along`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn estimate<const TAPS: usize>(
    plan: &ColumnPlan,
    chunk: &Chunk,
    sums: &[f32],
    weights: &[[Eight; 3]],
    rounding: Rounding,
    emit: &mut [u8],
    doubtful: &mut [u32],
) -> usize {
    let taps = if TAPS == 0 { plan.taps } else { TAPS };
    let middle = _mm256_set1_ps(plan.middle);
    let scale = _mm256_set1_ps(rounding.weight);
    let offset = _mm256_set1_ps(rounding.offset);
    let doubt = _mm256_set1_epi32(rounding.doubt);
    let fraction = _mm256_set1_epi32(0xFFFF);
    let sums = sums.as_ptr().wrapping_sub(chunk.from);
    let mut doubts = 0;
    for four in chunk.groups.start * GROUP / 4..chunk.groups.end * GROUP / 4 {
        let mut values = [_mm256_setzero_si256(); 2];
        for (i, value) in values.iter_mut().enumerate() {
            let pair = 2 * four + i;
            // SAFETY: the plan's lists hold whole groups; `sums` has `taps` pixels and one value
            // from every start on.
            let (left, right, weights) = unsafe {
                let start = |i: usize| *plan.start.as_ptr().add(2 * pair + i) as usize;
                let weights = &*weights.as_ptr().add(pair);
                (sums.wrapping_add(start(0)), sums.wrapping_add(start(1)), weights)
            };
            // SAFETY: as above.
            let pixel = |tap: usize| unsafe {
                let left = _mm256_castps128_ps256(_mm_loadu_ps(left.add(3 * tap)));
                _mm256_insertf128_ps::<1>(left, _mm_loadu_ps(right.add(3 * tap)))
            };
            // SAFETY: eight values.
            let [first, last_but_one, last] =
                [0, 1, 2].map(|of| unsafe { _mm256_load_ps(weights[of].0.as_ptr()) });
            let mut sum = _mm256_mul_ps(pixel(taps - 1), last);
            sum = _mm256_fmadd_ps(pixel(taps - 2), last_but_one, sum);
            if taps > 2 {
                sum = _mm256_fmadd_ps(pixel(0), first, sum);
            }
            if taps > 3 {
                let mut between = pixel(1);
                for tap in 2..taps - 2 {
                    between = _mm256_add_ps(between, pixel(tap));
                }
                sum = _mm256_fmadd_ps(between, middle, sum);
            }
            *value = _mm256_cvtps_epi32(_mm256_fmadd_ps(sum, scale, offset));
        }
        let is_doubtful = values.map(|value| {
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(doubt, _mm256_and_si256(value, fraction)))
        });
        // A branch: a store without a known address would hold up the next loads.
        if has_pixels(_mm256_or_ps(is_doubtful[0], is_doubtful[1])) {
            let [left, right] = is_doubtful.map(|values| _mm256_movemask_ps(values));
            for (i, mask) in [left, left >> 4, right, right >> 4].into_iter().enumerate() {
                // SAFETY: no output is put there twice, and there is room for all that are left.
                unsafe { *doubtful.as_mut_ptr().add(doubts) = (4 * four + i) as u32 };
                doubts = doubts.wrapping_add(usize::from(mask & 0b0111 != 0));
            }
        }
        let words = _mm256_packs_epi32(
            _mm256_srli_epi32::<16>(values[0]),
            _mm256_srli_epi32::<16>(values[1]),
        );
        let bytes = _mm256_packus_epi16(words, words);
        let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
        // SAFETY: four outputs of the plan, three bytes each, and four bytes more.
        unsafe {
            let to = emit.as_mut_ptr().add(12 * four);
            _mm_storeu_si128(to.cast(), packed(_mm_unpacklo_epi32(low, high)));
        }
    }
    doubts
}

/// Whether a channel of two pixels is set; the fourth value of each is none.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn has_pixels(values: __m256) -> bool {
    _mm256_movemask_ps(values) & 0b0111_0111 != 0
}

/// Puts the first three bytes of each of four dwords, in 128 bits, one behind the other.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn packed(pixels: __m128i) -> __m128i {
    let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    _mm_shuffle_epi8(pixels, order)
}
