//! Bilinear resizing in OpenCV's 11-bit fixed point: `INTER_LINEAR`, and `INTER_AREA` when
//! enlarging, which differs in its coordinates only (section E.5 of the reference notes).

use std::ops::Range;

use super::placement::Placement;
use crate::ImageU8;

/// Where a target position looks in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    /// Pixel centres: (d + 0.5) scale - 0.5.
    Centre,
    /// The enlarging variant of `INTER_AREA`: source pixels keep their area, borders are blended.
    Area,
}

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// The two source rows in use, resized horizontally, and which rows they are.
    lines: [Vec<i32>; 2],
}

/// Two source positions and their weights, which sum to 2048 (or differ by rounding as OpenCV's do).
#[derive(Debug, Clone, Copy)]
struct Tap {
    sources: [usize; 2],
    weights: [i32; 2],
}

const ONE: f32 = 2048.0;

impl Coordinates {
    /// The first source position, which may lie outside, and the weight of the second.
    pub(super) fn of(self, target: usize, scale: f64) -> (i64, f32) {
        match self {
            Self::Centre => {
                let position = ((target as f64 + 0.5) * scale - 0.5) as f32;
                let first = position.floor();
                (first as i64, position - first)
            }
            Self::Area => {
                let first = (target as f64 * scale).floor();
                let inverse = 1.0 / scale;
                let position = ((target as f64 + 1.0) - (first + 1.0) * inverse) as f32;
                (first as i64, if position <= 0.0 { 0.0 } else { position - position.floor() })
            }
        }
    }
}

/// `clamp_weight`: whether a position outside gives all weight to the border pixel. OpenCV does so
/// along x; along y it clamps the rows only (the same pixels, blended with themselves).
fn fill(
    taps: &mut Vec<Tap>,
    coordinates: Coordinates,
    source_len: usize,
    scale: f64,
    wanted: Range<usize>,
    clamp_weight: bool,
) {
    let last = source_len as i64 - 1;
    taps.clear();
    taps.extend(wanted.map(|target| {
        let (mut first, mut weight) = coordinates.of(target, scale);
        if clamp_weight && (first < 0 || first >= last) {
            (first, weight) = (first.clamp(0, last), 0.0);
        }
        Tap {
            sources: [first, first + 1].map(|source| source.clamp(0, last) as usize),
            weights: [(1.0 - weight) * ONE, weight * ONE].map(|w| w.round_ties_even() as i32),
        }
    }));
}

/// Resizes by any scales.
pub(super) fn resize(
    src: &ImageU8,
    dst: &mut ImageU8,
    [rows, columns]: [Placement; 2],
    [scale_y, scale_x]: [f64; 2],
    coordinates: Coordinates,
    scratch: &mut Scratch,
) {
    let channels = src.channels();
    let len = columns.count * channels;
    fill(&mut scratch.rows, coordinates, src.height(), scale_y, rows.wanted(), false);
    fill(&mut scratch.columns, coordinates, src.width(), scale_x, columns.wanted(), true);
    for line in &mut scratch.lines {
        line.resize(len, 0);
    }
    let mut held = [None, None];
    for (i, tap) in scratch.rows.iter().enumerate() {
        // Going down, the lower line of one target row is often the upper line of the next.
        if held[1] == Some(tap.sources[0]) {
            scratch.lines.swap(0, 1);
            held.swap(0, 1);
        }
        for (slot, &source) in tap.sources.iter().enumerate() {
            if held[slot] != Some(source) {
                let line = &mut scratch.lines[slot][..len];
                if channels == 1 {
                    resize_row::<1>(src.row(source), &scratch.columns, line);
                } else {
                    resize_row::<3>(src.row(source), &scratch.columns, line);
                }
                held[slot] = Some(source);
            }
        }
        let [upper, lower] = &scratch.lines;
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..][..len];
        for ((out, &upper), &lower) in out.iter_mut().zip(upper).zip(lower) {
            // OpenCV's 16-bit high multiplications truncate each term on its own.
            let upper = (tap.weights[0] * (upper >> 4)) >> 16;
            let lower = (tap.weights[1] * (lower >> 4)) >> 16;
            *out = ((upper + lower + 2) >> 2).clamp(0, 255) as u8;
        }
    }
}

fn resize_row<const CHANNELS: usize>(src: &[u8], columns: &[Tap], out: &mut [i32]) {
    let pixels = src.as_chunks::<CHANNELS>().0;
    for (out, tap) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(columns) {
        let (left, right) = (&pixels[tap.sources[0]], &pixels[tap.sources[1]]);
        for channel in 0..CHANNELS {
            out[channel] = i32::from(left[channel]) * tap.weights[0]
                + i32::from(right[channel]) * tap.weights[1];
        }
    }
}
