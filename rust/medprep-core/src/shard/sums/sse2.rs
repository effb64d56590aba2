//! 32 bytes at a time with what every x86-64 CPU has: no path to choose.

#[allow(clippy::wildcard_imports, reason = "a dozen intrinsics")]
use std::arch::x86_64::*;

use super::LANES;

/// Bytes of a register.
const WIDTH: usize = 16;
/// Pairs of rows whose values fit the 16 bits they are added up in (257 do); few enough that they
/// stay in the innermost cache for the next group of lanes.
const PAIRS_AT_ONCE: usize = 128;

/// Sums and sums of squares of each lane; the squares of 33,000 pairs fit.
#[target_feature(enable = "sse2")]
pub(super) fn add_up(pairs: &[[u8; 2 * LANES]]) -> ([u32; LANES], [u32; LANES]) {
    let (mut sum, mut squares) = ([0; LANES], [0; LANES]);
    for pairs in pairs.chunks(PAIRS_AT_ONCE) {
        for first in (0..LANES).step_by(WIDTH) {
            let lanes = first..first + WIDTH;
            add_lanes(pairs, first, &mut sum[lanes.clone()], &mut squares[lanes]);
        }
    }
    (sum, squares)
}

/// Adds the 16 lanes from `first` on.
#[target_feature(enable = "sse2")]
fn add_lanes(pairs: &[[u8; 2 * LANES]], first: usize, sum: &mut [u32], squares: &mut [u32]) {
    let zero = _mm_setzero_si128();
    let (mut words, mut products) = ([zero; 4], [zero; 4]);
    for pair in pairs {
        let (upper, lower) = (load(&pair[first..]), load(&pair[LANES + first..]));
        // Values of a lane side by side, so that a product of pairs stays in its lane.
        let halves = [_mm_unpacklo_epi8(upper, lower), _mm_unpackhi_epi8(upper, lower)];
        for (at, half) in halves.into_iter().enumerate() {
            let quarters = [_mm_unpacklo_epi8(half, zero), _mm_unpackhi_epi8(half, zero)];
            for (at, values) in (2 * at..).zip(quarters) {
                words[at] = _mm_add_epi16(words[at], values);
                products[at] = _mm_add_epi32(products[at], _mm_madd_epi16(values, values));
            }
        }
    }
    for (at, (words, products)) in words.into_iter().zip(products).enumerate() {
        for (lane, (values, product)) in
            words_of(words).into_iter().zip(lanes_of(products)).enumerate()
        {
            sum[4 * at + lane] += values;
            squares[4 * at + lane] += product;
        }
    }
}

#[target_feature(enable = "sse2")]
fn load(bytes: &[u8]) -> __m128i {
    let bytes: &[u8; WIDTH] = bytes.first_chunk().expect("the lanes are whole registers");
    // SAFETY: 16 bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Sums of neighbours, which may use all 16 bits.
#[target_feature(enable = "sse2")]
fn words_of(words: __m128i) -> [u32; 4] {
    let low = _mm_and_si128(words, _mm_set1_epi32(0xffff));
    lanes_of(_mm_add_epi32(low, _mm_srli_epi32::<16>(words)))
}

#[target_feature(enable = "sse2")]
fn lanes_of(lanes: __m128i) -> [u32; 4] {
    let mut values = [0; 4];
    // SAFETY: 16 bytes.
    unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), lanes) };
    values
}
