//! The steps and the ranges of their parameters.

use serde::{Deserialize, Serialize};

use super::WindowChoice;
use crate::decode::Channels;
use crate::error::{Error, Result};
use crate::geometry::{Interpolation, ResizeMode};

/// Largest height or width of a stored image.
const MAX_SIDE: u32 = 16_384;
/// Most CLAHE tiles along a side.
const MAX_TILES: u32 = 256;
/// Clip limits and gammas outside make an image black, white or noise; inside, their shortest
/// decimal form has no exponent, so that Rust and Python write the same canonical JSON.
const CLIP_RANGE: (f64, f64) = (0.01, 10_000.0);
const GAMMA_RANGE: (f64, f64) = (0.01, 100.0);
/// Window centres: far beyond 16-bit values with any rescale in use; as near to 0 as `CENTER_STEP`.
const CENTER_MOST: f64 = 1e9;
const CENTER_STEP: f64 = 0.001;
const WINDOW_WIDTHS: (f64, f64) = (1.0, 1e9);

/// Which frame of a multi-frame DICOM file is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameChoice {
    /// The first one.
    First,
    /// The one in the middle, also without this key.
    Middle,
    /// Each is a sample of its own, which says its number.
    All,
}

/// A window without numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowMode {
    /// The file's own window or its range of values.
    Auto,
    /// The stored values.
    None,
}

/// One step with its parameters, as written in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Bytes to pixels; always first.
    Decode {
        /// Grey or RGB.
        channels: Channels,
        /// Of multi-frame DICOM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frames: Option<FrameChoice>,
        /// JPEGs are decoded at the smallest size that is not below the target's: not exact. Left
        /// out of the JSON when false, as in specifications from before it.
        #[serde(default, skip_serializing_if = "is_false")]
        fast: bool,
    },
    /// Grey values of DICOM and 16-bit files to grey levels: a mode, or center and width.
    Window {
        /// Auto or none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<WindowMode>,
        /// In modality units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        center: Option<f64>,
        /// In modality units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        width: Option<f64>,
    },
    /// To the size all images of the shard share.
    Resize {
        /// Rows of the result.
        height: u32,
        /// Columns of the result.
        width: u32,
        /// What happens to the aspect ratio.
        mode: ResizeMode,
        /// How pixels are made.
        interpolation: Interpolation,
    },
    /// Contrast-limited adaptive histogram equalisation; on RGB it works on L of 8-bit Lab.
    Clahe {
        /// OpenCV's `clipLimit`.
        clip_limit: f64,
        /// Tiles along each side.
        tiles: u32,
    },
    /// The table `round(255 (v/255)^(1/gamma))`; above 1 brightens.
    Gamma {
        /// The exponent's inverse.
        gamma: f64,
    },
    /// Median filter.
    Median {
        /// Side of the neighbourhood; 3.
        size: u32,
    },
}

impl Step {
    /// The step's name in the specification.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Decode { .. } => "decode",
            Self::Window { .. } => "window",
            Self::Resize { .. } => "resize",
            Self::Clahe { .. } => "clahe",
            Self::Gamma { .. } => "gamma",
            Self::Median { .. } => "median",
        }
    }

    /// What a window step asks for; nothing for other steps.
    pub(super) fn window(&self) -> Option<WindowChoice> {
        match *self {
            Self::Window { mode: Some(WindowMode::Auto), .. } => Some(WindowChoice::Auto),
            Self::Window { mode: Some(WindowMode::None), .. } => Some(WindowChoice::None),
            Self::Window { center: Some(center), width: Some(width), .. } => {
                Some(WindowChoice::Linear { center, width })
            }
            _ => None,
        }
    }

    /// The step's place in the fixed order.
    pub(super) fn place(&self) -> usize {
        match self {
            Self::Decode { .. } => 0,
            Self::Window { .. } => 1,
            Self::Resize { .. } => 2,
            Self::Clahe { .. } => 3,
            Self::Gamma { .. } => 4,
            Self::Median { .. } => 5,
        }
    }

    /// Checks the ranges of the parameters.
    pub(super) fn validate(&self) -> Result<()> {
        match *self {
            Self::Decode { .. } | Self::Window { mode: Some(_), center: None, width: None } => {
                Ok(())
            }
            Self::Window { mode: None, center: Some(center), width: Some(width) } => {
                // 0, or far enough from it to be written without an exponent.
                if center.abs() > CENTER_MOST || center != 0.0 && center.abs() < CENTER_STEP {
                    return Err(Error::Spec(format!(
                        "window.center must be 0 or from {CENTER_STEP} to {CENTER_MOST} in size, \
                         got {center}"
                    )));
                }
                in_range("window.width", width, WINDOW_WIDTHS.0, WINDOW_WIDTHS.1)
            }
            Self::Window { .. } => {
                Err(Error::Spec("window needs a mode, or center and width".into()))
            }
            Self::Resize { height, width, .. } => {
                in_range("resize.height", height, 1, MAX_SIDE)?;
                in_range("resize.width", width, 1, MAX_SIDE)
            }
            Self::Clahe { clip_limit, tiles } => {
                in_range("clahe.clip_limit", clip_limit, CLIP_RANGE.0, CLIP_RANGE.1)?;
                in_range("clahe.tiles", tiles, 1, MAX_TILES)
            }
            Self::Gamma { gamma } => in_range("gamma.gamma", gamma, GAMMA_RANGE.0, GAMMA_RANGE.1),
            Self::Median { size } => in_range("median.size", size, 3, 3),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

fn in_range<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    found: T,
    low: T,
    high: T,
) -> Result<()> {
    if found >= low && found <= high {
        return Ok(());
    }
    let expected = if low == high {
        format!("must be {low}")
    } else {
        format!("must be from {low} to {high}")
    };
    Err(Error::Spec(format!("{name} {expected}, got {found}")))
}
