//! The columns of a 16-bit area resize: where each reads, and the weight of every tap.

use super::super::plan::Axis;

/// Outputs are handled in groups of this many.
pub(super) const GROUP: usize = 8;

/// Taps are handled in groups of this many when there is one channel.
pub(super) const TAPS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Columns {
    pub channels: usize,
    /// Wanted outputs, without padding.
    pub outputs: usize,
    /// Taps per output, a multiple of [`TAPS`] when there is one channel.
    pub taps: usize,
    /// The first value of each output in its row; padded to whole groups.
    pub start: Vec<u32>,
    /// For every tap the weights of all outputs, 0 where there is nothing to add.
    pub weights: Vec<f32>,
    /// Values of a row that must be readable.
    pub reach: usize,
}

impl Columns {
    pub(super) fn fill(&mut self, axis: &Axis, channels: usize) {
        let mut weights = Vec::with_capacity(64);
        let mut count = |x| {
            axis.taps(x, &mut weights);
            weights.len()
        };
        let most = axis.wanted.clone().map(&mut count).max().unwrap_or(0);
        self.taps = if channels == 1 { most.next_multiple_of(TAPS) } else { most };
        self.channels = channels;
        self.outputs = axis.wanted.len();
        let padded = self.outputs.next_multiple_of(GROUP);
        self.start.clear();
        self.weights.clear();
        self.weights.resize(padded * self.taps, 0.0);
        for (i, x) in axis.wanted.clone().enumerate() {
            self.start.push((axis.taps(x, &mut weights) * channels) as u32);
            for (tap, weight) in weights.iter().enumerate() {
                self.weights[tap * padded + i] = *weight;
            }
        }
        let last = self.start.last().copied().unwrap_or(0);
        self.start.resize(padded, last);
        // Loads are of 8 values, at the first of four taps or at every tap of three channels.
        let taps_loaded = if channels == 1 { self.taps - TAPS } else { 3 * (self.taps - 1) };
        self.reach = last as usize + taps_loaded + 8;
    }

    /// What the kernels rely on.
    pub(super) fn holds_whole_groups(&self) -> bool {
        self.start.len().is_multiple_of(GROUP) && self.weights.len() == self.start.len() * self.taps
    }
}
