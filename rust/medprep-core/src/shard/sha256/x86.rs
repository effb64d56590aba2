//! Two streams on one SHA unit, their instructions taking turns.

#[allow(clippy::wildcard_imports, reason = "a dozen intrinsics")]
use std::arch::x86_64::*;
use std::array::from_fn;

use super::BLOCK;

/// One register of each stream.
type Both = [__m128i; 2];

/// FIPS 180-4, 4.2.2, four rounds a line.
#[rustfmt::skip]
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Whether this CPU has what [`compress_both`] needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Compresses the blocks of both, as many as there are pairs.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn compress_both(
    states: [&mut [u32; 8]; 2],
    first: &[[u8; BLOCK]],
    second: &[[u8; BLOCK]],
) {
    let [one, other] = &states;
    let ((abef, cdgh), (other_abef, other_cdgh)) = (load_state(one), load_state(other));
    let (mut abef, mut cdgh) = ([abef, other_abef], [cdgh, other_cdgh]);
    for (first, second) in first.iter().zip(second) {
        let mut words = [load_block(first), load_block(second)];
        let (mut new_abef, mut new_cdgh) = (abef, cdgh);
        for four in 0..ROUNDS.len() {
            if four >= 4 {
                for words in &mut words {
                    extend(words, four % 4);
                }
            }
            rounds4(&mut new_abef, &mut new_cdgh, from_fn(|s| words[s][four % 4]), &ROUNDS[four]);
        }
        abef = from_fn(|s| _mm_add_epi32(abef[s], new_abef[s]));
        cdgh = from_fn(|s| _mm_add_epi32(cdgh[s], new_cdgh[s]));
    }
    for (s, state) in states.into_iter().enumerate() {
        store_state(state, abef[s], cdgh[s]);
    }
}

/// Four rounds of each stream.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn rounds4(abef: &mut Both, cdgh: &mut Both, words: Both, constants: &[u32; 4]) {
    // SAFETY: four constants are 16 bytes.
    let constants = unsafe { _mm_loadu_si128(constants.as_ptr().cast()) };
    let lower: Both = words.map(|words| _mm_add_epi32(words, constants));
    let upper: Both = lower.map(|words| _mm_shuffle_epi32(words, 0x0e));
    for s in 0..2 {
        cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], lower[s]);
    }
    for s in 0..2 {
        abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], upper[s]);
    }
}

/// The four words that follow the sixteen, in the place of the oldest.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn extend(words: &mut [__m128i; 4], oldest: usize) {
    let [w0, w4, w8, w12]: [__m128i; 4] = from_fn(|at| words[(oldest + at) % 4]);
    let partial = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8(w12, w8, 4));
    words[oldest] = _mm_sha256msg2_epu32(partial, w12);
}

/// Sixteen big-endian words.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load_block(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (quarters, _) = block.as_chunks::<16>();
    // SAFETY: a quarter is 16 bytes.
    from_fn(|at| _mm_shuffle_epi8(unsafe { _mm_loadu_si128(quarters[at].as_ptr().cast()) }, swap))
}

/// The state in the order of the instructions: a, b, e, f and c, d, g, h from the highest lane down.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load_state(state: &[u32; 8]) -> (__m128i, __m128i) {
    let at = state.as_ptr().cast();
    // SAFETY: the state is two registers.
    let (dcba, hgfe) = unsafe { (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1))) };
    let (cdab, efgh) = (_mm_shuffle_epi32(dcba, 0xb1), _mm_shuffle_epi32(hgfe, 0x1b));
    (_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0))
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn store_state(state: &mut [u32; 8], abef: __m128i, cdgh: __m128i) {
    let (feba, dchg) = (_mm_shuffle_epi32(abef, 0x1b), _mm_shuffle_epi32(cdgh, 0xb1));
    let at = state.as_mut_ptr().cast();
    // SAFETY: the state is two registers.
    unsafe {
        _mm_storeu_si128(at, _mm_blend_epi16(feba, dchg, 0xf0));
        _mm_storeu_si128(at.add(1), _mm_alignr_epi8(dchg, feba, 8));
    }
}
