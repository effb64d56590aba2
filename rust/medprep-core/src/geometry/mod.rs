//! Where pixels go: resizing equal to OpenCV's, cropping, letterboxing.
//!
//! [`resize_into`] and [`fit_into`] share one idea, the [`placement`](self): which part of the
//! resized image is wanted and where it lands. Only that part is computed, so a crop of a
//! 1 x 65,500 image costs no more than any other.

mod area;
mod linear;
mod placement;
mod resize;

use serde::{Deserialize, Serialize};

use crate::{ImageU8, Result};
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
    area: area::Scratch,
    linear: linear::Scratch,
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
    dst.reshape(height, width, src.channels());
    let placements = placement::placements(src, [height, width], mode);
    if mode == ResizeMode::Letterbox {
        dst.data_mut().fill(0);
    }
    resize::resize_placed(src, dst, placements, interpolation, scratch)
}

#[cfg(test)]
mod tests;
