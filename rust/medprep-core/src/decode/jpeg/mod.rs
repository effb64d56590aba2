//! JPEG: header, structure check, then pixels from a decoder bit-identical to libjpeg-turbo.
//!
//! `decode_pixels` is the one function that makes pixels; another decoder is put beside `turbo`
//! by trying it there first.

mod cmyk;
mod header;
mod structure;
mod turbo;

pub(super) use header::Header;

use super::error::damaged;
use super::guard::catch_panic;
use super::{Channels, DecodeOptions};
use crate::error::Error;
use crate::{ImageU8, Result};

const FORMAT: &str = "JPEG";

/// Everything about one JPEG a pixel decoder needs.
struct Source<'a> {
    data: &'a [u8],
    header: &'a Header,
    channels: Channels,
    max_scans: u32,
}

/// Decodes into `out` as stored (no orientation); returns why the pixels are not to be trusted.
///
/// `out` gets its shape only after the limits have been checked.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    out: &mut ImageU8,
) -> Result<Option<String>> {
    options.limits.check_image(header.height, header.width, channels.count())?;
    header.check_supported(channels)?;
    let structure = structure::check(data, header);
    options.limits.check_scans(structure.scans)?;
    let source = Source { data, header, channels, max_scans: options.limits.max_jpeg_scans };
    let reason = match structure.problem {
        Some(problem) => problem,
        None => match decode_pixels(&source, false, out) {
            Ok(()) => return Ok(None),
            Err(Error::Decode { reason, .. }) => reason,
            Err(other) => return Err(other),
        },
    };
    if !options.keep_damaged {
        return Err(damaged(FORMAT, reason));
    }
    decode_pixels(&source, true, out)?;
    Ok(Some(reason))
}

/// Bytes to rows. Strict refuses what is damaged; lenient decodes what is there.
fn decode_pixels(source: &Source, lenient: bool, out: &mut ImageU8) -> Result<()> {
    out.reshape(
        source.header.height as usize,
        source.header.width as usize,
        source.channels.count(),
    );
    catch_panic(FORMAT, || turbo::decode(source, lenient, out))
}
