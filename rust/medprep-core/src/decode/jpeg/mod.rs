//! JPEG: header, limits, then pixels bit-identical to libjpeg-turbo's from one of two decoders.
//!
//! The fast one ([`super::jpeg_sequential`]) takes healthy baseline files, which is nearly all of
//! them. What it refuses, for whatever reason, goes the careful way from the start: a structure
//! check, then `turbo`, which tells kinds of files and of damage apart and can keep what is there.
//! So does every file on a machine without AVX2, where `turbo` has vector code and ours has none.

mod cmyk;
mod header;
mod structure;
mod tables;
#[cfg(test)]
mod tests;
mod turbo;

pub(super) use header::{Coding, Header};

use super::error::damaged;
use super::guard::catch_panic;
use super::jpeg_sequential::{self, Info, Refusal};
use super::{Channels, DecodeOptions, Reduction};
use crate::error::Error;
use crate::{Cpu, ImageU8, Result};

const FORMAT: &str = "JPEG";

/// Everything about one JPEG a pixel decoder needs; its header has been checked.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    data: &'a [u8],
    header: &'a Header,
    channels: Channels,
    options: &'a DecodeOptions,
    reduction: Reduction,
}

impl<'a> Source<'a> {
    /// Refuses images over the limits and valid files that no decoder here can read.
    pub(super) fn check(
        data: &'a [u8],
        header: &'a Header,
        channels: Channels,
        options: &'a DecodeOptions,
    ) -> Result<Self> {
        options.limits.check_image(header.height, header.width, channels.count())?;
        header.check_supported(channels)?;
        Ok(Self { data, header, channels, options, reduction: Reduction::Whole })
    }

    /// The same at a fraction of the size, where the file allows it.
    pub(super) fn reduced(self, reduction: Reduction) -> Self {
        Self { reduction: self.header.possible(reduction), ..self }
    }
}

/// Decodes into `out` as stored (no orientation); returns why the pixels are not to be trusted.
pub(super) fn decode(
    source: &Source,
    scratch: &mut jpeg_sequential::Scratch,
    out: &mut ImageU8,
) -> Result<Option<String>> {
    let decoded = try_sequential(source, Path::current()?, scratch, |options, cpu, scratch| {
        jpeg_sequential::decode_into(source.data, options, cpu, scratch, out)
    });
    if decoded { Ok(None) } else { decode_carefully(source, out) }
}

/// Refuses what [`decode`] refuses, for the same reason, without making pixels of healthy files.
pub(super) fn check(source: &Source, scratch: &mut jpeg_sequential::Scratch) -> Result<()> {
    let is_healthy = try_sequential(source, Path::current()?, scratch, |options, cpu, scratch| {
        jpeg_sequential::check(source.data, options, cpu, scratch)
    });
    if !is_healthy {
        decode_carefully(source, &mut ImageU8::default())?;
    }
    Ok(())
}

/// Decodes in bands of `band_rows` rows; false when the file needs [`decode`]. What `sink` was
/// given is then worth nothing.
pub(super) fn decode_bands(
    source: &Source,
    scratch: &mut jpeg_sequential::Scratch,
    buffer: &mut Vec<u8>,
    band_rows: usize,
    sink: &mut dyn FnMut(&[u8], usize),
) -> Result<bool> {
    let mut sink = |_: usize, rows: &[u8], stride: usize| sink(rows, stride);
    Ok(try_sequential(source, Path::current()?, scratch, |options, cpu, scratch| {
        let data = source.data;
        jpeg_sequential::decode_bands(data, options, cpu, scratch, buffer, band_rows, &mut sink)
    }))
}

/// The instruction set to decode with, and whether somebody asked for it.
#[derive(Clone, Copy)]
struct Path {
    cpu: Cpu,
    is_named: bool,
}

impl Path {
    fn current() -> Result<Self> {
        Ok(Self { cpu: Cpu::current()?, is_named: Cpu::is_named() })
    }

    /// Our plain Rust takes 2 to 2.6 times as long as libjpeg-turbo-rs with SSE2 (benches/decode);
    /// it is for those who ask for the definition.
    fn suits_sequential(self) -> bool {
        self.cpu != Cpu::Scalar || self.is_named
    }
}

/// Runs the fast decoder; false when the file is left to the careful one.
fn try_sequential(
    source: &Source,
    path: Path,
    scratch: &mut jpeg_sequential::Scratch,
    decode: impl FnOnce(
        &jpeg_sequential::Options,
        Cpu,
        &mut jpeg_sequential::Scratch,
    ) -> std::result::Result<Info, Refusal>,
) -> bool {
    let Header { height, width, .. } = source.header;
    let options = jpeg_sequential::Options {
        channels: source.channels,
        // Never more than what the limits were checked for.
        max_pixels: u64::from(*height) * u64::from(*width),
        reduction: source.reduction,
    };
    if !path.suits_sequential() {
        return false;
    }
    let decoded = catch_panic(FORMAT, || Ok(decode(&options, path.cpu, scratch).is_ok()));
    if decoded.is_err() {
        // A panic is a bug there (the panic hook has told of it), and no reason to lose the image.
        *scratch = jpeg_sequential::Scratch::default();
    }
    decoded.unwrap_or(false)
}

/// Decodes or refuses any file, and knows the reason.
fn decode_carefully(source: &Source, out: &mut ImageU8) -> Result<Option<String>> {
    let structure = structure::check(source.data, source.header);
    source.options.limits.check_scans(structure.scans)?;
    let reason = match structure.problem {
        Some(problem) => problem,
        None => match decode_pixels(source, false, out) {
            Ok(()) if !has_data_left(source)? => return Ok(None),
            Ok(()) => "coded data is left over after the last block".to_owned(),
            Err(Error::Decode { reason, .. }) => reason,
            Err(other) => return Err(other),
        },
    };
    if !source.options.keep_damaged {
        return Err(damaged(FORMAT, reason));
    }
    decode_pixels(source, true, out)?;
    Ok(Some(reason))
}

/// Whether a sequential file holds more coded data than its blocks take, which `turbo` does not tell.
fn has_data_left(source: &Source) -> Result<bool> {
    let Header { height, width, .. } = source.header;
    let options = jpeg_sequential::Options {
        channels: source.channels,
        max_pixels: u64::from(*height) * u64::from(*width),
        reduction: Reduction::Whole,
    };
    let cpu = Cpu::current()?;
    let checked = catch_panic(FORMAT, || {
        let mut scratch = jpeg_sequential::Scratch::default();
        Ok(jpeg_sequential::check(source.data, &options, cpu, &mut scratch))
    });
    Ok(matches!(checked, Ok(Err(Refusal::LeftOver))))
}

/// Bytes to rows. Strict refuses what is damaged; lenient decodes what is there.
fn decode_pixels(source: &Source, lenient: bool, out: &mut ImageU8) -> Result<()> {
    let (height, width) = source.header.size(source.reduction);
    out.reshape(height, width, source.channels.count());
    catch_panic(FORMAT, || turbo::decode(source, lenient, out))
}
