//! Bytes to pixels, equal to OpenCV's `imdecode`; hostile bytes cost an error, never the process.
//!
//! One file, one job: [`format`](Format) sniffing, [`probe()`] (header only), [`Limits`], EXIF
//! orientation, and one folder per file format. Baseline JPEGs have a decoder of their own
//! ([`jpeg_sequential`]); all others and all damaged ones are `jpeg`'s. [`Bands`] are for consumers
//! that need no whole image.

mod bands;
mod bmp;
pub mod dicom;
mod error;
mod exif;
mod format;
mod gif;
mod guard;
pub mod inflate;
mod jpeg;
mod jpeg_lossless;
pub mod jpeg_sequential;
mod limits;
mod mix;
mod orientation;
mod png;
mod probe;
mod reduction;
mod tiff;
mod webp;

use serde::{Deserialize, Serialize};

pub use bands::Bands;
pub use format::Format;
pub use limits::Limits;
pub use probe::{Probe, probe};
pub use reduction::Reduction;

use crate::image::Image;
use crate::{ImageU8, ImageU16, Result};

/// What a decoded pixel holds; colour files are reduced and grey files are expanded to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One value, as `cv2.imdecode(IMREAD_GRAYSCALE)`.
    Grey,
    /// Red, green, blue, as `cv2.imdecode(IMREAD_COLOR)` with the order reversed.
    Rgb,
}

impl Channels {
    /// Values per pixel: 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// How to treat what is not a small, healthy image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Caps on what a file may ask for.
    pub limits: Limits,
    /// Decode what is there of a damaged JPEG instead of refusing it.
    pub keep_damaged: bool,
    /// The frame of a multi-frame DICOM file that is wanted, whatever the decode step says.
    pub frame: Option<u32>,
}

/// What the caller must know beside the pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Why the pixels are not to be trusted; only ever set with [`DecodeOptions::keep_damaged`].
    pub damaged: Option<String>,
}

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Pixels before the EXIF orientation is applied.
    stored: ImageU8,
    png: png::Scratch,
    jpeg: jpeg_sequential::Scratch,
    /// Rows on their way to a consumer of [`Bands`].
    band: Vec<u8>,
    /// 16-bit pixels before the orientation is applied.
    stored_wide: ImageU16,
    /// 8-bit pixels before they are widened.
    narrow: ImageU8,
    tiff: tiff::Scratch,
    /// A row, or all of them, as a WebP or 16-bit PNG file stores it.
    row: Vec<u8>,
}

/// Decodes an image file into `out`, upright (EXIF orientation applied), 8 bits a value.
///
/// Equal to `cv2.imdecode` with `IMREAD_COLOR` (in RGB order) or `IMREAD_GRAYSCALE`. DICOM is
/// [`dicom::decode_dicom`]'s.
///
/// # Errors
/// `Decode` for damaged bytes and unknown formats, `Limit` for files over the caps (checked before
/// pixels are allocated), `Unsupported` for valid files of a kind this build cannot decode.
pub fn decode_into(
    data: &[u8],
    channels: Channels,
    options: &DecodeOptions,
    scratch: &mut Scratch,
    out: &mut ImageU8,
) -> Result<Decoded> {
    decode_reduced_into(data, channels, options, Reduction::Whole, scratch, out)
}

/// [`decode_into`] at a fraction of the size, for JPEGs; other formats are decoded whole.
///
/// Equal to `cv2.imdecode` with `IMREAD_REDUCED_COLOR_2`, `_4`, `_8` and their grey sisters. A lossless
/// JPEG has no blocks to reduce and is decoded whole.
///
/// # Errors
/// As [`decode_into`]; the limits are for the whole image.
pub fn decode_reduced_into(
    data: &[u8],
    channels: Channels,
    options: &DecodeOptions,
    reduction: Reduction,
    scratch: &mut Scratch,
    out: &mut ImageU8,
) -> Result<Decoded> {
    match Format::of(data)? {
        Format::Jpeg => {
            let header = jpeg::Header::read(data)?;
            let source = jpeg::Source::check(data, &header, channels, options)?.reduced(reduction);
            let Scratch { stored, jpeg, .. } = scratch;
            let mut damaged = None;
            decode_upright(header.orientation, stored, out, |stored| {
                damaged = jpeg::decode(&source, jpeg, stored)?;
                Ok(())
            })?;
            Ok(Decoded { damaged })
        }
        Format::Png => {
            let header = png::Header::read(data)?;
            let source = png::Source::check(data, &header, channels, options)?;
            let Scratch { stored, png, .. } = scratch;
            decode_upright(header.orientation, stored, out, |stored| {
                png::decode(&source, png, stored)
            })?;
            Ok(Decoded::default())
        }
        Format::Tiff => {
            let header = tiff::Header::read(data)?;
            let Scratch { stored, jpeg, tiff, .. } = scratch;
            decode_upright(header.orientation, stored, out, |stored| {
                tiff::decode(data, &header, channels, options, (jpeg, tiff), stored)
            })?;
            Ok(Decoded::default())
        }
        Format::WebP => {
            let header = webp::Header::read(data)?;
            webp::decode(data, &header, channels, options, &mut scratch.row, out)?;
            Ok(Decoded::default())
        }
        Format::Gif => {
            gif::decode(data, gif::Header::read(data)?, channels, options, out)?;
            Ok(Decoded::default())
        }
        Format::Bmp => {
            bmp::decode(data, &bmp::Header::read(data)?, channels, options, out)?;
            Ok(Decoded::default())
        }
        Format::Dicom => Err(error::unsupported("DICOM here (medprep.decode_dicom decodes it)")),
    }
}

/// Decodes an image file into `out`, upright, 16 bits a value.
///
/// 16-bit PNG and TIFF keep their values; all others are decoded by [`decode_into`] and widened:
/// v becomes 257 v, so that black and white stay black and white. Alpha is dropped.
///
/// # Errors
/// As [`decode_into`].
pub fn decode_wide_into(
    data: &[u8],
    channels: Channels,
    options: &DecodeOptions,
    scratch: &mut Scratch,
    out: &mut ImageU16,
) -> Result<Decoded> {
    match Format::of(data)? {
        Format::Png => {
            let header = png::Header::read(data)?;
            if header.bit_depth == 16 {
                let Scratch { stored_wide, row, .. } = scratch;
                decode_upright(header.orientation, stored_wide, out, |stored| {
                    png::decode_wide(data, &header, channels, options, row, stored)
                })?;
                return Ok(Decoded::default());
            }
        }
        Format::Tiff => {
            let header = tiff::Header::read(data)?;
            if header.bit_depth == 16 {
                let Scratch { stored_wide, jpeg, tiff, .. } = scratch;
                decode_upright(header.orientation, stored_wide, out, |stored| {
                    tiff::decode_wide(data, &header, channels, options, (jpeg, tiff), stored)
                })?;
                return Ok(Decoded::default());
            }
        }
        _ => {}
    }
    let mut narrow = std::mem::take(&mut scratch.narrow);
    let decoded = decode_into(data, channels, options, scratch, &mut narrow);
    widen(&narrow, out);
    scratch.narrow = narrow;
    decoded
}

/// Grey of an 8-bit colour with the weights of `cv2.cvtColor`.
pub fn grey_of_rgb(rgb: [u8; 3]) -> u8 {
    mix::cvt_color(rgb)
}

/// [`grey_of_rgb`] of 16-bit values.
pub fn grey_of_wide_rgb(rgb: [u16; 3]) -> u16 {
    mix::cvt_color_wide(rgb)
}

/// 8-bit values times 257.
fn widen(narrow: &ImageU8, wide: &mut ImageU16) {
    let (height, width, channels) = narrow.shape();
    wide.reshape(height, width, channels);
    for (wide, &value) in wide.data_mut().iter_mut().zip(narrow.data()) {
        *wide = 257 * u16::from(value);
    }
}

/// Refuses the JPEGs that [`decode_into`] refuses, for the same reason, in a part of its time.
///
/// For those who decode with libjpeg-turbo itself, which repairs damage silently.
///
/// # Errors
/// As [`decode_into`]; `Decode` also for files of another format.
pub fn check_jpeg(data: &[u8], channels: Channels, options: &DecodeOptions) -> Result<()> {
    if Format::of(data)? != Format::Jpeg {
        return Err(error::damaged("JPEG", "not a JPEG"));
    }
    let header = jpeg::Header::read(data)?;
    let source = jpeg::Source::check(data, &header, channels, options)?;
    jpeg::check(&source, &mut jpeg_sequential::Scratch::default())
}

/// Decodes straight into `out`, or by way of `stored` when the image has to be turned.
fn decode_upright<T: Copy + Default>(
    orientation: u8,
    stored: &mut Image<T>,
    out: &mut Image<T>,
    decode: impl FnOnce(&mut Image<T>) -> Result<()>,
) -> Result<()> {
    if orientation == 1 {
        return decode(out);
    }
    decode(stored)?;
    orientation::apply(stored, orientation, out);
    Ok(())
}

/// [`decode_into`] with memory of its own.
///
/// # Errors
/// As [`decode_into`].
pub fn decode(data: &[u8], channels: Channels, options: &DecodeOptions) -> Result<ImageU8> {
    let mut image = ImageU8::default();
    decode_into(data, channels, options, &mut Scratch::default(), &mut image)?;
    Ok(image)
}
