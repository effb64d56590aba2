//! Lab to RGB: quadratics for Y, integer arithmetic for X and Z, look-ups for the sRGB curve.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::{BLOCK, InverseTables, fitted, scalar};
use super::{Nibbles, Quadratics, load_nibbles, opaque, pair, quadratic, store16};
use crate::intrinsics::multiply_high_256;

/// X or Z on the linear branch, i <= 3390: trunc(108 i / 841) - 290.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn line(i: __m256i) -> __m256i {
    let size = _mm256_abs_epi16(i);
    let quotient = _mm256_mulhi_epu16(size, _mm256_set1_epi16(8417));
    // At most one too large; the remainder then is negative.
    let rest = _mm256_sub_epi16(
        _mm256_mullo_epi16(size, _mm256_set1_epi16(108)),
        _mm256_mullo_epi16(quotient, _mm256_set1_epi16(841)),
    );
    let quotient = _mm256_add_epi16(quotient, _mm256_srai_epi16::<15>(rest));
    _mm256_sub_epi16(_mm256_sign_epi16(quotient, i), _mm256_set1_epi16(290))
}

/// X and Y in pairs, Z as (Z >> 2, Z & 3), of 16 pixels.
struct Xyz {
    xy: [__m256i; 2],
    z: [__m256i; 2],
}

/// 16 pixels of L, y, a, b, all words in the same order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn xyz16(l: __m256i, y: __m256i, a: __m256i, b: __m256i) -> Xyz {
    let word = |value: i32| _mm256_set1_epi16(value as u16 as i16);
    let fy = _mm256_add_epi16(
        _mm256_mullo_epi16(l, word(55)),
        _mm256_mulhi_epu16(_mm256_add_epi16(l, word(1)), word(25485)),
    );
    let a = _mm256_add_epi16(
        _mm256_slli_epi16::<5>(a),
        _mm256_mulhrs_epi16(_mm256_sub_epi16(_mm256_mullo_epi16(a, word(27)), word(17)), word(932)),
    );
    let b = _mm256_add_epi16(_mm256_mullo_epi16(b, word(81)), _mm256_mulhi_epu16(b, word(60296)));
    let ix = _mm256_add_epi16(_mm256_add_epi16(fy, a), word(2260 - 4194));
    let iz = _mm256_sub_epi16(_mm256_add_epi16(fy, word(2260 + 10484)), b);
    // Saturating, or the compiler turns 2i * 2i >> 16 into 32-bit products; no value in use
    // saturates.
    let ix2 = _mm256_adds_epu16(ix, ix);
    let qx = _mm256_mulhi_epu16(ix2, ix2);
    let mut x = _mm256_mulhi_epu16(_mm256_adds_epu16(qx, qx), ix2);
    let iz2 = _mm256_adds_epu16(iz, iz);
    let qz = _mm256_mulhi_epu16(iz2, iz2);
    // Z needs 17 bits: Z >> 2 and Z & 3.
    let mut z_high = multiply_high_256(qz, iz);
    let mut z_low = _mm256_srli_epi16::<14>(_mm256_mullo_epi16(qz, iz));
    let x_lines = _mm256_cmpgt_epi16(word(3391), ix);
    let z_lines = _mm256_cmpgt_epi16(word(3391), iz);
    if _mm256_movemask_epi8(_mm256_or_si256(x_lines, z_lines)) != 0 {
        x = _mm256_blendv_epi8(x, line(ix), x_lines);
        let z = line(iz);
        z_high = _mm256_blendv_epi8(z_high, _mm256_srai_epi16::<2>(z), z_lines);
        z_low = _mm256_blendv_epi8(z_low, _mm256_and_si256(z, word(3)), z_lines);
    }
    Xyz {
        xy: [_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)],
        z: [_mm256_unpacklo_epi16(z_high, z_low), _mm256_unpackhi_epi16(z_high, z_low)],
    }
}

impl Xyz {
    /// A row of the matrix: linear light, 0..=4095, of the 16 pixels in their order.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn light(&self, [x, y, z]: [i32; 3]) -> __m256i {
        let half = |xy_pairs: __m256i, z_pairs: __m256i| {
            let sum = _mm256_add_epi32(
                _mm256_madd_epi16(xy_pairs, pair(x, y)),
                _mm256_madd_epi16(z_pairs, pair(4 * z, z)),
            );
            _mm256_srai_epi32::<14>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 13)))
        };
        // Saturates below; above, 4095 is less than what it saturates at.
        let light = _mm256_packus_epi32(half(self.xy[0], self.z[0]), half(self.xy[1], self.z[1]));
        _mm256_min_epu16(light, _mm256_set1_epi16(4095))
    }
}

/// L to Y: the quadratics of `fitted`.
struct Luminance {
    fit: Quadratics,
    rounding: Nibbles,
}

impl Luminance {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load() -> Self {
        let fit = Quadratics {
            a: load_nibbles(&fitted::Y_A),
            b: load_nibbles(&fitted::Y_B),
            c: load_nibbles(&fitted::Y_C),
        };
        Self { fit, rounding: load_nibbles(&fitted::Y_R) }
    }

    /// 32 values to words: the lower and the upper eight of each lane.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn y(&self, l: __m256i) -> [__m256i; 2] {
        let zero = _mm256_setzero_si256();
        let [base, part] = quadratic(self.fit, l);
        let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(l), _mm256_set1_epi8(0x0F));
        let rounding = _mm256_shuffle_epi8(self.rounding.low, segment);
        // The one entry the quadratics miss.
        let missed = _mm256_cmpeq_epi8(l, _mm256_set1_epi8(239_u8 as i8));
        let missed = _mm256_and_si256(missed, _mm256_set1_epi8(2));
        let sum = |base: __m256i, part: __m256i, rounding: __m256i, missed: __m256i| {
            let part = _mm256_srli_epi16::<4>(_mm256_add_epi16(part, rounding));
            _mm256_add_epi16(_mm256_add_epi16(base, part), missed)
        };
        [
            sum(
                base[0],
                part[0],
                _mm256_unpacklo_epi8(rounding, zero),
                _mm256_unpacklo_epi8(missed, zero),
            ),
            sum(
                base[1],
                part[1],
                _mm256_unpackhi_epi8(rounding, zero),
                _mm256_unpackhi_epi8(missed, zero),
            ),
        ]
    }
}

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn inverse(
    tables: &InverseTables,
    l: &[[u8; BLOCK]],
    a: &[[u8; BLOCK]],
    b: &[[u8; BLOCK]],
    rgb: &mut [[u8; 3 * BLOCK]],
) {
    let luminance = Luminance::load();
    let l = l.as_flattened().as_chunks::<32>().0;
    let a = a.as_flattened().as_chunks::<32>().0;
    let b = b.as_flattened().as_chunks::<32>().0;
    let rgb = rgb.as_flattened_mut().as_chunks_mut::<96>().0;
    let Some(last) = rgb.len().checked_sub(1) else { return };
    // As in `forward`: the look-ups are those of the group before.
    let mut groups = [const { [0; 96] }; 2];
    let [mut fresh, mut before] = groups.each_mut();
    let mut under_way = None;
    let mut plain = None;
    let mut nowhere = [0; 96];
    for at in 0..=last + 1 {
        // A last round for the look-ups of the last group.
        let is_real = at <= last;
        let from = at.min(last);
        let planes = [&l[from], &a[from], &b[from]];
        if is_real && are_plain(planes) {
            let colour = planes.map(|plane| plane[0]);
            let known = plain.filter(|(known, _)| *known == colour);
            let (_, pixels) = known.unwrap_or_else(|| (colour, [scalar::rgb(tables, colour); 32]));
            rgb[at] = *pixels.as_flattened().first_chunk().expect("3 x 32");
            plain = Some((colour, pixels));
            continue;
        }
        let target = match under_way {
            Some(before) => &mut rgb[before],
            None => &mut nowhere,
        };
        light32(&luminance, planes, fresh, tables, before, target);
        under_way = is_real.then_some(at);
        (fresh, before) = (before, fresh);
    }
}

/// Whether each plane holds one value.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn are_plain(planes: [&[u8; 32]; 3]) -> bool {
    let same = |plane: &[u8; 32]| {
        // SAFETY: 32 bytes.
        let bytes = unsafe { _mm256_loadu_si256(plane.as_ptr().cast()) };
        _mm256_cmpeq_epi8(bytes, _mm256_broadcastb_epi8(_mm256_castsi256_si128(bytes)))
    };
    let all = _mm256_and_si256(_mm256_and_si256(same(planes[0]), same(planes[1])), same(planes[2]));
    _mm256_movemask_epi8(all) == -1
}

/// 32 pixels to linear light, 32 words of R, then G, then B in the order of unpacked bytes. In
/// between, the light of the group before becomes sRGB values.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn light32(
    luminance: &Luminance,
    planes: [&[u8; 32]; 3],
    light: &mut [u16; 96],
    tables: &InverseTables,
    before: &[u16; 96],
    rgb: &mut [u8; 96],
) {
    // SAFETY: 32 bytes.
    let load = |bytes: &[u8; 32]| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let [l, a, b] = [load(planes[0]), load(planes[1]), load(planes[2])];
    let zero = _mm256_setzero_si256();
    let y = luminance.y(l);
    let low = xyz16(
        _mm256_unpacklo_epi8(l, zero),
        y[0],
        _mm256_unpacklo_epi8(a, zero),
        _mm256_unpacklo_epi8(b, zero),
    );
    encode8(tables, before, rgb, 0);
    store16(light, 0, low.light([12615, -6296, -2223]));
    store16(light, 32, low.light([-3773, 7684, 185]));
    store16(light, 64, low.light([217, -836, 4715]));
    encode8(tables, before, rgb, 1);
    let high = xyz16(
        _mm256_unpackhi_epi8(l, zero),
        y[1],
        _mm256_unpackhi_epi8(a, zero),
        _mm256_unpackhi_epi8(b, zero),
    );
    encode8(tables, before, rgb, 2);
    store16(light, 16, high.light([12615, -6296, -2223]));
    store16(light, 48, high.light([-3773, 7684, 185]));
    store16(light, 80, high.light([217, -836, 4715]));
    encode8(tables, before, rgb, 3);
}

/// Pixels 8 `run` to 8 `run` + 7 from linear light to sRGB values, one look-up at a time.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would not run between the vectors")]
fn encode8(tables: &InverseTables, light: &[u16; 96], rgb: &mut [u8; 96], run: usize) {
    // Unpacking worked within 128-bit lanes: pixels 0-7, 16-23, 8-15, 24-31.
    let words = [0, 16, 8, 24][run];
    let [r, g, b] = [0, 32, 64].map(|channel| {
        let words: &[u16; 8] = light[channel + words..].first_chunk().expect("8 of 96");
        words
    });
    let value = |light: u16, shift: usize| {
        let at = 4 * usize::from(light) + 2 - shift;
        // SAFETY: `Xyz::light` gives 0..=4095, and the table holds four bytes of each and four more.
        unsafe { tables.shifted.as_ptr().add(at).cast::<u32>().read_unaligned() }
    };
    let pixel = |i: usize| opaque(opaque(value(r[i], 0) | value(g[i], 1)) | value(b[i], 2));
    let out: &mut [u8; 24] = rgb[24 * run..].first_chunk_mut().expect("24 of 96");
    for i in 0..7 {
        // The fourth byte belongs to the next pixel, which comes later.
        out[3 * i..3 * i + 4].copy_from_slice(&pixel(i).to_le_bytes());
    }
    out[21..].copy_from_slice(&pixel(7).to_le_bytes()[..3]);
}
