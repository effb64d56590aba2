//! RGB by estimates: a filter, in the sense of filtered predicates in exact geometry.
//!
//! What is wanted is OpenCV's sum of floats rounded to 8 bits, and that needs the sum itself only
//! where it lies next to a half. So each value is estimated first, in whichever order and arithmetic
//! is fast, with a proved bound of the error: in whole numbers where the ratios allow it
//! ([`integers`]), else down the columns in 16-bit integers and along the rows in floats ([`floats`]).
//! An estimate further than the bound from the nearest half rounds to OpenCV's value. The few others
//! are summed again in OpenCV's order.
//!
//! J. R. Shewchuk, "Adaptive precision floating-point arithmetic and fast robust geometric predicates",
//! Discrete & Computational Geometry 18 (1997), has the idea.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod cells;
mod floats;
mod integers;

use super::plan::{Axis, ColumnPlan, GROUP};
use cells::{Cell, MAX_ROWS, Plan, VECTOR};
use floats::Floats;
use integers::{Integers, PAD};

/// Bytes of the source rows of one target row, of which copies are held between two bands.
const MAX_CELL_BYTES: usize = 1 << 20;

/// Shrinks RGB images row by row.
#[derive(Debug, Default)]
pub(super) struct Filtered {
    plan: Plan,
    /// How this shape is estimated.
    is_whole: bool,
    integers: Integers,
    floats: Floats,
    row_len: usize,
    /// Source rows received so far.
    received: usize,
    /// Copies of the last rows received, of which target rows still to come are made.
    held: Vec<u8>,
    /// The sums of a chunk's columns, for estimates in floats.
    sums: Vec<f32>,
    /// The same for integers.
    whole_sums: Vec<i16>,
    /// A target row and some bytes more.
    emit: Vec<u8>,
    /// Outputs to be summed again.
    doubtful: Vec<u32>,
    /// Ends of the rows of a cell, padded.
    tails: Vec<u8>,
}

/// The rows of a cell, as the kernels take them.
struct Rows<'a> {
    all: &'a [&'a [u8]],
    cell: &'a Cell,
}

impl<'a> Rows<'a> {
    fn whole(&self) -> &'a [&'a [u8]] {
        let first = usize::from(self.cell.top.weight > 0.0);
        &self.all[first..][..self.cell.whole]
    }

    /// The rows of the edges and their parts; any row where there is no edge.
    fn edges(&self) -> [(&'a [u8], u16); 2] {
        let Self { all, cell } = self;
        [(all[0], cell.top.part), (all[all.len() - 1], cell.bottom.part)]
    }
}

impl Filtered {
    /// Plans images of this shape; false if they are not for estimates.
    pub fn plan(&mut self, axes: [&Axis; 2], columns: &ColumnPlan) -> bool {
        let row_len = axes[1].source * columns.channels;
        if columns.channels != 3 || !self.plan.fill(axes[0], columns, row_len) {
            return false;
        }
        let most_rows = self.plan.cells.iter().map(Cell::rows).max().unwrap_or(0);
        if most_rows * row_len > MAX_CELL_BYTES {
            return false;
        }
        self.is_whole = self.integers.fill(axes, &self.plan.cells, columns);
        if !self.is_whole && !self.floats.fill(axes, &self.plan.cells, columns) {
            return false;
        }
        self.row_len = row_len;
        self.make_room(columns);
        true
    }

    fn make_room(&mut self, columns: &ColumnPlan) {
        let outputs = columns.start.len();
        self.emit.clear();
        self.emit.resize(3 * outputs + 4, 0);
        self.doubtful.clear();
        self.doubtful.resize(outputs + 1, 0);
        let vectors = self.plan.chunks.iter().map(|chunk| chunk.vectors).max().unwrap_or(0);
        // Outputs read `taps` pixels from their start, and some values more.
        let len = vectors * VECTOR + 3 * columns.taps + 2;
        self.sums.clear();
        self.whole_sums.clear();
        if self.is_whole {
            self.whole_sums.resize(PAD + len, 0);
        } else {
            self.sums.resize(len, 0.0);
        }
    }

    /// Begins an image of the planned shape.
    pub fn restart(&mut self) {
        self.received = 0;
        self.held.clear();
    }

    /// See [`super::AreaResizer::push_rows`].
    pub fn push_rows(
        &mut self,
        columns: &ColumnPlan,
        rows: &[u8],
        stride: usize,
        dst: &mut [u8],
        dst_stride: usize,
        finished: &mut usize,
    ) {
        let (begin, row_len) = (self.received, self.row_len);
        let count = (rows.len() + stride - row_len) / stride;
        let end = begin + count;
        let row = |y: usize| &rows[(y - begin) * stride..][..row_len];
        let held = std::mem::take(&mut self.held);
        let first_held = begin - held.len() / row_len;
        let len = columns.outputs * columns.channels;
        let mut all: [&[u8]; MAX_ROWS] = [&[]; MAX_ROWS];
        while let Some(&cell) = self.plan.cells.get(*finished) {
            let last = cell.first + cell.rows();
            if last > end {
                break;
            }
            for (place, y) in all.iter_mut().zip(cell.first..last) {
                *place = match y.checked_sub(first_held) {
                    Some(at) if y < begin => &held[at * row_len..][..row_len],
                    _ => row(y),
                };
            }
            let rows = Rows { all: &all[..cell.rows()], cell: &cell };
            let out = &mut dst[*finished * dst_stride..][..len];
            self.make_row(columns, &rows, *finished, out);
            *finished += 1;
        }
        self.held = held;
        let needed = self.plan.cells.get(*finished).map_or(end, |cell| cell.first.min(end));
        let dropped = (needed.max(first_held) - first_held) * row_len;
        self.held.drain(..dropped.min(self.held.len()));
        for y in needed.max(begin)..end {
            self.held.extend_from_slice(row(y));
        }
        self.received = end;
    }

    /// Makes one target row.
    fn make_row(&mut self, columns: &ColumnPlan, rows: &Rows<'_>, target: usize, out: &mut [u8]) {
        let doubts = if self.is_whole {
            self.estimate_whole(columns, rows, target)
        } else {
            self.estimate(columns, rows)
        };
        if doubts > 0 {
            self.settle(columns, rows, doubts);
        }
        out.copy_from_slice(&self.emit[..out.len()]);
        for (output, weights) in &columns.odd {
            let start = columns.start[*output] as usize;
            for channel in 0..3 {
                out[3 * output + channel] = sum_in_order(rows, start + channel, weights);
            }
        }
    }

    /// Estimates a target row in integers. Returns how many of its outputs are doubtful.
    fn estimate_whole(&mut self, columns: &ColumnPlan, rows: &Rows<'_>, target: usize) -> usize {
        let mut doubts = 0;
        #[cfg(target_arch = "x86_64")]
        for chunk in &self.plan.chunks {
            let integers = &self.integers;
            let weights = integers.down(target);
            // SAFETY: every vector path includes AVX2 and FMA, and `start` found it available. The
            // rows are `row_len` long, for which the chunks were planned, and so were the lists
            // (`plan`).
            unsafe {
                let (bias, sums) = (integers.rounding.bias, &mut self.whole_sums);
                avx2::sum_whole_down(rows.all, weights, bias, chunk, sums);
                let doubtful = &mut self.doubtful[doubts..];
                doubts +=
                    avx2::sum_whole_along(columns, chunk, sums, integers, &mut self.emit, doubtful);
            }
        }
        doubts
    }

    /// [`Filtered::estimate_whole`] in floats.
    fn estimate(&mut self, columns: &ColumnPlan, rows: &Rows<'_>) -> usize {
        let mut doubts = 0;
        #[cfg(target_arch = "x86_64")]
        for chunk in &self.plan.chunks {
            // SAFETY: as in `estimate_whole`.
            unsafe {
                avx2::sum_down(rows, chunk, &mut self.sums);
                doubts += avx2::sum_along(
                    columns,
                    chunk,
                    &self.sums,
                    &self.floats.weights,
                    self.floats.rounding(rows.cell),
                    &mut self.emit,
                    &mut self.doubtful[doubts..],
                );
            }
        }
        doubts
    }

    /// Sums the doubtful outputs again, as OpenCV does.
    fn settle(&mut self, columns: &ColumnPlan, rows: &Rows<'_>, doubts: usize) {
        let doubtful = &self.doubtful[..doubts];
        let inside = columns.reach.partition_point(|&reach| reach <= self.row_len);
        let is_inside = |&output: &u32| (output as usize) < inside * GROUP;
        let (inner, outer) = doubtful.split_at(doubtful.partition_point(is_inside));
        let mut weights = [0.0; MAX_ROWS];
        for (place, weight) in weights.iter_mut().zip(rows.cell.weights()) {
            *place = weight;
        }
        let weights = &weights[..rows.all.len()];
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `estimate_whole`; loads for the inner outputs end inside the rows.
        unsafe {
            avx2::sum_in_order(columns, rows.all, 0, weights, inner, &mut self.emit);
        }
        if outer.is_empty() {
            return;
        }
        // The last loads would leave the rows: from padded copies.
        let base = columns.start[inside * GROUP] as usize;
        let len = columns.reach[columns.reach.len() - 1] - base;
        self.tails.clear();
        for (i, row) in rows.all.iter().enumerate() {
            self.tails.extend_from_slice(&row[base..]);
            self.tails.resize((i + 1) * len, 0);
        }
        let mut tails: [&[u8]; MAX_ROWS] = [&[]; MAX_ROWS];
        for (place, tail) in tails.iter_mut().zip(self.tails.chunks_exact(len)) {
            *place = tail;
        }
        let tails = &tails[..rows.all.len()];
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; the copies hold all loads from `base` on.
        unsafe {
            avx2::sum_in_order(columns, tails, base, weights, outer, &mut self.emit);
        }
    }
}

/// One value of one output with its own weights along the row, in OpenCV's order.
fn sum_in_order(rows: &Rows<'_>, start: usize, weights: &[f32]) -> u8 {
    let along = |row: &[u8]| {
        let values = row[start..].iter().step_by(3);
        values.zip(weights).fold(0.0, |sum: f32, (&value, weight)| sum + f32::from(value) * weight)
    };
    let parts = rows.all.iter().zip(rows.cell.weights()).map(|(row, weight)| weight * along(row));
    parts.fold(0.0, |sum: f32, part| sum + part).round_ties_even() as u8
}
