//! Where the weights of an area resize come from, laid out for vector kernels.
//!
//! Every target column gets the same number of taps, `taps`, by weights of 0, which change no sum:
//! all values and weights are >= 0. All taps but the first and the last two are whole source
//! pixels and share one weight; columns for which that fails are left to the scalar path.

use std::ops::Range;

/// Outputs are handled in groups of this many; the arrays are padded to whole groups.
pub(super) const GROUP: usize = 16;

/// One axis of a resize: `source` positions become `full`, of which `wanted` are computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Axis {
    /// Source positions.
    pub source: usize,
    /// Target positions of the whole resized image.
    pub full: usize,
    /// The target positions to compute.
    pub wanted: Range<usize>,
}

impl Axis {
    /// All of `full` target positions.
    pub fn whole(source: usize, full: usize) -> Self {
        Self { source, full, wanted: 0..full }
    }

    /// Source positions per target position, in OpenCV's arithmetic.
    pub(super) fn scale(&self) -> f64 {
        1.0 / (self.full as f64 / self.source as f64)
    }

    /// The ratio when it is a whole number to the last bit.
    pub(super) fn whole_ratio(&self) -> Option<usize> {
        let scale = self.scale();
        let ratio = scale.round_ties_even();
        (ratio >= 1.0 && (scale - ratio).abs() < f64::EPSILON).then_some(ratio as usize)
    }

    /// Source positions behind `target`; the last target position may have less than the others.
    fn cell(&self, target: usize) -> f64 {
        let scale = self.scale();
        scale.min(self.source as f64 - target as f64 * scale)
    }

    /// The weight in `target` of a source position that lies wholly in it.
    pub(super) fn whole_weight(&self, target: usize) -> f32 {
        (1.0 / self.cell(target)) as f32
    }

    /// The first source position and the weights behind `target` (section E.5 of the notes).
    pub(super) fn taps(&self, target: usize, weights: &mut Vec<f32>) -> usize {
        let scale = self.scale();
        let begin = target as f64 * scale;
        let end = begin + scale;
        let cell = self.cell(target);
        let last = (end.floor() as usize).min(self.source - 1);
        let first = (begin.ceil() as usize).min(last);
        weights.clear();
        // Parts below 1/1000 of a pixel are left out, as in OpenCV.
        let has_left = first as f64 - begin > 1e-3;
        if has_left {
            weights.push(((first as f64 - begin) / cell) as f32);
        }
        weights.extend(std::iter::repeat_n((1.0 / cell) as f32, last - first));
        if end - last as f64 > 1e-3 {
            weights.push(((end - last as f64).min(1.0).min(cell) / cell) as f32);
        }
        first - usize::from(has_left)
    }
}

/// What one source row does to the target row under way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RowStep {
    /// Its weight in the target row under way.
    pub weight: f32,
    /// Its weight in the next target row, which begins after this one `ends`.
    pub next: f32,
    /// Whether the target row under way is complete with this source row.
    pub ends: bool,
}

/// The rows: one step for each source row that is needed.
#[derive(Debug, Default)]
pub(super) struct RowPlan {
    pub first: usize,
    pub steps: Vec<RowStep>,
}

impl RowPlan {
    pub(super) fn fill(&mut self, axis: &Axis) {
        let mut weights = Vec::with_capacity(64);
        self.steps.clear();
        for target in axis.wanted.clone() {
            let start = axis.taps(target, &mut weights);
            if self.steps.is_empty() {
                self.first = start;
            }
            let at = start - self.first;
            let end = at + weights.len();
            if self.steps.len() < end {
                self.steps.resize(end, RowStep::default());
            }
            for (step, &weight) in self.steps[at..end].iter_mut().zip(&weights) {
                // A row shared with the target row before belongs to "next".
                let slot = if step.ends { &mut step.next } else { &mut step.weight };
                *slot = weight;
            }
            self.steps[end - 1].ends = true;
        }
    }
}

/// The columns: where each target column reads and its weights.
#[derive(Debug, Default)]
pub(super) struct ColumnPlan {
    pub channels: usize,
    /// Taps per output, at least 2.
    pub taps: usize,
    /// Wanted outputs, without padding.
    pub outputs: usize,
    /// Byte offset of each output's first tap; padded to whole groups.
    pub start: Vec<u32>,
    /// The weights of tap 0, tap `taps - 2` and tap `taps - 1`.
    pub ends: [Vec<f32>; 3],
    /// The weight of all taps between.
    pub middle: f32,
    /// Grey only: whether four neighbouring outputs read within 16 bytes.
    pub is_narrow: bool,
    /// Grey only, `is_narrow`: for each output the byte of tap 0 counted from its lane's load,
    /// then three bytes 0x80, which a byte shuffle turns into zeros.
    pub index: Vec<[u8; 4]>,
    /// For each group the first byte behind all its loads, by any kernel.
    pub reach: Vec<usize>,
    /// Outputs that do not fit the common middle weight; normally none.
    pub odd: Vec<(usize, Vec<f32>)>,
}

impl ColumnPlan {
    pub(super) fn fill(&mut self, axis: &Axis, channels: usize) {
        let mut weights = Vec::with_capacity(64);
        let wanted = axis.wanted.clone();
        let taps = wanted
            .clone()
            .map(|x| {
                axis.taps(x, &mut weights);
                weights.len()
            })
            .max()
            .unwrap_or(0);
        self.channels = channels;
        self.taps = taps.max(2);
        self.outputs = wanted.len();
        self.middle = (1.0 / axis.scale()) as f32;
        let padded = self.outputs.next_multiple_of(GROUP);
        self.start.clear();
        self.odd.clear();
        for end in &mut self.ends {
            end.clear();
            end.resize(padded, 0.0);
        }
        for (i, x) in wanted.enumerate() {
            let start = axis.taps(x, &mut weights);
            self.start.push((start * channels) as u32);
            let found = weights.len();
            weights.resize(self.taps, 0.0);
            let between = 1..self.taps.saturating_sub(2).max(1);
            if weights[between].iter().any(|weight| weight.to_bits() != self.middle.to_bits()) {
                weights.truncate(found);
                self.odd.push((i, weights.clone()));
                continue;
            }
            self.ends[1][i] = weights[self.taps - 2];
            self.ends[2][i] = weights[self.taps - 1];
            // With two taps only, tap 0 is tap `taps - 2`: the kernels start at ends[1].
            self.ends[0][i] = if self.taps > 2 { weights[0] } else { 0.0 };
        }
        let last = self.start.last().copied().unwrap_or(0);
        self.start.resize(padded, last);
        self.fill_loads();
    }

    fn fill_loads(&mut self) {
        let lanes = self.start.as_chunks::<4>().0;
        self.is_narrow = self.channels == 1
            && lanes.iter().all(|lane| lane[3] - lane[0] + self.taps as u32 <= 16);
        self.index.clear();
        if self.is_narrow {
            let byte = |lane: &[u32; 4], i: usize| [(lane[i] - lane[0]) as u8, 0x80, 0x80, 0x80];
            self.index.extend(lanes.iter().flat_map(|l| [0, 1, 2, 3].map(|i| byte(l, i))));
        }
        // 16-byte loads every 15 bytes (RGB) or every 16 (grey), of which narrow is the first.
        let behind = if self.channels == 3 {
            15 * (self.taps.div_ceil(5) - 1) + 16
        } else {
            self.taps.next_multiple_of(16)
        };
        self.reach.clear();
        let groups = self.start.as_chunks::<GROUP>().0;
        self.reach.extend(groups.iter().map(|group| group[GROUP - 1] as usize + behind));
    }
}
