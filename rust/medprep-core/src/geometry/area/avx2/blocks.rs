//! Whole ratios: sums and means of blocks in integers.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::block;
use super::load16;

/// Column sums of whole-ratio blocks, vectorised by the compiler.
///
/// # Safety
/// AVX2 is there.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn add_row(sums: &mut [u16], row: &[u8], is_first: bool) {
    block::add_row(sums, row, is_first);
}

/// Means of blocks of at most 257 pixels, whose sums along the row fit 16 bits too: an RGB pixel
/// and the next word are one load. False for a ratio without its own code.
///
/// # Safety
/// AVX2 is there; `sums` has one word more than whole blocks.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn mean_small(
    sums: &[u16],
    channels: usize,
    ratio: [usize; 2],
    out: &mut [u8],
) -> bool {
    let inverse_area = 1.0 / (ratio[0] * ratio[1]) as f32;
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (channels, ratio[1]) {
            (3, 3) => rgb_means::<3>(sums, inverse_area, out),
            (3, 4) => rgb_means::<4>(sums, inverse_area, out),
            (3, 5) => rgb_means::<5>(sums, inverse_area, out),
            (3, 8) => rgb_means::<8>(sums, inverse_area, out),
            _ => return false,
        }
    }
    true
}

/// # Safety
/// As [`mean_small`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rgb_means<const RATIO: usize>(sums: &[u16], inverse_area: f32, out: &mut [u8]) {
    let inverse_area = _mm_set1_ps(inverse_area);
    let pixels = out.as_chunks_mut::<3>().0;
    assert!(sums.len() > pixels.len() * 3 * RATIO, "one word more than whole blocks");
    for (i, pixel) in pixels.iter_mut().enumerate() {
        // SAFETY: four words at 3 RATIO i + 3 k, the last of them the extra one (above).
        let load =
            |k: usize| unsafe { _mm_loadl_epi64(sums.as_ptr().add(3 * (RATIO * i + k)).cast()) };
        let mut sum = load(0);
        for k in 1..RATIO {
            sum = _mm_add_epi16(sum, load(k));
        }
        let sum = _mm_cvtepi32_ps(_mm_cvtepu16_epi32(sum));
        let words = _mm_cvtps_epi32(_mm_mul_ps(sum, inverse_area));
        let words = _mm_packs_epi32(words, words);
        let bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
        *pixel = [bytes[0], bytes[1], bytes[2]];
    }
}

/// The 2 x 2 mean of two rows.
///
/// # Safety
/// AVX2 is there.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn halve(upper: &[u8], lower: &[u8], channels: usize, out: &mut [u8]) {
    // Twelve bytes: two outputs of RGB; sixteen: eight of grey.
    let (step, mask) = if channels == 3 {
        (12, _mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1))
    } else {
        (16, _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
    };
    let mask = _mm256_broadcastsi128_si256(mask);
    let ones = _mm256_set1_epi8(1);
    let two = _mm256_set1_epi16(2);
    assert!(upper.len() == lower.len() && 2 * out.len() == upper.len());
    let mut at = 0;
    // The second lane's load ends at step + 16, its 8-byte store at step / 2 + 8.
    while at + step + 16 <= upper.len() && at / 2 + step / 2 + 8 <= out.len() {
        // SAFETY: the loop condition.
        unsafe {
            let sum = |row: &[u8]| {
                let both = _mm256_inserti128_si256::<1>(
                    _mm256_castsi128_si256(load16(row.as_ptr().add(at))),
                    load16(row.as_ptr().add(at + step)),
                );
                _mm256_maddubs_epi16(_mm256_shuffle_epi8(both, mask), ones)
            };
            let four = _mm256_add_epi16(_mm256_add_epi16(sum(upper), sum(lower)), two);
            let mean = _mm256_srli_epi16::<2>(four);
            let bytes = _mm256_packus_epi16(mean, mean);
            let to = out.as_mut_ptr().add(at / 2);
            _mm_storel_epi64(to.cast(), _mm256_castsi256_si128(bytes));
            _mm_storel_epi64(to.add(step / 2).cast(), _mm256_extracti128_si256::<1>(bytes));
        }
        at += 2 * step;
    }
    for (i, out) in out.iter_mut().enumerate().skip(at / 2) {
        let (pixel, channel) = (i / channels, i % channels);
        let left = 2 * pixel * channels + channel;
        let sum = |row: &[u8]| u16::from(row[left]) + u16::from(row[left + channels]);
        *out = ((sum(upper) + sum(lower) + 2) >> 2) as u8;
    }
}
