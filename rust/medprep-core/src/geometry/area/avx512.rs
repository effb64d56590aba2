//! AVX-512: as in `avx2`, with four RGB outputs or sixteen grey ones per register.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::plan::GROUP;
use super::{Pass, avx2};

/// # Safety
/// AVX-512 F, BW, DQ, VL are there; rows, plan, sums and emit are as long as [`Pass`] says.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn add_rows(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (pass.plan.channels, pass.plan.taps) {
            (3, taps) => avx2::by_taps!(taps, rgb(pass)),
            (_, 2) if pass.plan.is_narrow => grey_narrow::<2>(pass),
            (_, 3) if pass.plan.is_narrow => grey_narrow::<3>(pass),
            (_, 4) if pass.plan.is_narrow => grey_narrow::<4>(pass),
            (_, 5) if pass.plan.is_narrow => grey_narrow::<5>(pass),
            (_, 6) if pass.plan.is_narrow => grey_narrow::<6>(pass),
            // The 4-byte loads are what counts here; wider registers would not help.
            _ => avx2::grey_wide(pass),
        }
    }
}

/// Four 16-byte loads at `row + starts + at`.
///
/// # Safety
/// All four are readable.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn load_lanes(row: *const u8, starts: [usize; 4], at: usize) -> __m512i {
    // SAFETY: the caller's promise; loads are unaligned.
    unsafe {
        let lane = |i: usize| _mm_loadu_si128(row.wrapping_add(starts[i] + at).cast());
        let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(0)), lane(1));
        let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(2)), lane(3));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }
}

/// `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn rgb<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let taps = if TAPS == 0 { plan.taps } else { TAPS };
    let mut masks = [_mm512_setzero_si512(); 5];
    for (mask, bytes) in masks.iter_mut().zip(&avx2::RGB_TAPS) {
        // SAFETY: 16 bytes of a constant.
        *mask = unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(bytes.as_ptr().cast())) };
    }
    let two23 = _mm512_set1_ps(avx2::TWO23);
    let middle = _mm512_set1_ps(plan.middle);
    let middle23 = _mm512_mul_ps(middle, two23);
    let spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    let top = _mm512_set1_epi8(0x4B);
    let top_bytes: __mmask64 = 0x8000_8000_8000_8000;
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: all arrays of the plan, `sums` and `emit` hold whole groups, 16 outputs each; a
    // group's loads end before `reach`, which every row (from `base` on) contains.
    unsafe {
        for four in pass.groups.start * GROUP / 4..pass.groups.end * GROUP / 4 {
            let output = 4 * four;
            let starts = *plan.start.as_ptr().add(output).cast::<[u32; 4]>();
            let starts =
                [starts[0] as usize, starts[1] as usize, starts[2] as usize, starts[3] as usize];
            let weight = |of: usize| {
                let four = _mm_loadu_ps(plan.ends[of].as_ptr().add(output));
                _mm512_permutexvar_ps(spread, _mm512_castps128_ps512(four))
            };
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let (w0_23, w1_23, w2_23) =
                (_mm512_mul_ps(w0, two23), _mm512_mul_ps(w1, two23), _mm512_mul_ps(w2, two23));
            let sums = pass.sums.as_mut_ptr().add(output * 4);
            let mut sum = _mm512_loadu_ps(sums);
            let mut emitted = emit.add(output * 4);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let mut value = _mm512_setzero_ps();
                let mut source = _mm512_setzero_si512();
                for tap in 0..taps {
                    if tap % 5 == 0 {
                        source = load_lanes(row, starts, 3 * tap);
                        source = _mm512_mask_mov_epi8(source, top_bytes, top);
                    }
                    let byte = _mm512_castsi512_ps(_mm512_shuffle_epi8(source, masks[tap % 5]));
                    let part = if tap + 1 == taps {
                        _mm512_fmsub_ps(byte, w2, w2_23)
                    } else if tap + 2 == taps {
                        _mm512_fmsub_ps(byte, w1, w1_23)
                    } else if tap == 0 {
                        _mm512_fmsub_ps(byte, w0, w0_23)
                    } else {
                        _mm512_fmsub_ps(byte, middle, middle23)
                    };
                    value = if tap == 0 { part } else { _mm512_add_ps(value, part) };
                }
                sum = _mm512_add_ps(sum, _mm512_mul_ps(value, _mm512_set1_ps(step.weight)));
                if step.ends {
                    let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(sum));
                    _mm_storeu_si128(emitted.cast(), bytes);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm512_mul_ps(value, _mm512_set1_ps(step.next));
                }
            }
            _mm512_storeu_ps(sums, sum);
        }
    }
}

/// Sixteen outputs, four per lane, whose taps lie within 16 bytes.
///
/// # Safety
/// As [`add_rows`], and the plan is narrow.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn grey_narrow<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let middle = _mm512_set1_ps(plan.middle);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: as in `rgb`.
    unsafe {
        for group in pass.groups.clone() {
            let output = GROUP * group;
            let start = |i: usize| *plan.start.as_ptr().add(output + i) as usize;
            let starts = [start(0), start(4), start(8), start(12)];
            let index = _mm512_loadu_si512(plan.index.as_ptr().add(output).cast());
            let weight = |of: usize| _mm512_loadu_ps(plan.ends[of].as_ptr().add(output));
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let sums = pass.sums.as_mut_ptr().add(output);
            let mut sum = _mm512_loadu_ps(sums);
            let mut emitted = emit.add(output);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let source = load_lanes(row, starts, 0);
                let mut value = _mm512_setzero_ps();
                for tap in 0..TAPS {
                    let at = _mm512_add_epi32(index, _mm512_set1_epi32(tap as i32));
                    let byte = _mm512_cvtepi32_ps(_mm512_shuffle_epi8(source, at));
                    let weight = if tap + 1 == TAPS {
                        w2
                    } else if tap + 2 == TAPS {
                        w1
                    } else if tap == 0 {
                        w0
                    } else {
                        middle
                    };
                    let part = _mm512_mul_ps(byte, weight);
                    value = if tap == 0 { part } else { _mm512_add_ps(value, part) };
                }
                sum = _mm512_add_ps(sum, _mm512_mul_ps(value, _mm512_set1_ps(step.weight)));
                if step.ends {
                    let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(sum));
                    _mm_storeu_si128(emitted.cast(), bytes);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm512_mul_ps(value, _mm512_set1_ps(step.next));
                }
            }
            _mm512_storeu_ps(sums, sum);
        }
    }
}
