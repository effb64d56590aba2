//! AVX2, without gathers: 16-entry tables as byte shuffles feeding quadratics in 16-bit integers,
//! cube root by 8 cubics in the mantissa, inverse gamma by plain look-ups.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::tables::Forward;
use super::{BLOCK, InverseTables, fitted};

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

struct CubeRoot {
    c: [__m256; 4],
    scale: __m256,
}

/// The table of cube roots, computed: index 0..=2040 -> 32768 f.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn cube_root(fit: &CubeRoot, index: __m256i) -> __m256i {
    let value = _mm256_cvtepi32_ps(index);
    let bits = _mm256_castps_si256(value);
    // The permutes look at three bits only: of the mantissa, of the exponent.
    let segment = _mm256_srli_epi32::<20>(bits);
    let exponent = _mm256_srli_epi32::<23>(bits);
    let mantissa = _mm256_castsi256_ps(_mm256_or_si256(
        _mm256_and_si256(bits, _mm256_set1_epi32(0x007F_FFFF)),
        _mm256_set1_epi32(0x3F80_0000),
    ));
    let c = |i: usize| _mm256_permutevar8x32_ps(fit.c[i], segment);
    let sum = _mm256_fmadd_ps(c(3), mantissa, c(2));
    let sum = _mm256_fmadd_ps(sum, mantissa, c(1));
    let sum = _mm256_fmadd_ps(sum, mantissa, c(0));
    let root = _mm256_mul_ps(sum, _mm256_permutevar8x32_ps(fit.scale, exponent));
    let line = _mm256_fmadd_ps(
        value,
        _mm256_set1_ps(fitted::LINE_SLOPE),
        _mm256_set1_ps(fitted::LINE_OFFSET),
    );
    let is_line = _mm256_cmpgt_epi32(_mm256_set1_epi32(fitted::LINE_END), index);
    _mm256_cvtps_epi32(_mm256_blendv_ps(root, line, _mm256_castsi256_ps(is_line)))
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
    _: &Forward,
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
    // SAFETY: eight floats each.
    let eight = |table: &[f32; 8]| unsafe { _mm256_loadu_ps(table.as_ptr()) };
    let fit = CubeRoot {
        c: [
            eight(&fitted::CBRT8_C0),
            eight(&fitted::CBRT8_C1),
            eight(&fitted::CBRT8_C2),
            eight(&fitted::CBRT8_C3),
        ],
        scale: eight(&fitted::CBRT_SCALE8),
    };
    let rgb = rgb.as_flattened().as_chunks::<96>().0;
    let l = l.as_flattened_mut().as_chunks_mut::<32>().0;
    let a = a.as_flattened_mut().as_chunks_mut::<32>().0;
    let b = b.as_flattened_mut().as_chunks_mut::<32>().0;
    // Two phases over a buffer in the first-level cache: together they need too many registers.
    let mut xyz = [[_mm256_setzero_si256(); 12]; PHASE];
    let planes = l.chunks_mut(PHASE).zip(a.chunks_mut(PHASE)).zip(b.chunks_mut(PHASE));
    for (rgb, ((l, a), b)) in rgb.chunks(PHASE).zip(planes) {
        for (rgb, xyz) in rgb.iter().zip(&mut xyz) {
            *xyz = indexes(gamma, rgb);
        }
        for (xyz, ((l, a), b)) in xyz.iter().zip(l.iter_mut().zip(a).zip(b)) {
            let (low, high) = (lab16(&fit, xyz, 0), lab16(&fit, xyz, 2));
            for (plane, (low, high)) in [l, a, b].into_iter().zip(low.into_iter().zip(high)) {
                let bytes = _mm256_packus_epi16(low, high);
                // SAFETY: 32 bytes.
                unsafe { _mm256_storeu_si256(plane.as_mut_ptr().cast(), bytes) };
            }
        }
    }
}

/// Groups of 32 pixels per phase.
const PHASE: usize = 8;

/// 32 pixels to X, Y, Z as 0..=2040: four registers of each, in the order of unpacked bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn indexes(gamma: Quadratics, rgb: &[u8; 96]) -> [__m256i; 12] {
    let planes = load_planes(rgb);
    let linear = |i: usize| {
        let [a, part] = quadratic(gamma, planes[i]);
        [
            _mm256_srli_epi16::<5>(_mm256_add_epi16(a[0], part[0])),
            _mm256_srli_epi16::<5>(_mm256_add_epi16(a[1], part[1])),
        ]
    };
    let (r, g, b) = (linear(0), linear(1), linear(2));
    let one = _mm256_set1_epi16(1);
    let mut all = [_mm256_setzero_si256(); 12];
    for half in 0..2 {
        let (r, g, b) = (r[half], g[half], b[half]);
        let rg = [_mm256_unpacklo_epi16(r, g), _mm256_unpackhi_epi16(r, g)];
        let b = [_mm256_unpacklo_epi16(b, one), _mm256_unpackhi_epi16(b, one)];
        for (i, c) in [[1777, 1541, 778], [871, 2929, 296], [73, 448, 3575]].into_iter().enumerate()
        {
            for quarter in 0..2 {
                let sum = _mm256_add_epi32(
                    _mm256_madd_epi16(rg[quarter], pair(c[0], c[1])),
                    _mm256_madd_epi16(b[quarter], pair(c[2], 2048)),
                );
                all[4 * i + 2 * half + quarter] = _mm256_srli_epi32::<12>(sum);
            }
        }
    }
    all
}

/// Registers `at` and `at + 1` of X, Y, Z: 16 pixels to L, a, b as words in the same order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lab16(fit: &CubeRoot, xyz: &[__m256i; 12], at: usize) -> [__m256i; 3] {
    let f = |i: usize| {
        _mm256_packus_epi32(cube_root(fit, xyz[4 * i + at]), cube_root(fit, xyz[4 * i + at + 1]))
    };
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

/// 16 pixels of L, y, a, b to linear light 0..=4095 of R, G, B, all words in the same order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn light16(l: __m256i, y: __m256i, a: __m256i, b: __m256i) -> [__m256i; 3] {
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
    let xy = [_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)];
    let z = [_mm256_unpacklo_epi16(z_high, z_low), _mm256_unpackhi_epi16(z_high, z_low)];
    let channel = |c: [i32; 3]| {
        let half = |i: usize| {
            let sum = _mm256_add_epi32(
                _mm256_madd_epi16(xy[i], pair(c[0], c[1])),
                _mm256_madd_epi16(z[i], pair(4 * c[2], c[2])),
            );
            _mm256_srai_epi32::<14>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 13)))
        };
        let light = _mm256_packs_epi32(half(0), half(1));
        _mm256_min_epi16(_mm256_max_epi16(light, word(0)), word(4095))
    };
    [channel([12615, -6296, -2223]), channel([-3773, 7684, 185]), channel([217, -836, 4715])]
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
    let fit = Quadratics {
        a: load_nibbles(&fitted::Y_A),
        b: load_nibbles(&fitted::Y_B),
        c: load_nibbles(&fitted::Y_C),
    };
    let rounding = load_nibbles(&fitted::Y_R);
    let zero = _mm256_setzero_si256();
    let mut light = [[0_u16; 32]; 3];
    let l = l.as_flattened().as_chunks::<32>().0;
    let a = a.as_flattened().as_chunks::<32>().0;
    let b = b.as_flattened().as_chunks::<32>().0;
    let rgb = rgb.as_flattened_mut().as_chunks_mut::<96>().0;
    for (rgb, ((l, a), b)) in rgb.iter_mut().zip(l.iter().zip(a).zip(b)) {
        // SAFETY: 32 bytes.
        let load = |bytes: &[u8; 32]| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        let (l, a, b) = (load(l), load(a), load(b));
        let [base, part] = quadratic(fit, l);
        let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(l), _mm256_set1_epi8(0x0F));
        let rounding = _mm256_shuffle_epi8(rounding.low, segment);
        // The one entry the quadratics miss.
        let missed = _mm256_cmpeq_epi8(l, _mm256_set1_epi8(239_u8 as i8));
        let missed = _mm256_and_si256(missed, _mm256_set1_epi8(2));
        let low = {
            let widen = |bytes: __m256i| _mm256_unpacklo_epi8(bytes, zero);
            let part = _mm256_srli_epi16::<4>(_mm256_add_epi16(part[0], widen(rounding)));
            let y = _mm256_add_epi16(_mm256_add_epi16(base[0], part), widen(missed));
            light16(widen(l), y, widen(a), widen(b))
        };
        let high = {
            let widen = |bytes: __m256i| _mm256_unpackhi_epi8(bytes, zero);
            let part = _mm256_srli_epi16::<4>(_mm256_add_epi16(part[1], widen(rounding)));
            let y = _mm256_add_epi16(_mm256_add_epi16(base[1], part), widen(missed));
            light16(widen(l), y, widen(a), widen(b))
        };
        for (light, (low, high)) in light.iter_mut().zip(low.into_iter().zip(high)) {
            // Unpacking worked within 128-bit lanes: pixels 0-7, 16-23 and 8-15, 24-31.
            let first = _mm256_permute2x128_si256::<0x20>(low, high);
            let second = _mm256_permute2x128_si256::<0x31>(low, high);
            // SAFETY: 16 words at 0 and 16 of 32.
            unsafe {
                _mm256_storeu_si256(light.as_mut_ptr().cast(), first);
                _mm256_storeu_si256(light.as_mut_ptr().add(16).cast(), second);
            }
        }
        encode(tables, &light, rgb);
    }
}

/// Linear light to sRGB values, one look-up at a time.
#[inline]
fn encode(tables: &InverseTables, light: &[[u16; 32]; 3], rgb: &mut [u8; 96]) {
    let value = |light: u16| {
        // SAFETY: `light16` clamps to 0..=4095, the length of the table less one.
        u32::from(unsafe { *tables.composed.get_unchecked(usize::from(light)) })
    };
    let [r, g, b] = light;
    for (i, twelve) in rgb.as_chunks_mut::<12>().0.iter_mut().enumerate() {
        let i = 4 * i;
        let pixel = |j: usize| value(r[i + j]) | value(g[i + j]) << 8 | value(b[i + j]) << 16;
        let pixels = [pixel(0), pixel(1), pixel(2), pixel(3)];
        let words = [
            opaque(pixels[0] | pixels[1] << 24),
            opaque(pixels[1] >> 8 | pixels[2] << 16),
            opaque(pixels[2] >> 16 | pixels[3] << 8),
        ];
        for (four, word) in twelve.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *four = word.to_le_bytes();
        }
    }
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
