//! The vector path of the bilinear resize: the same sums, with lines in 16 bits.
//!
//! A line holds H >> 4, all that the vertical pass takes of a horizontal sum H. Values of one and of
//! three channels are alike: each needs a byte and the one `channels` further.

use super::super::placement::Placement;
use super::lines::Lines;
use super::{Tap, avx2};
use crate::ImageU8;

/// Values are handled in blocks of this many.
pub(super) const BLOCK: usize = 16;

/// A lane: the values whose bytes come from one 16-byte register.
const LANE: usize = 4;

/// Bytes of a row below which loads would leave it.
const SHORTEST_ROW: usize = 16;

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    columns: Columns,
    /// What `columns` was made from.
    taps: Vec<Tap>,
    shape: [usize; 2],
    lines: Lines<i16>,
}

/// How the values of a line are made; every array is padded to whole blocks.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Loads per lane, each of 16 / `parts` bytes.
    pub parts: usize,
    /// For each lane where its loads begin in the row.
    pub starts: Vec<u32>,
    /// Bytes of a row that the loads need.
    reach: usize,
    /// For each value the bytes of its lane it is made of, each followed by 0x80 for a zero.
    pub index: Vec<[u8; 4]>,
    /// For each value its two weights.
    pub weights: Vec<[i16; 2]>,
}

/// Whether loads stay within such rows, and two neighbours are there for every value.
pub(super) fn applies(width: usize, channels: usize) -> bool {
    width >= 2 && width * channels >= SHORTEST_ROW
}

pub(super) fn resize(
    src: &ImageU8,
    dst: &mut ImageU8,
    [rows, columns]: [Placement; 2],
    [row_taps, column_taps]: [&[Tap]; 2],
    scratch: &mut Scratch,
) {
    let channels = src.channels();
    let len = columns.count * channels;
    scratch.plan(column_taps, [src.width(), channels]);
    scratch.lines.restart(scratch.columns.weights.len());
    for (i, tap) in row_taps.iter().enumerate() {
        let lines = scratch.lines.of(tap.sources, |source, line| {
            scratch.columns.resize_row(src.row(source), line);
        });
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..][..len];
        let weights = tap.weights.map(|weight| weight as i16);
        assert!(lines.iter().all(|line| line.len() >= len.next_multiple_of(BLOCK)));
        // SAFETY: every vector path includes AVX2; the lines are whole blocks.
        unsafe { avx2::blend(lines, weights, out) }
    }
}

impl Scratch {
    /// Plans are kept while the shape stays.
    fn plan(&mut self, taps: &[Tap], [width, channels]: [usize; 2]) {
        if self.shape != [width, channels] || self.taps != taps {
            self.columns.fill(taps, channels, width * channels);
            self.taps.clear();
            self.taps.extend_from_slice(taps);
            self.shape = [width, channels];
        }
    }
}

impl Columns {
    fn fill(&mut self, taps: &[Tap], channels: usize, row_len: usize) {
        let values = (taps.len() * channels).next_multiple_of(BLOCK);
        let last = taps.len() * channels - 1;
        // The pixel a value begins in and its weights. At the right border both pixels are the last
        // one: taken as the second of two neighbours.
        let value = |at: usize| {
            let Tap { sources, weights } = taps[at.min(last) / channels];
            let [left, right] = weights.map(|weight| weight as i16);
            if sources[0] == sources[1] {
                (sources[0] - 1, [0, left + right])
            } else {
                (sources[0], [left, right])
            }
        };
        self.weights.clear();
        self.weights.extend((0..values).map(|at| value(at).1));
        let first_byte = |at: usize| [value(at).0 * channels, at.min(last) % channels];
        let wide = if channels == 1 { 4 } else { 2 };
        if !self.fill_loads(1, values, channels, row_len, first_byte) {
            let fits = self.fill_loads(wide, values, channels, row_len, first_byte);
            assert!(fits, "a lane is of four pixels of 2 bytes or of two pixels of 6");
        }
    }

    /// False if the bytes of some lane do not fit `parts` loads. `first_byte`: where the pixel of a
    /// value begins, and its channel.
    fn fill_loads(
        &mut self,
        parts: usize,
        values: usize,
        channels: usize,
        row_len: usize,
        first_byte: impl Fn(usize) -> [usize; 2],
    ) -> bool {
        let bytes = 16 / parts;
        self.parts = parts;
        self.starts.clear();
        self.index.clear();
        for lane in (0..values).step_by(LANE) {
            let mut part = 0;
            let mut start = first_byte(lane)[0].min(row_len - bytes);
            self.starts.push(start as u32);
            for at in lane..lane + LANE {
                let [pixel, channel] = first_byte(at);
                if pixel + 2 * channels > start + bytes {
                    part += 1;
                    start = pixel.min(row_len - bytes);
                    self.starts.push(start as u32);
                }
                if part == parts {
                    return false;
                }
                let index = (part * bytes + pixel - start + channel) as u8;
                self.index.push([index, 0x80, index + channels as u8, 0x80]);
            }
            // Loads that a lane does not need: any.
            self.starts.extend((part + 1..parts).map(|_| start as u32));
        }
        self.reach = self.starts.iter().map(|start| *start as usize + bytes).max().unwrap_or(0);
        true
    }

    fn resize_row(&self, row: &[u8], line: &mut [i16]) {
        let lanes = self.weights.len() / LANE;
        assert!(self.starts.len() == lanes * self.parts && self.index.len() == lanes * LANE);
        assert!(line.len() == self.weights.len() && line.len().is_multiple_of(BLOCK));
        assert!(self.reach <= row.len());
        // SAFETY: every vector path includes AVX2; the arrays fit each other and the row (above).
        unsafe { avx2::resize_row(self, row, line) }
    }
}
