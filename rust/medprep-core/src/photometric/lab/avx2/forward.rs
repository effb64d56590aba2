//! RGB to Lab: quadratics for linear light, look-ups for cube roots.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::tables::Forward;
use super::super::{BLOCK, fitted, scalar};
use super::{Quadratics, load_nibbles, opaque, pair, quadratic, store16};

/// 32 pixels to planes of bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_planes(rgb: &[u8; 96]) -> [__m256i; 3] {
    // Each lane holds 16 pixels: 48 bytes over the three registers.
    // SAFETY: 16 bytes at 0..=80 of 96.
    let load = |at: usize| unsafe {
        let lane = |at: usize| _mm_loadu_si128(rgb.as_ptr().add(at).cast());
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(at)), lane(at + 48))
    };
    let parts = [load(0), load(16), load(32)];
    // At byte p of a lane, register i holds channel (p + i) mod 3.
    let third = |r: i8| {
        let m = |p: i8| if p % 3 == r { -1 } else { 0 };
        _mm256_broadcastsi128_si256(_mm_setr_epi8(
            m(0),
            m(1),
            m(2),
            m(3),
            m(4),
            m(5),
            m(6),
            m(7),
            m(8),
            m(9),
            m(10),
            m(11),
            m(12),
            m(13),
            m(14),
            m(15),
        ))
    };
    let thirds = [third(0), third(1), third(2)];
    let plane = |channel: usize| {
        let mixed = _mm256_blendv_epi8(parts[0], parts[1], thirds[(channel + 2) % 3]);
        let mixed = _mm256_blendv_epi8(mixed, parts[2], thirds[(channel + 1) % 3]);
        let from = |k: usize| ((3 * k + channel) % 16) as i8;
        let order = _mm_setr_epi8(
            from(0),
            from(1),
            from(2),
            from(3),
            from(4),
            from(5),
            from(6),
            from(7),
            from(8),
            from(9),
            from(10),
            from(11),
            from(12),
            from(13),
            from(14),
            from(15),
        );
        _mm256_shuffle_epi8(mixed, _mm256_broadcastsi128_si256(order))
    };
    [plane(0), plane(1), plane(2)]
}

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn forward(
    tables: &Forward,
    rgb: &[[u8; 3 * BLOCK]],
    l: &mut [[u8; BLOCK]],
    a: &mut [[u8; BLOCK]],
    b: &mut [[u8; BLOCK]],
) {
    let gamma = Quadratics {
        a: load_nibbles(&fitted::GAMMA_A),
        b: load_nibbles(&fitted::GAMMA_B),
        c: load_nibbles(&fitted::GAMMA_C),
    };
    let rgb = rgb.as_flattened().as_chunks::<96>().0;
    let l = l.as_flattened_mut().as_chunks_mut::<32>().0;
    let a = a.as_flattened_mut().as_chunks_mut::<32>().0;
    let b = b.as_flattened_mut().as_chunks_mut::<32>().0;
    // Three groups of 32 pixels under way: look-ups of one fill the gaps between the vectors of the
    // next, the third has come far enough from its stores to be loaded again.
    let mut groups = [const { [0; 96] }; 3];
    let [mut fresh, mut found, mut done] = groups.each_mut();
    let mut under_way = [None; 2];
    let mut plain = ([0; 3], scalar::lab(tables, [0; 3]));
    for (at, group) in rgb.iter().chain(&[[0; 96]; 2]).enumerate() {
        let is_real = at < rgb.len();
        if is_real && is_plain(group) {
            let colour = [group[0], group[1], group[2]];
            if plain.0 != colour {
                plain = (colour, scalar::lab(tables, colour));
            }
            [l[at], a[at], b[at]] = plain.1.map(|value| [value; 32]);
            continue;
        }
        indexes(gamma, group, fresh, tables, found);
        if let Some(at) = under_way[1] {
            let (low, high): ([__m256i; 3], _) = (lab16(done, 0), lab16(done, 16));
            let planes: [&mut [u8; 32]; 3] = [&mut l[at], &mut a[at], &mut b[at]];
            for (plane, (low, high)) in planes.into_iter().zip(low.into_iter().zip(high)) {
                let bytes = _mm256_packus_epi16(low, high);
                // SAFETY: 32 bytes.
                unsafe { _mm256_storeu_si256(plane.as_mut_ptr().cast(), bytes) };
            }
        }
        under_way = [is_real.then_some(at), under_way[0]];
        (fresh, found, done) = (done, fresh, found);
    }
}

/// Whether 32 pixels are of one colour, as in the dark borders of photographs and radiographs.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn is_plain(rgb: &[u8; 96]) -> bool {
    let same = |at: usize| {
        // SAFETY: 32 bytes each; `at` + 3 is at most 64 of 96.
        let [here, next] = unsafe {
            let start = rgb.as_ptr().add(at);
            [_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.add(3).cast())]
        };
        _mm256_cmpeq_epi8(here, next)
    };
    let all = _mm256_and_si256(_mm256_and_si256(same(0), same(32)), same(61));
    _mm256_movemask_epi8(all) == -1
}

/// 32 pixels to X, Y, Z as 0..=2047: 32 words of each, in the order of unpacked bytes. In between,
/// the indexes of the group before become cube roots.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn indexes(
    gamma: Quadratics,
    rgb: &[u8; 96],
    xyz: &mut [u16; 96],
    tables: &Forward,
    before: &mut [u16; 96],
) {
    let [red, green, blue] = load_planes(rgb);
    let mut before = before.as_chunks_mut::<8>().0.iter_mut();
    let mut look_up = || cube_roots(tables, before.next().expect("twelve parts"));
    // Written out: as loops they stay loops, and the look-ups stay apart from the vectors.
    let r = linear_light(gamma, red);
    look_up();
    look_up();
    let g = linear_light(gamma, green);
    look_up();
    look_up();
    let b = linear_light(gamma, blue);
    look_up();
    look_up();
    let low = Light::of(r[0], g[0], b[0]);
    store16(xyz, 0, low.index([1777, 1541, 778]));
    look_up();
    store16(xyz, 32, low.index([871, 2929, 296]));
    look_up();
    store16(xyz, 64, low.index([73, 448, 3575]));
    look_up();
    let high = Light::of(r[1], g[1], b[1]);
    store16(xyz, 16, high.index([1777, 1541, 778]));
    look_up();
    store16(xyz, 48, high.index([871, 2929, 296]));
    look_up();
    store16(xyz, 80, high.index([73, 448, 3575]));
    look_up();
}

/// 32 sRGB values to linear light, 0..=2040 in words: the lower and the upper eight of each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn linear_light(gamma: Quadratics, plane: __m256i) -> [__m256i; 2] {
    let [a, part] = quadratic(gamma, plane);
    [
        _mm256_srli_epi16::<5>(_mm256_add_epi16(a[0], part[0])),
        _mm256_srli_epi16::<5>(_mm256_add_epi16(a[1], part[1])),
    ]
}

/// Linear light of 16 pixels in pairs (R, G) and (B, 1).
struct Light {
    rg: [__m256i; 2],
    b1: [__m256i; 2],
}

impl Light {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn of(r: __m256i, g: __m256i, b: __m256i) -> Self {
        let one = _mm256_set1_epi16(1);
        Self {
            rg: [_mm256_unpacklo_epi16(r, g), _mm256_unpackhi_epi16(r, g)],
            b1: [_mm256_unpacklo_epi16(b, one), _mm256_unpackhi_epi16(b, one)],
        }
    }

    /// A row of the matrix: X, Y or Z of the 16 pixels, in their order.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn index(&self, [r, g, b]: [i32; 3]) -> __m256i {
        let half = |rg: __m256i, b1: __m256i| {
            let sum = _mm256_add_epi32(
                _mm256_madd_epi16(rg, pair(r, g)),
                _mm256_madd_epi16(b1, pair(b, 2048)),
            );
            _mm256_srli_epi32::<12>(sum)
        };
        _mm256_packus_epi32(half(self.rg[0], self.b1[0]), half(self.rg[1], self.b1[1]))
    }
}

/// Each index to its cube root, one look-up at a time: fewer instructions than any fit. Indexes
/// are loaded in pairs because loads are what limits it.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would not run between the vectors")]
fn cube_roots<const N: usize>(tables: &Forward, indexes: &mut [u16; N]) {
    let root = |index: u32, shift: usize| {
        let at = 4 * index as usize + 2 - shift;
        // SAFETY: linear light is below 2^16 >> 5 and rows of the matrix sum to 4096, so that
        // indexes are below 2048; the table holds four bytes of each and four more.
        unsafe { tables.shifted_root.as_ptr().add(at).cast::<u32>().read_unaligned() }
    };
    for pair in indexes.as_chunks_mut::<2>().0 {
        let both = opaque(u32::from(pair[0]) | u32::from(pair[1]) << 16);
        let both = opaque(opaque(root(both & 0xFFFF, 0)) | root(both >> 16, 2));
        *pair = [both as u16, (both >> 16) as u16];
    }
}

/// 16 cube roots of X, Y, Z from `at` to L, a, b as words in the same order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lab16(xyz: &[u16; 96], at: usize) -> [__m256i; 3] {
    // SAFETY: 16 words at 0, 16, .. 80 of 96.
    let f = |i: usize| unsafe { _mm256_loadu_si256(xyz.as_ptr().add(32 * i + at).cast()) };
    let (fx, fy, fz) = (f(0), f(1), f(2));
    let word = |value: i32| _mm256_set1_epi16(value as u16 as i16);
    let l = _mm256_mulhi_epu16(_mm256_sub_epi16(fy, word(4440)), word(37887));
    let a = _mm256_mulhrs_epi16(_mm256_sub_epi16(fx, fy), word(500));
    let b = _mm256_mulhrs_epi16(_mm256_sub_epi16(fy, fz), word(200));
    [
        _mm256_srli_epi16::<6>(_mm256_sub_epi16(l, word(12))),
        _mm256_add_epi16(a, word(128)),
        _mm256_add_epi16(b, word(128)),
    ]
}
