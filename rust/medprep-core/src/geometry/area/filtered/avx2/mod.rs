//! AVX2: estimates in integers and in floats, and the sums in order of the doubtful outputs.

mod floats;
mod integers;

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::avx2::{self as ordered, by_taps};
use super::super::plan::ColumnPlan;

pub(super) use floats::{sum_along, sum_down};
pub(super) use integers::{sum_whole_along, sum_whole_down};

/// Sums outputs over the rows in OpenCV's order, two at a time; the rows begin at `base`.
///
/// # Safety
/// AVX2 and FMA are there; the rows hold all loads of the outputs' groups, and `emit` three bytes for
/// each output of the plan.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn sum_in_order(
    plan: &ColumnPlan,
    rows: &[&[u8]],
    base: usize,
    weights: &[f32],
    outputs: &[u32],
    emit: &mut [u8],
) {
    // SAFETY: the caller's promise is passed on.
    unsafe { by_taps!(plan.taps, in_order(plan, rows, base, weights, outputs, emit)) }
}

/// # Safety
/// As [`sum_in_order`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn in_order<const TAPS: usize>(
    plan: &ColumnPlan,
    rows: &[&[u8]],
    base: usize,
    weights: &[f32],
    outputs: &[u32],
    emit: &mut [u8],
) {
    let along = ordered::Along::new(plan);
    for two in outputs.chunks(2) {
        // The last one alone: twice.
        let two = [two[0] as usize, two[two.len() - 1] as usize];
        // SAFETY: the caller's promise; the outputs are of the plan.
        unsafe {
            let of = along.any_outputs(plan, two);
            let mut sum = _mm256_setzero_ps();
            for (row, &weight) in rows.iter().zip(weights) {
                let value = along.sum::<TAPS>(row.as_ptr().wrapping_sub(base), &of, plan.taps);
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(weight)));
            }
            let mut pixels = [0; 8];
            ordered::emit_two(pixels.as_mut_ptr(), sum);
            for (output, pixel) in two.into_iter().zip(pixels.as_chunks::<4>().0) {
                emit[3 * output..][..3].copy_from_slice(&pixel[..3]);
            }
        }
    }
}
