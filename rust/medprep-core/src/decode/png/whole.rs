//! Plain 8-bit files: the whole image inflated into one buffer, unfiltered there band by band, and
//! read from there.

use std::fmt;

use ::png::{BitDepth, ColorType};

use super::super::inflate::Inflater;
use super::super::{Channels, DecodeOptions};
use super::chunks::{Header, Plain};
use super::grey::ToGrey;
use super::pixels::Layout;
use super::unfilter::{Rows, SLACK};
use crate::Cpu;

/// Rows of a band: two groups of the vector path.
const BAND_ROWS: usize = 16;

/// Deflate cannot do better: a length of 258 takes two bits.
const MAX_RATIO: usize = 1032;

/// Memory kept from image to image.
#[derive(Default)]
pub(super) struct Scratch {
    /// The zlib stream of files that have it in several chunks.
    joined: Vec<u8>,
    /// Rows with their filter bytes.
    raw: Vec<u8>,
    zeros: Vec<u8>,
    /// Rows on their way to the consumer, if they are not there as the file stores them.
    band: Vec<u8>,
    inflater: Inflater,
}

impl Scratch {
    /// Bytes kept for pixels.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.raw.len() + self.zeros.len() + self.band.len()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Whether a file with this header is for [`decode`].
pub(super) fn covers(header: &Header) -> bool {
    header.bit_depth == 8 && !header.interlaced && header.has_known_methods
}

/// Decodes from top to bottom; `sink` gets whole rows and the bytes from one to the next. False,
/// before any row, for all that is not plain and healthy.
///
/// The caller has checked the size of the decoded image.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    cpu: Cpu,
    scratch: &mut Scratch,
    sink: &mut dyn FnMut(&[u8], usize),
) -> bool {
    decode_plain(data, header, channels, options, cpu, scratch, sink).is_some()
}

fn decode_plain(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    cpu: Cpu,
    scratch: &mut Scratch,
    sink: &mut dyn FnMut(&[u8], usize),
) -> Option<()> {
    let color = ColorType::from_u8(header.color).filter(|_| covers(header))?;
    let Scratch { joined, raw, zeros, band, inflater } = scratch;
    let plain = Plain::read(data, joined)?;
    // A palette in other files is a hint of no use here, and `png` knows where it may stand.
    if plain.palette.is_some() != (color == ColorType::Indexed) {
        return None;
    }
    let (height, width) = (header.height as usize, header.width as usize);
    let stride = width.checked_mul(color.samples())?.checked_add(1)?;
    let len = stride.checked_mul(height)?;
    let compressed = plain.chunk.unwrap_or(joined);
    let is_possible = len as u64 <= options.limits.max_bytes && len / MAX_RATIO <= compressed.len();
    if !is_possible {
        return None;
    }
    let padded = len.checked_add(Inflater::SLACK)?;
    grow(raw, padded);
    grow(zeros, stride + SLACK);
    if !inflater.inflate_zlib(cpu, compressed, &mut raw[..padded]) {
        return None;
    }
    let mut rows = Rows { data: raw, width, pixel_len: color.samples(), height, zeros };
    if !rows.has_known_filters() {
        return None;
    }
    let convert = Convert::new(&plain, color, channels);
    let out_stride = width * channels.count();
    for first in (0..height).step_by(BAND_ROWS) {
        let end = height.min(first + BAND_ROWS);
        rows.unfilter(cpu, first..end);
        let raw = &rows.data[first * stride..end * stride];
        match &convert {
            Convert::Nothing => sink(&raw[1..], stride),
            Convert::Rows { layout, to_grey } => {
                grow(band, BAND_ROWS * out_stride);
                for (row, out) in raw.chunks_exact(stride).zip(band.chunks_exact_mut(out_stride)) {
                    layout.convert_row(&row[1..], to_grey.as_ref(), channels, out);
                }
                sink(&band[..(end - first) * out_stride], out_stride);
            }
        }
    }
    Some(())
}

/// What lies between the file's bytes and the wanted ones.
enum Convert {
    Nothing,
    Rows { layout: Layout, to_grey: Option<ToGrey> },
}

impl Convert {
    fn new(plain: &Plain, color: ColorType, channels: Channels) -> Self {
        match (channels, color) {
            (Channels::Grey, ColorType::Grayscale) | (Channels::Rgb, ColorType::Rgb) => {
                Self::Nothing
            }
            _ => {
                let palette = plain.palette.unwrap_or_default();
                let is_mixed = channels == Channels::Grey && color != ColorType::GrayscaleAlpha;
                let to_grey = is_mixed.then(|| ToGrey::of_8_bits(plain.is_srgb, plain.gamma));
                Self::Rows { layout: Layout::new(color, BitDepth::Eight, palette), to_grey }
            }
        }
    }
}

/// Makes `buffer` at least `len` long; what is in it does not matter.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        // Nothing is copied to the new place.
        buffer.clear();
        buffer.resize(len, 0);
    }
}
