//! Estimates in whole numbers, for ratios that are fractions of small ones.
//!
//! At a ratio of `p / q` in lowest terms every weight along that axis is a whole number over `p`:
//! 512 -> 224 is 16/7, and a target row is made of 2, 7 and 7 sixteenths of three rows, or of 6, 7
//! and 3. Multiplied out, the sums are exact; only OpenCV's own floats can be on the wrong side of a
//! half. Over a power of two they cannot either: the floats are exact in any order, and nothing is in
//! doubt. In most shapes a picture comes in, such sums down the columns fit 16 bits.

use super::super::plan::{Axis, ColumnPlan, GROUP};
use super::cells::{Cell, FLOAT_ROUNDING};

/// Weighted sums down the columns at most: times 255 they fit 16 bits.
const MAX_SUM_DOWN: u32 = 257;

/// Weights of two rows at most: times 255 they fit 15 bits, as the multiplication down the columns
/// wants it.
const MAX_TWO_DOWN: u32 = 128;

/// Weighted sums along a row at most: times 2^15 they fit 31 bits.
const MAX_SUM_ALONG: u32 = 0x7FFF;

/// Weights in both directions at most for floats to be exact: times 255 they fit 24 bits.
const MAX_EXACT_SUM: u32 = 1 << 16;

/// Values to be summed again at most, as a part of all: with more, to sum all in order is as fast.
const MAX_DOUBTFUL: f64 = 1.0 / 64.0;

/// Sums of columns that may be read before the first; their values do not matter.
pub(super) const PAD: usize = 16;

/// Outputs handled at a time: numbers `i` and `i + 4` of these share a vector.
pub(super) const OUTPUTS: usize = 8;

/// Weights of two neighbouring taps of two outputs, four times each.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Taps(pub [[i16; 2]; 8]);

/// How sums in whole numbers become values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rounding {
    /// What sums down the columns begin with, so that they fit 16 bits with a sign.
    pub bias: i16,
    /// Whether a scaled sum is OpenCV's own, and not 65536 times a value that may be next to it.
    pub is_exact: bool,
    /// One over the sum of all weights, or 65536.
    pub scale: f32,
    /// What to add to a scaled sum: takes the bias away; if it is 65536 times a value, its upper half is
    /// rounded then.
    pub offset: f32,
    /// Lower halves below this are doubtful.
    pub doubt: i16,
}

/// All that is to know of a shape.
#[derive(Debug, Default)]
pub(super) struct Integers {
    /// For every cell the weights of its rows, two by two, of `pairs_down` pairs.
    down: Vec<[u8; 2]>,
    pairs_down: usize,
    /// For every pair of outputs the weights of the first two taps and the last two. An odd number of
    /// taps begins with one more, of no weight.
    pub along: Vec<[Taps; 2]>,
    /// The weight of all taps between.
    pub middle: i16,
    pub rounding: Rounding,
}

impl Integers {
    /// Plans images of a shape; false if the numbers are too large or too many values in doubt.
    pub fn fill(&mut self, axes: [&Axis; 2], cells: &[Cell], columns: &ColumnPlan) -> bool {
        let [sum_down, sum_along] = axes.map(smallest_sum);
        if sum_down > MAX_SUM_DOWN || sum_along > MAX_SUM_ALONG {
            return false;
        }
        let (Some(down), Some(along)) =
            (self.fill_down(cells, sum_down), self.fill_along(columns, sum_along))
        else {
            return false;
        };
        let all = sum_down * sum_along;
        let bias: i16 = if sum_down > MAX_TWO_DOWN { i16::MIN } else { 0 };
        let unbias = -f64::from(bias) / f64::from(sum_down);
        let weights = 255.0 * (down + along + down * along);
        if weights == 0.0 && all <= MAX_EXACT_SUM {
            // OpenCV's weights are these, multiples of `1 / all`, which must be a power of two. Each sum
            // is such a multiple, too, and a float holds it.
            let (scale, offset) = (1.0 / all as f32, unbias as f32);
            self.rounding = Rounding { bias, is_exact: true, scale, offset, doubt: 0 };
            return true;
        }
        let rows = cells.iter().map(Cell::rows).max().unwrap_or(0);
        // OpenCV's roundings, see `FLOAT_ROUNDING`, and six of the estimate: of the sum, the scale
        // and the offset as floats, of the scaled sum, and of that as a whole number.
        let error = weights + FLOAT_ROUNDING * (rows + columns.taps + 8 + 6) as f64;
        let margin = (error * 65536.0).ceil() + 1.0;
        let halves = if all.is_multiple_of(2) { 1.0 / f64::from(all) } else { 0.0 };
        if 2.0 * margin / 65536.0 + halves > MAX_DOUBTFUL {
            return false;
        }
        self.rounding = Rounding {
            bias,
            is_exact: false,
            scale: (65536.0 / f64::from(all)) as f32,
            offset: (32768.0 + margin + 65536.0 * unbias) as f32,
            doubt: (2.0 * margin) as i16,
        };
        true
    }

    /// The weights down the columns, which add up to `sum`. Returns how far the weights of a cell are
    /// from OpenCV's, all differences together; none if they do not fit.
    fn fill_down(&mut self, cells: &[Cell], sum: u32) -> Option<f64> {
        self.pairs_down = cells.iter().map(Cell::rows).max().unwrap_or(0).div_ceil(2);
        self.down.clear();
        let mut most = 0.0_f64;
        for cell in cells {
            let begin = self.down.len();
            self.down.resize(begin + self.pairs_down, [0; 2]);
            let pairs = &mut self.down[begin..];
            let mut error = 0.0;
            for (i, weight) in cell.weights().enumerate() {
                let (whole, off) = in_parts(weight, sum);
                pairs[i / 2][i % 2] = u8::try_from(whole).ok()?;
                error += off;
            }
            let two = |pair: &[u8; 2]| u32::from(pair[0]) + u32::from(pair[1]);
            let fits = pairs.iter().all(|pair| {
                two(pair) <= MAX_TWO_DOWN && pair.iter().all(|&weight| i8::try_from(weight).is_ok())
            });
            if !fits || pairs.iter().map(two).sum::<u32>() != sum {
                return None;
            }
            most = most.max(error);
        }
        Some(most)
    }

    /// [`Integers::fill_down`] along the rows.
    fn fill_along(&mut self, columns: &ColumnPlan, sum: u32) -> Option<f64> {
        let between = columns.taps.saturating_sub(3);
        let (middle, middle_off) = in_parts(columns.middle, sum);
        let parts = |output: usize| [0, 1, 2].map(|of| in_parts(columns.ends[of][output], sum));
        let mut most = 0.0_f64;
        for output in 0..columns.outputs {
            if columns.odd.iter().any(|(odd, _)| *odd == output) {
                continue;
            }
            let parts = parts(output);
            let whole: u32 = parts.iter().map(|(whole, _)| whole).sum();
            if whole + between as u32 * middle != sum {
                return None;
            }
            let off: f64 = parts.iter().map(|(_, off)| off).sum();
            most = most.max(off + between as f64 * middle_off);
        }
        self.middle = middle as i16;
        let middle = if between > 0 { self.middle } else { 0 };
        let is_odd = columns.taps % 2 == 1;
        let taps = |output: usize| {
            let [first, last_but_one, last] = parts(output).map(|(whole, _)| whole as i16);
            let begin = if is_odd { [0, first] } else { [first, middle] };
            [begin, [last_but_one, last]]
        };
        self.along.clear();
        for first in (0..columns.start.len()).step_by(OUTPUTS) {
            for left in first..first + OUTPUTS / 2 {
                let [left, right] = [left, left + OUTPUTS / 2].map(taps);
                let both = |of: usize| {
                    let (l, r) = (left[of], right[of]);
                    Taps([l, l, l, l, r, r, r, r])
                };
                self.along.push([both(0), both(1)]);
            }
        }
        const { assert!(GROUP.is_multiple_of(OUTPUTS)) };
        Some(most)
    }

    /// The weights of a cell's rows, two by two; a last row without another has one of 0.
    pub fn down(&self, cell: usize) -> &[[u8; 2]] {
        &self.down[cell * self.pairs_down..][..self.pairs_down]
    }
}

/// What all weights add up to when they are whole numbers without a common factor.
fn smallest_sum(axis: &Axis) -> u32 {
    let (mut divisor, mut rest) = (axis.source, axis.full);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    u32::try_from(axis.source / divisor).unwrap_or(u32::MAX)
}

/// A weight in parts of `1 / sum`, and how far it is from that.
fn in_parts(weight: f32, sum: u32) -> (u32, f64) {
    let weight = f64::from(weight);
    let whole = (weight * f64::from(sum)).round_ties_even();
    (whole as u32, (weight - whole / f64::from(sum)).abs())
}
