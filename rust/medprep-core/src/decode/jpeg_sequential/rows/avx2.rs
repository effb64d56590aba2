//! Upsampling and colour conversion with AVX2, 32 bytes at a time.

use core::arch::x86_64::{
    __m256i as Vector, _mm_loadu_si128, _mm256_add_epi16 as add16, _mm256_add_epi32 as add32,
    _mm256_alignr_epi8, _mm256_and_si256 as and, _mm256_broadcastsi128_si256, _mm256_cvtepu8_epi16,
    _mm256_loadu_si256, _mm256_madd_epi16 as madd, _mm256_mulhrs_epi16 as mul_round,
    _mm256_or_si256 as or, _mm256_packs_epi32 as pack32, _mm256_packus_epi16 as pack_unsigned16,
    _mm256_permute2x128_si256, _mm256_set1_epi16 as set16, _mm256_set1_epi32 as set32,
    _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srai_epi32, _mm256_srli_epi16,
    _mm256_storeu_si256, _mm256_sub_epi16 as sub16, _mm256_unpackhi_epi16 as high16,
    _mm256_unpacklo_epi16 as low16,
};

use super::lanes::{define_colour, define_upsampling};
use super::{B_CB, G_CB, G_CR, PAD, R_CR, padded};

const WHOLE: usize = 32;
const HALF: usize = 16;

define_upsampling!("avx2");
define_colour!("avx2");

/// 16 bytes as 16-bit values.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(bytes: &[u8; HALF]) -> Vector {
    // SAFETY: the array is 16 bytes.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; WHOLE]) -> Vector {
    // SAFETY: the array is 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [u8; WHOLE], bytes: Vector) {
    // SAFETY: the array is 32 bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) }
}

/// The last of `previous`, then all but the last of `current`.
#[inline]
#[target_feature(enable = "avx2")]
fn shift_in_left(previous: Vector, current: Vector) -> Vector {
    let middle = _mm256_permute2x128_si256::<0x21>(previous, current);
    _mm256_alignr_epi8::<14>(current, middle)
}

/// All but the first of `current`, then the first of `next`.
#[inline]
#[target_feature(enable = "avx2")]
fn shift_in_right(current: Vector, next: Vector) -> Vector {
    let middle = _mm256_permute2x128_si256::<0x21>(current, next);
    _mm256_alignr_epi8::<2>(middle, current)
}

// The intrinsics take signed shifts; their AVX-512 sisters, which share the code, unsigned ones.

#[inline]
#[target_feature(enable = "avx2")]
fn shift_right16<const SHIFT: u32>(values: Vector) -> Vector {
    match SHIFT {
        2 => _mm256_srli_epi16::<2>(values),
        4 => _mm256_srli_epi16::<4>(values),
        8 => _mm256_srli_epi16::<8>(values),
        _ => unreachable!("the shifts in use"),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift_left16<const SHIFT: u32>(values: Vector) -> Vector {
    match SHIFT {
        8 => _mm256_slli_epi16::<8>(values),
        _ => unreachable!("the shift in use"),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift_right32<const SHIFT: u32>(values: Vector) -> Vector {
    match SHIFT {
        16 => _mm256_srai_epi32::<16>(values),
        _ => unreachable!("the shift in use"),
    }
}

/// For each 16 of the 48 bytes of 16 interleaved pixels and each channel: which of the channel's
/// bytes go there; 128 for none.
static INTERLEAVING: [[[u8; 16]; 3]; 3] = {
    let mut places = [[[128; 16]; 3]; 3];
    let mut i = 0;
    while i < 48 {
        let pixel = i / 3;
        places[i / 16][i % 3][i % 16] = (pixel % 2 * 8 + pixel / 2) as u8;
        i += 1;
    }
    places
};

/// Interleaves 32 pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rgb(out: &mut [u8; 3 * WHOLE], r: Vector, g: Vector, b: Vector) {
    let first = third(&INTERLEAVING[0], r, g, b);
    let second = third(&INTERLEAVING[1], r, g, b);
    let last = third(&INTERLEAVING[2], r, g, b);
    let [upper, middle, lower] = out.as_chunks_mut::<WHOLE>().0 else { unreachable!("96 bytes") };
    store(upper, _mm256_permute2x128_si256::<0x20>(first, second));
    store(middle, _mm256_permute2x128_si256::<0x30>(last, first));
    store(lower, _mm256_permute2x128_si256::<0x31>(second, last));
}

/// 16 of the 48 bytes of every lane's pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn third(places: &[[u8; 16]; 3], r: Vector, g: Vector, b: Vector) -> Vector {
    or(or(pick(r, &places[0]), pick(g, &places[1])), pick(b, &places[2]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn pick(channel: Vector, places: &[u8; 16]) -> Vector {
    // SAFETY: the array is 16 bytes.
    let places = unsafe { _mm_loadu_si128(places.as_ptr().cast()) };
    _mm256_shuffle_epi8(channel, _mm256_broadcastsi128_si256(places))
}
