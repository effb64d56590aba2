//! PNG, converted to 8 bits as libpng converts for OpenCV.
//!
//! Plain 8-bit files, which is nearly all of them, are inflated in one go (`whole`, `unfilter`).
//! All others, and whatever looks wrong, go through the crate `png` from the start (`careful`),
//! which tells kinds of damage apart.

mod careful;
mod chunks;
mod grey;
mod pixels;
#[cfg(test)]
mod tests;
mod unfilter;
mod whole;
mod wide;

pub(super) use chunks::Header;
pub(super) use wide::decode_wide;

use super::guard::catch_panic;
use super::{Channels, DecodeOptions};
use crate::{Cpu, ImageU8, Result};

const FORMAT: &str = "PNG";

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    whole: whole::Scratch,
    /// A row as the file stores it; all rows when it is interlaced.
    row: Vec<u8>,
}

/// Everything about one PNG its decoders need.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    data: &'a [u8],
    header: &'a Header,
    channels: Channels,
    options: &'a DecodeOptions,
}

impl<'a> Source<'a> {
    /// Refuses images over the limits.
    pub(super) fn check(
        data: &'a [u8],
        header: &'a Header,
        channels: Channels,
        options: &'a DecodeOptions,
    ) -> Result<Self> {
        options.limits.check_image(header.height, header.width, channels.count())?;
        Ok(Self { data, header, channels, options })
    }

    /// Whether [`decode_bands`] may succeed.
    pub(super) fn has_bands(&self) -> bool {
        whole::covers(self.header)
    }
}

/// Decodes into `out` as stored (no orientation).
pub(super) fn decode(source: &Source, scratch: &mut Scratch, out: &mut ImageU8) -> Result<()> {
    let Source { data, header, channels, options } = *source;
    let (height, width) = (header.height as usize, header.width as usize);
    let mut y = 0;
    let mut copy = |rows: &[u8], stride: usize| {
        if y == 0 {
            out.reshape(height, width, channels.count());
        }
        for row in rows.chunks(stride) {
            let out = out.row_mut(y);
            out.copy_from_slice(&row[..out.len()]);
            y += 1;
        }
    };
    if decode_bands(source, scratch, &mut copy)? {
        return Ok(());
    }
    catch_panic(FORMAT, || careful::decode(data, header, channels, options, &mut scratch.row, out))
}

/// Decodes in bands: `sink` gets whole rows and the bytes from one to the next. False when the file
/// needs [`decode`].
pub(super) fn decode_bands(
    source: &Source,
    scratch: &mut Scratch,
    sink: &mut dyn FnMut(&[u8], usize),
) -> Result<bool> {
    if !source.has_bands() {
        return Ok(false);
    }
    let Source { data, header, channels, options } = *source;
    let cpu = Cpu::current()?;
    let decoded = catch_panic(FORMAT, || {
        Ok(whole::decode(data, header, channels, options, cpu, &mut scratch.whole, sink))
    });
    if decoded.is_err() {
        // A panic is a bug there (the panic hook has told of it), and no reason to lose the image.
        scratch.whole = whole::Scratch::default();
    }
    Ok(decoded.unwrap_or(false))
}
