//! AVX2, without gathers: 16-entry tables as byte shuffles feeding quadratics in 16-bit integers;
//! cube root and inverse gamma by plain look-ups, which run beside the vectors of other pixels.

mod forward;
mod inverse;

pub(super) use forward::forward;
pub(super) use inverse::inverse;

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

/// Low and high bytes of a 16-entry table of words, in both lanes.
#[derive(Clone, Copy)]
struct Nibbles {
    low: __m256i,
    high: __m256i,
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_nibbles(table: &[u16; 16]) -> Nibbles {
    let mut bytes = [[0_u8; 16]; 2];
    for (i, value) in table.iter().enumerate() {
        (bytes[0][i], bytes[1][i]) = (*value as u8, (*value >> 8) as u8);
    }
    // SAFETY: 16 bytes each.
    let lanes = |bytes: &[u8; 16]| unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()))
    };
    Nibbles { low: lanes(&bytes[0]), high: lanes(&bytes[1]) }
}

/// Looks up 32 nibbles: the words of the lower and of the upper eight of each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn look_up(table: Nibbles, at: __m256i) -> [__m256i; 2] {
    let low = _mm256_shuffle_epi8(table.low, at);
    let high = _mm256_shuffle_epi8(table.high, at);
    [_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)]
}

/// The quadratics of a table, by the upper nibble of the input.
#[derive(Clone, Copy)]
struct Quadratics {
    a: Nibbles,
    b: Nibbles,
    c: Nibbles,
}

/// For 32 bytes: A and u * (B + u * C), with u the lower nibble, in words.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn quadratic(fit: Quadratics, bytes: __m256i) -> [[__m256i; 2]; 2] {
    let nibble = _mm256_set1_epi8(0x0F);
    let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
    let offset = _mm256_andnot_si256(nibble, _mm256_slli_epi16::<4>(bytes));
    let zero = _mm256_setzero_si256();
    let u = [_mm256_unpacklo_epi8(zero, offset), _mm256_unpackhi_epi8(zero, offset)];
    let (b, c) = (look_up(fit.b, segment), look_up(fit.c, segment));
    let part = |i: usize| {
        let slope = _mm256_add_epi16(b[i], _mm256_mulhi_epu16(u[i], c[i]));
        _mm256_mulhi_epu16(u[i], slope)
    };
    [look_up(fit.a, segment), [part(0), part(1)]]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn pair(low: i32, high: i32) -> __m256i {
    _mm256_set1_epi32((low & 0xFFFF) | (high << 16))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store16(words: &mut [u16; 96], at: usize, value: __m256i) {
    let words: &mut [u16; 16] = words[at..].first_chunk_mut().expect("16 of 96");
    // SAFETY: 16 words.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), value) };
}

/// The same value, of which the compiler knows nothing: it would otherwise gather all look-ups
/// byte by byte into vector registers, which takes twice as long.
#[inline]
fn opaque(mut word: u32) -> u32 {
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0:e} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    word
}
