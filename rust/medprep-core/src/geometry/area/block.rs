//! Whole ratios on both axes: integer sums of blocks, whose order does not matter.
//!
//! Columns are summed down the rows of a block in 16 bits, which the compiler vectorises, then
//! along the row once per target row. 2 x 2 rounds half up, all others half to even.

use super::Axis;

/// 257 rows of 255 fit 16 bits.
const MAX_U16_ROWS: usize = 257;

#[derive(Debug, Default)]
pub(super) struct Blocks {
    ratio: [usize; 2],
    channels: usize,
    outputs: usize,
    /// Source rows to skip, then rows wanted.
    rows: std::ops::Range<usize>,
    /// Bytes of a row to use.
    bytes: std::ops::Range<usize>,
    next_row: usize,
    sums: Vec<u16>,
    /// Sums along the row, or over more rows than 16 bits hold.
    wide: Vec<u64>,
    /// The upper row of a 2 x 2 block, padded for 16-byte loads.
    held: Vec<u8>,
}

impl Blocks {
    pub(super) fn plan(&mut self, axes: [&Axis; 2], ratio: [usize; 2], channels: usize) {
        let [rows, columns] = axes;
        self.ratio = ratio;
        self.channels = channels;
        self.outputs = columns.wanted.len();
        self.rows = rows.wanted.start * ratio[0]..rows.wanted.end * ratio[0];
        let pixel = ratio[1] * channels;
        self.bytes = columns.wanted.start * pixel..columns.wanted.end * pixel;
        self.sums.clear();
        self.sums.resize(self.bytes.len() + 1, 0);
        self.wide.clear();
        self.wide.resize(self.outputs * channels, 0);
    }

    pub(super) fn restart(&mut self) {
        self.next_row = 0;
    }

    pub(super) fn push_row(
        &mut self,
        row: &[u8],
        dst: &mut [u8],
        dst_stride: usize,
        finished: &mut usize,
    ) {
        let y = self.next_row;
        self.next_row += 1;
        if !self.rows.contains(&y) {
            return;
        }
        let row = &row[self.bytes.clone()];
        let in_block = (y - self.rows.start) % self.ratio[0];
        let is_last = in_block + 1 == self.ratio[0];
        let len = self.outputs * self.channels;
        if self.ratio == [2, 2] {
            if is_last {
                let out = &mut dst[*finished * dst_stride..][..len];
                self.halve(row, out);
                *finished += 1;
            } else {
                self.held.clear();
                self.held.extend_from_slice(row);
            }
            return;
        }
        if in_block == 0 {
            self.wide.fill(0);
        }
        self.add_row(row, in_block.is_multiple_of(MAX_U16_ROWS));
        let out = &mut dst[*finished * dst_stride..];
        if is_last && self.mean_small(&mut out[..len]) {
            *finished += 1;
            return;
        }
        if is_last || in_block % MAX_U16_ROWS == MAX_U16_ROWS - 1 {
            self.fold();
        }
        if is_last {
            self.emit(&mut out[..len]);
            *finished += 1;
        }
    }

    fn halve(&self, lower: &[u8], out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every vector path includes AVX2, and `start` found it available.
        unsafe {
            super::avx2::halve(&self.held, lower, self.channels, out);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (lower, out);
    }

    fn add_row(&mut self, row: &[u8], is_first: bool) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `halve`.
        unsafe {
            super::avx2::add_row(&mut self.sums, row, is_first);
        }
        #[cfg(not(target_arch = "x86_64"))]
        add_row(&mut self.sums, row, is_first);
    }

    /// The common small ratios on AVX2; false for all others.
    fn mean_small(&self, out: &mut [u8]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.ratio[0] * self.ratio[1] <= MAX_U16_ROWS {
            // SAFETY: as in `halve`.
            return unsafe { super::avx2::mean_small(&self.sums, self.channels, self.ratio, out) };
        }
        let _ = out;
        false
    }

    /// Sums along the row.
    fn fold(&mut self) {
        match (self.channels, self.ratio[1]) {
            (1, 2) => fold::<1, 2>(&self.sums, &mut self.wide),
            (1, 3) => fold::<1, 3>(&self.sums, &mut self.wide),
            (1, 4) => fold::<1, 4>(&self.sums, &mut self.wide),
            (1, 8) => fold::<1, 8>(&self.sums, &mut self.wide),
            (3, 2) => fold::<3, 2>(&self.sums, &mut self.wide),
            (3, 3) => fold::<3, 3>(&self.sums, &mut self.wide),
            (3, 4) => fold::<3, 4>(&self.sums, &mut self.wide),
            (3, 8) => fold::<3, 8>(&self.sums, &mut self.wide),
            (channels, ratio) => {
                let blocks = self.sums.chunks_exact(ratio * channels);
                for (out, block) in self.wide.chunks_exact_mut(channels).zip(blocks) {
                    for (channel, out) in out.iter_mut().enumerate() {
                        let values = block.iter().skip(channel).step_by(channels);
                        *out += values.map(|&value| u64::from(value)).sum::<u64>();
                    }
                }
            }
        }
    }

    fn emit(&self, out: &mut [u8]) {
        if self.ratio == [2, 2] {
            for (out, &sum) in out.iter_mut().zip(&self.wide) {
                *out = ((sum + 2) >> 2) as u8;
            }
            return;
        }
        let inverse_area = 1.0 / (self.ratio[0] * self.ratio[1]) as f32;
        for (out, &sum) in out.iter_mut().zip(&self.wide) {
            *out = (sum as i64 as f32 * inverse_area).round_ties_even() as u8;
        }
    }
}

/// Adds a row to the column sums, or puts it there. Also compiled for AVX2.
#[expect(clippy::inline_always, reason = "else not compiled for AVX2")]
#[inline(always)]
pub(super) fn add_row(sums: &mut [u16], row: &[u8], is_first: bool) {
    if is_first {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = u16::from(value);
        }
    } else {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(u16::from(value));
        }
    }
}

fn fold<const CHANNELS: usize, const RATIO: usize>(sums: &[u16], wide: &mut [u64]) {
    let outputs = wide.as_chunks_mut::<CHANNELS>().0;
    let blocks = sums.as_chunks::<CHANNELS>().0.as_chunks::<RATIO>().0;
    for (out, block) in outputs.iter_mut().zip(blocks) {
        for channel in 0..CHANNELS {
            let mut sum = 0_u32;
            for pixel in block {
                sum += u32::from(pixel[channel]);
            }
            out[channel] += u64::from(sum);
        }
    }
}
