//! Grey in order: eight outputs at a time.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::Pass;
use super::super::plan::GROUP;
use super::load16;

/// Rounds to even, saturates and stores eight values as bytes.
///
/// # Safety
/// `at` is writable for 8 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn emit8(at: *mut u8, sum: __m256) {
    let words = _mm256_cvtps_epi32(sum);
    let words =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    // SAFETY: the caller's promise.
    unsafe { _mm_storel_epi64(at.cast(), _mm_packus_epi16(words, words)) }
}

/// # Safety
/// As [`super::add_rows`], and the plan is narrow.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_narrow(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match pass.plan.taps {
            2 => grey_narrow::<2>(pass),
            3 => grey_narrow::<3>(pass),
            4 => grey_narrow::<4>(pass),
            5 => grey_narrow::<5>(pass),
            6 => grey_narrow::<6>(pass),
            _ => grey_wide(pass),
        }
    }
}

/// Eight outputs, four per lane, whose taps lie within 16 bytes.
///
/// # Safety
/// As [`super::add_rows`], and the plan is narrow.
#[target_feature(enable = "avx2,fma")]
unsafe fn grey_narrow<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let middle = _mm256_set1_ps(plan.middle);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: as in `rgb`.
    unsafe {
        for eight in pass.groups.start * GROUP / 8..pass.groups.end * GROUP / 8 {
            let output = 8 * eight;
            let start = |i: usize| *plan.start.as_ptr().add(output + i) as usize;
            let (left, right) = (start(0), start(4));
            let index = _mm256_loadu_si256(plan.index.as_ptr().add(output).cast());
            let weight = |of: usize| _mm256_loadu_ps(plan.ends[of].as_ptr().add(output));
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let sums = pass.sums.as_mut_ptr().add(output);
            let mut sum = _mm256_loadu_ps(sums);
            let mut emitted = emit.add(output);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let source = _mm256_inserti128_si256::<1>(
                    _mm256_castsi128_si256(load16(row.wrapping_add(left))),
                    load16(row.wrapping_add(right)),
                );
                let mut value = _mm256_setzero_ps();
                for tap in 0..TAPS {
                    let at = _mm256_add_epi32(index, _mm256_set1_epi32(tap as i32));
                    let byte = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(source, at));
                    let weight = if tap + 1 == TAPS {
                        w2
                    } else if tap + 2 == TAPS {
                        w1
                    } else if tap == 0 {
                        w0
                    } else {
                        middle
                    };
                    let part = _mm256_mul_ps(byte, weight);
                    value = if tap == 0 { part } else { _mm256_add_ps(value, part) };
                }
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
                if step.ends {
                    emit8(emitted, sum);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
                }
            }
            _mm256_storeu_ps(sums, sum);
        }
    }
}

/// Eight outputs, sixteen taps of each per 16-byte load.
///
/// # Safety
/// As [`super::add_rows`].
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn grey_wide(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match pass.plan.taps {
            5 => grey_loads::<5>(pass),
            6 => grey_loads::<6>(pass),
            7 => grey_loads::<7>(pass),
            8 => grey_loads::<8>(pass),
            9 => grey_loads::<9>(pass),
            10 => grey_loads::<10>(pass),
            _ => grey_loads::<0>(pass),
        }
    }
}

/// [`grey_wide`] of `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`super::add_rows`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn grey_loads<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let taps = if TAPS == 0 { plan.taps } else { TAPS };
    let middle = _mm256_set1_ps(plan.middle);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: as in `rgb`; loads end at the next multiple of sixteen taps.
    unsafe {
        for eight in pass.groups.start * GROUP / 8..pass.groups.end * GROUP / 8 {
            let output = 8 * eight;
            let starts = *plan.start.as_ptr().add(output).cast::<[u32; 8]>();
            let weight = |of: usize| _mm256_loadu_ps(plan.ends[of].as_ptr().add(output));
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let sums = pass.sums.as_mut_ptr().add(output);
            let mut sum = _mm256_loadu_ps(sums);
            let mut emitted = emit.add(output);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let mut value = _mm256_setzero_ps();
                let mut tap = 0;
                while tap < taps {
                    let sixteen = sixteen_taps(row.wrapping_add(tap), &starts);
                    for (j, four) in sixteen.into_iter().enumerate() {
                        for t in 0..4 {
                            let t = 4 * j + t;
                            if tap + t >= taps {
                                break;
                            }
                            let weight = if tap + t + 1 == taps {
                                w2
                            } else if tap + t + 2 == taps {
                                w1
                            } else if tap + t == 0 {
                                w0
                            } else {
                                middle
                            };
                            let byte = _mm256_cvtepi32_ps(byte_of(four, t % 4));
                            value = _mm256_add_ps(value, _mm256_mul_ps(byte, weight));
                        }
                    }
                    tap += 16;
                }
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
                if step.ends {
                    emit8(emitted, sum);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
                }
            }
            _mm256_storeu_ps(sums, sum);
        }
    }
}

/// The 16 bytes at each of eight starts: in 32-bit lane `i` of vector `j` bytes `4 * j..4 * j + 4` of
/// start `i`.
///
/// # Safety
/// 16 bytes are readable at every start.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn sixteen_taps(row: *const u8, starts: &[u32; 8]) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    let both = |i: usize| unsafe {
        _mm256_inserti128_si256::<1>(
            _mm256_castsi128_si256(load16(row.wrapping_add(starts[i] as usize))),
            load16(row.wrapping_add(starts[i + 4] as usize)),
        )
    };
    let (a, b, c, d) = (both(0), both(1), both(2), both(3));
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Byte `at` of every 32-bit lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn byte_of(lanes: __m256i, at: usize) -> __m256i {
    match at {
        0 => _mm256_and_si256(lanes, _mm256_set1_epi32(0xFF)),
        1 => _mm256_and_si256(_mm256_srli_epi32::<8>(lanes), _mm256_set1_epi32(0xFF)),
        2 => _mm256_and_si256(_mm256_srli_epi32::<16>(lanes), _mm256_set1_epi32(0xFF)),
        _ => _mm256_srli_epi32::<24>(lanes),
    }
}
