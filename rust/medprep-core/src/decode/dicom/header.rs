//! The attributes that describe pixels, checked.

use super::attributes::{self as tags, Attributes};
use super::error::{decode_error, unsupported};
use super::look::Look;
use super::palette::Palette;
use super::syntax::codec;
use crate::Result;

/// What the samples of a pixel mean (PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// Grey, the lowest value is white.
    Monochrome1,
    /// Grey, the lowest value is black.
    Monochrome2,
    /// Indices into a table of colours.
    PaletteColor,
    /// Red, green, blue.
    Rgb,
    /// Luminance and full-range chrominance.
    YbrFull,
    /// As `YbrFull`, chrominance at half the horizontal resolution.
    YbrFull422,
}

impl Photometric {
    /// The defined term.
    pub fn name(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::PaletteColor => "PALETTE COLOR",
            Self::Rgb => "RGB",
            Self::YbrFull => "YBR_FULL",
            Self::YbrFull422 => "YBR_FULL_422",
        }
    }

    /// Samples of a pixel: 1 or 3.
    pub fn samples(self) -> usize {
        match self {
            Self::Monochrome1 | Self::Monochrome2 | Self::PaletteColor => 1,
            Self::Rgb | Self::YbrFull | Self::YbrFull422 => 3,
        }
    }
}

/// The part of a DICOM header that describes pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Transfer syntax UID.
    pub transfer_syntax: String,
    /// Rows of a frame.
    pub rows: usize,
    /// Columns of a frame.
    pub columns: usize,
    /// Samples of a pixel: 1 or 3.
    pub samples: usize,
    /// Frames in the file, at least 1.
    pub frames: usize,
    /// 1, 8, 16 or 32.
    pub bits_allocated: u32,
    /// 1..=bits_allocated.
    pub bits_stored: u32,
    /// The highest bit used, at least `bits_stored - 1`.
    pub high_bit: u32,
    /// True for two's complement values.
    pub signed: bool,
    /// Samples stored plane by plane.
    pub planar: bool,
    /// What the samples mean.
    pub photometric: Photometric,
    /// How values are shown where no frame says otherwise.
    pub look: Look,
    /// Stored values, both included, that pad the image and carry no anatomy.
    pub padding: Option<(i64, i64)>,
    /// The colours of `PaletteColor`.
    pub palette: Option<Palette>,
}

impl Header {
    /// Channels of the shown image: 1, or 3 for colour.
    pub fn channels(&self) -> usize {
        if self.photometric == Photometric::PaletteColor { 3 } else { self.samples }
    }

    /// Values of one frame; rows and columns are at most 65,535, samples at most 3.
    pub(super) fn frame_values(&self) -> usize {
        self.rows * self.columns * self.samples
    }

    /// Reads and checks the attributes.
    pub(super) fn of(attributes: &Attributes, transfer_syntax: &str) -> Result<Self> {
        let a = attributes;
        let bits_allocated = bits(a.required(tags::BITS_ALLOCATED)?);
        let bits_stored = a.integer(tags::BITS_STORED)?.map_or(bits_allocated, bits);
        // JPEG 2000 has photometric interpretations of its own: the syntax is what is missing.
        let photometric = photometric(a).map_err(|e| codec(transfer_syntax).err().unwrap_or(e))?;
        let signed = a.integer(tags::PIXEL_REPRESENTATION)?.unwrap_or(0) == 1;
        let high_bit = a.integer(tags::HIGH_BIT)?.map_or(bits_stored.saturating_sub(1), bits);
        let header = Self {
            transfer_syntax: transfer_syntax.to_owned(),
            rows: size(a.required(tags::ROWS)?, "Rows")?,
            columns: size(a.required(tags::COLUMNS)?, "Columns")?,
            samples: usize::try_from(a.integer(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1)).unwrap_or(0),
            frames: frames(a)?,
            bits_allocated,
            bits_stored,
            // Of a high bit that cannot be, only the usual place is left.
            high_bit: if (bits_stored..=bits_allocated).contains(&(high_bit + 1)) {
                high_bit
            } else {
                bits_stored.saturating_sub(1)
            },
            signed,
            planar: a.integer(tags::PLANAR_CONFIGURATION)?.unwrap_or(0) == 1,
            photometric,
            look: Look::of(a, signed)?,
            padding: padding(a, signed),
            palette: None,
        };
        header.check()?;
        let palette = (photometric == Photometric::PaletteColor).then(|| Palette::of(a));
        Ok(Self { palette: palette.transpose()?, ..header })
    }

    fn check(&self) -> Result<()> {
        if !matches!(self.bits_allocated, 1 | 8 | 16 | 32) {
            return Err(unsupported(format!(
                "DICOM pixels of {} allocated bits (1, 8, 16 and 32 are built in)",
                self.bits_allocated
            )));
        }
        if self.bits_stored == 0 || self.bits_stored > self.bits_allocated {
            return Err(decode_error(format!(
                "BitsStored is {}, expected 1..={}",
                self.bits_stored, self.bits_allocated
            )));
        }
        let expected = self.photometric.samples();
        if self.samples != expected {
            return Err(decode_error(format!(
                "{} samples per pixel with {}, expected {expected}",
                self.samples,
                self.photometric.name()
            )));
        }
        if expected == 3 && (self.bits_allocated == 1 || self.signed) {
            return Err(unsupported("DICOM colour of signed or 1-bit samples"));
        }
        if self.photometric == Photometric::YbrFull422 && self.bits_allocated != 8 {
            return Err(unsupported("DICOM YBR_FULL_422 of other than 8 bits"));
        }
        Ok(())
    }
}

fn bits(value: i64) -> u32 {
    // What is no number of bits fails the checks that follow.
    u32::try_from(value).ok().filter(|&bits| bits < 1 << 16).unwrap_or(0)
}

fn frames(a: &Attributes) -> Result<usize> {
    let frames = a.integer(tags::NUMBER_OF_FRAMES)?.unwrap_or(1);
    usize::try_from(frames.max(1)).map_err(|_| decode_error("NumberOfFrames is too large"))
}

fn photometric(a: &Attributes) -> Result<Photometric> {
    let name = a
        .text(tags::PHOTOMETRIC_INTERPRETATION)
        .ok_or_else(|| decode_error("no PhotometricInterpretation"))?;
    Ok(match name.as_str() {
        "MONOCHROME1" => Photometric::Monochrome1,
        "MONOCHROME2" => Photometric::Monochrome2,
        "PALETTE COLOR" => Photometric::PaletteColor,
        "RGB" => Photometric::Rgb,
        "YBR_FULL" => Photometric::YbrFull,
        "YBR_FULL_422" => Photometric::YbrFull422,
        _ => {
            const KNOWN: [&str; 9] = [
                "YBR_ICT",
                "YBR_RCT",
                "YBR_PARTIAL_420",
                "YBR_PARTIAL_422",
                "XYB",
                "HSV",
                "ARGB",
                "CMYK",
                "YBR_FULL_420",
            ];
            let known = KNOWN.iter().find(|known| **known == name);
            return Err(match known {
                Some(known) => unsupported(format!("DICOM photometric interpretation {known}")),
                None => decode_error("unknown PhotometricInterpretation"),
            });
        }
    })
}

fn padding(a: &Attributes, signed: bool) -> Option<(i64, i64)> {
    let value = |tag| {
        let value = a.integer(tag).ok().flatten()?;
        // Implicit files and careless writers do not say that it is signed as the pixels are.
        Some(if signed && (1 << 15..1 << 16).contains(&value) { value - (1 << 16) } else { value })
    };
    let first = value(tags::PIXEL_PADDING_VALUE)?;
    let last = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(first);
    Some((first.min(last), first.max(last)))
}

fn size(value: i64, what: &str) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|&v| (1..=65_535).contains(&v))
        .ok_or_else(|| decode_error(format!("{what} is {value}, expected 1..=65535")))
}
