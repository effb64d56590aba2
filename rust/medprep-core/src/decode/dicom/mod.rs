//! DICOM: one file to stored pixel values and what is needed to show them.
//!
//! Parsing is `dicom-object`'s; frames are decoded here. Only what describes pixels is read from
//! the header: nothing about the patient leaves this module.

mod frames;
mod header;
mod rle;

pub use header::{Header, Photometric, VoiFunction, VoiWindow};

use super::{Limits, guard};
use crate::Result;

/// Which frames of a multi-frame file are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frames {
    /// The first one.
    First,
    /// The one in the middle (index `number / 2`), the usual choice for a volume preview.
    #[default]
    Middle,
    /// All of them.
    All,
}

/// Stored values, one after the other: (frames, rows, columns, samples), C-contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Up to 8 bits, unsigned.
    U8(Vec<u8>),
    /// Up to 8 bits, two's complement.
    I8(Vec<i8>),
    /// Up to 16 bits, unsigned.
    U16(Vec<u16>),
    /// Up to 16 bits, two's complement.
    I16(Vec<i16>),
}

/// The pixels of the chosen frames and the header that explains them.
#[derive(Debug, Clone)]
pub struct DicomPixels {
    /// What describes the pixels.
    pub header: Header,
    /// Frames in `stored`.
    pub frames: usize,
    /// The values as the file stores them; colour is interleaved and, where it was YBR, RGB.
    pub stored: Stored,
}

/// True when `data` has the `DICM` mark after its preamble.
pub fn is_dicom(data: &[u8]) -> bool {
    data.get(128..132) == Some(b"DICM")
}

/// Decodes the chosen frames of a DICOM file.
///
/// Built in: uncompressed (implicit, explicit, big-endian, deflated), RLE, JPEG Baseline.
///
/// # Errors
/// `Decode` when the file is damaged, `Unsupported` (by name) for other transfer syntaxes and for
/// pixels of other than 8 or 16 bits, `Limit` when it asks for more than the caps allow.
pub fn decode_dicom(data: &[u8], frames: Frames, limits: &Limits) -> Result<DicomPixels> {
    guard::catch_panic("DICOM", || {
        let (header, pixel_data) = header::read(data)?;
        frames::decode(header, &pixel_data, frames, limits)
    })
}
