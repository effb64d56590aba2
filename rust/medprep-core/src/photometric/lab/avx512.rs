//! AVX-512, with or without byte permutes (VBMI): tables as word permutes, cube root by 32
//! quadratics in the mantissa, inverse gamma by 62 quadratics in 16-bit integers.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::tables::Forward;
use super::{BLOCK, InverseTables, fitted};
use crate::intrinsics::multiply_high_512;
use crate::photometric::lut::x86 as lut;

macro_rules! kernels {
    ($name:ident, $features:literal, $look_up_bytes:ident) => {
        /// One set of features.
        pub(super) mod $name {
            use super::*;

            /// A 256-entry table of words, as eight registers.
            #[inline]
            #[target_feature(enable = $features)]
            fn load_words(table: &[u16; 256]) -> [__m512i; 8] {
                let mut words = [_mm512_setzero_si512(); 8];
                for (words, part) in words.iter_mut().zip(table.as_chunks::<32>().0) {
                    // SAFETY: 32 words of 2 bytes.
                    *words = unsafe { _mm512_loadu_si512(part.as_ptr().cast()) };
                }
                words
            }

            /// Looks up 32 words below 256.
            #[inline]
            #[target_feature(enable = $features)]
            fn look_up(table: &[__m512i; 8], at: __m512i) -> __m512i {
                let bit6 = _mm512_test_epi16_mask(at, _mm512_set1_epi16(64));
                let bit7 = _mm512_test_epi16_mask(at, _mm512_set1_epi16(128));
                let quarter =
                    |i: usize| _mm512_permutex2var_epi16(table[2 * i], at, table[2 * i + 1]);
                let low = _mm512_mask_blend_epi16(bit6, quarter(0), quarter(1));
                let high = _mm512_mask_blend_epi16(bit6, quarter(2), quarter(3));
                _mm512_mask_blend_epi16(bit7, low, high)
            }

            struct CubeRoot {
                c: [[__m512; 2]; 3],
                scale: __m512,
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load_floats(table: &[f32; 32]) -> [__m512; 2] {
                // SAFETY: 32 floats are two registers.
                unsafe {
                    [_mm512_loadu_ps(table.as_ptr()), _mm512_loadu_ps(table.as_ptr().add(16))]
                }
            }

            /// The table of cube roots, computed: index 0..=2040 -> 32768 f.
            #[inline]
            #[target_feature(enable = $features)]
            fn cube_root(fit: &CubeRoot, index: __m512i) -> __m512i {
                let value = _mm512_cvtepi32_ps(index);
                let bits = _mm512_castps_si512(value);
                // The permutes look at the low bits only: five mantissa bits, four exponent bits.
                let segment = _mm512_srli_epi32::<18>(bits);
                let exponent = _mm512_srli_epi32::<23>(bits);
                let mantissa = _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xF8>(
                    _mm512_set1_epi32(0x3F80_0000),
                    bits,
                    _mm512_set1_epi32(0x007F_FFFF),
                ));
                let c = |i: usize| _mm512_permutex2var_ps(fit.c[i][0], segment, fit.c[i][1]);
                let sum = _mm512_fmadd_ps(c(2), mantissa, c(1));
                let sum = _mm512_fmadd_ps(sum, mantissa, c(0));
                let root = _mm512_mul_ps(sum, _mm512_permutexvar_ps(exponent, fit.scale));
                let line = _mm512_fmadd_ps(
                    value,
                    _mm512_set1_ps(fitted::LINE_SLOPE),
                    _mm512_set1_ps(fitted::LINE_OFFSET),
                );
                let is_line = _mm512_cmplt_epi32_mask(index, _mm512_set1_epi32(fitted::LINE_END));
                _mm512_cvtps_epi32(_mm512_mask_mov_ps(root, is_line, line))
            }

            /// A row of the matrix on 16 pixels: pairs (r, g) and pairs with b, rounded, >> 12.
            #[inline]
            #[target_feature(enable = $features)]
            fn row(rg: __m512i, b: __m512i, c_rg: [i16; 2], c_b: [i16; 2]) -> __m512i {
                let pair = |c: [i16; 2]| {
                    _mm512_set1_epi32(i32::from(c[0]) & 0xFFFF | i32::from(c[1]) << 16)
                };
                let sum = _mm512_add_epi32(
                    _mm512_madd_epi16(rg, pair(c_rg)),
                    _mm512_madd_epi16(b, pair(c_b)),
                );
                _mm512_srli_epi32::<12>(_mm512_add_epi32(sum, _mm512_set1_epi32(2048)))
            }

            /// 16 pixels: three bytes to words (r, g) and a dword b.
            #[inline]
            #[target_feature(enable = $features)]
            fn load_pixels(rgb: &[u8; 48]) -> (__m512i, __m512i) {
                // SAFETY: the mask reads 12 dwords.
                let bytes = unsafe { _mm512_maskz_loadu_epi32(0x0FFF, rgb.as_ptr().cast()) };
                let lanes = _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0);
                let lanes = _mm512_permutexvar_epi32(lanes, bytes);
                let rg = _mm_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1);
                let b = _mm_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1);
                (
                    _mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(rg)),
                    _mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(b)),
                )
            }

            /// 32 pixels: L, a, b as words in order.
            #[inline]
            #[target_feature(enable = $features)]
            fn forward32(table: &[__m512i; 8], fit: &CubeRoot, rgb: &[u8; 96]) -> [__m512i; 3] {
                let (first, second) = rgb.split_at(48);
                let (rg0, b0) = load_pixels(first.first_chunk().expect("48 of 96"));
                let (rg1, b1) = load_pixels(second.first_chunk().expect("48 of 96"));
                let b = _mm512_or_si512(b0, _mm512_slli_epi32::<16>(b1));
                let (rg0, rg1, b) = (look_up(table, rg0), look_up(table, rg1), look_up(table, b));
                let even = _mm512_setr_epi32(
                    0x0002_0000,
                    0x0006_0004,
                    0x000A_0008,
                    0x000E_000C,
                    0x0012_0010,
                    0x0016_0014,
                    0x001A_0018,
                    0x001E_001C,
                    0x0022_0020,
                    0x0026_0024,
                    0x002A_0028,
                    0x002E_002C,
                    0x0032_0030,
                    0x0036_0034,
                    0x003A_0038,
                    0x003E_003C,
                );
                let f = |c: [i16; 3]| {
                    let low = cube_root(fit, row(rg0, b, [c[0], c[1]], [c[2], 0]));
                    let high = cube_root(fit, row(rg1, b, [c[0], c[1]], [0, c[2]]));
                    _mm512_permutex2var_epi16(low, even, high)
                };
                let (fx, fy, fz) = (f([1777, 1541, 778]), f([871, 2929, 296]), f([73, 448, 3575]));
                let l = _mm512_mulhi_epu16(
                    _mm512_sub_epi16(fy, _mm512_set1_epi16(4440)),
                    _mm512_set1_epi16(37887_u16 as i16),
                );
                let l = _mm512_srli_epi16::<6>(_mm512_sub_epi16(l, _mm512_set1_epi16(12)));
                let grey = _mm512_set1_epi16(128);
                let a = _mm512_mulhrs_epi16(_mm512_sub_epi16(fx, fy), _mm512_set1_epi16(500));
                let b = _mm512_mulhrs_epi16(_mm512_sub_epi16(fy, fz), _mm512_set1_epi16(200));
                [l, _mm512_add_epi16(a, grey), _mm512_add_epi16(b, grey)]
            }

            /// # Safety
            /// The CPU has these features.
            #[target_feature(enable = $features)]
            pub(in super::super) unsafe fn forward(
                tables: &Forward,
                rgb: &[[u8; 3 * BLOCK]],
                l: &mut [[u8; BLOCK]],
                a: &mut [[u8; BLOCK]],
                b: &mut [[u8; BLOCK]],
            ) {
                let table = load_words(&tables.linear);
                let fit = CubeRoot {
                    c: [
                        load_floats(&fitted::CBRT32_C0),
                        load_floats(&fitted::CBRT32_C1),
                        load_floats(&fitted::CBRT32_C2),
                    ],
                    // SAFETY: 16 floats.
                    scale: unsafe { _mm512_loadu_ps(fitted::CBRT_SCALE16.as_ptr()) },
                };
                let rgb = rgb.as_flattened().as_chunks::<96>().0;
                let l = l.as_flattened_mut().as_chunks_mut::<32>().0;
                let a = a.as_flattened_mut().as_chunks_mut::<32>().0;
                let b = b.as_flattened_mut().as_chunks_mut::<32>().0;
                for (rgb, ((l, a), b)) in rgb.iter().zip(l.iter_mut().zip(a).zip(b)) {
                    let words = forward32(&table, &fit, rgb);
                    for (plane, words) in [l, a, b].into_iter().zip(words) {
                        // SAFETY: 32 bytes.
                        unsafe {
                            _mm256_storeu_si256(
                                plane.as_mut_ptr().cast(),
                                _mm512_cvtepi16_epi8(words),
                            );
                        }
                    }
                }
            }

            struct Back {
                y: [__m512i; 8],
                a: [__m512i; 2],
                b: [__m512i; 2],
                c: [__m512i; 2],
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load_fit(table: &[u16; 64]) -> [__m512i; 2] {
                // SAFETY: 64 words are two registers.
                unsafe {
                    [
                        _mm512_loadu_si512(table.as_ptr().cast()),
                        _mm512_loadu_si512(table.as_ptr().add(32).cast()),
                    ]
                }
            }

            /// X or Z on the linear branch, i <= 3390: trunc(108 i / 841) - 290.
            #[inline]
            #[target_feature(enable = $features)]
            fn line(i: __m512i) -> __m512i {
                let size = _mm512_abs_epi16(i);
                let quotient = _mm512_mulhi_epu16(size, _mm512_set1_epi16(8417));
                // At most one too large; the remainder then is negative.
                let rest = _mm512_sub_epi16(
                    _mm512_mullo_epi16(size, _mm512_set1_epi16(108)),
                    _mm512_mullo_epi16(quotient, _mm512_set1_epi16(841)),
                );
                let quotient = _mm512_add_epi16(quotient, _mm512_srai_epi16::<15>(rest));
                let zero = _mm512_setzero_si512();
                let signed =
                    _mm512_mask_sub_epi16(quotient, _mm512_movepi16_mask(i), zero, quotient);
                _mm512_sub_epi16(signed, _mm512_set1_epi16(290))
            }

            /// Linear light + 4096, in 4096..8192, to sRGB values: words below 256.
            #[inline]
            #[target_feature(enable = $features)]
            fn srgb(fit: &Back, light: __m512i) -> __m512i {
                // Bit 12 puts the coarse segments (128 wide) into the upper half of the tables.
                let is_fine = _mm512_cmplt_epu16_mask(light, _mm512_set1_epi16(4096 + 256));
                let segment = _mm512_srli_epi16::<7>(light);
                let segment = _mm512_mask_srli_epi16::<3>(segment, is_fine, light);
                let offset = _mm512_slli_epi16::<9>(light);
                let offset = _mm512_mask_slli_epi16::<13>(offset, is_fine, light);
                let of =
                    |table: &[__m512i; 2]| _mm512_permutex2var_epi16(table[0], segment, table[1]);
                let slope = _mm512_sub_epi16(of(&fit.b), _mm512_mulhi_epu16(offset, of(&fit.c)));
                let value = _mm512_add_epi16(of(&fit.a), _mm512_mulhi_epu16(offset, slope));
                _mm512_srli_epi16::<8>(value)
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn widen(bytes: &[u8; 32]) -> __m512i {
                // SAFETY: 32 bytes.
                _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
            }

            /// 32 pixels: R, G, B as words in order.
            #[inline]
            #[target_feature(enable = $features)]
            fn inverse32(fit: &Back, l: &[u8; 32], a: &[u8; 32], b: &[u8; 32]) -> [__m512i; 3] {
                let (l, a, b) = (widen(l), widen(a), widen(b));
                let word = |value: i32| _mm512_set1_epi16(value as u16 as i16);
                let y = look_up(&fit.y, l);
                let fy = _mm512_add_epi16(
                    _mm512_mullo_epi16(l, word(55)),
                    _mm512_mulhi_epu16(_mm512_add_epi16(l, word(1)), word(25485)),
                );
                let a = _mm512_add_epi16(
                    _mm512_slli_epi16::<5>(a),
                    _mm512_mulhrs_epi16(
                        _mm512_sub_epi16(_mm512_mullo_epi16(a, word(27)), word(17)),
                        word(932),
                    ),
                );
                let b = _mm512_add_epi16(
                    _mm512_mullo_epi16(b, word(81)),
                    _mm512_mulhi_epu16(b, word(60296)),
                );
                let ix = _mm512_add_epi16(_mm512_add_epi16(fy, a), word(2260 - 4194));
                let iz = _mm512_sub_epi16(_mm512_add_epi16(fy, word(2260 + 10484)), b);
                // Saturating, or the compiler turns 2i * 2i >> 16 into 32-bit products; no value in use
                // saturates.
                let ix2 = _mm512_adds_epu16(ix, ix);
                let qx = _mm512_mulhi_epu16(ix2, ix2);
                let mut x = _mm512_mulhi_epu16(_mm512_adds_epu16(qx, qx), ix2);
                let iz2 = _mm512_adds_epu16(iz, iz);
                let qz = _mm512_mulhi_epu16(iz2, iz2);
                // Z needs 17 bits: Z >> 2 and Z & 3.
                let mut z_high = multiply_high_512(qz, iz);
                let mut z_low = _mm512_srli_epi16::<14>(_mm512_mullo_epi16(qz, iz));
                let x_lines = _mm512_cmple_epi16_mask(ix, word(3390));
                let z_lines = _mm512_cmple_epi16_mask(iz, word(3390));
                if x_lines | z_lines != 0 {
                    x = _mm512_mask_mov_epi16(x, x_lines, line(ix));
                    let z = line(iz);
                    z_high = _mm512_mask_srai_epi16::<2>(z_high, z_lines, z);
                    z_low = _mm512_mask_mov_epi16(z_low, z_lines, _mm512_and_si512(z, word(3)));
                }
                let xy = [_mm512_unpacklo_epi16(x, y), _mm512_unpackhi_epi16(x, y)];
                let z =
                    [_mm512_unpacklo_epi16(z_high, z_low), _mm512_unpackhi_epi16(z_high, z_low)];
                let channel = |c: [i32; 3]| {
                    let pair =
                        |low: i32, high: i32| _mm512_set1_epi32((low & 0xFFFF) | (high << 16));
                    let half = |i: usize| {
                        let sum = _mm512_add_epi32(
                            _mm512_madd_epi16(xy[i], pair(c[0], c[1])),
                            _mm512_madd_epi16(z[i], pair(4 * c[2], c[2])),
                        );
                        let bias = _mm512_set1_epi32((4096 << 14) + (1 << 13));
                        _mm512_srai_epi32::<14>(_mm512_add_epi32(sum, bias))
                    };
                    let light = _mm512_packs_epi32(half(0), half(1));
                    let light = _mm512_min_epi16(_mm512_max_epi16(light, word(4096)), word(8191));
                    srgb(fit, light)
                };
                [
                    channel([12615, -6296, -2223]),
                    channel([-3773, 7684, 185]),
                    channel([217, -836, 4715]),
                ]
            }

            /// # Safety
            /// The CPU has these features.
            #[target_feature(enable = $features)]
            pub(in super::super) unsafe fn inverse(
                tables: &InverseTables,
                l: &[[u8; BLOCK]],
                a: &[[u8; BLOCK]],
                b: &[[u8; BLOCK]],
                rgb: &mut [[u8; 3 * BLOCK]],
            ) {
                let fit = Back {
                    y: load_words(&tables.y),
                    a: load_fit(&fitted::INVERSE_A),
                    b: load_fit(&fitted::INVERSE_B),
                    c: load_fit(&fitted::INVERSE_C),
                };
                let l = l.as_flattened().as_chunks::<32>().0;
                let a = a.as_flattened().as_chunks::<32>().0;
                let b = b.as_flattened().as_chunks::<32>().0;
                let rgb = rgb.as_flattened_mut().as_chunks_mut::<96>().0;
                let pixels = rgb.iter_mut().zip(l.iter().zip(a).zip(b));
                if let Some(table) = &tables.table {
                    let table = lut::load_table(table);
                    for (rgb, ((l, a), b)) in pixels {
                        let [r, g, b] = inverse32(&fit, l, a, b);
                        let rg = _mm512_or_si512(r, _mm512_slli_epi16::<8>(g));
                        store_pixels(
                            [lut::$look_up_bytes(&table, rg), lut::$look_up_bytes(&table, b)],
                            rgb,
                        );
                    }
                } else {
                    for (rgb, ((l, a), b)) in pixels {
                        let [r, g, b] = inverse32(&fit, l, a, b);
                        store_pixels([_mm512_or_si512(r, _mm512_slli_epi16::<8>(g)), b], rgb);
                    }
                }
            }

            /// Interleaves 32 pixels: pairs of bytes (r, g), and words whose low byte is b.
            #[inline]
            #[target_feature(enable = $features)]
            fn store_pixels([rg, b]: [__m512i; 2], rgb: &mut [u8; 96]) {
                let pack = _mm512_broadcast_i32x4(_mm_setr_epi8(
                    0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
                ));
                // Twelve bytes a lane: pixels 0-3, 8-11, 16-19, 24-27 and the others.
                let low = _mm512_shuffle_epi8(_mm512_unpacklo_epi16(rg, b), pack);
                let high = _mm512_shuffle_epi8(_mm512_unpackhi_epi16(rg, b), pack);
                let first =
                    _mm512_setr_epi32(0, 1, 2, 16, 17, 18, 4, 5, 6, 20, 21, 22, 8, 9, 10, 24);
                let second =
                    _mm512_setr_epi32(25, 26, 12, 13, 14, 28, 29, 30, 0, 0, 0, 0, 0, 0, 0, 0);
                // SAFETY: 64 and 32 bytes of 96.
                unsafe {
                    let at = rgb.as_mut_ptr();
                    _mm512_storeu_si512(at.cast(), _mm512_permutex2var_epi32(low, first, high));
                    let rest = _mm512_permutex2var_epi32(low, second, high);
                    _mm256_storeu_si256(at.add(64).cast(), _mm512_castsi512_si256(rest));
                }
            }
        }
    };
}

kernels!(bw, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", look_up_words);
kernels!(vbmi, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi", look_up_bytes);
