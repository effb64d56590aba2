//! Estimates in floats along the rows, of sums down the columns in 16-bit integers: for all ratios.

use super::super::plan::{Axis, ColumnPlan};
use super::cells::{Cell, Edge, FLOAT_ROUNDING};

/// Source pixels per target pixel at least: with fewer, to sum in order is as fast.
const MIN_SHRINKING: f64 = 5.0;

/// With more than this every tenth value would have to be summed again.
const MAX_ERROR: f64 = 0.05;

/// The weights of two outputs, four times each.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Eight(pub [f32; 8]);

/// All that is to know of a shape.
#[derive(Debug, Default)]
pub(super) struct Floats {
    /// For each pair of outputs the weights of the first tap, the last but one and the last.
    pub weights: Vec<[Eight; 3]>,
    /// How far an estimate may be from OpenCV's sum, in 1/65536.
    margin: i32,
}

/// How the sums of a target row become values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounding {
    /// The weight of a whole row.
    pub weight: f32,
    /// What to add to 65536 times a value, so that its upper half is rounded.
    pub offset: f32,
    /// Lower halves below this are doubtful.
    pub doubt: i32,
}

impl Floats {
    /// Plans images of a shape; false if estimates would be no use.
    pub fn fill(&mut self, axes: [&Axis; 2], cells: &[Cell], columns: &ColumnPlan) -> bool {
        if axes[0].scale() * axes[1].scale() < MIN_SHRINKING {
            return false;
        }
        self.fill_weights(columns);
        let error = error(cells, columns);
        self.margin = (error * 65536.0).ceil() as i32 + 1;
        error < MAX_ERROR
    }

    fn fill_weights(&mut self, columns: &ColumnPlan) {
        let pairs = [0, 1, 2].map(|of| columns.ends[of].as_chunks::<2>().0);
        self.weights.clear();
        self.weights.extend((0..pairs[0].len()).map(|pair| {
            pairs.map(|of| {
                let [left, right] = of[pair];
                Eight([left, left, left, left, right, right, right, right])
            })
        }));
    }

    pub fn rounding(&self, cell: &Cell) -> Rounding {
        let offset = (65536.0 * f64::from(cell.weight) * offset(cell)) as f32;
        Rounding {
            weight: cell.weight,
            offset: 32768.0 + self.margin as f32 + offset,
            doubt: 2 * self.margin,
        }
    }
}

/// How far an estimate may be from OpenCV's sum.
///
/// Both have fewer than rows + columns + 8 roundings of floats one after the other.
fn error(cells: &[Cell], columns: &ColumnPlan) -> f64 {
    let rows = cells.iter().map(Cell::rows).max().unwrap_or(0);
    let floats = 2.0 * FLOAT_ROUNDING * (rows + columns.taps + 8) as f64;
    let parts = |cell: &Cell| f64::from(cell.weight) * error_down(cell);
    // The weights along a row add up to 1, or 1/1000 of a pixel less.
    1.002 * cells.iter().map(parts).fold(0.0, f64::max) + floats
}

/// By how much the parts are smaller than the weights, all rows together and a whole row counting
/// 1, and the sum of the differences without their signs.
fn part_errors(cell: &Cell) -> [f64; 2] {
    let error = |edge: Edge| {
        f64::from(edge.weight) / f64::from(cell.weight) - f64::from(edge.part) / 65536.0
    };
    let (top, bottom) = (error(cell.top), error(cell.bottom));
    [top + bottom, top.abs() + bottom.abs()]
}

/// How far a sum over the rows may be off, once its [`offset`] is added.
fn error_down(cell: &Cell) -> f64 {
    PART_ROUNDING + MIDDLE * part_errors(cell)[1]
}

/// What to add to a sum over the rows so that it may be too small by as much as too large: as if
/// all values were in the middle of their range.
fn offset(cell: &Cell) -> f64 {
    MIDDLE * part_errors(cell)[0] - PART_OFFSET
}

/// Half the largest value.
const MIDDLE: f64 = 127.5;

/// Sums over the parts of two rows, in 1/128, see [`super::avx2`]: two products rounded down to
/// 1/256 and their mean rounded up, so they are off by more than -1 and at most +1/2.
const PART_OFFSET: f64 = -0.25 / 128.0;
const PART_ROUNDING: f64 = 0.75 / 128.0;
