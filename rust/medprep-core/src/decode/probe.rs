//! What the header says, without decoding a pixel.

use serde::Serialize;

use super::error::damaged;
use super::{Format, bmp, dicom, gif, jpeg, orientation, png, tiff, webp};
use crate::Result;

/// A file's header; height and width are those of the upright image (EXIF orientation applied).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The format by signature.
    pub format: Format,
    /// Rows after orientation.
    pub height: u32,
    /// Columns after orientation.
    pub width: u32,
    /// Values per pixel in the file: 1 grey, 2 grey + alpha, 3 colour (also palette), 4.
    pub channels: u8,
    /// Bits per value in the file.
    pub bit_depth: u8,
    /// EXIF orientation 1..=8; 1 when missing or out of range.
    pub orientation: u8,
    /// Pages (TIFF) or frames (DICOM, GIF) in the file, as far as the bytes show; 1 otherwise.
    pub frames: u32,
    /// A colour profile is embedded; it is ignored, as OpenCV does.
    pub icc: bool,
}

impl Probe {
    /// An upright image without profile.
    fn plain(format: Format, height: u32, width: u32, channels: u8, bit_depth: u8) -> Self {
        Self { format, height, width, channels, bit_depth, orientation: 1, frames: 1, icc: false }
    }

    /// Turned as the orientation says.
    fn turned(mut self, orientation: u8) -> Self {
        if orientation::swaps_axes(orientation) {
            (self.height, self.width) = (self.width, self.height);
        }
        self.orientation = orientation;
        self
    }
}

/// Reads the header only. `data` may be the beginning of a file as long as it holds the header.
///
/// Of a file cut off there, an orientation stored behind the pixels is not seen.
///
/// # Errors
/// `Decode` when the bytes are of no known format or end inside the header, `Unsupported` for kinds
/// of TIFF, BMP and DICOM that this build does not decode.
pub fn probe(data: &[u8]) -> Result<Probe> {
    let format = Format::of(data)?;
    Ok(match format {
        Format::Jpeg => {
            let header = jpeg::Header::read(data)?;
            let channels = header.components.len() as u8;
            let probe =
                Probe::plain(format, header.height, header.width, channels, header.precision);
            Probe { icc: has_jpeg_profile(data), ..probe.turned(header.orientation) }
        }
        Format::Png => {
            let header = png::Header::read(data)?;
            let png::Header { height, width, channels, bit_depth, .. } = header;
            let probe = Probe::plain(format, height, width, channels, bit_depth);
            Probe { icc: header.has_icc, ..probe.turned(header.orientation) }
        }
        Format::Tiff => {
            let header = tiff::Header::read(data)?;
            let tiff::Header { height, width, bit_depth, .. } = header;
            let probe = Probe::plain(format, height, width, header.channels(), bit_depth);
            let (frames, icc) = (header.pages, header.has_icc);
            Probe { frames, icc, ..probe.turned(header.orientation) }
        }
        Format::WebP => {
            let header = webp::Header::read(data)?;
            let channels = if header.has_alpha { 4 } else { 3 };
            let probe = Probe::plain(format, header.height, header.width, channels, 8);
            Probe { icc: header.has_icc, ..probe }
        }
        Format::Gif => {
            let header = gif::Header::read(data)?;
            let probe = Probe::plain(format, header.height, header.width, 3, 8);
            Probe { frames: gif::frames(data), ..probe }
        }
        Format::Bmp => {
            let header = bmp::Header::read(data)?;
            Probe::plain(format, header.height, header.width, header.channels(), 8)
        }
        Format::Dicom => {
            let summary = dicom::read_header(data)?;
            if summary.rows == 0 || summary.columns == 0 || !summary.has_pixels {
                return Err(damaged("DICOM", "no image before the end of the data"));
            }
            let channels = if summary.photometric.starts_with("MONOCHROME") { 1 } else { 3 };
            let bits = u8::try_from(summary.bits_stored).unwrap_or(u8::MAX);
            let probe = Probe::plain(format, summary.rows, summary.columns, channels, bits);
            Probe { frames: summary.frames, ..probe }
        }
    })
}

/// Whether an APP2 segment with a profile stands before the first scan.
fn has_jpeg_profile(data: &[u8]) -> bool {
    const MARK: &[u8] = b"ICC_PROFILE\0";
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = data.get(at..at + 4) {
        if marker == 0xDA {
            return false;
        }
        if marker == 0xE2 && data.get(at + 4..).is_some_and(|body| body.starts_with(MARK)) {
            return true;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}
