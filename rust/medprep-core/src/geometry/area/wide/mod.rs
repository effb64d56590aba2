//! `INTER_AREA` of 16-bit values when shrinking, by vectors: whole images in, whole images out.
//!
//! As with 8 bits, four source rows per pass and OpenCV's order of the float additions; every tap has a
//! weight of its own, so that no column is an exception.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocks;
mod plan;

use super::ROWS;
use super::plan::{Axis, RowPlan, RowStep};
use crate::cpu::Cpu;
use crate::geometry::placement::Placement;
use crate::{ImageU16, Result};
use plan::Columns;

/// Memory and plans, reused from image to image.
#[derive(Debug, Default)]
pub(in super::super) struct Scratch {
    axes: [Axis; 2],
    rows: RowPlan,
    columns: Columns,
    /// Grey: one value per output; RGB: four, the last unused.
    sums: Vec<f32>,
    /// Completed target rows, laid out as `sums`.
    emit: Vec<u16>,
    /// Copies of source rows behind which nothing may be read.
    padded: [Vec<u16>; ROWS],
    /// Column sums of whole-ratio blocks.
    blocks: Vec<u32>,
}

/// Four source rows on their way into the sums.
struct Pass<'a> {
    columns: &'a Columns,
    /// Each at least `columns.reach` long.
    rows: [&'a [u16]; ROWS],
    steps: [RowStep; ROWS],
    sums: &'a mut [f32],
    /// [`ROWS`] times as long as `sums`.
    emit: &'a mut [u16],
}

/// Shrinks by any ratio >= 1; false if it left the work to the definition: on the scalar path, and
/// for blocks whose sums round.
pub(in super::super) fn resize(
    src: &ImageU16,
    dst: &mut ImageU16,
    [rows, columns]: [Placement; 2],
    ratios: [Option<usize>; 2],
    scratch: &mut Scratch,
) -> Result<bool> {
    if Cpu::current()? == Cpu::Scalar {
        return Ok(false);
    }
    if let [Some(ratio_y), Some(ratio_x)] = ratios {
        let sums = &mut scratch.blocks;
        return Ok(blocks::resize(src, dst, [rows, columns], [ratio_y, ratio_x], sums));
    }
    let axis = |source, placement: Placement| Axis {
        source,
        full: placement.full,
        wanted: placement.wanted(),
    };
    scratch.plan([axis(src.height(), rows), axis(src.width(), columns)], src.channels());
    scratch.run(src, dst, [rows.at, columns.at]);
    Ok(true)
}

impl Scratch {
    /// Plans are kept while the shape stays.
    fn plan(&mut self, axes: [Axis; 2], channels: usize) {
        if self.axes != axes || self.columns.channels != channels {
            self.rows.fill(&axes[0]);
            self.columns.fill(&axes[1], channels);
            self.axes = axes;
            let len = self.columns.start.len() * if channels == 3 { 4 } else { 1 };
            self.sums.resize(len, 0.0);
            self.emit.resize(len * ROWS, 0);
        }
        self.sums.fill(0.0);
    }

    fn run(&mut self, src: &ImageU16, dst: &mut ImageU16, [top, left]: [usize; 2]) {
        let row_len = src.width() * src.channels();
        let len = self.columns.outputs * self.columns.channels;
        let mut target_row = top;
        for batch in (0..self.rows.steps.len()).step_by(ROWS) {
            let taken = (self.rows.steps.len() - batch).min(ROWS);
            let mut steps = [RowStep::default(); ROWS];
            steps[..taken].copy_from_slice(&self.rows.steps[batch..][..taken]);
            // Missing rows of the last pass: any row, with weight 0.
            let starts =
                [0, 1, 2, 3].map(|i: usize| (self.rows.first + batch + i.min(taken - 1)) * row_len);
            self.pass(src.data(), starts, row_len, steps);
            for emitted in 0..steps.iter().filter(|step| step.ends).count() {
                let from = &self.emit[emitted * self.sums.len()..][..self.sums.len()];
                let channels = self.columns.channels;
                let out = &mut dst.row_mut(target_row)[left * channels..][..len];
                copy_outputs(from, channels, out);
                target_row += 1;
            }
        }
    }

    /// The rows that begin at `starts` in `data`: a load may leave its row, but never the image.
    fn pass(&mut self, data: &[u16], starts: [usize; ROWS], len: usize, steps: [RowStep; ROWS]) {
        let reach = self.columns.reach;
        if starts.iter().any(|start| start + reach > data.len()) {
            for (padded, start) in self.padded.iter_mut().zip(starts) {
                padded.clear();
                padded.extend_from_slice(&data[start..][..len]);
                padded.resize(reach.max(len), 0);
            }
        }
        let mut rows = starts.map(|start| data.get(start..start + reach));
        for (row, padded) in rows.iter_mut().zip(&self.padded) {
            row.get_or_insert(padded);
        }
        let mut pass = Pass {
            columns: &self.columns,
            rows: rows.map(|row| row.expect("just put in")),
            steps,
            sums: &mut self.sums,
            emit: &mut self.emit,
        };
        // The kernels read and write without further checks.
        assert!(pass.rows.iter().all(|row| row.len() >= reach));
        assert!(pass.columns.holds_whole_groups() && pass.emit.len() >= ROWS * pass.sums.len());
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every vector path includes AVX2 and FMA; the lengths are checked above.
        unsafe {
            avx2::add_rows(&mut pass);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("refused by `resize`: {:?}", (pass.steps, pass.sums, pass.emit));
    }
}

/// RGB: drops the fourth value of every pixel.
fn copy_outputs(from: &[u16], channels: usize, out: &mut [u16]) {
    if channels == 1 {
        out.copy_from_slice(&from[..out.len()]);
    } else {
        for (out, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<4>().0) {
            *out = [from[0], from[1], from[2]];
        }
    }
}
