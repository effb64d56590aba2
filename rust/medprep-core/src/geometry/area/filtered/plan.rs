//! Which source rows make a target row, in the arithmetic of the estimate, and how wrong it may be.

use super::super::plan::{Axis, ColumnPlan, GROUP};

/// Source rows of a target row at most. The sums over whole rows fit 15 bits.
pub(super) const MAX_ROWS: usize = 64;

/// Columns summed down at a time.
pub(super) const VECTOR: usize = 64;

/// Columns summed down before they are summed along: their sums stay in the first cache.
const CHUNK_COLUMNS: usize = 1536;

/// A row of which a target row takes a part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Edge {
    /// Its weight in OpenCV's sum; 0 if there is none.
    pub weight: f32,
    /// The same in 1/65536 of a whole row's weight.
    pub part: u16,
}

/// The source rows of a target row: perhaps a part of one, whole ones, perhaps a part of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub first: usize,
    pub top: Edge,
    pub whole: usize,
    pub bottom: Edge,
    /// The weight of every whole row.
    pub weight: f32,
}

impl Cell {
    /// Of the rows `first..first + weights.len()` with these weights in OpenCV's sum.
    ///
    /// None unless all but the outermost have the weight `whole`, and these not more.
    fn new(first: usize, weights: &[f32], whole: f32) -> Option<Self> {
        let mut cell =
            Self { first, top: Edge::default(), whole: 0, bottom: Edge::default(), weight: whole };
        for (i, &weight) in weights.iter().enumerate() {
            if weight.to_bits() == whole.to_bits() {
                cell.whole += 1;
                continue;
            }
            let part = (f64::from(weight) / f64::from(whole) * 65536.0).round_ties_even();
            let edge = Edge { weight, part: part.min(65535.0) as u16 };
            match i {
                _ if weight > whole => return None,
                0 => cell.top = edge,
                _ if i + 1 == weights.len() => cell.bottom = edge,
                _ => return None,
            }
        }
        (weights.len() <= MAX_ROWS).then_some(cell)
    }

    /// How many source rows there are.
    pub fn rows(&self) -> usize {
        usize::from(self.top.weight > 0.0) + self.whole + usize::from(self.bottom.weight > 0.0)
    }

    /// Their weights in OpenCV's sum, from the top.
    pub fn weights(&self) -> impl Iterator<Item = f32> {
        let edge = |edge: Edge| (edge.weight > 0.0).then_some(edge.weight);
        let whole = std::iter::repeat_n(self.weight, self.whole);
        edge(self.top).into_iter().chain(whole).chain(edge(self.bottom))
    }

    /// By how much the parts are smaller than the weights, all rows together and a whole row counting
    /// 1, and the sum of the differences without their signs.
    fn part_errors(&self) -> [f64; 2] {
        let error = |edge: Edge| {
            f64::from(edge.weight) / f64::from(self.weight) - f64::from(edge.part) / 65536.0
        };
        let (top, bottom) = (error(self.top), error(self.bottom));
        [top + bottom, top.abs() + bottom.abs()]
    }

    /// How far a sum over the rows may be off, once its [`Cell::offset`] is added.
    fn error(&self) -> f64 {
        PART_ROUNDING + MIDDLE * self.part_errors()[1]
    }

    /// What to add to a sum over the rows so that it may be too small by as much as too large: as if
    /// all values were in the middle of their range.
    fn offset(&self) -> f64 {
        MIDDLE * self.part_errors()[0] - PART_OFFSET
    }
}

/// Half the largest value.
const MIDDLE: f64 = 127.5;

/// Sums over the parts of two rows, in 1/128, see [`super::avx2`]: two products rounded down to
/// 1/256 and their mean rounded up, so they are off by more than -1 and at most +1/2.
const PART_OFFSET: f64 = -0.25 / 128.0;
const PART_ROUNDING: f64 = 0.75 / 128.0;

/// Some groups of outputs and the columns they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub groups: std::ops::Range<usize>,
    /// The first column summed.
    pub from: usize,
    /// How many vectors of columns; the last may reach back to end with the row.
    pub vectors: usize,
}

/// All an estimate needs to know of the shapes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One for each target row.
    pub cells: Vec<Cell>,
    pub chunks: Vec<Chunk>,
    /// For each pair of outputs the weights of the first tap, the last but one and the last.
    pub weights: Vec<[Eight; 3]>,
    /// How far an estimate may be from OpenCV's sum, in 1/65536.
    margin: i32,
}

/// The weights of two outputs, four times each.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Eight(pub [f32; 8]);

impl Plan {
    /// Plans an image; false if estimates would be no use.
    pub fn fill(
        &mut self,
        [rows, columns_axis]: [&Axis; 2],
        columns: &ColumnPlan,
        row_len: usize,
    ) -> bool {
        self.cells.clear();
        self.chunks.clear();
        if row_len < VECTOR || rows.scale() * columns_axis.scale() < MIN_SHRINKING {
            return false;
        }
        let mut weights = Vec::with_capacity(MAX_ROWS);
        for target in rows.wanted.clone() {
            let first = rows.taps(target, &mut weights);
            let Some(cell) = Cell::new(first, &weights, rows.whole_weight(target)) else {
                return false;
            };
            self.cells.push(cell);
        }
        self.fill_chunks(columns, row_len);
        self.fill_weights(columns);
        let error = self.error(columns);
        self.margin = (error * 65536.0).ceil() as i32 + 1;
        error < MAX_ERROR
    }

    /// How far an estimate may be from OpenCV's sum.
    ///
    /// Every rounding of a float is off by at most 2^-24 of the result; OpenCV's sum and the estimate
    /// each have fewer than rows + columns + 8 one after the other, and no sum is above 257.
    fn error(&self, columns: &ColumnPlan) -> f64 {
        let rows = self.cells.iter().map(Cell::rows).max().unwrap_or(0);
        let floats = 2.0 * 257.0 * (rows + columns.taps + 8) as f64 / f64::from(1 << 24);
        let parts = |cell: &Cell| f64::from(cell.weight) * cell.error();
        // The weights along a row add up to 1, or 1/1000 of a pixel less.
        1.002 * self.cells.iter().map(parts).fold(0.0, f64::max) + floats
    }

    fn fill_chunks(&mut self, columns: &ColumnPlan, row_len: usize) {
        let groups = columns.start.as_chunks::<GROUP>().0;
        let behind = columns.taps * columns.channels;
        let mut next = 0;
        while next < groups.len() {
            let begin = groups[next][0] as usize;
            let end = |group: usize| (groups[group][GROUP - 1] as usize + behind).min(row_len);
            let fits = |&group: &usize| end(group) <= begin + CHUNK_COLUMNS;
            let last = (next..groups.len()).take_while(fits).last().unwrap_or(next);
            let from = begin.min(row_len - VECTOR);
            let vectors = (end(last) - from).div_ceil(VECTOR);
            self.chunks.push(Chunk { groups: next..last + 1, from, vectors });
            next = last + 1;
        }
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

    /// What to add to 65536 times an estimate: then its upper half is rounded, and where its lower half
    /// is below [`Plan::doubt`], that may be wrong.
    pub fn offset(&self, cell: &Cell) -> f32 {
        32768.0 + self.margin as f32 + (65536.0 * f64::from(cell.weight) * cell.offset()) as f32
    }

    /// See [`Plan::offset`].
    pub fn doubt(&self) -> i32 {
        2 * self.margin
    }
}

/// Source pixels per target pixel: with fewer, to sum in order is as fast.
const MIN_SHRINKING: f64 = 5.0;

/// With more than this every third value would have to be summed again.
const MAX_ERROR: f64 = 0.05;
