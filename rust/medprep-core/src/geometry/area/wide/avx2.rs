//! AVX2: eight grey outputs per register, or two RGB ones with a pixel per 128-bit lane.
//!
//! Interleaved with 0x4B00 a value v is the float 2^23 + v; fmsub(2^23 + v, w, 2^23 w) rounds v * w once.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::ROWS;
use super::super::avx2::TWO23;
use super::super::plan::RowStep;
use super::plan::{GROUP, TAPS};
use super::{Columns, Pass};

/// # Safety
/// AVX2 and FMA are there; every row is `columns.reach` long, the columns hold whole groups, `sums`
/// has a value (RGB: four) for each of them and `emit` [`ROWS`] times as many.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_rows(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (pass.columns.channels, pass.columns.taps / TAPS) {
            (3, _) => rgb(pass),
            (_, 1) => grey::<1>(pass),
            (_, 2) => grey::<2>(pass),
            _ => grey::<0>(pass),
        }
    }
}

/// Eight outputs at a time: `FOURS` times four taps of each, or as many as there are for 0.
///
/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma")]
unsafe fn grey<const FOURS: usize>(pass: &mut Pass<'_>) {
    let columns = pass.columns;
    let fours = if FOURS == 0 { columns.taps / TAPS } else { FOURS };
    let rows = pass.rows.map(<[u16]>::as_ptr);
    let stride = pass.sums.len();
    for output in (0..columns.start.len()).step_by(GROUP) {
        let mut values = [_mm256_setzero_ps(); ROWS];
        for four in 0..fours {
            // SAFETY: the arrays hold whole groups; a load of 8 values at the last output's last
            // four taps ends at `reach`.
            unsafe {
                let weights = weights_of_four(columns, output, TAPS * four);
                for (value, &row) in values.iter_mut().zip(&rows) {
                    let starts = columns.start.as_ptr().add(output);
                    *value = add_four_taps(*value, row.add(TAPS * four), starts, &weights);
                }
            }
        }
        // SAFETY: `sums` and `emit` hold whole groups.
        unsafe {
            let (sums, emit) = (pass.sums.as_mut_ptr(), pass.emit.as_mut_ptr());
            add_down(&values, &pass.steps, sums.add(output), emit.add(output), stride);
        }
    }
}

/// The weights of four taps of eight outputs, and 2^23 times as much.
///
/// # Safety
/// The columns hold whole groups, of which `output` begins one, and the four taps.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn weights_of_four(columns: &Columns, output: usize, tap: usize) -> [[__m256; 2]; TAPS] {
    let padded = columns.start.len();
    let mut weights = [[_mm256_setzero_ps(); 2]; TAPS];
    for (i, weight) in weights.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let w =
            unsafe { _mm256_loadu_ps(columns.weights.as_ptr().add((tap + i) * padded + output)) };
        *weight = [w, _mm256_mul_ps(w, _mm256_set1_ps(TWO23))];
    }
    weights
}

/// Adds taps 0 to 3 of eight outputs, in this order.
///
/// # Safety
/// `row` is readable for 8 values from each of the eight `starts` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_four_taps(
    value: __m256,
    row: *const u16,
    starts: *const u32,
    weights: &[[__m256; 2]; TAPS],
) -> __m256 {
    // SAFETY: the caller's promise; loads are unaligned.
    let pair = |i: usize| unsafe {
        let load = |i: usize| _mm_loadu_si128(row.add(*starts.add(i) as usize).cast());
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(load(i)), load(i + 4))
    };
    // Four values of four outputs in each lane, transposed.
    let (first, second) =
        (_mm256_unpacklo_epi16(pair(0), pair(1)), _mm256_unpacklo_epi16(pair(2), pair(3)));
    let early = _mm256_unpacklo_epi32(first, second);
    let late = _mm256_unpackhi_epi32(first, second);
    let top = _mm256_set1_epi16(0x4B00);
    let taps = [
        _mm256_unpacklo_epi16(early, top),
        _mm256_unpackhi_epi16(early, top),
        _mm256_unpacklo_epi16(late, top),
        _mm256_unpackhi_epi16(late, top),
    ];
    let mut value = value;
    for (tap, [weight, weight23]) in taps.into_iter().zip(weights) {
        let part = _mm256_fmsub_ps(_mm256_castsi256_ps(tap), *weight, *weight23);
        value = _mm256_add_ps(value, part);
    }
    value
}

/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma")]
unsafe fn rgb(pass: &mut Pass<'_>) {
    let columns = pass.columns;
    let rows = pass.rows.map(<[u16]>::as_ptr);
    let (padded, stride) = (columns.start.len(), pass.sums.len());
    let spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    let top = _mm256_set1_epi16(0x4B00);
    for output in (0..padded).step_by(2) {
        let mut values = [_mm256_setzero_ps(); ROWS];
        let starts = [columns.start[output] as usize, columns.start[output + 1] as usize];
        for tap in 0..columns.taps {
            // SAFETY: the weights of two outputs of a group.
            let two = unsafe {
                _mm_loadl_epi64(columns.weights.as_ptr().add(tap * padded + output).cast())
            };
            let weight = _mm256_castsi256_ps(_mm256_castsi128_si256(two));
            let weight = _mm256_permutevar8x32_ps(weight, spread);
            let weight23 = _mm256_mul_ps(weight, _mm256_set1_ps(TWO23));
            let at = starts.map(|start| start + 3 * tap);
            for (value, &row) in values.iter_mut().zip(&rows) {
                // SAFETY: 8 values at the last tap of the last output end at `reach`.
                let [left, right] = at.map(|at| unsafe { _mm_loadu_si128(row.add(at).cast()) });
                let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(left), right);
                let float = _mm256_castsi256_ps(_mm256_unpacklo_epi16(both, top));
                *value = _mm256_add_ps(*value, _mm256_fmsub_ps(float, weight, weight23));
            }
        }
        // SAFETY: `sums` and `emit` hold whole groups of four values an output.
        unsafe {
            let (sums, emit) = (pass.sums.as_mut_ptr(), pass.emit.as_mut_ptr());
            add_down(&values, &pass.steps, sums.add(4 * output), emit.add(4 * output), stride);
        }
    }
}

/// Adds the row sums of eight values to the target rows under way and writes those that end.
///
/// # Safety
/// `sums` is good for 8 values, `emit` too in each of [`ROWS`] rows `stride` values apart.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_down(
    values: &[__m256; ROWS],
    steps: &[RowStep; ROWS],
    sums: *mut f32,
    mut emit: *mut u16,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = _mm256_loadu_ps(sums);
        for (&value, step) in values.iter().zip(steps) {
            sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
            if step.ends {
                let words = _mm256_cvtps_epi32(sum);
                let (low, high) =
                    (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(emit.cast(), _mm_packus_epi32(low, high));
                emit = emit.wrapping_add(stride);
                sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
            }
        }
        _mm256_storeu_ps(sums, sum);
    }
}
