//! Which source rows make a target row, and which columns are summed at a time.

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
}

/// Some groups of outputs and the columns they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub groups: std::ops::Range<usize>,
    /// The first column summed.
    pub from: usize,
    /// How many vectors of columns; the last may reach back to end with the row.
    pub vectors: usize,
}

/// What one rounding of a float is off by at most: 2^-24 of a sum, and none is above 257.
///
/// OpenCV's sum has fewer than rows + columns + 8 one after the other.
pub(super) const FLOAT_ROUNDING: f64 = 257.0 / (1 << 24) as f64;

/// The cells and chunks of a shape.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub cells: Vec<Cell>,
    pub chunks: Vec<Chunk>,
}

impl Plan {
    /// Plans images of a shape; false if estimates would be no use.
    pub fn fill(&mut self, rows: &Axis, columns: &ColumnPlan, row_len: usize) -> bool {
        self.cells.clear();
        self.chunks.clear();
        if row_len < VECTOR {
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
        true
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
}
