//! The pipeline in 16 bits: the same steps, each defined on 16-bit values.

use std::time::Instant;

use super::source::Source;
use super::{Spec, Stage, StageSeconds, Step, Workspace};
use crate::decode::{DecodeOptions, Decoded};
use crate::geometry::fit_wide_into;
use crate::photometric::{ClaheScratch, WideGammaTable, clahe_u16_into, median3_wide_into};
use crate::{ImageU16, Result};

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Wide {
    /// The image under way.
    image: ImageU16,
    /// Source of the step under way.
    previous: ImageU16,
    clahe: ClaheScratch,
    /// The table of the gamma met last.
    gamma: Option<(f64, WideGammaTable)>,
}

impl Wide {
    /// The result of the last [`run`].
    pub(super) fn values(&self) -> &[u16] {
        self.image.data()
    }
}

/// Runs every step of `spec`; the result is `workspace.wide.values()`.
pub(super) fn run(
    spec: &Spec,
    data: &[u8],
    options: &DecodeOptions,
    workspace: &mut Workspace,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    let mut decoded = Decoded::default();
    let mut source = Source::new(data, options);
    let mut clock = Instant::now();
    for step in spec.steps() {
        let Workspace { decoder, resizer, held, wide, source: size, .. } = workspace;
        let Wide { image, previous, clahe, gamma: table } = wide;
        match *step {
            Step::Decode { channels, frames, fast } => source.read_as(channels, frames, fast),
            Step::Window { .. } => source.window = step.window(),
            Step::Resize { height, width, mode, .. } => {
                decoded = source.decode(decoder, held, previous)?;
                *size = [previous.height(), previous.width()];
                clock = seconds.lap(Stage::Decode, clock);
                let (height, width) = (height as usize, width as usize);
                fit_wide_into(previous, height, width, mode, resizer, image)?;
                clock = seconds.lap(Stage::Resize, clock);
            }
            Step::Clahe { clip_limit, tiles } => {
                std::mem::swap(image, previous);
                clahe_u16_into(previous, clip_limit, tiles as usize, clahe, image)?;
                clock = seconds.lap(Stage::Clahe, clock);
            }
            Step::Gamma { gamma } => {
                gamma_table(table, gamma)?.apply(image);
                clock = seconds.lap(Stage::Gamma, clock);
            }
            Step::Median { .. } => {
                std::mem::swap(image, previous);
                median3_wide_into(previous, image)?;
                clock = seconds.lap(Stage::Median, clock);
            }
        }
    }
    Ok(decoded)
}

fn gamma_table(cache: &mut Option<(f64, WideGammaTable)>, gamma: f64) -> Result<&WideGammaTable> {
    if cache.as_ref().is_none_or(|(cached, _)| cached.to_bits() != gamma.to_bits()) {
        *cache = Some((gamma, WideGammaTable::new(gamma)?));
    }
    Ok(cache.as_ref().map(|(_, table)| table).expect("just made"))
}
