//! Upsampling and colour conversion with AVX-512, 64 bytes at a time.

use core::arch::x86_64::{
    __m512i as Vector, _mm256_loadu_si256, _mm512_add_epi16 as add16, _mm512_add_epi32 as add32,
    _mm512_and_si512 as and, _mm512_cvtepu8_epi16, _mm512_loadu_si512, _mm512_madd_epi16 as madd,
    _mm512_mask_permutexvar_epi8, _mm512_mulhrs_epi16 as mul_round, _mm512_or_si512 as or,
    _mm512_packs_epi32 as pack32, _mm512_packus_epi16 as pack_unsigned16, _mm512_permutex2var_epi8,
    _mm512_permutex2var_epi16, _mm512_set1_epi16 as set16, _mm512_set1_epi32 as set32,
    _mm512_slli_epi16 as shift_left16, _mm512_srai_epi32 as shift_right32,
    _mm512_srli_epi16 as shift_right16, _mm512_storeu_si512, _mm512_sub_epi16 as sub16,
    _mm512_unpackhi_epi16 as high16, _mm512_unpacklo_epi16 as low16,
};

use super::lanes::{define_colour, define_upsampling};
use super::{B_CB, G_CB, G_CR, PAD, R_CR, padded};

const WHOLE: usize = 64;
const HALF: usize = 32;

define_upsampling!("avx512f,avx512bw,avx512vl,avx512vbmi");
define_colour!("avx512f,avx512bw,avx512vl,avx512vbmi");

/// 32 bytes as 16-bit values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn widen(bytes: &[u8; HALF]) -> Vector {
    // SAFETY: the array is 32 bytes.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn load(bytes: &[u8; WHOLE]) -> Vector {
    // SAFETY: the array is 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn store(out: &mut [u8; WHOLE], bytes: Vector) {
    // SAFETY: the array is 64 bytes.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), bytes) }
}

/// The last of `previous`, then all but the last of `current`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn shift_in_left(previous: Vector, current: Vector) -> Vector {
    _mm512_permutex2var_epi16(previous, load(&FROM_31), current)
}

/// All but the first of `current`, then the first of `next`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn shift_in_right(current: Vector, next: Vector) -> Vector {
    _mm512_permutex2var_epi16(current, load(&FROM_1), next)
}

static FROM_31: [u8; 64] = count_from(31);
static FROM_1: [u8; 64] = count_from(1);

/// 32 16-bit values counting from `first`, little-endian.
const fn count_from(first: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 32 {
        bytes[2 * i] = first + i as u8;
        i += 1;
    }
    bytes
}

/// For each of the three vectors of 64 interleaved pixels: where its bytes come from, 0..64 for R,
/// 64..128 for G; and where its B bytes come from.
static RED_GREEN: [[u8; 64]; 3] = interleaving().0;
static BLUE: [[u8; 64]; 3] = interleaving().1;
/// Which bytes are B.
const BLUE_MASK: [u64; 3] = interleaving().2;

const fn interleaving() -> ([[u8; 64]; 3], [[u8; 64]; 3], [u64; 3]) {
    let (mut red_green, mut blue, mut mask) = ([[0; 64]; 3], [[0; 64]; 3], [0; 3]);
    let mut i = 0;
    while i < 192 {
        let (vector, byte, pixel) = (i / 64, i % 64, i / 3);
        let place = (pixel / 16 * 16 + pixel % 2 * 8 + pixel % 16 / 2) as u8;
        match i % 3 {
            0 => red_green[vector][byte] = place,
            1 => red_green[vector][byte] = 64 + place,
            _ => {
                blue[vector][byte] = place;
                mask[vector] |= 1 << byte;
            }
        }
        i += 1;
    }
    (red_green, blue, mask)
}

/// Interleaves 64 pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn store_rgb(out: &mut [u8; 3 * WHOLE], r: Vector, g: Vector, b: Vector) {
    for (i, out) in out.as_chunks_mut::<WHOLE>().0.iter_mut().enumerate() {
        let bytes = _mm512_permutex2var_epi8(r, load(&RED_GREEN[i]), g);
        store(out, _mm512_mask_permutexvar_epi8(bytes, BLUE_MASK[i], load(&BLUE[i]), b));
    }
}
