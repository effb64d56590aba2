//! 32 bytes at a time. Columns are sorted once; those one pixel to the left and right come out of
//! neighbouring registers, by shuffles, which have execution units of their own.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::scalar;

const LANES: usize = 32;

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn row(rows: [&[u8]; 3], channels: usize, out: &mut [u8]) {
    let is_short = out.len() < LANES + 2 * channels;
    match channels {
        1 if !is_short => pixels::<1, 15>(rows, out),
        3 if !is_short => pixels::<3, 13>(rows, out),
        _ => scalar::row(rows, channels, out),
    }
}

/// The lowest, the middle and the highest of each column.
#[derive(Clone, Copy)]
struct Sorted {
    low: __m256i,
    mid: __m256i,
    high: __m256i,
}

impl Sorted {
    /// The 32 columns from `at` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn at(rows: [&[u8]; 3], at: usize) -> Self {
        let load = |row: &[u8]| {
            let bytes: &[u8; LANES] = row[at..].first_chunk().expect("the caller counts");
            // SAFETY: 32 bytes.
            unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
        };
        let (a, b, c) = (load(rows[0]), load(rows[1]), load(rows[2]));
        let (low, high) = (_mm256_min_epu8(a, b), _mm256_max_epu8(a, b));
        let rest = _mm256_max_epu8(low, c);
        Self {
            low: _mm256_min_epu8(low, c),
            mid: _mm256_min_epu8(rest, high),
            high: _mm256_max_epu8(rest, high),
        }
    }

    /// The upper half of this and the lower half of `next`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn between(self, next: Self) -> Self {
        Self {
            low: _mm256_permute2x128_si256::<0x21>(self.low, next.low),
            mid: _mm256_permute2x128_si256::<0x21>(self.mid, next.mid),
            high: _mm256_permute2x128_si256::<0x21>(self.high, next.high),
        }
    }

    /// Bytes `BY` on in each lane of this followed by the same lane of `next`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn shifted<const BY: i32>(self, next: Self) -> Self {
        Self {
            low: _mm256_alignr_epi8::<BY>(next.low, self.low),
            mid: _mm256_alignr_epi8::<BY>(next.mid, self.mid),
            high: _mm256_alignr_epi8::<BY>(next.high, self.high),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn median3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    let (low, high) = (_mm256_min_epu8(a, b), _mm256_max_epu8(a, b));
    _mm256_max_epu8(low, _mm256_min_epu8(high, c))
}

/// The medians of 3 x 3 from three sorted columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn median9(left: Sorted, own: Sorted, right: Sorted) -> __m256i {
    let low = _mm256_max_epu8(_mm256_max_epu8(left.low, own.low), right.low);
    let high = _mm256_min_epu8(_mm256_min_epu8(left.high, own.high), right.high);
    median3(low, median3(left.mid, own.mid, right.mid), high)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(out: &mut [u8], at: usize, value: __m256i) {
    let out: &mut [u8; LANES] = out[at..].first_chunk_mut().expect("the caller counts");
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), value) };
}

/// A row of pixels of `CHANNELS` bytes; `BACK` is 16 less that. There are 32 bytes and two pixels.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn pixels<const CHANNELS: i32, const BACK: i32>(rows: [&[u8]; 3], out: &mut [u8]) {
    let (len, pixel) = (out.len(), CHANNELS as usize);
    // The neighbour outside is the pixel itself.
    let first = [Sorted::at(rows, 0), Sorted::at(rows, pixel)];
    let end = len - LANES;
    let last = [Sorted::at(rows, end - pixel), Sorted::at(rows, end)];
    let mut own = first[0];
    // Whatever is left of the first pixel: the row's ends are written below.
    let mut before = own.between(own);
    let mut at = 0;
    while at + 2 * LANES <= len {
        let next = Sorted::at(rows, at + LANES);
        let behind = own.between(next);
        let left = before.shifted::<BACK>(own);
        store(out, at, median9(left, own, own.shifted::<CHANNELS>(behind)));
        (own, before) = (next, behind);
        at += LANES;
    }
    // The rest, and once more what overlaps it.
    for at in [at.max(pixel).min(end - pixel), end - pixel] {
        let columns = [at - pixel, at, at + pixel].map(|at| Sorted::at(rows, at));
        store(out, at, median9(columns[0], columns[1], columns[2]));
    }
    let mut bytes = [0; LANES];
    store(&mut bytes, 0, median9(first[0], first[0], first[1]));
    out[..pixel].copy_from_slice(&bytes[..pixel]);
    store(&mut bytes, 0, median9(last[0], last[1], last[1]));
    out[len - pixel..].copy_from_slice(&bytes[LANES - pixel..]);
}
