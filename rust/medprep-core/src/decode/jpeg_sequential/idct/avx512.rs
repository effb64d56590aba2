//! The inverse DCT with AVX-512: four blocks at once.

use core::arch::x86_64::{
    __m512i as Vector, _mm_loadu_si128, _mm256_storeu_si256, _mm512_abs_epi16,
    _mm512_add_epi8 as add8, _mm512_add_epi16 as add16, _mm512_add_epi32 as add32,
    _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_cmpgt_epu16_mask,
    _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_madd_epi16 as madd, _mm512_mullo_epi16,
    _mm512_packs_epi16 as pack16, _mm512_packs_epi32 as pack32, _mm512_permutexvar_epi64,
    _mm512_set1_epi16, _mm512_set1_epi32 as set32, _mm512_setr_epi64, _mm512_setzero_si512 as zero,
    _mm512_shuffle_epi8, _mm512_srai_epi32 as shift_right32, _mm512_storeu_si512,
    _mm512_sub_epi16 as sub16, _mm512_sub_epi32 as sub32, _mm512_unpackhi_epi16 as high16,
    _mm512_unpackhi_epi32 as high32, _mm512_unpackhi_epi64 as high64,
    _mm512_unpacklo_epi16 as low16, _mm512_unpacklo_epi32 as low32, _mm512_unpacklo_epi64 as low64,
};

use super::lanes::define_transform;
use super::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053,
    F_2_562, F_3_072, GROUP_WIDTH, Group, LAST_IN_QUARTER, MAX_DC, Quant, SHIFT, flat, scalar,
};

define_transform!("avx512f,avx512bw,avx512vl");

/// See [`super::Transform`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
    let first = load(group, quant, 0);
    // Beyond this, libjpeg-turbo's short cut for blocks of one row wraps where the passes saturate.
    if _mm512_cmpgt_epu16_mask(_mm512_abs_epi16(first), _mm512_set1_epi16(MAX_DC as i16)) != 0 {
        return scalar::all(group, quant, out, stride);
    }
    let columns = if last <= LAST_IN_QUARTER {
        let rows = [first, load(group, quant, 1), load(group, quant, 2), load(group, quant, 3)];
        clear(group, 4);
        transform_quarter(rows)
    } else {
        let rows = [
            first,
            load(group, quant, 1),
            load(group, quant, 2),
            load(group, quant, 3),
            load(group, quant, 4),
            load(group, quant, 5),
            load(group, quant, 6),
            load(group, quant, 7),
        ];
        clear(group, 8);
        transform_whole(rows)
    };
    let rows = to_rows(columns);
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    let mut lines = out.chunks_mut(stride);
    for pair in rows {
        let pair = _mm512_permutexvar_epi64(order, pair);
        let upper = lines.next().and_then(|line| line.first_chunk_mut::<GROUP_WIDTH>());
        let lower = lines.next().and_then(|line| line.first_chunk_mut::<GROUP_WIDTH>());
        let (Some(upper), Some(lower)) = (upper, lower) else { panic!("eight rows of output") };
        // SAFETY: `upper` and `lower` are 32 bytes each.
        unsafe {
            _mm256_storeu_si256(upper.as_mut_ptr().cast(), _mm512_castsi512_si256(pair));
            _mm256_storeu_si256(lower.as_mut_ptr().cast(), _mm512_extracti64x4_epi64::<1>(pair));
        }
    }
}

/// Row `v` of the four blocks, dequantised.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load(group: &Group, quant: &Quant, v: usize) -> Vector {
    let (rows, steps) = (&group.as_chunks::<32>().0[v], &quant.as_chunks::<8>().0[v]);
    // SAFETY: `rows` is 64 bytes, `steps` is 16.
    let (rows, steps) = unsafe {
        (_mm512_loadu_si512(rows.as_ptr().cast()), _mm_loadu_si128(steps.as_ptr().cast()))
    };
    _mm512_mullo_epi16(rows, _mm512_broadcast_i32x4(steps))
}

/// Zeros the first `count` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn clear(group: &mut Group, count: usize) {
    for rows in &mut group.as_chunks_mut::<32>().0[..count] {
        // SAFETY: `rows` is 64 bytes.
        unsafe { _mm512_storeu_si512(rows.as_mut_ptr().cast(), zero()) }
    }
}

/// Bytes 0, 8, 1, 9, ... of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn zip_halves(bytes: Vector) -> Vector {
    let order = _mm512_broadcast_i32x4(core::arch::x86_64::_mm_setr_epi8(
        0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15,
    ));
    _mm512_shuffle_epi8(bytes, order)
}
