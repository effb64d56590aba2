//! The pipeline on one image: bytes to the pixels that are stored.

use std::time::Instant;

use super::{Spec, Stage, StageSeconds, Step};
use crate::decode::{self, DecodeOptions, Decoded, decode_into};
use crate::geometry::{self, fit_into};
use crate::photometric::{ClaheScratch, GammaTable, clahe_grey_into, clahe_rgb_into, median3_into};
use crate::{ImageU8, Result};

/// All memory a worker reuses from image to image.
#[derive(Debug, Default)]
pub struct Workspace {
    decoder: decode::Scratch,
    resizer: geometry::Scratch,
    clahe: ClaheScratch,
    decoded: ImageU8,
    /// Source of the steps that cannot work in place.
    previous: ImageU8,
    /// The table of the gamma met last: a run has one gamma.
    gamma: Option<(f64, GammaTable)>,
}

/// Runs every step of `spec` on one encoded image; `out` gets the shape [`Spec::output_shape`].
///
/// # Errors
/// `Decode`, `Limit`, `Unsupported` or `Step`, without the item's name.
pub fn apply(
    spec: &Spec,
    data: &[u8],
    options: &DecodeOptions,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    let mut clock = Instant::now();
    let mut decoded = Decoded::default();
    for step in spec.steps() {
        let stage = match *step {
            Step::Decode { channels } => {
                let (scratch, pixels) = (&mut workspace.decoder, &mut workspace.decoded);
                decoded = decode_into(data, channels, options, scratch, pixels)?;
                Stage::Decode
            }
            Step::Resize { height, width, mode, interpolation } => {
                let (height, width) = (height as usize, width as usize);
                let (source, scratch) = (&workspace.decoded, &mut workspace.resizer);
                fit_into(source, height, width, mode, interpolation, scratch, out)?;
                Stage::Resize
            }
            Step::Clahe { clip_limit, tiles } => {
                std::mem::swap(&mut workspace.previous, out);
                let clahe = if workspace.previous.channels() == 1 {
                    clahe_grey_into
                } else {
                    clahe_rgb_into
                };
                clahe(&workspace.previous, clip_limit, tiles as usize, &mut workspace.clahe, out)?;
                Stage::Clahe
            }
            Step::Gamma { gamma } => {
                gamma_table(&mut workspace.gamma, gamma)?.apply(out);
                Stage::Gamma
            }
            Step::Median { .. } => {
                std::mem::swap(&mut workspace.previous, out);
                median3_into(&workspace.previous, out)?;
                Stage::Median
            }
        };
        clock = seconds.lap(stage, clock);
    }
    Ok(decoded)
}

fn gamma_table(cache: &mut Option<(f64, GammaTable)>, gamma: f64) -> Result<&GammaTable> {
    if cache.as_ref().is_none_or(|(cached, _)| cached.to_bits() != gamma.to_bits()) {
        *cache = Some((gamma, GammaTable::new(gamma)?));
    }
    Ok(cache.as_ref().map(|(_, table)| table).expect("just made"))
}
