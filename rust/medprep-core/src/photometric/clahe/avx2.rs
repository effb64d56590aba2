//! AVX2: look-ups one by one from packed cells (no gather), the blend in eight floats.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::histogram::Spread;
use super::{LEVELS, Row};

/// # Safety
/// The CPU has AVX2 and FMA; `row` fits the width, and columns are padded to 64.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn row(row: &mut Row<'_>, src: &[u8], dst: &mut [u8]) {
    let len = dst.len() % 32;
    let mut rest = [0; 32];
    look_up(row, src);
    let (whole, tail) = dst.as_chunks_mut::<32>();
    let dst = whole.iter_mut().chain((len > 0).then_some(&mut rest));
    let [left, right] = row.columns.weights.each_ref().map(|weights| weights.as_chunks::<32>().0);
    let weights = left.iter().zip(right);
    let packed = row.looked_up.as_chunks::<32>().0;
    for (dst, (packed, (left, right))) in dst.zip(packed.iter().zip(weights)) {
        blend32(packed, left, right, row.weights, dst);
    }
    tail.copy_from_slice(&rest[..len]);
}

/// 32 columns of the weighted sums of four entries each.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn blend32(
    packed: &[u32; 32],
    left: &[f32; 32],
    right: &[f32; 32],
    rows: [f32; 2],
    out: &mut [u8; 32],
) {
    let (upper, lower) = (_mm256_set1_ps(rows[0]), _mm256_set1_ps(rows[1]));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    // SAFETY: eight values at 0, 8, 16, 24 of 32.
    let eight = |i: usize| unsafe {
        let packed = _mm256_loadu_si256(packed.as_ptr().add(8 * i).cast());
        let left = _mm256_loadu_ps(left.as_ptr().add(8 * i));
        let right = _mm256_loadu_ps(right.as_ptr().add(8 * i));
        let low = _mm256_set1_epi32(0xFF);
        let value = [
            _mm256_and_si256(packed, low),
            _mm256_and_si256(_mm256_srli_epi32::<8>(packed), low),
            _mm256_and_si256(_mm256_srli_epi32::<16>(packed), low),
            _mm256_srli_epi32::<24>(packed),
        ];
        let blend = |a: __m256i, b: __m256i| {
            _mm256_add_ps(
                _mm256_mul_ps(_mm256_cvtepi32_ps(a), left),
                _mm256_mul_ps(_mm256_cvtepi32_ps(b), right),
            )
        };
        _mm256_cvtps_epi32(_mm256_add_ps(
            _mm256_mul_ps(blend(value[0], value[1]), upper),
            _mm256_mul_ps(blend(value[2], value[3]), lower),
        ))
    };
    let words = [_mm256_packs_epi32(eight(0), eight(1)), _mm256_packs_epi32(eight(2), eight(3))];
    let bytes = _mm256_packus_epi16(words[0], words[1]);
    // SAFETY: 32 bytes.
    unsafe {
        _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(bytes, order));
    }
}

/// The packed entries of all columns, cell by cell.
#[inline]
pub(super) fn look_up(row: &mut Row<'_>, src: &[u8]) {
    let cells = row.packed.as_chunks::<LEVELS>().0;
    let mut first = 0;
    for &(cell, end) in &row.columns.runs {
        let cell = &cells[cell];
        // Whole eights, where possible beyond the cell's end: the next cell overwrites what is not its.
        let whole = first + (end - first).next_multiple_of(8);
        let stop = if whole <= src.len() { whole } else { end };
        let (eights, rest) = src[first..stop].as_chunks::<8>();
        let (out, out_rest) = row.looked_up[first..stop].as_chunks_mut::<8>();
        for (out, eight) in out.iter_mut().zip(eights) {
            look_up8(cell, eight, out);
        }
        for (out, &value) in out_rest.iter_mut().zip(rest) {
            *out = cell[usize::from(value)];
        }
        first = end;
    }
}

#[inline]
fn look_up8(cell: &[u32; LEVELS], values: &[u8; 8], out: &mut [u32; 8]) {
    for (out, value) in out.iter_mut().zip(values) {
        // SAFETY: a reference. Volatile: the compiler loads eight bytes at once otherwise, and takes
        // them apart again with twice the instructions.
        *out = cell[usize::from(unsafe { std::ptr::from_ref(value).read_volatile() })];
    }
}

/// For each cell and value the entries of the four tables around it, from the lowest byte: upper
/// left, upper right, lower left, lower right.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pack_cells(tables: [&[u8]; 2], packed: &mut [u32]) {
    let [upper, lower] = tables.map(|tables| tables.as_chunks::<LEVELS>().0);
    let tiles = upper.len();
    for (cell, packed) in packed.as_chunks_mut::<LEVELS>().0.iter_mut().enumerate() {
        let (left, right) = (cell.saturating_sub(1), cell.min(tiles - 1));
        for (i, packed) in packed.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            // SAFETY: 16 bytes at 16 i of 256.
            let load = |table: &[u8; LEVELS]| unsafe {
                _mm_loadu_si128(table.as_ptr().add(16 * i).cast())
            };
            let [a, b, c, d] =
                [load(&upper[left]), load(&upper[right]), load(&lower[left]), load(&lower[right])];
            let up = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            let low = [_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)];
            for half in 0..2 {
                // SAFETY: four values at 8 half and 8 half + 4 of 16.
                unsafe {
                    let at = packed.as_mut_ptr().add(8 * half);
                    _mm_storeu_si128(at.cast(), _mm_unpacklo_epi16(up[half], low[half]));
                    _mm_storeu_si128(at.add(4).cast(), _mm_unpackhi_epi16(up[half], low[half]));
                }
            }
        }
    }
}

/// Sums running over the eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn running_sum(x: __m256i) -> __m256i {
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<4>(x));
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<8>(x));
    // The total of the lower lane goes to all of the upper one.
    let total = _mm256_shuffle_epi32::<0xFF>(x);
    _mm256_add_epi32(x, _mm256_permute2x128_si256::<0x08>(total, total))
}

/// The clipped, cumulated, scaled sum of four histograms, which become zero.
///
/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn table(
    counts: &mut [[u32; LEVELS]; 4],
    limit: u32,
    scale: f32,
    table: &mut [u8; LEVELS],
) {
    let mut histogram = [[0_u32; 8]; LEVELS / 8];
    let [a, b, c, d] = counts.each_mut().map(|counts| counts.as_chunks_mut::<8>().0);
    let parts = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    let limit = _mm256_set1_epi32(limit as i32);
    let mut excess = _mm256_setzero_si256();
    let take = |counts: &mut [u32; 8]| {
        let at = counts.as_mut_ptr().cast();
        // SAFETY: eight counts.
        unsafe {
            let taken = _mm256_loadu_si256(at);
            _mm256_storeu_si256(at, _mm256_setzero_si256());
            taken
        }
    };
    for (histogram, ((a, b), (c, d))) in histogram.iter_mut().zip(parts) {
        let all = _mm256_add_epi32(
            _mm256_add_epi32(take(a), take(b)),
            _mm256_add_epi32(take(c), take(d)),
        );
        let cut = _mm256_min_epu32(all, limit);
        excess = _mm256_add_epi32(excess, _mm256_sub_epi32(all, cut));
        // SAFETY: eight counts.
        unsafe { _mm256_storeu_si256(histogram.as_mut_ptr().cast(), cut) };
    }
    let mut lanes = [0_u32; 8];
    // SAFETY: eight counts.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), excess) };
    let spread = Spread::of(lanes.iter().sum());
    let set = |value: u32| _mm256_set1_epi32(value as i32);
    let residual = set(spread.residual);
    let reciprocal = set(spread.reciprocal);
    let scale = _mm256_set1_ps(scale);
    // The count of bins up to and including each: i + 1, then times `batch`.
    let mut bin = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mut batches = _mm256_mullo_epi32(_mm256_add_epi32(bin, set(1)), set(spread.batch));
    let batch8 = set(spread.batch.wrapping_mul(8));
    let last = _mm256_set1_epi32(7);
    let mut sum = _mm256_setzero_si256();
    for (histogram, out) in histogram.iter().zip(table.as_chunks_mut::<8>().0) {
        // SAFETY: eight counts.
        let count = unsafe { _mm256_loadu_si256(histogram.as_ptr().cast()) };
        let running = _mm256_add_epi32(running_sum(count), sum);
        sum = _mm256_permutevar8x32_epi32(running, last);
        let steps = _mm256_srli_epi32::<16>(_mm256_mullo_epi32(bin, reciprocal));
        let single = _mm256_min_epu32(_mm256_add_epi32(steps, set(1)), residual);
        let all = _mm256_add_epi32(_mm256_add_epi32(running, batches), single);
        let value = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(all), scale));
        let words =
            _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value));
        // SAFETY: eight bytes.
        unsafe { _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packus_epi16(words, words)) };
        bin = _mm256_add_epi32(bin, set(8));
        batches = _mm256_add_epi32(batches, batch8);
    }
}
