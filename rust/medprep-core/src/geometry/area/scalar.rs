//! The definition: every target pixel is the mean of the source area it covers.
//!
//! Section E.5 of the reference notes. The order of the float additions is part of the definition:
//! along a row from left to right starting at 0, then down the rows, first row without an addition.

use std::ops::Range;

use crate::geometry::placement::Placement;
use crate::image::Image;

/// What OpenCV does differently for 8 and 16 bits.
pub(in super::super) trait Value: Copy + Default {
    /// The value as a number.
    fn number(self) -> f32;
    /// Rounded to even and saturated.
    fn rounded(number: f32) -> Self;
    /// The sum over every `step`-th value of the rows of a block.
    fn block_sum<'a>(rows: impl Iterator<Item = &'a [Self]> + Clone, step: usize) -> f32
    where
        Self: 'a;
    /// The mean of 2 x 2, rounded half up.
    fn mean_of_4(sum: f32) -> Self;
}

impl Value for u8 {
    fn number(self) -> f32 {
        f32::from(self)
    }

    fn rounded(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    /// Whole numbers, converted once.
    fn block_sum<'a>(rows: impl Iterator<Item = &'a [Self]> + Clone, step: usize) -> f32 {
        rows.flat_map(|row| row.iter().step_by(step)).map(|&v| u64::from(v)).sum::<u64>() as f32
    }

    fn mean_of_4(sum: f32) -> Self {
        ((sum as u32 + 2) >> 2) as Self
    }
}

impl Value for u16 {
    fn number(self) -> f32 {
        f32::from(self)
    }

    fn rounded(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    /// Floats, four values at a time: that is where sums above 2^24 round. Smaller ones are exact.
    fn block_sum<'a>(rows: impl Iterator<Item = &'a [Self]> + Clone, step: usize) -> f32 {
        const MOST_EXACT: usize = 256; // times 65,535 is below 2^24
        if rows.clone().map(|row| row.len().div_ceil(step)).sum::<usize>() <= MOST_EXACT {
            let row_sum =
                |row: &[Self]| row.iter().step_by(step).map(|&v| u32::from(v)).sum::<u32>();
            return rows.map(row_sum).sum::<u32>() as f32;
        }
        let mut values = rows.flat_map(|row| row.iter().step_by(step)).map(|&v| u32::from(v));
        let mut sum = 0.0;
        loop {
            let four = [values.next(), values.next(), values.next(), values.next()];
            if let [Some(a), Some(b), Some(c), Some(d)] = four {
                sum += (a + b + c + d) as f32;
            } else {
                return four.into_iter().flatten().fold(sum, |sum, value| sum + value as f32);
            }
        }
    }

    fn mean_of_4(sum: f32) -> Self {
        ((sum as u32 + 2) >> 2) as Self
    }
}

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(in super::super) struct Scratch {
    columns: Axis,
    rows: Axis,
    /// One source row, summed horizontally.
    row: Vec<f32>,
    /// One target row, summed so far.
    sum: Vec<f32>,
}

/// The source positions and weights behind every wanted target position.
#[derive(Debug, Default)]
struct Axis {
    taps: Vec<Tap>,
    /// For each target position its end in `taps`; it begins where the one before ends.
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Tap {
    source: usize,
    weight: f32,
}

impl Axis {
    fn fill(&mut self, source_len: usize, scale: f64, wanted: Range<usize>) {
        self.taps.clear();
        self.ends.clear();
        for target in wanted {
            self.push_taps(source_len, scale, target);
            self.ends.push(self.taps.len());
        }
    }

    /// Parts below 1/1000 of a pixel are left out, as in OpenCV.
    fn push_taps(&mut self, source_len: usize, scale: f64, target: usize) {
        let begin = target as f64 * scale;
        let end = begin + scale;
        let cell = scale.min(source_len as f64 - begin);
        let last = (end.floor() as usize).min(source_len - 1);
        let first = (begin.ceil() as usize).min(last);
        let mut push = |source, weight: f64| self.taps.push(Tap { source, weight: weight as f32 });
        if first as f64 - begin > 1e-3 {
            push(first - 1, (first as f64 - begin) / cell);
        }
        for source in first..last {
            push(source, 1.0 / cell);
        }
        if end - last as f64 > 1e-3 {
            push(last, (end - last as f64).min(1.0).min(cell) / cell);
        }
    }

    /// The taps of each target position in turn.
    fn iter(&self) -> impl Iterator<Item = &[Tap]> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| &self.taps[std::mem::replace(&mut begin, end)..end])
    }
}

/// Shrinks by any ratio >= 1 on both axes.
pub(in super::super) fn resize<T: Value>(
    src: &Image<T>,
    dst: &mut Image<T>,
    [rows, columns]: [Placement; 2],
    [scale_y, scale_x]: [f64; 2],
    scratch: &mut Scratch,
) {
    let channels = src.channels();
    let len = columns.count * channels;
    scratch.rows.fill(src.height(), scale_y, rows.wanted());
    scratch.columns.fill(src.width(), scale_x, columns.wanted());
    scratch.row.resize(len, 0.0);
    scratch.sum.resize(len, 0.0);
    let (row, sum) = (&mut scratch.row[..len], &mut scratch.sum[..len]);
    let mut summed_row = None;
    for (i, taps) in scratch.rows.iter().enumerate() {
        for (tap_index, tap) in taps.iter().enumerate() {
            // Neighbouring target rows share a source row at their border: summed once.
            if summed_row != Some(tap.source) {
                if channels == 1 {
                    sum_row::<T, 1>(src.row(tap.source), &scratch.columns, row);
                } else {
                    sum_row::<T, 3>(src.row(tap.source), &scratch.columns, row);
                }
                summed_row = Some(tap.source);
            }
            for (sum, &value) in sum.iter_mut().zip(&*row) {
                let part = tap.weight * value;
                *sum = if tap_index == 0 { part } else { *sum + part };
            }
        }
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..][..len];
        for (out, &sum) in out.iter_mut().zip(&*sum) {
            *out = T::rounded(sum);
        }
    }
}

fn sum_row<T: Value, const CHANNELS: usize>(src: &[T], columns: &Axis, out: &mut [f32]) {
    let pixels = src.as_chunks::<CHANNELS>().0;
    for (out, taps) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(columns.iter()) {
        let mut sums = [0.0_f32; CHANNELS];
        for tap in taps {
            for (sum, &value) in sums.iter_mut().zip(&pixels[tap.source]) {
                *sum += value.number() * tap.weight;
            }
        }
        *out = sums;
    }
}

/// Shrinks by whole ratios: block sums; 2 x 2 rounds half up, the others half to even.
pub(in super::super) fn resize_whole_ratio<T: Value>(
    src: &Image<T>,
    dst: &mut Image<T>,
    [rows, columns]: [Placement; 2],
    [ratio_y, ratio_x]: [usize; 2],
) {
    let channels = src.channels();
    let inverse_area = 1.0 / (ratio_y * ratio_x) as f32;
    let is_2x2 = (ratio_y, ratio_x) == (2, 2);
    for (i, y) in rows.wanted().enumerate() {
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..];
        for (j, x) in columns.wanted().enumerate() {
            for channel in 0..channels {
                let block = (y * ratio_y..(y + 1) * ratio_y).map(|source_y| {
                    &src.row(source_y)[x * ratio_x * channels + channel..]
                        [..=(ratio_x - 1) * channels]
                });
                let sum = T::block_sum(block, channels);
                out[j * channels + channel] =
                    if is_2x2 { T::mean_of_4(sum) } else { T::rounded(sum * inverse_area) };
            }
        }
    }
}
