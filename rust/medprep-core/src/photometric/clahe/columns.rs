//! Which tiles a position lies between, and with which weights; the same for all rows.

use super::scalar::Neighbours;

/// Columns are padded to whole registers of bytes.
pub(super) const CHUNK: usize = 64;

/// A tile in a chunk of 64 columns, and the columns it lies left or right of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    pub tile: usize,
    pub is_left: u64,
    pub is_right: u64,
}

/// All columns of a plane.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Columns in whole chunks.
    pub padded: usize,
    /// Cells from left to right, each with the column it ends before; cell c lies between tiles
    /// c - 1 and c, clamped.
    pub runs: Vec<(usize, usize)>,
    /// Weights of the left and of the right tile.
    pub weights: [Vec<f32>; 2],
    /// The same in the order of `spread`, then times 2^23.
    pub spread: [Vec<f32>; 4],
    /// For each chunk its shares.
    pub shares: Vec<Share>,
    /// For each chunk the end of its shares.
    pub share_ends: Vec<usize>,
}

/// The column behind float `i` of a chunk once bytes have been unpacked to words and dwords
/// within 128-bit lanes: four groups of sixteen.
fn spread(i: usize) -> usize {
    let (group, lane, j) = (i / 16, i % 16 / 4, i % 4);
    16 * lane + 4 * group + j
}

impl Columns {
    pub(super) fn fill(&mut self, width: usize, tile_width: usize, tiles: usize) {
        self.padded = width.next_multiple_of(CHUNK);
        let inverse = 1.0 / tile_width as f32;
        let of = |x: usize| Neighbours::of(x.min(width - 1), inverse, tiles);
        self.runs.clear();
        for x in 0..width {
            let place = x as f32 * inverse - 0.5;
            let cell = (place.floor() as i64 + 1).clamp(0, tiles as i64) as usize;
            match self.runs.last_mut() {
                Some((last, end)) if *last == cell => *end = x + 1,
                _ => self.runs.push((cell, x + 1)),
            }
        }
        for (side, weights) in self.weights.iter_mut().enumerate() {
            weights.clear();
            weights.extend((0..self.padded).map(|x| of(x).weights[side]));
        }
        let at = |i: usize| i / CHUNK * CHUNK + spread(i % CHUNK);
        for (k, weights) in self.spread.iter_mut().enumerate() {
            let factor = if k < 2 { 1.0 } else { 8_388_608.0 };
            weights.clear();
            weights.extend((0..self.padded).map(|i| self.weights[k % 2][at(i)] * factor));
        }
        self.shares.clear();
        self.share_ends.clear();
        for chunk in (0..self.padded).step_by(CHUNK) {
            let begin = self.shares.len();
            for i in 0..CHUNK {
                for (side, tile) in of(chunk + i).tiles.into_iter().enumerate() {
                    let known = self.shares[begin..].iter().position(|share| share.tile == tile);
                    let at = known.map_or(self.shares.len(), |at| begin + at);
                    if known.is_none() {
                        self.shares.push(Share { tile, ..Share::default() });
                    }
                    let share = &mut self.shares[at];
                    *(if side == 0 { &mut share.is_left } else { &mut share.is_right }) |= 1 << i;
                }
            }
            self.share_ends.push(self.shares.len());
        }
    }
}
