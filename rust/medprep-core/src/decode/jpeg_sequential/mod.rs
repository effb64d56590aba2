//! A decoder for sequential baseline JPEG (ITU-T T.81) with libjpeg-turbo's pixels.
//!
//! Decodes 8-bit Huffman-coded files of one scan: grey, 4:4:4, 4:2:2, 4:2:0 and 4:4:0, with or
//! without restart markers, of any size. The pixels equal those of libjpeg-turbo with its defaults
//! (accurate integer DCT, fancy upsampling), hence OpenCV's. Every other file, and every file about
//! which libjpeg-turbo would warn, is refused with the reason, so that a general decoder takes over.
//!
//! The stages: `markers` reads the header; `clean` removes byte stuffing; `entropy` decodes
//! coefficients with the tables of `huffman`; `idct` transforms them into `planes`;
//! `rows` upsamples chroma and converts colours. `decoder` leads through them one row of MCUs at
//! a time, so that an image is never held in planes. `kernels` has the stages for each instruction set.

mod clean;
mod decoder;
mod entropy;
mod huffman;
mod idct;
mod kernels;
mod layout;
mod markers;
mod output;
mod planes;
mod refusal;
mod rows;
#[cfg(test)]
mod tests;

pub use decoder::Scratch;
pub use refusal::Refusal;

use super::{Channels, Reduction};
use crate::{Cpu, ImageU8};

/// What to decode.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Channels of the output; grey is Y alone, and a grey file gives three equal channels.
    pub channels: Channels,
    /// Larger images are refused before anything is allocated for their pixels.
    pub max_pixels: u64,
    /// The pixels of a reduced image equal those of libjpeg-turbo with `scale_denom`.
    pub reduction: Reduction,
}

/// The image that was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3 values per pixel.
    pub channels: usize,
}

/// Decodes `data` into `image`, reusing its allocation.
///
/// EXIF orientation is not applied.
///
/// # Errors
/// The reason for which the file is left to another decoder; `image` then holds nothing of use.
pub fn decode_into(
    data: &[u8],
    options: &Options,
    cpu: Cpu,
    scratch: &mut Scratch,
    image: &mut ImageU8,
) -> Result<Info, Refusal> {
    decoder::decode(data, options, cpu, scratch, Some(image))
}

/// Decodes `data` in bands of `band_rows` rows (the last may have fewer), so that the image is never
/// held: `sink` gets the first row's index, the rows, and the bytes per row. `buffer` holds a band.
///
/// # Errors
/// As [`decode_into`]. Damage may be found after some bands: the consumer must then drop them.
pub fn decode_bands(
    data: &[u8],
    options: &Options,
    cpu: Cpu,
    scratch: &mut Scratch,
    buffer: &mut Vec<u8>,
    band_rows: usize,
    sink: &mut dyn FnMut(usize, &[u8], usize),
) -> Result<Info, Refusal> {
    let mut bands = output::Bands { buffer, height: band_rows, sink, stride: 0, first: 0, rows: 0 };
    decoder::decode(data, options, cpu, scratch, Some(&mut bands))
}

/// Decodes the coefficients of `data` and drops them: accepts and refuses what [`decode_into`]
/// does, in a part of the time.
///
/// # Errors
/// As [`decode_into`].
pub fn check(
    data: &[u8],
    options: &Options,
    cpu: Cpu,
    scratch: &mut Scratch,
) -> Result<Info, Refusal> {
    decoder::decode(data, options, cpu, scratch, None)
}
