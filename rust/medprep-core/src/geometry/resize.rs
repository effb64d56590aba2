//! Chooses the kernel the way `cv2.resize` does.

use super::area::scalar as area;
use super::placement::Placement;
use super::{AreaResizer, Axis, Interpolation, Scratch, linear};
use crate::cpu::Cpu;
use crate::error::{Error, Item};
use crate::image::Image;
use crate::{ImageU8, Result};

/// Source positions per target position, in OpenCV's arithmetic: the reciprocal of a quotient.
pub(super) fn scale_of(source: usize, target: usize) -> f64 {
    1.0 / (target as f64 / source as f64)
}

/// The ratio when it is a whole number to the last bit (OpenCV asks for less than 2^-52 off).
pub(super) fn whole_ratio(scale: f64) -> Option<usize> {
    let ratio = scale.round_ties_even();
    (ratio >= 1.0 && (scale - ratio).abs() < f64::EPSILON).then_some(ratio as usize)
}

/// How `cv2.resize` makes the pixels.
pub(super) enum Kernel {
    /// The size stays.
    Copy,
    /// The area mean, over whole source pixels if both ratios are whole.
    Area {
        scales: [f64; 2],
        ratios: [Option<usize>; 2],
    },
    Bilinear {
        scales: [f64; 2],
        coordinates: linear::Coordinates,
    },
}

impl Kernel {
    pub(super) fn of(source: [usize; 2], full: [usize; 2], interpolation: Interpolation) -> Self {
        if source == full {
            return Self::Copy;
        }
        let scales = [0, 1].map(|axis| scale_of(source[axis], full[axis]));
        let ratios = scales.map(whole_ratio);
        match interpolation {
            Interpolation::Area if scales.iter().all(|&scale| scale >= 1.0) => {
                Self::Area { scales, ratios }
            }
            // OpenCV: bilinear at exactly 2 x 2 is the mean of four pixels.
            Interpolation::Linear if ratios == [Some(2), Some(2)] => Self::Area { scales, ratios },
            Interpolation::Area => {
                Self::Bilinear { scales, coordinates: linear::Coordinates::Area }
            }
            Interpolation::Linear => {
                Self::Bilinear { scales, coordinates: linear::Coordinates::Centre }
            }
        }
    }
}

/// Resizes `src` to `placements[0].full` x `placements[1].full` and writes the wanted part.
pub(super) fn resize_placed(
    src: &ImageU8,
    dst: &mut ImageU8,
    placements: [Placement; 2],
    interpolation: Interpolation,
    scratch: &mut Scratch,
) -> Result<()> {
    let source = [src.height(), src.width(), src.channels()];
    check(source, dst)?;
    if let Some(mut shrinking) =
        Shrinking::start(source, dst, placements, interpolation, &mut scratch.resizer)?
    {
        shrinking.push_rows(src.data(), src.width() * src.channels());
        return Ok(());
    }
    let full = placements.map(|placement| placement.full);
    match Kernel::of([src.height(), src.width()], full, interpolation) {
        Kernel::Copy => copy(src, dst, placements),
        Kernel::Area { ratios: [Some(ratio_y), Some(ratio_x)], .. } => {
            area::resize_whole_ratio(src, dst, placements, [ratio_y, ratio_x]);
        }
        Kernel::Area { scales, .. } => {
            area::resize(src, dst, placements, scales, &mut scratch.area);
        }
        Kernel::Bilinear { scales, coordinates } => {
            linear::resize(src, dst, placements, scales, coordinates, &mut scratch.linear)?;
        }
    }
    Ok(())
}

/// An area mean in the making, by the vector kernels: rows go in, the target fills up.
pub struct Shrinking<'a> {
    resizer: &'a mut AreaResizer,
    /// The target from the first wanted value on.
    target: &'a mut [u8],
    stride: usize,
}

impl<'a> Shrinking<'a> {
    /// Nothing when the target is not an area mean, or on the scalar path.
    pub(super) fn start(
        source: [usize; 3],
        dst: &'a mut ImageU8,
        [rows, columns]: [Placement; 2],
        interpolation: Interpolation,
        resizer: &'a mut AreaResizer,
    ) -> Result<Option<Self>> {
        check(source, dst)?;
        let [height, width, channels] = source;
        let cpu = Cpu::current()?;
        let kernel = Kernel::of([height, width], [rows.full, columns.full], interpolation);
        if cpu == Cpu::Scalar || !matches!(kernel, Kernel::Area { .. }) {
            return Ok(None);
        }
        let axis = |source, placement: Placement| Axis {
            source,
            full: placement.full,
            wanted: placement.wanted(),
        };
        let stride = dst.width() * channels;
        let begin = rows.at * stride + columns.at * channels;
        resizer.start(cpu, &axis(height, rows), &axis(width, columns), channels);
        Ok(Some(Self { resizer, target: &mut dst.data_mut()[begin..], stride }))
    }

    /// Takes the next rows of the source, any number of them, `stride` bytes each.
    pub fn push_rows(&mut self, rows: &[u8], stride: usize) {
        self.resizer.push_rows(rows, stride, self.target, self.stride);
    }
}

pub(super) fn copy<T: Copy + Default>(
    src: &Image<T>,
    dst: &mut Image<T>,
    [rows, columns]: [Placement; 2],
) {
    let channels = src.channels();
    let len = columns.count * channels;
    for (i, y) in rows.wanted().enumerate() {
        let from = &src.row(y)[columns.skip * channels..][..len];
        dst.row_mut(rows.at + i)[columns.at * channels..][..len].copy_from_slice(from);
    }
}

pub(super) fn check<T>([height, width, channels]: [usize; 3], dst: &Image<T>) -> Result<()> {
    let fail = |reason: String| Err(Error::Step { item: Item::default(), step: "resize", reason });
    let target = [dst.height(), dst.width()];
    for (name, [height, width]) in [("image", [height, width]), ("target", target)] {
        if height == 0 || width == 0 {
            return fail(format!("the {name} is empty ({height} x {width})"));
        }
    }
    if ![1, 3].contains(&channels) {
        return fail(format!("expected 1 or 3 channels, found {channels}"));
    }
    if channels != dst.channels() {
        return fail(format!("expected a target of {channels} channels, found {}", dst.channels()));
    }
    Ok(())
}
