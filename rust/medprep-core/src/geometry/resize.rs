//! Chooses the kernel the way `cv2.resize` does.

use super::placement::Placement;
use super::{Interpolation, Scratch, area, linear};
use crate::error::{Error, Item};
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

/// Resizes `src` to `placements[0].full` x `placements[1].full` and writes the wanted part.
pub(super) fn resize_placed(
    src: &ImageU8,
    dst: &mut ImageU8,
    placements: [Placement; 2],
    interpolation: Interpolation,
    scratch: &mut Scratch,
) -> Result<()> {
    check(src, dst)?;
    let [rows, columns] = placements;
    if (rows.full, columns.full) == (src.height(), src.width()) {
        copy(src, dst, placements);
        return Ok(());
    }
    let scales = [scale_of(src.height(), rows.full), scale_of(src.width(), columns.full)];
    let ratios = scales.map(whole_ratio);
    let is_area = match interpolation {
        Interpolation::Area => scales[0] >= 1.0 && scales[1] >= 1.0,
        // OpenCV: bilinear at exactly 2 x 2 is the mean of four pixels.
        Interpolation::Linear => ratios == [Some(2), Some(2)],
    };
    match (is_area, ratios) {
        (true, [Some(ratio_y), Some(ratio_x)]) => {
            area::resize_whole_ratio(src, dst, placements, [ratio_y, ratio_x]);
        }
        (true, _) => area::resize(src, dst, placements, scales, &mut scratch.area),
        (false, _) => {
            let coordinates = match interpolation {
                Interpolation::Area => linear::Coordinates::Area,
                Interpolation::Linear => linear::Coordinates::Centre,
            };
            linear::resize(src, dst, placements, scales, coordinates, &mut scratch.linear);
        }
    }
    Ok(())
}

fn copy(src: &ImageU8, dst: &mut ImageU8, [rows, columns]: [Placement; 2]) {
    let channels = src.channels();
    let len = columns.count * channels;
    for (i, y) in rows.wanted().enumerate() {
        let from = &src.row(y)[columns.skip * channels..][..len];
        dst.row_mut(rows.at + i)[columns.at * channels..][..len].copy_from_slice(from);
    }
}

fn check(src: &ImageU8, dst: &ImageU8) -> Result<()> {
    let fail = |reason: String| Err(Error::Step { item: Item::default(), step: "resize", reason });
    for (name, image) in [("image", src), ("target", dst)] {
        if image.height() == 0 || image.width() == 0 {
            let (height, width, _) = image.shape();
            return fail(format!("the {name} is empty ({height} x {width})"));
        }
    }
    if ![1, 3].contains(&src.channels()) {
        return fail(format!("expected 1 or 3 channels, found {}", src.channels()));
    }
    if src.channels() != dst.channels() {
        return fail(format!(
            "expected a target of {} channels, found {}",
            src.channels(),
            dst.channels()
        ));
    }
    Ok(())
}
