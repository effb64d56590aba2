//! Decoded samples of one row of MCUs, with the last row of the row of MCUs above.

use super::rows::{PAD, padded};

/// Rows of one component. Row 0 is the last of the row of MCUs above, rows 1.. are the current one.
#[derive(Default)]
pub(super) struct Plane {
    data: Vec<u8>,
    stride: usize,
    rows: usize,
}

impl Plane {
    /// Makes room for `rows` rows of `samples` samples and one more row above.
    pub fn shape(&mut self, rows: usize, samples: usize) {
        self.stride = padded(samples);
        self.rows = rows;
        let length = (rows + 1) * self.stride;
        if self.data.len() < length {
            self.data.resize(length, 0);
        }
    }

    /// Bytes between rows.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// A padded row; 0 is the carried one.
    pub fn row(&self, row: usize) -> &[u8] {
        &self.data[row * self.stride..][..self.stride]
    }

    /// The samples from column `x` of row `row` on.
    pub fn at_mut(&mut self, row: usize, x: usize) -> &mut [u8] {
        &mut self.data[row * self.stride + PAD + x..(self.rows + 1) * self.stride]
    }

    /// Repeats the first and the last of `samples` samples in the padding of the current rows.
    pub fn extend_edges(&mut self, samples: usize) {
        for row in self.data.chunks_exact_mut(self.stride).skip(1).take(self.rows) {
            row[PAD - 1] = row[PAD];
            row[PAD + samples] = row[PAD + samples - 1];
        }
    }

    /// Makes the last row the carried one.
    pub fn carry(&mut self) {
        let last = self.rows * self.stride;
        self.data.copy_within(last..last + self.stride, 0);
    }
}
