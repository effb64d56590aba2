//! AVX2: four values per 128-bit lane, their pairs of bytes brought together by a byte shuffle.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::vector::{BLOCK, Columns};

/// # Safety
/// AVX2 is there; loads at `columns.starts` stay within `row`; index and weights are as long as
/// `line`, whole blocks, and there are `columns.parts` starts for every four values.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn resize_row(columns: &Columns, row: &[u8], line: &mut [i16]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match columns.parts {
            1 => resize_row_of::<1>(columns, row, line),
            2 => resize_row_of::<2>(columns, row, line),
            _ => resize_row_of::<4>(columns, row, line),
        }
    }
}

/// # Safety
/// As [`resize_row`].
#[target_feature(enable = "avx2")]
unsafe fn resize_row_of<const PARTS: usize>(columns: &Columns, row: &[u8], line: &mut [i16]) {
    for at in (0..line.len()).step_by(BLOCK) {
        // SAFETY: the caller's promise; `at` begins a block of sixteen values, four lanes.
        unsafe {
            let starts = columns.starts.as_ptr().add(at / 4 * PARTS);
            let lane = |i: usize| load::<PARTS>(row.as_ptr(), starts.add(i * PARTS));
            // Two lanes of one register are eight values apart: packing then puts all in order.
            let sums = |i: usize| {
                let source =
                    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(i)), lane(i + 2));
                let index = two_lanes(columns.index.as_ptr().add(at + 4 * i).cast());
                let weights = two_lanes(columns.weights.as_ptr().add(at + 4 * i).cast());
                let pairs = _mm256_shuffle_epi8(source, index);
                _mm256_srai_epi32::<4>(_mm256_madd_epi16(pairs, weights))
            };
            let packed = _mm256_packs_epi32(sums(0), sums(1));
            _mm256_storeu_si256(line.as_mut_ptr().add(at).cast(), packed);
        }
    }
}

/// The 16 bytes of one lane in `PARTS` loads.
///
/// # Safety
/// `row` is readable for 16 / `PARTS` bytes from each of the `PARTS` starts on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load<const PARTS: usize>(row: *const u8, starts: *const u32) -> __m128i {
    // SAFETY: the caller's promise; loads are unaligned.
    unsafe {
        let at = |part: usize| row.add(*starts.add(part) as usize);
        match PARTS {
            1 => _mm_loadu_si128(at(0).cast()),
            2 => _mm_unpacklo_epi64(_mm_loadl_epi64(at(0).cast()), _mm_loadl_epi64(at(1).cast())),
            _ => {
                let four = |part: usize| at(part).cast::<i32>().read_unaligned();
                _mm_setr_epi32(four(0), four(1), four(2), four(3))
            }
        }
    }
}

/// Two times 16 bytes, the second 32 bytes behind the first.
///
/// # Safety
/// 48 bytes are readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn two_lanes(at: *const __m128i) -> __m256i {
    // SAFETY: the caller's promise; loads are unaligned.
    unsafe {
        let (low, high) = (_mm_loadu_si128(at), _mm_loadu_si128(at.add(2)));
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
    }
}

/// Blends two lines into a row of the target: each term truncated on its own, as in OpenCV.
///
/// # Safety
/// AVX2 is there; both lines are at least `out` long, rounded up to whole blocks.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn blend(lines: [&[i16]; 2], weights: [i16; 2], out: &mut [u8]) {
    let [upper, lower] = weights.map(|weight| _mm256_set1_epi16(weight));
    let two = _mm256_set1_epi16(2);
    // SAFETY: for the callers below: a block that begins within `out`.
    let block = |at: usize| unsafe {
        let [above, below] = lines.map(|line| _mm256_loadu_si256(line.as_ptr().add(at).cast()));
        let sum = _mm256_add_epi16(
            _mm256_mulhi_epi16(above, upper),
            _mm256_add_epi16(_mm256_mulhi_epi16(below, lower), two),
        );
        let words = _mm256_srai_epi16::<2>(sum);
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
    };
    let whole = out.len() / BLOCK * BLOCK;
    for at in (0..whole).step_by(BLOCK) {
        // SAFETY: sixteen bytes of `out` from `at` on.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().add(at).cast(), block(at)) }
    }
    if whole < out.len() {
        let mut bytes = [0_u8; BLOCK];
        // SAFETY: sixteen bytes of our own.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), block(whole)) }
        let left = out.len() - whole;
        out[whole..].copy_from_slice(&bytes[..left]);
    }
}
