//! Where pixels go: resizing equal to OpenCV's, cropping, letterboxing.
//!
//! [`resize_into`] and [`fit_into`] share one idea, the [`placement`](self): which part of the
//! resized image is wanted and where it lands. Only that part is computed, so a crop of a
//! 1 x 65,500 image costs no more than any other.

mod area;
mod boxes;
mod linear;
mod placement;
mod resize;
mod wide;

use serde::{Deserialize, Serialize};

pub use area::{AreaResizer, Axis};
pub use boxes::BoxPlacement;
pub use resize::Shrinking;

use crate::image::Image;
use crate::{ImageU8, ImageU16, Result};
use placement::Placement;

/// How new pixels are made from old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// `cv2.INTER_AREA`: the mean over the source area; enlarging it is a bilinear variant.
    Area,
    /// `cv2.INTER_LINEAR`: bilinear between pixel centres.
    Linear,
}

/// How an image of another shape comes to fill the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// To the target directly; the aspect ratio changes.
    Stretch,
    /// The target is covered, what stands out is cut off on both sides.
    Crop,
    /// The whole image fits in, zeros around it.
    Letterbox,
}

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    area: area::scalar::Scratch,
    resizer: AreaResizer,
    linear: linear::Scratch,
    wide: wide::Scratch,
    wide_area: area::wide::Scratch,
}

/// Resizes `src` to the shape `dst` already has, bit-equal to `cv2.resize` on x86-64.
///
/// # Errors
/// `Step` when an image is empty or the channels differ or are neither 1 nor 3.
pub fn resize_into(
    src: &ImageU8,
    dst: &mut ImageU8,
    interpolation: Interpolation,
    scratch: &mut Scratch,
) -> Result<()> {
    let [rows, columns] = [dst.height(), dst.width()].map(Placement::whole);
    resize::resize_placed(src, dst, [rows, columns], interpolation, scratch)
}

/// Brings `src` to `height` x `width` by `mode`; `dst` gets that shape.
///
/// # Errors
/// As [`resize_into`].
pub fn fit_into(
    src: &ImageU8,
    height: usize,
    width: usize,
    mode: ResizeMode,
    interpolation: Interpolation,
    scratch: &mut Scratch,
    dst: &mut ImageU8,
) -> Result<()> {
    let source = [src.height(), src.width()];
    let placements = placement::placements(source, [height, width], mode);
    shape_target(dst, [height, width, src.channels()], mode);
    resize::resize_placed(src, dst, placements, interpolation, scratch)
}

/// Height and width to which `mode` resizes an image of `source` before it cuts or pads to `target`.
pub fn full_size(source: [usize; 2], target: [usize; 2], mode: ResizeMode) -> [usize; 2] {
    placement::placements(source, target, mode).map(|placement| placement.full)
}

/// [`fit_into`] for an image that comes in bands of rows, `source` is its height, width, channels.
///
/// Nothing when this size needs the whole image: the area mean can be taken row by row, a bilinear
/// resize is only done here on whole images, and so is everything on the scalar path.
///
/// # Errors
/// As [`resize_into`].
pub fn fit_bands<'a>(
    source: [usize; 3],
    height: usize,
    width: usize,
    mode: ResizeMode,
    interpolation: Interpolation,
    scratch: &'a mut Scratch,
    dst: &'a mut ImageU8,
) -> Result<Option<Shrinking<'a>>> {
    let [source_height, source_width, channels] = source;
    let placements = placement::placements([source_height, source_width], [height, width], mode);
    shape_target(dst, [height, width, channels], mode);
    Shrinking::start(source, dst, placements, interpolation, &mut scratch.resizer)
}

/// [`fit_into`] of 16-bit values by the area mean, bit-equal to `cv2.resize` with `INTER_AREA`.
///
/// There is no bilinear counterpart: OpenCV's changed its values between releases.
///
/// # Errors
/// As [`resize_into`].
pub fn fit_wide_into(
    src: &ImageU16,
    height: usize,
    width: usize,
    mode: ResizeMode,
    scratch: &mut Scratch,
    dst: &mut ImageU16,
) -> Result<()> {
    let source = [src.height(), src.width()];
    let placements = placement::placements(source, [height, width], mode);
    shape_target(dst, [height, width, src.channels()], mode);
    wide::resize_placed(src, dst, placements, scratch)
}

fn shape_target<T: Copy + Default>(
    dst: &mut Image<T>,
    [height, width, channels]: [usize; 3],
    mode: ResizeMode,
) {
    dst.reshape(height, width, channels);
    if mode == ResizeMode::Letterbox {
        dst.data_mut().fill(T::default());
    }
}

#[cfg(test)]
mod tests;
