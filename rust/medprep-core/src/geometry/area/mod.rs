//! `INTER_AREA` when shrinking: the definition (`scalar`) and the vector kernels, which are fed with
//! bands of rows as a decoder makes them.
//!
//! One pass handles four source rows: horizontal sums in registers, added at once to the float
//! sums of the target row under way, which are as long as one target row. The order of the float
//! additions is OpenCV's: along the row from the left, then down the rows. RGB that shrinks much has
//! a faster way ([`filtered`]), which needs this order only for few values.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod filtered;
mod plan;
pub(super) mod scalar;
pub(super) mod wide;

use std::ops::Range;

pub use plan::Axis;
use plan::{ColumnPlan, GROUP, RowPlan, RowStep};

use crate::cpu::Cpu;

/// Source rows per pass: the weights loaded for one row serve the others.
const ROWS: usize = 4;

/// Up to four source rows on their way into the sums, for some groups of outputs.
struct Pass<'a> {
    plan: &'a ColumnPlan,
    /// Each at least `reach` of the last group minus `base` long.
    rows: [&'a [u8]; ROWS],
    steps: [RowStep; ROWS],
    groups: Range<usize>,
    /// Where `rows` begin in the real rows.
    base: usize,
    /// Grey: one value per output; RGB: four, the last unused.
    sums: &'a mut [f32],
    /// Completed target rows, laid out as `sums`.
    emit: &'a mut [u8],
    emit_stride: usize,
}

/// Adds the rows of a pass.
///
/// # Safety
/// The CPU must have the instructions of the path the function belongs to.
type AddRows = unsafe fn(&mut Pass<'_>);

fn kernel(cpu: Cpu) -> AddRows {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => avx2::add_rows,
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 | Cpu::Avx512Vbmi => avx512::add_rows,
        _ => unreachable!("refused by `start`"),
    }
}

/// How an image is shrunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    /// Whole ratios: integer sums.
    Blocks,
    /// By estimates, and in order where these do not suffice.
    Filtered,
    /// All sums of floats in order.
    #[default]
    InOrder,
}

/// Shrinks 8-bit images of 1 or 3 channels, row by row; reused from image to image.
///
/// ```text
/// resizer.start(cpu, rows, columns, channels);
/// for band in decoder { resizer.push_rows(band, stride, &mut target[..], target_stride); }
/// ```
#[derive(Debug, Default)]
pub struct AreaResizer {
    cpu: Option<Cpu>,
    source: (usize, usize, usize),
    axes: [Axis; 2],
    rows: RowPlan,
    columns: ColumnPlan,
    blocks: block::Blocks,
    filtered: filtered::Filtered,
    way: Way,
    sums: Vec<f32>,
    odd_sums: Vec<f32>,
    emit: Vec<u8>,
    tails: [Vec<u8>; ROWS],
    next_source_row: usize,
    finished: usize,
}

impl AreaResizer {
    /// Whether these axes are for the area mean at all: OpenCV enlarges by another formula.
    pub fn applies(rows: &Axis, columns: &Axis) -> bool {
        rows.scale() >= 1.0 && columns.scale() >= 1.0
    }

    /// Begins an image; plans are kept when the shape is that of the last one.
    ///
    /// # Panics
    /// If the path is not a vector path of this CPU, an axis is empty or enlarges, or channels are neither 1 nor 3.
    pub fn start(&mut self, cpu: Cpu, rows: &Axis, columns: &Axis, channels: usize) {
        cpu.assert_vector();
        assert!(channels == 1 || channels == 3, "grey or RGB, got {channels} channels");
        for axis in [rows, columns] {
            assert!(axis.source > 0 && axis.wanted.end <= axis.full, "axes are checked before");
        }
        assert!(Self::applies(rows, columns), "enlarging is bilinear");
        let source = (rows.source, columns.source, channels);
        let is_same = self.cpu == Some(cpu)
            && self.source == source
            && self.axes[0] == *rows
            && self.axes[1] == *columns;
        if !is_same {
            self.cpu = Some(cpu);
            self.source = source;
            self.axes[0].clone_from(rows);
            self.axes[1].clone_from(columns);
            let ratios = [rows.whole_ratio(), columns.whole_ratio()];
            self.way = if let [Some(ratio_y), Some(ratio_x)] = ratios {
                self.blocks.plan([rows, columns], [ratio_y, ratio_x], channels);
                Way::Blocks
            } else {
                self.plan(rows, columns, channels)
            };
        }
        self.blocks.restart();
        self.filtered.restart();
        self.sums.fill(0.0);
        self.odd_sums.fill(0.0);
        self.next_source_row = 0;
        self.finished = 0;
    }

    fn plan(&mut self, rows: &Axis, columns: &Axis, channels: usize) -> Way {
        self.columns.fill(columns, channels);
        // With AVX-512 sums in order take half as long, and nobody has compared there yet.
        if self.cpu == Some(Cpu::Avx2) && self.filtered.plan([rows, columns], &self.columns) {
            return Way::Filtered;
        }
        self.rows.fill(rows);
        let lanes = if channels == 3 { 4 } else { 1 };
        let len = self.columns.start.len() * lanes;
        self.sums.clear();
        self.sums.resize(len, 0.0);
        self.odd_sums.clear();
        self.odd_sums.resize(self.columns.odd.len() * channels, 0.0);
        self.emit.clear();
        self.emit.resize(len * ROWS, 0);
        Way::InOrder
    }

    /// Target rows finished so far.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Takes the next source rows (`stride` bytes apart, whole rows) and writes the target rows
    /// they complete at their place in `dst`, whose rows are `dst_stride` bytes apart.
    ///
    /// # Panics
    /// If the slices do not hold whole rows, or `dst` is too small.
    pub fn push_rows(&mut self, rows: &[u8], stride: usize, dst: &mut [u8], dst_stride: usize) {
        let row_len = self.source.1 * self.source.2;
        assert!(stride >= row_len, "a row is {row_len} bytes, the stride {stride}");
        let count = (rows.len() + stride - row_len) / stride;
        match self.way {
            Way::Blocks => {
                for row in 0..count {
                    let row = &rows[row * stride..][..row_len];
                    self.blocks.push_row(row, dst, dst_stride, &mut self.finished);
                }
            }
            Way::Filtered => {
                let Self { filtered, columns, finished, .. } = self;
                filtered.push_rows(columns, rows, stride, dst, dst_stride, finished);
            }
            Way::InOrder => self.push_in_order(rows, stride, dst, dst_stride),
        }
    }

    /// [`AreaResizer::push_rows`] for sums of floats in order.
    fn push_in_order(&mut self, rows: &[u8], stride: usize, dst: &mut [u8], dst_stride: usize) {
        let row_len = self.source.1 * self.source.2;
        let count = (rows.len() + stride - row_len) / stride;
        let mut at = self.next_source_row;
        let end = at + count;
        let source_row = |y: usize, begin: usize| &rows[(y - begin) * stride..][..row_len];
        let begin = at;
        self.next_source_row = end;
        at = at.max(self.rows.first);
        let end = end.min(self.rows.first + self.rows.steps.len());
        while at < end {
            let taken = (end - at).min(ROWS);
            // Missing rows of the last pass: any row, with weight 0.
            let batch = [0, 1, 2, 3].map(|i| source_row(at + i.min(taken - 1), begin));
            let mut steps = [RowStep::default(); ROWS];
            steps[..taken].copy_from_slice(&self.rows.steps[at - self.rows.first..][..taken]);
            self.pass(batch, steps);
            self.emit_rows(batch, steps, dst, dst_stride);
            at += taken;
        }
    }

    /// All groups: the last ones, whose loads would leave the row, from padded copies.
    fn pass(&mut self, rows: [&[u8]; ROWS], steps: [RowStep; ROWS]) {
        let row_len = rows[0].len();
        let groups = self.columns.reach.len();
        let inside = self.columns.reach.partition_point(|&reach| reach <= row_len);
        let add_rows = kernel(self.cpu.expect("start comes first"));
        let emit_stride = self.sums.len();
        let mut run = |rows: [&[u8]; ROWS], groups: Range<usize>, base: usize| {
            if groups.is_empty() {
                return;
            }
            // The kernels read without further checks.
            assert!(rows.iter().all(|row| row.len() + base >= self.columns.reach[groups.end - 1]));
            let mut pass = Pass {
                plan: &self.columns,
                rows,
                steps,
                groups,
                base,
                sums: &mut self.sums,
                emit: &mut self.emit,
                emit_stride,
            };
            // SAFETY: `start` found the path available; the rows reach far enough (above); the
            // plan's arrays, `sums` and `emit` hold whole groups (`plan`).
            unsafe { add_rows(&mut pass) }
        };
        run(rows, 0..inside, 0);
        if inside < groups {
            let base = self.columns.start[inside * GROUP] as usize;
            let reach = self.columns.reach[groups - 1];
            for (tail, row) in self.tails.iter_mut().zip(rows) {
                tail.clear();
                tail.extend_from_slice(&row[base..]);
                tail.resize(reach - base, 0);
            }
            let [a, b, c, d] = &self.tails;
            run([a, b, c, d], inside..groups, base);
        }
    }

    /// Copies completed target rows out, with the odd columns put in.
    fn emit_rows(
        &mut self,
        rows: [&[u8]; ROWS],
        steps: [RowStep; ROWS],
        dst: &mut [u8],
        dst_stride: usize,
    ) {
        let (outputs, channels) = (self.columns.outputs, self.columns.channels);
        let mut emitted = 0;
        for (row, step) in rows.iter().zip(steps) {
            if step.ends {
                let from = &self.emit[emitted * self.sums.len()..];
                let out = &mut dst[self.finished * dst_stride..][..outputs * channels];
                if channels == 1 {
                    out.copy_from_slice(&from[..outputs]);
                } else {
                    pack_pixels(&from[..outputs * 4], out);
                }
                emitted += 1;
            }
            for (i, (output, weights)) in self.columns.odd.iter().enumerate() {
                let start = self.columns.start[*output] as usize;
                for channel in 0..channels {
                    let sum = &mut self.odd_sums[i * channels + channel];
                    let values = row[start + channel..].iter().step_by(channels);
                    let value =
                        values.zip(weights).fold(0.0, |sum: f32, (&v, w)| sum + f32::from(v) * w);
                    *sum += step.weight * value;
                    if step.ends {
                        dst[self.finished * dst_stride + output * channels + channel] =
                            sum.round_ties_even() as u8;
                        *sum = step.next * value;
                    }
                }
            }
            self.finished += usize::from(step.ends);
        }
    }
}

/// Drops the fourth byte of every pixel.
fn pack_pixels(from: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every vector path includes AVX2 and FMA, and `start` found it available.
    unsafe {
        avx2::pack_pixels(from, out);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, out);
}
