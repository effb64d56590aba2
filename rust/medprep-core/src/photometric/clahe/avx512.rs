//! AVX-512: with VBMI the tables themselves are looked up, 64 values at a time; without, packed
//! cells as on AVX2. Bytes become floats without a conversion: the dword 0x4B0000vv is 2^23 + v,
//! and fmsub(2^23 + v, w, 2^23 w) rounds v * w once.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::{LEVELS, Row, avx2};

/// # Safety
/// The CPU has AVX-512 F, BW, DQ, VL; `row` fits the width, and columns are padded to 64.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn row(row: &mut Row<'_>, src: &[u8], dst: &mut [u8]) {
    avx2::look_up(row, src);
    let (upper, lower) = (_mm512_set1_ps(row.weights[0]), _mm512_set1_ps(row.weights[1]));
    let left = row.columns.weights[0].as_chunks::<16>().0;
    let right = row.columns.weights[1].as_chunks::<16>().0;
    let packed = row.looked_up.as_chunks::<16>().0;
    let mut rest = [0; 16];
    let len = dst.len() % 16;
    let (chunks, tail) = dst.as_chunks_mut::<16>();
    let chunks = chunks.iter_mut().chain((len > 0).then_some(&mut rest));
    for (out, ((packed, left), right)) in chunks.zip(packed.iter().zip(left).zip(right)) {
        // SAFETY: sixteen values each.
        unsafe {
            let packed = _mm512_loadu_si512(packed.as_ptr().cast());
            let left = _mm512_loadu_ps(left.as_ptr());
            let right = _mm512_loadu_ps(right.as_ptr());
            let low = _mm512_set1_epi32(0xFF);
            let value = [
                _mm512_and_si512(packed, low),
                _mm512_and_si512(_mm512_srli_epi32::<8>(packed), low),
                _mm512_and_si512(_mm512_srli_epi32::<16>(packed), low),
                _mm512_srli_epi32::<24>(packed),
            ];
            let blend = |a: __m512i, b: __m512i| {
                _mm512_add_ps(
                    _mm512_mul_ps(_mm512_cvtepi32_ps(a), left),
                    _mm512_mul_ps(_mm512_cvtepi32_ps(b), right),
                )
            };
            let sum = _mm512_add_ps(
                _mm512_mul_ps(blend(value[0], value[1]), upper),
                _mm512_mul_ps(blend(value[2], value[3]), lower),
            );
            let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(sum));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
    }
    tail.copy_from_slice(&rest[..len]);
}

/// # Safety
/// As [`row`], and the CPU has VBMI.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
pub(super) unsafe fn row_vbmi(row: &mut Row<'_>, src: &[u8], dst: &mut [u8]) {
    let (upper, lower) = (_mm512_set1_ps(row.weights[0]), _mm512_set1_ps(row.weights[1]));
    let zero = _mm512_setzero_si512();
    let two23 = _mm512_set1_epi16(0x4B00);
    let tables = row.tables.map(|table| table.as_chunks::<LEVELS>().0);
    let spread = &row.columns.spread;
    let mut begin = 0;
    for (chunk, &end) in row.columns.share_ends.iter().enumerate() {
        let at = 64 * chunk;
        let inside = if src.len() - at >= 64 { u64::MAX } else { (1 << (src.len() - at)) - 1 };
        // SAFETY: the mask keeps to the row.
        let value = unsafe { _mm512_maskz_loadu_epi8(inside, src.as_ptr().add(at).cast()) };
        let is_high = _mm512_movepi8_mask(value);
        // Upper left, upper right, lower left, lower right.
        let mut found = [zero; 4];
        for share in &row.columns.shares[begin..end] {
            for (side, tables) in tables.iter().enumerate() {
                let table = &tables[share.tile];
                // SAFETY: 64 bytes at 0, 64, 128, 192 of 256.
                let quarter =
                    |i: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * i).cast()) };
                let low = _mm512_permutex2var_epi8(quarter(0), value, quarter(1));
                let high = _mm512_permutex2var_epi8(quarter(2), value, quarter(3));
                let both = _mm512_mask_blend_epi8(is_high, low, high);
                found[2 * side] = _mm512_mask_mov_epi8(found[2 * side], share.is_left, both);
                found[2 * side + 1] =
                    _mm512_mask_mov_epi8(found[2 * side + 1], share.is_right, both);
            }
        }
        begin = end;
        let words =
            |i: usize| [_mm512_unpacklo_epi8(found[i], zero), _mm512_unpackhi_epi8(found[i], zero)];
        let words = [words(0), words(1), words(2), words(3)];
        let sixteen = |group: usize| {
            let float = |i: usize| {
                let words = words[i][group / 2];
                _mm512_castsi512_ps(if group.is_multiple_of(2) {
                    _mm512_unpacklo_epi16(words, two23)
                } else {
                    _mm512_unpackhi_epi16(words, two23)
                })
            };
            // SAFETY: the columns are padded to 64.
            let weight =
                |k: usize| unsafe { _mm512_loadu_ps(spread[k].as_ptr().add(at + 16 * group)) };
            let (left, right, left23, right23) = (weight(0), weight(1), weight(2), weight(3));
            let blend = |a: __m512, b: __m512| {
                _mm512_add_ps(_mm512_fmsub_ps(a, left, left23), _mm512_fmsub_ps(b, right, right23))
            };
            _mm512_cvtps_epi32(_mm512_add_ps(
                _mm512_mul_ps(blend(float(0), float(1)), upper),
                _mm512_mul_ps(blend(float(2), float(3)), lower),
            ))
        };
        let low = _mm512_packs_epi32(sixteen(0), sixteen(1));
        let high = _mm512_packs_epi32(sixteen(2), sixteen(3));
        // SAFETY: the mask keeps to the row.
        unsafe {
            _mm512_mask_storeu_epi8(
                dst.as_mut_ptr().add(at).cast(),
                inside,
                _mm512_packus_epi16(low, high),
            );
        }
    }
}
