//! Pixels through the crate libjpeg-turbo-rs, a re-implementation of libjpeg-turbo.
//!
//! Settings are libjpeg's defaults, which are OpenCV's: accurate integer DCT, fancy upsampling.

use libjpeg_turbo_rs::decode::pipeline::Decoder;
use libjpeg_turbo_rs::decode::resync::{RestartResyncStrategy, ResyncAction};
use libjpeg_turbo_rs::{
    ColorSpace, DecodeLimits, DecodeWarning, JpegError, PixelFormat, ScalingFactor,
};

use super::super::Channels;
use super::super::error::{damaged, over_limit, unsupported};
use super::{FORMAT, Source, cmyk};
use crate::error::Error;
use crate::{ImageU8, Result};

/// Fills `out`, which has the shape of the stored image.
pub(super) fn decode(source: &Source, lenient: bool, out: &mut ImageU8) -> Result<()> {
    let limits = DecodeLimits {
        // The caller has checked the size against the caps already.
        max_width: 65_535,
        max_height: 65_535,
        max_pixels: u64::from(source.header.height) * u64::from(source.header.width),
        max_scans: source.options.limits.max_jpeg_scans as usize,
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(source.data, limits).map_err(to_error)?;
    decoder.set_limits(limits);
    decoder.set_lenient(lenient);
    let divisor = source.reduction.divisor() as u32;
    decoder.set_scale(ScalingFactor::try_new(1, divisor).map_err(to_error)?);
    if !lenient {
        decoder.set_resync_strategy(RefuseWrongRestart);
    }
    let warnings = if source.header.components.len() == 4 {
        // OpenCV takes CMYK from libjpeg (from YCCK, too) and converts it itself.
        decoder.set_output_format(PixelFormat::Cmyk);
        let image = decoder.decode_image().map_err(to_error)?;
        match source.channels {
            Channels::Rgb => cmyk::to_rgb(&image.data, out.data_mut()),
            Channels::Grey => cmyk::to_grey(&image.data, out.data_mut()),
        }
        image.warnings
    } else {
        match source.channels {
            Channels::Rgb => decoder.set_output_format(PixelFormat::Rgb),
            Channels::Grey => decoder.set_output_colorspace(ColorSpace::Grayscale),
        }
        decoder.decode_image_into(out.data_mut()).map_err(to_error)?.warnings
    };
    match warnings.into_iter().find(means_damage) {
        Some(warning) if !lenient => Err(damaged(FORMAT, warning.to_string())),
        _ => Ok(()),
    }
}

/// Bytes between header segments harm nothing; everything else the decoder warns of does.
fn means_damage(warning: &DecodeWarning) -> bool {
    !matches!(warning, DecodeWarning::ExtraneousData { .. })
}

struct RefuseWrongRestart;

impl RestartResyncStrategy for RefuseWrongRestart {
    fn on_desync(&mut self, _expected: u8, _found: Option<u8>) -> ResyncAction {
        ResyncAction::Abort
    }
}

fn to_error(error: JpegError) -> Error {
    match error {
        JpegError::Unsupported(what) => unsupported(format!("JPEG: {what}")),
        JpegError::LimitExceeded { what, actual, limit } => over_limit(what, actual, limit),
        JpegError::AllocationFailed { what, bytes } => {
            damaged(FORMAT, format!("no memory for {bytes} bytes ({what})"))
        }
        JpegError::UnexpectedEof => damaged(FORMAT, "premature end of the coded data"),
        other => damaged(FORMAT, other.to_string()),
    }
}
