//! Estimates in integers: down the columns bytes times bytes, along the rows words times words, each
//! adding up two products; along the rows one output pixel per 128 bits.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::super::plan::{ColumnPlan, GROUP};
use super::super::cells::{Chunk, MAX_ROWS, VECTOR};
use super::super::integers::{Integers, OUTPUTS, PAD, Taps};

/// Calls `function::<PAIRS, ..>(arguments)` for few pairs, and `function::<0, ..>(arguments)` for more.
macro_rules! by_pairs {
    ($pairs:expr, $function:ident $arguments:tt $(, $more:literal)?) => {
        match $pairs {
            1 => $function::<1, $($more)?> $arguments,
            2 => $function::<2, $($more)?> $arguments,
            3 => $function::<3, $($more)?> $arguments,
            4 => $function::<4, $($more)?> $arguments,
            5 => $function::<5, $($more)?> $arguments,
            6 => $function::<6, $($more)?> $arguments,
            7 => $function::<7, $($more)?> $arguments,
            _ => $function::<0, $($more)?> $arguments,
        }
    };
}

/// Sums a chunk's columns over the rows of a cell, with these weights, into `sums` from [`PAD`] on.
///
/// # Safety
/// AVX2 and FMA are there; the chunk was planned for rows as long, of which there are at most two
/// for a pair of weights, and `sums` has its vectors.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn sum_whole_down(
    rows: &[&[u8]],
    weights: &[[u8; 2]],
    bias: i16,
    chunk: &Chunk,
    sums: &mut [i16],
) {
    // SAFETY: the caller's promise is passed on.
    unsafe { by_pairs!(weights.len(), down(rows, weights, bias, chunk, sums)) }
}

/// `PAIRS` pairs of rows, or as many as there are weights for 0.
///
/// # Safety
/// As [`sum_whole_down`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn down<const PAIRS: usize>(
    rows: &[&[u8]],
    weights: &[[u8; 2]],
    bias: i16,
    chunk: &Chunk,
    sums: &mut [i16],
) {
    let pairs = if PAIRS == 0 { weights.len() } else { PAIRS };
    let mut starts = [[std::ptr::null(); 2]; MAX_ROWS / 2];
    let mut factors = [_mm256_setzero_si256(); MAX_ROWS / 2];
    for pair in 0..pairs {
        // A row too many has the weight 0: any row.
        starts[pair] = [0, 1].map(|i| rows[(2 * pair + i).min(rows.len() - 1)].as_ptr());
        factors[pair] = _mm256_set1_epi16(i16::from_le_bytes(weights[pair]));
    }
    let bias = _mm256_set1_epi16(bias);
    let last = rows[0].len() - VECTOR;
    let sums = sums[PAD..].as_mut_ptr();
    for vector in 0..chunk.vectors {
        let at = (chunk.from + VECTOR * vector).min(last);
        for half in [0, 32] {
            let (mut low, mut high) = (bias, bias);
            for pair in 0..pairs {
                // SAFETY: `at` is at most `VECTOR` before the end of the rows, all as long.
                let [above, below] = starts[pair]
                    .map(|row| unsafe { _mm256_loadu_si256(row.add(at + half).cast()) });
                let add =
                    |sum, bytes| _mm256_add_epi16(sum, _mm256_maddubs_epi16(bytes, factors[pair]));
                low = add(low, _mm256_unpacklo_epi8(above, below));
                high = add(high, _mm256_unpackhi_epi8(above, below));
            }
            // SAFETY: `at` is not before `from`, so that the sums, which begin there, have room.
            unsafe {
                let to = sums.add(at + half - chunk.from);
                _mm256_storeu_si256(to.cast(), _mm256_permute2x128_si256::<0x20>(low, high));
                _mm256_storeu_si256(
                    to.add(16).cast(),
                    _mm256_permute2x128_si256::<0x31>(low, high),
                );
            }
        }
    }
}

/// Estimates a chunk's outputs from the sums of its columns: three bytes each into `emit`, and into
/// `doubtful` the outputs that may be wrong. Returns how many of these.
///
/// # Safety
/// As [`sum_whole_down`]; `emit` has room for all outputs of the plan and 4 bytes more, `doubtful` for
/// all, or what is left of them.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn sum_whole_along(
    plan: &ColumnPlan,
    chunk: &Chunk,
    sums: &[i16],
    integers: &Integers,
    emit: &mut [u8],
    doubtful: &mut [u32],
) -> usize {
    let pairs = plan.taps.div_ceil(2);
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if integers.rounding.is_exact {
            by_pairs!(pairs, estimate(plan, chunk, sums, integers, emit, doubtful), true)
        } else {
            by_pairs!(pairs, estimate(plan, chunk, sums, integers, emit, doubtful), false)
        }
    }
}

/// `PAIRS` pairs of taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`sum_whole_along`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn estimate<const PAIRS: usize, const IS_EXACT: bool>(
    plan: &ColumnPlan,
    chunk: &Chunk,
    sums: &[i16],
    integers: &Integers,
    emit: &mut [u8],
    doubtful: &mut [u32],
) -> usize {
    let pairs = if PAIRS == 0 { plan.taps.div_ceil(2) } else { PAIRS };
    let middle = _mm256_set1_epi32(i32::from(integers.middle) * 0x1_0001);
    let scale = _mm256_set1_ps(integers.rounding.scale);
    let offset = _mm256_set1_ps(integers.rounding.offset);
    let doubt = doubt_of_three(integers.rounding.doubt);
    // An odd number of taps begins one pixel early, with a weight of 0.
    let early = 3 * (plan.taps % 2);
    let sums = sums.as_ptr().wrapping_add(PAD - early).wrapping_sub(chunk.from);
    let mut doubts = 0;
    for eight in chunk.groups.start * GROUP / OUTPUTS..chunk.groups.end * GROUP / OUTPUTS {
        let mut values = [_mm256_setzero_si256(); OUTPUTS / 2];
        for (i, value) in values.iter_mut().enumerate() {
            // SAFETY: the plan's lists hold whole groups; `sums` has `pairs` times two pixels and two
            // values from one before every start on.
            let (left, right, [begin, end]) = unsafe {
                let start = |i: usize| *plan.start.as_ptr().add(OUTPUTS * eight + i) as usize;
                let weights = &*integers.along.as_ptr().add(OUTPUTS / 2 * eight + i);
                (sums.wrapping_add(start(i)), sums.wrapping_add(start(i + OUTPUTS / 2)), weights)
            };
            // SAFETY: as above.
            let pixels =
                |pair: usize| unsafe { two_pixels(left.add(6 * pair), right.add(6 * pair)) };
            let mut sum = _mm256_madd_epi16(pixels(pairs - 1), load(end));
            if pairs > 1 {
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pixels(0), load(begin)));
            }
            for pair in 1..pairs - 1 {
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pixels(pair), middle));
            }
            // Rounds halves to even, as OpenCV does.
            *value = _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, offset));
        }
        if !IS_EXACT {
            let mask = doubtful_of(values, doubt);
            // SAFETY: no output is put there twice, and there is room for all that are left.
            unsafe { put_doubtful(mask, OUTPUTS * eight, doubtful, &mut doubts) };
            values = values.map(|value| _mm256_srli_epi32::<16>(value));
        }
        let [a, b, c, d] = values;
        let words = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
        let pixels = packed(_mm256_packus_epi16(words[0], words[1]));
        // SAFETY: eight outputs of the plan, three bytes each, and four bytes more.
        unsafe {
            let to = emit.as_mut_ptr().add((3 * OUTPUTS).wrapping_mul(eight));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(pixels));
            _mm_storeu_si128(to.add(12).cast(), _mm256_extracti128_si256::<1>(pixels));
        }
    }
    doubts
}

/// This for the lower halves of three values, and 0 for the fourth, which is none.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn doubt_of_three(doubt: i16) -> __m256i {
    let doubt = i32::from(doubt);
    _mm256_broadcastsi128_si256(_mm_setr_epi32(doubt, doubt, doubt, 0))
}

/// Which of eight outputs have a lower half below `doubt`, a bit each.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn doubtful_of(values: [__m256i; OUTPUTS / 2], doubt: __m256i) -> u32 {
    let [a, b, c, d] = values.map(|value| _mm256_subs_epu16(doubt, value));
    let any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    if _mm256_testz_si256(any, any) == 1 {
        return 0;
    }
    let words = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
    let bytes = _mm256_packus_epi16(words[0], words[1]);
    let is_sure = _mm256_cmpeq_epi32(bytes, _mm256_setzero_si256());
    !_mm256_movemask_ps(_mm256_castsi256_ps(is_sure)) as u32 & 0xFF
}

/// Appends the outputs of a mask, of which the first is number `first`.
///
/// # Safety
/// `doubtful` has room for as many behind the first `doubts`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn put_doubtful(mut mask: u32, first: usize, doubtful: &mut [u32], doubts: &mut usize) {
    while mask != 0 {
        // SAFETY: the caller's promise.
        unsafe { *doubtful.as_mut_ptr().add(*doubts) = first as u32 + mask.trailing_zeros() };
        *doubts = doubts.wrapping_add(1);
        mask &= mask - 1;
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(taps: &Taps) -> __m256i {
    // SAFETY: 32 bytes, aligned.
    unsafe { _mm256_load_si256(taps.0.as_ptr().cast()) }
}

/// Two neighbouring pixels of two outputs, in 128 bits each: the two reds, greens and blues.
///
/// # Safety
/// Both are readable for eight values.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn two_pixels(left: *const i16, right: *const i16) -> __m256i {
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1,
    ));
    // SAFETY: the caller's promise.
    unsafe {
        let left = _mm256_castsi128_si256(_mm_loadu_si128(left.cast()));
        let both = _mm256_inserti128_si256::<1>(left, _mm_loadu_si128(right.cast()));
        _mm256_shuffle_epi8(both, order)
    }
}

/// Puts the first three bytes of each dword one behind the other, in 128 bits each.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn packed(pixels: __m256i) -> __m256i {
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
    ));
    _mm256_shuffle_epi8(pixels, order)
}
