//! CLAHE of 16-bit planes. Levels above the image's maximum are never looked up and the
//! cumulative sum runs upwards, so the tables end there: the same bytes, 16 times less work for
//! 12-bit data.

use super::scalar::{Neighbours, reflect_101};
use crate::cpu::Cpu;

/// OpenCV's histogram has this many bins whatever the image holds.
const TOTAL_LEVELS: usize = 65536;

/// Columns are padded to whole registers of floats.
const LANES: usize = 8;

/// The equalisation of 16-bit planes; reused from image to image.
#[derive(Debug, Default)]
pub(super) struct ClaheWide {
    histogram: Vec<u32>,
    tables: Vec<u16>,
    /// The tiles left and right of each column.
    sides: [Vec<u32>; 2],
    weights: [Vec<f32>; 2],
    /// Table entries of a row: upper left, upper right, lower left, lower right.
    found: [Vec<u16>; 4],
    out: Vec<u16>,
}

impl ClaheWide {
    /// Equalises a plane of `height` x `width`.
    ///
    /// # Panics
    /// If the path is not a vector path of this CPU, the planes do not have that size, or there are no tiles.
    pub(super) fn apply(
        &mut self,
        cpu: Cpu,
        src: &[u16],
        [height, width]: [usize; 2],
        clip_limit: f64,
        tiles: usize,
        dst: &mut [u16],
    ) {
        cpu.assert_vector();
        assert!(src.len() == height * width && dst.len() == src.len(), "planes of that size");
        assert!(!src.is_empty() && tiles > 0, "shapes are checked before");
        // A multiple of eight, for whole registers.
        let max = src.iter().copied().max().map_or(0, usize::from);
        let levels = (max + 1).next_multiple_of(LANES);
        let divides = width.is_multiple_of(tiles) && height.is_multiple_of(tiles);
        let [tile_height, tile_width] = [height, width]
            .map(|len| if divides { len } else { len + tiles - len % tiles } / tiles);
        let area = tile_height * tile_width;
        let limit = (clip_limit > 0.0)
            .then(|| ((clip_limit * area as f64 / TOTAL_LEVELS as f64) as u32).max(1));
        let scale = (TOTAL_LEVELS - 1) as f32 / area as f32;
        self.histogram.resize(levels, 0);
        self.tables.resize(tiles * tiles * levels, 0);
        for tile in 0..tiles * tiles {
            let at = [tile / tiles * tile_height, tile % tiles * tile_width];
            self.count(src, [height, width], at, [tile_height, tile_width]);
            clip(&mut self.histogram[..levels], limit);
            let table = &mut self.tables[tile * levels..][..levels];
            // SAFETY: every vector path includes AVX2 (above).
            unsafe { vector::cumulate(&self.histogram[..levels], scale, table) };
        }
        self.plan_columns(width, tile_width, tiles);
        for (y, (src, dst)) in src.chunks(width).zip(dst.chunks_mut(width)).enumerate() {
            let rows = Neighbours::of(y, 1.0 / tile_height as f32, tiles);
            self.look_up(src, rows.tiles.map(|tile| tile * tiles * levels), levels);
            // SAFETY: as above.
            unsafe { vector::blend(&self.found, &self.weights, rows.weights, &mut self.out) };
            dst.copy_from_slice(&self.out[..width]);
        }
    }

    fn count(
        &mut self,
        plane: &[u16],
        [height, width]: [usize; 2],
        at: [usize; 2],
        tile: [usize; 2],
    ) {
        self.histogram.fill(0);
        let end = at[1] + tile[1];
        for y in at[0]..at[0] + tile[0] {
            let row = &plane[reflect_101(y, height) * width..][..width];
            for &value in &row[at[1].min(width)..end.min(width)] {
                self.histogram[usize::from(value)] += 1;
            }
            for x in at[1].max(width)..end {
                self.histogram[usize::from(row[reflect_101(x, width)])] += 1;
            }
        }
    }

    fn plan_columns(&mut self, width: usize, tile_width: usize, tiles: usize) {
        let padded = width.next_multiple_of(LANES);
        let inverse = 1.0 / tile_width as f32;
        for side in 0..2 {
            let of = |x: usize| Neighbours::of(x.min(width - 1), inverse, tiles);
            self.sides[side].clear();
            self.sides[side].extend((0..padded).map(|x| of(x).tiles[side] as u32));
            self.weights[side].clear();
            self.weights[side].extend((0..padded).map(|x| of(x).weights[side]));
        }
        for found in &mut self.found {
            found.resize(padded, 0);
        }
        self.out.resize(padded, 0);
    }

    fn look_up(&mut self, src: &[u16], rows: [usize; 2], levels: usize) {
        let [upper, lower] = rows.map(|row| &self.tables[row..]);
        let [a, b, c, d] = &mut self.found;
        let found = a.iter_mut().zip(b).zip(c).zip(d);
        let sides = self.sides[0].iter().zip(&self.sides[1]);
        for ((&value, (&left, &right)), (((a, b), c), d)) in src.iter().zip(sides).zip(found) {
            let left = left as usize * levels + usize::from(value);
            let right = right as usize * levels + usize::from(value);
            (*a, *b, *c, *d) = (upper[left], upper[right], lower[left], lower[right]);
        }
    }
}

/// Cuts bins to the limit and spreads the excess once over all bins, those above the maximum too.
fn clip(histogram: &mut [u32], limit: Option<u32>) {
    let Some(limit) = limit else { return };
    // SAFETY: `apply` found a vector path, which includes AVX2.
    let excess = unsafe { vector::cut(histogram, limit) } as usize;
    let (batch, residual) = (excess / TOTAL_LEVELS, excess % TOTAL_LEVELS);
    if batch > 0 {
        for count in histogram.iter_mut() {
            *count += batch as u32;
        }
    }
    if let Some(step) = TOTAL_LEVELS.checked_div(residual) {
        for count in histogram.iter_mut().step_by(step).take(residual) {
            *count += 1;
        }
    }
}

/// There is no vector path: `apply` has refused.
#[cfg(not(target_arch = "x86_64"))]
mod vector {
    pub(super) unsafe fn cut(_: &mut [u32], _: u32) -> u32 {
        unreachable!()
    }

    pub(super) unsafe fn cumulate(_: &[u32], _: f32, _: &mut [u16]) {
        unreachable!()
    }

    pub(super) unsafe fn blend(_: &[Vec<u16>; 4], _: &[Vec<f32>; 2], _: [f32; 2], _: &mut [u16]) {
        unreachable!()
    }
}

/// What is done with AVX2, which every vector path includes.
#[cfg(target_arch = "x86_64")]
mod vector {
    #[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
    use std::arch::x86_64::*;

    use super::super::avx2::running_sum;

    /// Cuts bins to the limit; gives what was above it.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn cut(histogram: &mut [u32], limit: u32) -> u32 {
        let mut excess = 0_u32;
        for count in histogram {
            // Wrapping only for the compiler's sake: there are fewer than 2^31 pixels.
            excess = excess.wrapping_add(count.saturating_sub(limit));
            *count = (*count).min(limit);
        }
        excess
    }

    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn cumulate(histogram: &[u32], scale: f32, table: &mut [u16]) {
        let scale = _mm256_set1_ps(scale);
        let last = _mm256_set1_epi32(7);
        let mut sum = _mm256_setzero_si256();
        let counts = histogram.as_chunks::<8>().0;
        for (count, out) in counts.iter().zip(table.as_chunks_mut::<8>().0) {
            // SAFETY: eight counts.
            let count = unsafe { _mm256_loadu_si256(count.as_ptr().cast()) };
            let running = _mm256_add_epi32(running_sum(count), sum);
            sum = _mm256_permutevar8x32_epi32(running, last);
            let value = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(running), scale));
            // SAFETY: eight words.
            unsafe { store8(out.as_mut_ptr(), value) };
        }
    }

    /// Saturates eight values to words.
    ///
    /// # Safety
    /// Eight words are writable.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store8(at: *mut u16, value: __m256i) {
        let low = _mm256_castsi256_si128(value);
        let words = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(value));
        // SAFETY: the caller's promise.
        unsafe { _mm_storeu_si128(at.cast(), words) };
    }

    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn blend(
        found: &[Vec<u16>; 4],
        columns: &[Vec<f32>; 2],
        rows: [f32; 2],
        out: &mut [u16],
    ) {
        let lengths = found.each_ref().map(Vec::len);
        assert!(lengths.iter().all(|&len| len >= out.len()));
        assert!(columns.iter().all(|column| column.len() >= out.len()));
        let (upper, lower) = (_mm256_set1_ps(rows[0]), _mm256_set1_ps(rows[1]));
        for (i, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: eight values at 8 i, within the lengths checked above.
            unsafe {
                let value = |k: usize| {
                    let words = _mm_loadu_si128(found[k].as_ptr().add(8 * i).cast());
                    _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words))
                };
                let left = _mm256_loadu_ps(columns[0].as_ptr().add(8 * i));
                let right = _mm256_loadu_ps(columns[1].as_ptr().add(8 * i));
                let side = |k: usize| {
                    _mm256_add_ps(_mm256_mul_ps(value(k), left), _mm256_mul_ps(value(k + 1), right))
                };
                let sum =
                    _mm256_add_ps(_mm256_mul_ps(side(0), upper), _mm256_mul_ps(side(2), lower));
                store8(out.as_mut_ptr(), _mm256_cvtps_epi32(sum));
            }
        }
    }
}
