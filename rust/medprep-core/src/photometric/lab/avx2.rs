//! AVX2, without gathers: 16-entry tables as byte shuffles feeding quadratics in 16-bit integers;
//! cube root and inverse gamma by plain look-ups, which run beside the vectors of other pixels.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::tables::Forward;
use super::{BLOCK, InverseTables, fitted, scalar};

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

#[inline]
#[target_feature(enable = "avx2,fma")]
fn pair(low: i32, high: i32) -> __m256i {
    _mm256_set1_epi32((low & 0xFFFF) | (high << 16))
}

/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn forward(
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

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store16(words: &mut [u16; 96], at: usize, value: __m256i) {
    let words: &mut [u16; 16] = words[at..].first_chunk_mut().expect("16 of 96");
    // SAFETY: 16 words.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), value) };
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

/// The upper halves of unsigned 16-bit products, as the one instruction it is: the compiler
/// widens this product to 32 bits otherwise.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_high(a: __m256i, b: __m256i) -> __m256i {
    let product;
    // SAFETY: no memory is touched, and the features are there.
    unsafe {
        std::arch::asm!("vpmulhuw {}, {}, {}", lateout(ymm_reg) product, in(ymm_reg) a, in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    product
}

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
    let mut z_high = multiply_high(qz, iz);
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
pub(super) unsafe fn inverse(
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
