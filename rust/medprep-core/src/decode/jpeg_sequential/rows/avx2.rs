//! Upsampling and colour conversion with AVX2, 32 bytes at a time.

use core::arch::x86_64::{
    __m256i as Vector, _mm_loadu_si128, _mm256_add_epi16 as add16, _mm256_add_epi32 as add32,
    _mm256_alignr_epi8, _mm256_and_si256 as and, _mm256_blendv_epi8, _mm256_broadcastsi128_si256,
    _mm256_cvtepu8_epi16, _mm256_loadu_si256, _mm256_madd_epi16 as madd,
    _mm256_mulhrs_epi16 as mul_round, _mm256_or_si256 as or, _mm256_packs_epi32 as pack32,
    _mm256_packus_epi16 as pack_unsigned16, _mm256_permute2x128_si256, _mm256_set1_epi16 as set16,
    _mm256_set1_epi32 as set32, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srai_epi16,
    _mm256_srai_epi32, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi16 as sub16,
    _mm256_unpackhi_epi16 as high16, _mm256_unpacklo_epi16 as low16,
};

use super::lanes::{define_colour, define_upsampling};
use super::{B_CB, G_CB, G_CR, PAD, R_CR, padded};

const WHOLE: usize = 32;
const HALF: usize = 16;

define_upsampling!("avx2");
define_colour!("avx2");

/// See [`super::Rgb2x2`].
#[target_feature(enable = "avx2")]
pub(in super::super) fn rgb_2x2(
    y: &[u8],
    [cb, far_cb]: [&[u8]; 2],
    [cr, far_cr]: [&[u8]; 2],
    out: &mut [u8],
) {
    let count = out.len().div_ceil(3 * WHOLE);
    let ys = &vectors(y)[..count];
    let (cb, far_cb) = (&halves(cb)[..count + 2], &halves(far_cb)[..count + 2]);
    let (cr, far_cr) = (&halves(cr)[..count + 2], &halves(far_cr)[..count + 2]);
    let mut cbs = [sum(&cb[0], &far_cb[0]), sum(&cb[1], &far_cb[1])];
    let mut crs = [sum(&cr[0], &far_cr[0]), sum(&cr[1], &far_cr[1])];
    let mut pixels = out.chunks_mut(3 * WHOLE);
    for (i, y) in ys.iter().enumerate() {
        let next_cb = sum(&cb[i + 2], &far_cb[i + 2]);
        let next_cr = sum(&cr[i + 2], &far_cr[i + 2]);
        let [even_cb, odd_cb] = double_centred(cbs, next_cb);
        let [even_cr, odd_cr] = double_centred(crs, next_cr);
        (cbs, crs) = ([cbs[1], next_cb], [crs[1], next_cr]);
        let y = load(y);
        let even = centred_colours(and(y, set16(0xFF)), even_cb, even_cr);
        let odd = centred_colours(shift_right16::<8>(y), odd_cb, odd_cr);
        let r = pack_unsigned16(even[0], odd[0]);
        let g = pack_unsigned16(even[1], odd[1]);
        let b = pack_unsigned16(even[2], odd[2]);
        let Some(out) = pixels.next() else { unreachable!("as many as vectors of Y") };
        if let Some(out) = out.first_chunk_mut() {
            store_rgb(out, r, g, b);
        } else {
            let mut pixels = [0; 3 * WHOLE];
            store_rgb(&mut pixels, r, g, b);
            out.copy_from_slice(&pixels[..out.len()]);
        }
    }
}

/// The samples of a padded row, and those of half a vector before them.
#[inline]
fn halves(row: &[u8]) -> &[[u8; HALF]] {
    row[PAD - HALF..].as_chunks::<HALF>().0
}

/// As `double`, from sums of 4:2:0 to the even and the odd values less 128.
#[inline]
#[target_feature(enable = "avx2")]
fn double_centred([previous, current]: [Vector; 2], next: Vector) -> [Vector; 2] {
    const CENTRE: i16 = 128 << 4;
    let left = add16(shift_in_left(previous, current), set16(8 - CENTRE));
    let right = add16(shift_in_right(current, next), set16(7 - CENTRE));
    let triple = add16(add16(current, current), current);
    [_mm256_srai_epi16::<4>(add16(triple, left)), _mm256_srai_epi16::<4>(add16(triple, right))]
}

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

/// Where the 16 pixels of a lane have their channels when interleaved: byte `i` of the 48 is of channel
/// `i % 3` and pixel `i / 3`. In every 16 of them a channel has other places than in the other two,
/// so one shuffle brings all its bytes into place: for each channel and place, which of its bytes.
static INTERLEAVING: [[u8; 16]; 3] = {
    let mut from = [[0; 16]; 3];
    let mut i = 0;
    while i < 48 {
        let pixel = i / 3;
        from[i % 3][i % 16] = (pixel % 2 * 8 + pixel / 2) as u8;
        i += 1;
    }
    from
};

/// By the remainder of a place divided by three: 255 there, 0 elsewhere.
static EVERY_THIRD: [[u8; 16]; 3] = {
    let mut masks = [[0; 16]; 3];
    let mut place = 0;
    while place < 16 {
        masks[place % 3][place] = 255;
        place += 1;
    }
    masks
};

/// Interleaves 32 pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rgb(out: &mut [u8; 3 * WHOLE], r: Vector, g: Vector, b: Vector) {
    let r = _mm256_shuffle_epi8(r, both_lanes(&INTERLEAVING[0]));
    let g = _mm256_shuffle_epi8(g, both_lanes(&INTERLEAVING[1]));
    let b = _mm256_shuffle_epi8(b, both_lanes(&INTERLEAVING[2]));
    let first = merge(r, g, b);
    let second = merge(g, b, r);
    let last = merge(b, r, g);
    let [upper, middle, lower] = out.as_chunks_mut::<WHOLE>().0 else { unreachable!("96 bytes") };
    store(upper, _mm256_permute2x128_si256::<0x20>(first, second));
    store(middle, _mm256_permute2x128_si256::<0x30>(last, first));
    store(lower, _mm256_permute2x128_si256::<0x31>(second, last));
}

/// Of every lane's places 0, 3, ... those of `a`, of places 1, 4, ... those of `b`, else those of `c`.
#[inline]
#[target_feature(enable = "avx2")]
fn merge(a: Vector, b: Vector, c: Vector) -> Vector {
    let ac = _mm256_blendv_epi8(c, a, both_lanes(&EVERY_THIRD[0]));
    _mm256_blendv_epi8(ac, b, both_lanes(&EVERY_THIRD[1]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_lanes(bytes: &[u8; 16]) -> Vector {
    // SAFETY: the array is 16 bytes.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}
