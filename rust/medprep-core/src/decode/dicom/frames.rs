//! From Pixel Data to stored values of the chosen frames.

use std::ops::Range;

use super::attributes::Attributes;
use super::elements::Element;
use super::error::{decode_error, unsupported};
use super::fragments::Fragments;
use super::header::{Header, Photometric};
use super::native::{self, Layout};
use super::syntax::{Codec, codec};
use super::values::{Sample, Values};
use super::{Frames, Scratch, file, jpeg, rle};
use crate::Result;
use crate::decode::Limits;

const PIXEL_DATA: u32 = 0x7FE0_0010;

/// Everything about one file that its frames are decoded with.
pub(super) struct Source<'a> {
    pub header: &'a Header,
    pub data: &'a [u8],
    pub attributes: &'a Attributes<'a>,
    pub limits: &'a Limits,
}

impl Frames {
    /// The indices of the chosen frames of a file that has `frames`.
    pub(super) fn range(self, frames: usize) -> Result<Range<usize>> {
        let first = match self {
            Self::All => return Ok(0..frames),
            Self::First => 0,
            Self::Middle => frames / 2,
            Self::One(index) if (index as usize) < frames => index as usize,
            Self::One(index) => {
                return Err(decode_error(format!(
                    "there is no frame {index}: the header says {frames}, counted from 0"
                )));
            }
            Self::Only if frames == 1 => 0,
            Self::Only => {
                return Err(decode_error(format!(
                    "{frames} frames, and nothing says which is wanted"
                )));
            }
        };
        Ok(first..first + 1)
    }
}

/// Decodes the frames of `range` into `values`.
pub(super) fn decode(
    source: &Source,
    range: Range<usize>,
    scratch: &mut Scratch,
    values: &mut Values,
) -> Result<()> {
    let pixels = pixel_data(source.attributes)?;
    check_limits(source.header, range.len(), source.limits)?;
    match source.header.bits_allocated {
        1 | 8 => decode_as::<u8>(source, pixels, range, scratch, values),
        16 => decode_as::<u16>(source, pixels, range, scratch, values),
        _ => decode_as::<u32>(source, pixels, range, scratch, values),
    }
}

fn pixel_data<'a>(attributes: &'a Attributes) -> Result<&'a Element> {
    let pixels = attributes.pixel_data().ok_or_else(|| decode_error("no Pixel Data"))?;
    if pixels.tag != PIXEL_DATA {
        return Err(unsupported("DICOM floating-point pixel data"));
    }
    Ok(pixels)
}

fn check_limits(header: &Header, frames: usize, limits: &Limits) -> Result<()> {
    // Rows and columns are at most 65,535, so the frame's product fits; frames may be anything.
    let pixels = header.rows as u64 * header.columns as u64;
    let bits = u64::from(header.bits_allocated.max(8));
    let bytes = (pixels * header.samples as u64 * (bits / 8)).saturating_mul(frames as u64);
    limits.check_counts(pixels, bytes)
}

fn decode_as<T: Sample>(
    source: &Source,
    pixels: &Element,
    range: Range<usize>,
    scratch: &mut Scratch,
    values: &mut Values,
) -> Result<()> {
    let mut out = T::take(values);
    if pixels.undefined {
        let fragments =
            Fragments::find(source.data, source.attributes, pixels, source.header.frames)?;
        for index in range {
            let packed = fragments.frame(index)?;
            append_packed(source, &packed, pixels, scratch, &mut out)?;
        }
    } else {
        // Some files state a compressed syntax and hold plain pixels: their length tells.
        let layout = Layout::of(source.header, pixels);
        refuse_packed(source, pixels)?;
        let all = layout.in_order(&source.data[pixels.value.clone()]);
        reserve(source.header, range.len(), all.len(), &mut out);
        for index in range {
            let start = out.len();
            native::append_frame(source.header, layout, &all, index, &mut out)?;
            finish(source.header, false, &mut out[start..]);
        }
    }
    *values = T::put(out, source.header.signed);
    Ok(())
}

fn refuse_packed(source: &Source, pixels: &Element) -> Result<()> {
    match codec(&source.header.transfer_syntax)? {
        Codec::None => Ok(()),
        _ if pixels.value.is_empty() => Err(decode_error("Pixel Data is empty")),
        _ => Err(decode_error("Pixel Data is not encapsulated as its transfer syntax asks for")),
    }
}

/// No more than the data can hold: a header may ask for much and be followed by nothing.
fn reserve<T: Sample>(header: &Header, frames: usize, bytes: usize, out: &mut Vec<T>) {
    let wanted = header.frame_values().saturating_mul(frames);
    out.reserve_exact(wanted.min(bytes.saturating_mul(8) / header.bits_allocated as usize * 2));
}

fn append_packed<T: Sample>(
    source: &Source,
    packed: &[u8],
    pixels: &Element,
    scratch: &mut Scratch,
    out: &mut Vec<T>,
) -> Result<()> {
    let header = source.header;
    let start = out.len();
    let mut is_rgb = false;
    match codec(&header.transfer_syntax)? {
        Codec::None => {
            native::append_frame(header, Layout::of(header, pixels), packed, 0, out)?;
        }
        Codec::Deflate => {
            let layout = Layout::of(header, pixels);
            let frame = file::inflate(packed, source.limits.max_bytes, false)?;
            native::append_frame(header, layout, &frame, 0, out)?;
        }
        Codec::Rle if header.bits_allocated == 1 => {
            return Err(unsupported("DICOM RLE of 1-bit pixels"));
        }
        Codec::Rle => {
            let pixels = header.rows * header.columns;
            rle::append_frame(packed, pixels, header.samples, out)?;
        }
        Codec::Jpeg => {
            is_rgb = jpeg::append_frame(header, packed, source.limits, &mut scratch.jpeg, out)?;
        }
    }
    finish(header, is_rgb, &mut out[start..]);
    Ok(())
}

/// Stored bits and colour of one frame.
fn finish<T: Sample>(header: &Header, is_rgb: bool, samples: &mut [T]) {
    native::keep_stored_bits(header, samples);
    let ybr = matches!(header.photometric, Photometric::YbrFull | Photometric::YbrFull422);
    if ybr && !is_rgb {
        native::to_rgb(header.bits_stored, samples);
    }
}
