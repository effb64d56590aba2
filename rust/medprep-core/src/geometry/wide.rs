//! `INTER_AREA` of 16-bit values, as OpenCV: area means, and where an axis grows, bilinear in floats.

use super::area::{scalar as area, wide as vectors};
use super::linear::Coordinates;
use super::placement::Placement;
use super::resize::{Kernel, check, copy};
use super::{Interpolation, Scratch as AllScratch};
use crate::{ImageU16, Result};

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// Two source rows resized horizontally, and which they are.
    lines: [Vec<f32>; 2],
}

/// Two source positions and their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    sources: [usize; 2],
    weights: [f32; 2],
}

/// Resizes `src` to `placements[0].full` x `placements[1].full` and writes the wanted part.
pub(super) fn resize_placed(
    src: &ImageU16,
    dst: &mut ImageU16,
    placements: [Placement; 2],
    scratch: &mut AllScratch,
) -> Result<()> {
    check([src.height(), src.width(), src.channels()], dst)?;
    let full = placements.map(|placement| placement.full);
    match Kernel::of([src.height(), src.width()], full, Interpolation::Area) {
        Kernel::Copy => copy(src, dst, placements),
        Kernel::Area { ratios, .. }
            if vectors::resize(src, dst, placements, ratios, &mut scratch.wide_area)? => {}
        Kernel::Area { ratios: [Some(ratio_y), Some(ratio_x)], .. } => {
            area::resize_whole_ratio(src, dst, placements, [ratio_y, ratio_x]);
        }
        Kernel::Area { scales, .. } => {
            area::resize(src, dst, placements, scales, &mut scratch.area);
        }
        Kernel::Bilinear { scales, coordinates } => {
            bilinear(src, dst, placements, scales, coordinates, &mut scratch.wide);
        }
    }
    Ok(())
}

fn fill(
    taps: &mut Vec<Tap>,
    coordinates: Coordinates,
    source_len: usize,
    scale: f64,
    placement: Placement,
    clamp_weight: bool,
) {
    let last = source_len as i64 - 1;
    taps.clear();
    taps.extend(placement.wanted().map(|target| {
        let (mut first, mut weight) = coordinates.of(target, scale);
        // As in 8 bits: along x all weight goes to the border pixel, along y rows are clamped.
        if clamp_weight && (first < 0 || first >= last) {
            (first, weight) = (first.clamp(0, last), 0.0);
        }
        Tap {
            sources: [first, first + 1].map(|source| source.clamp(0, last) as usize),
            weights: [1.0 - weight, weight],
        }
    }));
}

fn bilinear(
    src: &ImageU16,
    dst: &mut ImageU16,
    [rows, columns]: [Placement; 2],
    [scale_y, scale_x]: [f64; 2],
    coordinates: Coordinates,
    scratch: &mut Scratch,
) {
    let channels = src.channels();
    let len = columns.count * channels;
    fill(&mut scratch.rows, coordinates, src.height(), scale_y, rows, false);
    fill(&mut scratch.columns, coordinates, src.width(), scale_x, columns, true);
    for line in &mut scratch.lines {
        line.resize(len, 0.0);
    }
    let mut held = [None, None];
    for (i, tap) in scratch.rows.iter().enumerate() {
        if held[1] == Some(tap.sources[0]) {
            scratch.lines.swap(0, 1);
            held.swap(0, 1);
        }
        for (slot, &source) in tap.sources.iter().enumerate() {
            if held[slot] != Some(source) {
                resize_row(src.row(source), channels, &scratch.columns, &mut scratch.lines[slot]);
                held[slot] = Some(source);
            }
        }
        let [upper, lower] = &scratch.lines;
        let out = &mut dst.row_mut(rows.at + i)[columns.at * channels..][..len];
        for ((out, &upper), &lower) in out.iter_mut().zip(upper).zip(lower) {
            let value = upper * tap.weights[0] + lower * tap.weights[1];
            *out = value.round_ties_even() as u16;
        }
    }
}

fn resize_row(src: &[u16], channels: usize, columns: &[Tap], out: &mut [f32]) {
    for (out, tap) in out.chunks_exact_mut(channels).zip(columns) {
        let [left, right] = tap.sources.map(|source| &src[source * channels..][..channels]);
        for ((out, &left), &right) in out.iter_mut().zip(left).zip(right) {
            *out = f32::from(left) * tap.weights[0] + f32::from(right) * tap.weights[1];
        }
    }
}
