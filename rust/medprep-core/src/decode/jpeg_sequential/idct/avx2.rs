//! The inverse DCT with AVX2: a group as two pairs of blocks.

use core::arch::x86_64::{
    __m256i as Vector, _mm_loadu_si128, _mm_storeu_si128, _mm256_abs_epi16,
    _mm256_add_epi8 as add8, _mm256_add_epi16 as add16, _mm256_add_epi32 as add32,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_madd_epi16 as madd, _mm256_max_epu16, _mm256_mullo_epi16,
    _mm256_packs_epi16 as pack16, _mm256_packs_epi32 as pack32, _mm256_permute4x64_epi64,
    _mm256_set1_epi16, _mm256_set1_epi32 as set32, _mm256_setr_epi8, _mm256_setzero_si256 as zero,
    _mm256_shuffle_epi8, _mm256_srai_epi32, _mm256_storeu_si256, _mm256_sub_epi16 as sub16,
    _mm256_sub_epi32 as sub32, _mm256_subs_epu16, _mm256_testz_si256,
    _mm256_unpackhi_epi16 as high16, _mm256_unpackhi_epi32 as high32,
    _mm256_unpackhi_epi64 as high64, _mm256_unpacklo_epi16 as low16,
    _mm256_unpacklo_epi32 as low32, _mm256_unpacklo_epi64 as low64,
};
use std::ops::Range;

use super::lanes::define_transform;
use super::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072, GROUP_WIDTH, Group, LAST_IN_QUARTER, MAX_DC, Quant, SHIFT, flat, scalar,
};

define_transform!("avx2");

/// See [`super::Transform`].
#[target_feature(enable = "avx2")]
pub(in super::super) fn transform(
    group: &mut Group,
    quant: &Quant,
    last: u8,
    out: &mut [u8],
    stride: usize,
) {
    if last == 0 {
        return flat(group, quant[0], out, stride);
    }
    // Beyond this, libjpeg-turbo's short cut for blocks of one row wraps where the passes saturate.
    let level = _mm256_max_epu16(
        _mm256_abs_epi16(load(group, quant, 0, 0)),
        _mm256_abs_epi16(load(group, quant, 1, 0)),
    );
    let beyond = _mm256_subs_epu16(level, _mm256_set1_epi16(MAX_DC as i16));
    if _mm256_testz_si256(beyond, beyond) == 0 {
        return scalar::all(group, quant, out, stride);
    }
    assert!(out.len() >= 7 * stride + GROUP_WIDTH, "eight rows of output");
    for pair in 0..2 {
        let columns = if last <= LAST_IN_QUARTER {
            let rows = [
                load(group, quant, pair, 0),
                load(group, quant, pair, 1),
                load(group, quant, pair, 2),
                load(group, quant, pair, 3),
            ];
            clear(group, pair, 0..4);
            transform_quarter(rows)
        } else {
            let rows = [
                load(group, quant, pair, 0),
                load(group, quant, pair, 1),
                load(group, quant, pair, 2),
                load(group, quant, pair, 3),
                load(group, quant, pair, 4),
                load(group, quant, pair, 5),
                load(group, quant, pair, 6),
                load(group, quant, pair, 7),
            ];
            clear(group, pair, 0..8);
            transform_whole(rows)
        };
        let mut row = 0;
        for two in to_rows(columns) {
            let two = _mm256_permute4x64_epi64::<0b11_01_10_00>(two);
            // SAFETY: rows 0..8 of `out` have 32 bytes each (above), of which this pair has 16.
            unsafe {
                let upper = out.as_mut_ptr().add(row * stride + 16 * pair);
                _mm_storeu_si128(upper.cast(), _mm256_castsi256_si128(two));
                _mm_storeu_si128(upper.add(stride).cast(), _mm256_extracti128_si256::<1>(two));
            }
            row += 2;
        }
    }
}

/// Row `v` of a pair of blocks, dequantised.
#[inline]
#[target_feature(enable = "avx2")]
fn load(group: &Group, quant: &Quant, pair: usize, v: usize) -> Vector {
    let (rows, steps) = (&group.as_chunks::<16>().0[2 * v + pair], &quant.as_chunks::<8>().0[v]);
    // SAFETY: `rows` is 32 bytes, `steps` is 16.
    let (rows, steps) = unsafe {
        (_mm256_loadu_si256(rows.as_ptr().cast()), _mm_loadu_si128(steps.as_ptr().cast()))
    };
    _mm256_mullo_epi16(rows, _mm256_broadcastsi128_si256(steps))
}

/// Zeros rows of a pair of blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn clear(group: &mut Group, pair: usize, rows: Range<usize>) {
    let group = group.as_chunks_mut::<16>().0;
    for v in rows {
        let row = &mut group[2 * v + pair];
        // SAFETY: `row` is 32 bytes.
        unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), zero()) }
    }
}

/// As the intrinsic, with the unsigned shift of its AVX-512 sister.
#[inline]
#[target_feature(enable = "avx2")]
fn shift_right32<const SHIFT: u32>(values: Vector) -> Vector {
    match SHIFT {
        3 => _mm256_srai_epi32::<3>(values),
        11 => _mm256_srai_epi32::<11>(values),
        18 => _mm256_srai_epi32::<18>(values),
        _ => unreachable!("the shifts of the two passes and of the even part"),
    }
}

/// Bytes 0, 8, 1, 9, ... of every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn zip_halves(bytes: Vector) -> Vector {
    let order = _mm256_setr_epi8(
        0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5,
        13, 6, 14, 7, 15,
    );
    _mm256_shuffle_epi8(bytes, order)
}
