//! The steps and the ranges of their parameters.

use serde::{Deserialize, Serialize};

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

/// One step with its parameters, as written in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Bytes to pixels; always first.
    Decode {
        /// Grey or RGB.
        channels: Channels,
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
            Self::Resize { .. } => "resize",
            Self::Clahe { .. } => "clahe",
            Self::Gamma { .. } => "gamma",
            Self::Median { .. } => "median",
        }
    }

    /// The step's place in the fixed order.
    pub(super) fn place(&self) -> usize {
        match self {
            Self::Decode { .. } => 0,
            Self::Resize { .. } => 1,
            Self::Clahe { .. } => 2,
            Self::Gamma { .. } => 3,
            Self::Median { .. } => 4,
        }
    }

    /// Checks the ranges of the parameters.
    pub(super) fn validate(&self) -> Result<()> {
        match *self {
            Self::Decode { .. } => Ok(()),
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
