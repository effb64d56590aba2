//! Bilinear resizing in OpenCV's 11-bit fixed point: `INTER_LINEAR`, and `INTER_AREA` when
//! enlarging, which differs in its coordinates only (section E.5 of the reference notes).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod lines;
#[cfg(target_arch = "x86_64")]
mod vector;

use std::ops::Range;

use super::placement::Placement;
#[cfg(target_arch = "x86_64")]
use crate::cpu::Cpu;
use crate::{ImageU8, Result};
use lines::Lines;

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
    lines: Lines<i32>,
    #[cfg(target_arch = "x86_64")]
    vector: vector::Scratch,
}

/// Two source positions and their weights, which sum to 2048 (or differ by rounding as OpenCV's do).
#[derive(Debug, Clone, Copy, PartialEq)]
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
) -> Result<()> {
    fill(&mut scratch.rows, coordinates, src.height(), scale_y, rows.wanted(), false);
    fill(&mut scratch.columns, coordinates, src.width(), scale_x, columns.wanted(), true);
    #[cfg(target_arch = "x86_64")]
    if Cpu::current()? != Cpu::Scalar && vector::applies(src.width(), src.channels()) {
        let taps = [scratch.rows.as_slice(), scratch.columns.as_slice()];
        vector::resize(src, dst, [rows, columns], taps, &mut scratch.vector);
        return Ok(());
    }
    resize_scalar(src, dst, [rows, columns], scratch);
    Ok(())
}

/// The definition, with the taps in `scratch`.
fn resize_scalar(
    src: &ImageU8,
    dst: &mut ImageU8,
    [rows, columns]: [Placement; 2],
    scratch: &mut Scratch,
) {
    let channels = src.channels();
    let len = columns.count * channels;
    scratch.lines.restart(len);
    for (i, tap) in scratch.rows.iter().enumerate() {
        let [upper, lower] = scratch.lines.of(tap.sources, |source, line| {
            if channels == 1 {
                resize_row::<1>(src.row(source), &scratch.columns, line);
            } else {
                resize_row::<3>(src.row(source), &scratch.columns, line);
            }
        });
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
