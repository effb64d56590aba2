//! A table of 256 grey values applied to bytes in place, equal to `cv2.LUT`.

use crate::cpu::Cpu;

/// Replaces every value.
///
/// # Panics
/// If the CPU lacks the path.
pub(super) fn apply(cpu: Cpu, table: &[u8; 256], values: &mut [u8]) {
    assert!(cpu.is_available(), "the CPU was chosen by Cpu::choose");
    match cpu {
        // SAFETY: the CPU has the path (above).
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => unsafe { x86::avx2(table, values) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 => unsafe { x86::avx512(table, values) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Vbmi => unsafe { x86::avx512_vbmi(table, values) },
        _ => scalar(table, values),
    }
}

fn scalar(table: &[u8; 256], values: &mut [u8]) {
    for value in values {
        *value = table[usize::from(*value)];
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    #[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
    use std::arch::x86_64::*;

    use super::scalar;

    /// For each half of the table: part k xor part k - 1, 16 entries each, in both lanes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn differences(table: &[u8; 256]) -> [[__m256i; 8]; 2] {
        let mut parts = [[_mm256_setzero_si256(); 8]; 2];
        let bytes = table.as_chunks::<16>().0;
        for (i, part) in parts.as_flattened_mut().iter_mut().enumerate() {
            // SAFETY: 16 bytes each.
            let load = |i: usize| unsafe { _mm_loadu_si128(bytes[i].as_ptr().cast()) };
            let own = if i % 8 == 0 { load(i) } else { _mm_xor_si128(load(i), load(i - 1)) };
            *part = _mm256_broadcastsi128_si256(own);
        }
        parts
    }

    /// Sixteen byte shuffles. A shuffle gives 0 where bit 7 of the index is set; values less 16 k
    /// have it set once k is beyond the value's part (saturating, so that it stays set), and the
    /// differences of the parts up to there telescope to the entry. The upper half of the table
    /// is the same for values with bit 7 flipped.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(table: &[u8; 256], values: &mut [u8]) {
        let [lower, upper] = differences(table);
        let (chunks, rest) = values.as_chunks_mut::<32>();
        let sixteen = _mm256_set1_epi8(16);
        for chunk in chunks {
            // SAFETY: 32 bytes.
            let value = unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) };
            let mut at = [value, _mm256_xor_si256(value, _mm256_set1_epi8(-128))];
            let mut found = _mm256_setzero_si256();
            for k in 0..8 {
                found = _mm256_xor_si256(found, _mm256_shuffle_epi8(lower[k], at[0]));
                found = _mm256_xor_si256(found, _mm256_shuffle_epi8(upper[k], at[1]));
                at[0] = _mm256_subs_epi8(at[0], sixteen);
                at[1] = _mm256_subs_epi8(at[1], sixteen);
            }
            // SAFETY: 32 bytes.
            unsafe { _mm256_storeu_si256(chunk.as_mut_ptr().cast(), found) };
        }
        scalar(table, rest);
    }

    /// A table as four registers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn load_table(table: &[u8; 256]) -> [__m512i; 4] {
        let mut bytes = [_mm512_setzero_si512(); 4];
        for (bytes, part) in bytes.iter_mut().zip(table.as_chunks::<64>().0) {
            // SAFETY: 64 bytes.
            *bytes = unsafe { _mm512_loadu_si512(part.as_ptr().cast()) };
        }
        bytes
    }

    /// 64 look-ups without byte permutes: the word that holds the entry, then the half of it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(in super::super) fn look_up_words(table: &[__m512i; 4], at: __m512i) -> __m512i {
        let one = |at: __m512i| {
            let word = _mm512_srli_epi16::<1>(at);
            let is_high = _mm512_test_epi16_mask(at, _mm512_set1_epi16(128));
            let low = _mm512_permutex2var_epi16(table[0], word, table[1]);
            let high = _mm512_permutex2var_epi16(table[2], word, table[3]);
            let word = _mm512_mask_blend_epi16(is_high, low, high);
            let is_odd = _mm512_test_epi16_mask(at, _mm512_set1_epi16(1));
            _mm512_mask_srli_epi16::<8>(word, is_odd, word)
        };
        let low = _mm512_and_si512(one(at), _mm512_set1_epi16(0xFF));
        _mm512_or_si512(low, _mm512_slli_epi16::<8>(one(_mm512_srli_epi16::<8>(at))))
    }

    /// 64 look-ups by byte permutes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(in super::super) fn look_up_bytes(table: &[__m512i; 4], at: __m512i) -> __m512i {
        let low = _mm512_permutex2var_epi8(table[0], at, table[1]);
        let high = _mm512_permutex2var_epi8(table[2], at, table[3]);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high)
    }

    macro_rules! apply {
        ($name:ident, $features:literal, $look_up:ident) => {
            /// # Safety
            /// The CPU has these features.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(table: &[u8; 256], values: &mut [u8]) {
                let registers = load_table(table);
                let (chunks, rest) = values.as_chunks_mut::<64>();
                for chunk in chunks {
                    // SAFETY: 64 bytes.
                    unsafe {
                        let value = _mm512_loadu_si512(chunk.as_ptr().cast());
                        _mm512_storeu_si512(chunk.as_mut_ptr().cast(), $look_up(&registers, value));
                    }
                }
                scalar(table, rest);
            }
        };
    }

    apply!(avx512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", look_up_words);
    apply!(avx512_vbmi, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi", look_up_bytes);
}
