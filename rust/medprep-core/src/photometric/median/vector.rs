//! The kernels of AVX2 and AVX-512, one text for both.

use super::scalar;

macro_rules! kernel {
    ($name:ident, $doc:literal, $features:literal, $vector:ident, $lanes:literal,
     $load:ident, $store:ident, $min:ident, $max:ident) => {
        #[doc = $doc]
        pub(super) mod $name {
            #[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
            use std::arch::x86_64::*;

            use super::scalar;

            const LANES: usize = $lanes;

            #[inline]
            #[target_feature(enable = $features)]
            fn load(from: &[u8], at: usize) -> $vector {
                let from: &[u8; LANES] = from[at..].first_chunk().expect("the caller counts");
                // SAFETY: a whole register of bytes.
                unsafe { $load(from.as_ptr().cast()) }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn store(to: &mut [u8], at: usize, value: $vector) {
                let to: &mut [u8; LANES] = to[at..].first_chunk_mut().expect("the caller counts");
                // SAFETY: a whole register of bytes.
                unsafe { $store(to.as_mut_ptr().cast(), value) }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn median(a: $vector, b: $vector, c: $vector) -> $vector {
                $max($min(a, b), $min($max(a, b), c))
            }

            /// # Safety
            /// The CPU has these features.
            #[target_feature(enable = $features)]
            pub(in super::super) unsafe fn row(rows: [&[u8]; 3], channels: usize, out: &mut [u8]) {
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
                    let (low, high) = ($min(a, b), $max(a, b));
                    ($min(low, c), $max(low, $min(high, c)), $max(high, c))
                };
                let last = len - channels - LANES;
                // The last register overlaps the one before it.
                for at in (channels..last).step_by(LANES).chain([last]) {
                    let columns = [sorted(at - channels), sorted(at), sorted(at + channels)];
                    let low = $max($max(columns[0].0, columns[1].0), columns[2].0);
                    let middle = median(columns[0].1, columns[1].1, columns[2].1);
                    let high = $min($min(columns[0].2, columns[1].2), columns[2].2);
                    store(out, at, median(low, middle, high));
                }
            }
        }
    };
}

kernel!(
    avx2,
    "32 bytes at a time.",
    "avx2,fma",
    __m256i,
    32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_min_epu8,
    _mm256_max_epu8
);
kernel!(
    avx512,
    "64 bytes at a time.",
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl",
    __m512i,
    64,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_min_epu8,
    _mm512_max_epu8
);
