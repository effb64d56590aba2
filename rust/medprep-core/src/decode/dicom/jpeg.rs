//! JPEG frames: which decoder a stream needs is read from its frame header, not from the transfer
//! syntax, which real files get wrong.

use libjpeg_turbo_rs::{DecodeLimits, JpegError};

use super::super::jpeg::{self, Coding};
use super::super::{Channels, DecodeOptions, Limits, jpeg_lossless, jpeg_sequential};
use super::error::{decode_error, unsupported};
use super::header::{Header, Photometric};
use super::values::Sample;
use crate::{Error, ImageU8, Result};

/// Memory reused from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    lossless: jpeg_lossless::Scratch,
    sequential: jpeg_sequential::Scratch,
    image: ImageU8,
}

/// Appends the samples of one stream; true when colour is RGB already.
pub(super) fn append_frame<T: Sample>(
    header: &Header,
    packed: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Vec<T>,
) -> Result<bool> {
    let stream = jpeg::Header::read(packed)?;
    check(header, &stream, limits)?;
    let all = 1 << T::BITS.min(16);
    match stream.coding {
        Coding::Lossless if !stream.is_arithmetic => {
            let put = |sample: u16| T::from_u32(u32::from(sample) % all);
            jpeg_lossless::append(packed, &mut scratch.lossless, put, out)?;
            Ok(header.photometric == Photometric::Rgb)
        }
        _ if stream.precision == 8 => {
            let channels = if header.samples == 1 { Channels::Grey } else { Channels::Rgb };
            let options = DecodeOptions { limits: *limits, ..DecodeOptions::default() };
            let source = jpeg::Source::check(packed, &stream, channels, &options)?;
            jpeg::decode(&source, &mut scratch.sequential, &mut scratch.image)?;
            let most = largest(header);
            out.extend(scratch.image.data().iter().map(|&v| T::from_u32(most.min(v.into()))));
            Ok(true)
        }
        Coding::Sequential if stream.precision == 12 && !stream.is_arithmetic && T::BITS >= 16 => {
            append_12_bit(&stream, packed, limits, largest(header), out)?;
            Ok(true)
        }
        coding => Err(unsupported(format!(
            "DICOM pixels of {} allocated bits from a {} JPEG with {} bits a value{}",
            header.bits_allocated,
            match coding {
                Coding::Sequential => "sequential",
                Coding::Progressive => "progressive",
                Coding::Lossless => "lossless",
            },
            stream.precision,
            if stream.is_arithmetic { ", arithmetic" } else { "" }
        ))),
    }
}

fn check(header: &Header, stream: &jpeg::Header, limits: &Limits) -> Result<()> {
    let found = (stream.height as usize, stream.width as usize, stream.components.len());
    let expected = (header.rows, header.columns, header.samples);
    if found != expected {
        return Err(decode_error(format!(
            "JPEG frame is {}x{}x{}, the header says {}x{}x{}",
            found.0, found.1, found.2, expected.0, expected.1, expected.2
        )));
    }
    // Two bytes a sample, and the decoder's copy of it.
    let samples = (header.rows as u64) * (header.columns as u64) * header.samples as u64;
    limits.check_counts(samples / header.samples as u64, 2 * samples)
}

/// Lossy values overshoot: at white they would else lose their highest bit and become black.
fn largest(header: &Header) -> u32 {
    ((1u64 << header.bits_stored) - 1) as u32
}

fn append_12_bit<T: Sample>(
    stream: &jpeg::Header,
    packed: &[u8],
    limits: &Limits,
    most: u32,
    out: &mut Vec<T>,
) -> Result<()> {
    let limits = DecodeLimits {
        max_width: 65_535,
        max_height: 65_535,
        max_pixels: u64::from(stream.height) * u64::from(stream.width),
        max_scans: limits.max_jpeg_scans as usize,
        ..DecodeLimits::default()
    };
    let image = libjpeg_turbo_rs::precision::decompress_12bit_with_limits(packed, &limits)
        .map_err(to_error)?;
    out.extend(image.data.iter().map(|&v| T::from_u32(most.min(v as u16 as u32))));
    Ok(())
}

fn to_error(error: JpegError) -> Error {
    match error {
        JpegError::Unsupported(what) => unsupported(format!("JPEG: {what}")),
        JpegError::UnexpectedEof => decode_error("JPEG frame: premature end of the coded data"),
        other => decode_error(format!("JPEG frame: {other}")),
    }
}
