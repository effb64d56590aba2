//! 64 bytes at a time.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::scalar;

const LANES: usize = 64;

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn load(from: &[u8], at: usize) -> __m512i {
    let from: &[u8; LANES] = from[at..].first_chunk().expect("the caller counts");
    // SAFETY: a whole register of bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn store(to: &mut [u8], at: usize, value: __m512i) {
    let to: &mut [u8; LANES] = to[at..].first_chunk_mut().expect("the caller counts");
    // SAFETY: a whole register of bytes.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn median(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_max_epu8(_mm512_min_epu8(a, b), _mm512_min_epu8(_mm512_max_epu8(a, b), c))
}

/// # Safety
/// The CPU has these features.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn row(rows: [&[u8]; 3], channels: usize, out: &mut [u8]) {
    let len = out.len();
    if len < LANES + 2 * channels {
        return scalar::row(rows, channels, out);
    }
    // The first and the last pixel have a replicated neighbour.
    scalar::ends(rows, channels, out);
    // Sorting each column three times costs less than storing it sorted: loads that
    // straddle two recent stores stall.
    let sorted = |at: usize| {
        let (a, b, c) = (load(rows[0], at), load(rows[1], at), load(rows[2], at));
        let (low, high) = (_mm512_min_epu8(a, b), _mm512_max_epu8(a, b));
        (
            _mm512_min_epu8(low, c),
            _mm512_max_epu8(low, _mm512_min_epu8(high, c)),
            _mm512_max_epu8(high, c),
        )
    };
    let last = len - channels - LANES;
    // The last register overlaps the one before it.
    for at in (channels..last).step_by(LANES).chain([last]) {
        let columns = [sorted(at - channels), sorted(at), sorted(at + channels)];
        let low = _mm512_max_epu8(_mm512_max_epu8(columns[0].0, columns[1].0), columns[2].0);
        let middle = median(columns[0].1, columns[1].1, columns[2].1);
        let high = _mm512_min_epu8(_mm512_min_epu8(columns[0].2, columns[1].2), columns[2].2);
        store(out, at, median(low, middle, high));
    }
}
