//! Histogram of a tile, clipping and the table made of it.

use super::LEVELS;
use super::scalar::reflect_101;

/// Four histograms side by side, so that equal neighbours do not wait for each other's store.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Zero between tiles.
    counts: [[u32; LEVELS]; 4],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { counts: [[0; LEVELS]; 4] }
    }
}

impl Scratch {
    /// Counts the tile at `at`; what lies outside the plane is mirrored in.
    pub(super) fn count(
        &mut self,
        plane: &[u8],
        [height, width]: [usize; 2],
        at: [usize; 2],
        tile: [usize; 2],
    ) {
        let end = at[1] + tile[1];
        for y in at[0]..at[0] + tile[0] {
            let row = &plane[reflect_101(y, height) * width..][..width];
            let inside = &row[at[1].min(width)..end.min(width)];
            self.add(inside);
            for x in at[1].max(width)..end {
                self.counts[0][usize::from(row[reflect_101(x, width)])] += 1;
            }
        }
    }

    fn add(&mut self, values: &[u8]) {
        let counts = &mut self.counts;
        // Wrapping: images are below 2^31 pixels, and a check per count costs a third of the time.
        let mut add = |which: usize, value: u64, by: u32| {
            let count = &mut counts[which][(value & 0xFF) as usize];
            *count = count.wrapping_add(by);
        };
        let (eights, rest) = values.as_chunks::<8>();
        for eight in eights {
            let word = u64::from_le_bytes(*eight);
            // Dark borders are long runs of one value.
            if word == word.rotate_left(8) {
                add(0, word, 8);
                continue;
            }
            add(0, word, 1);
            add(1, word >> 8, 1);
            add(2, word >> 16, 1);
            add(3, word >> 24, 1);
            add(0, word >> 32, 1);
            add(1, word >> 40, 1);
            add(2, word >> 48, 1);
            add(3, word >> 56, 1);
        }
        for &value in rest {
            add(1, u64::from(value), 1);
        }
    }

    /// The clipped, cumulated, scaled histogram; the next one begins at zero.
    pub(super) fn table(&mut self, limit: Option<u32>, scale: f32, table: &mut [u8; LEVELS]) {
        // A count never reaches the largest u32: images are below 2^31 pixels.
        let limit = limit.unwrap_or(u32::MAX);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every vector path includes AVX2; `start` found it available.
        unsafe {
            super::avx2::table(&mut self.counts, limit, scale, table);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("no vector path: {limit} {scale} {}", table.len());
    }
}

/// The count added to bins 0..=i by spreading `excess` once over all bins: `batch` to each, the
/// rest one by one in steps from bin 0.
pub(super) struct Spread {
    pub batch: u32,
    pub residual: u32,
    /// (i * reciprocal) >> 16 is i / step for i < 256.
    pub reciprocal: u32,
}

impl Spread {
    pub(super) fn of(excess: u32) -> Self {
        let levels = LEVELS as u32;
        let (batch, residual) = (excess / levels, excess % levels);
        let step = (levels / residual.max(1)).max(1);
        Self { batch, residual, reciprocal: 65536_u32.div_ceil(step) }
    }
}
