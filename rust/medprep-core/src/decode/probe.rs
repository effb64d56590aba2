//! What the header says, without decoding a pixel.

use serde::Serialize;

use super::{Format, jpeg, orientation, png};
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
}

/// Reads the header only. `data` may be the beginning of a file as long as it holds the header.
///
/// Of a PNG cut off there, an orientation stored behind the pixels is not seen.
///
/// # Errors
/// `Decode` when the bytes are no JPEG or PNG or end inside the header.
pub fn probe(data: &[u8]) -> Result<Probe> {
    let format = Format::of(data)?;
    Ok(match format {
        Format::Jpeg => {
            let header = jpeg::Header::read(data)?;
            let (height, width) = upright(header.orientation, header.height, header.width);
            Probe {
                format,
                height,
                width,
                channels: header.components.len() as u8,
                bit_depth: header.precision,
                orientation: header.orientation,
            }
        }
        Format::Png => {
            let header = png::Header::read(data)?;
            let (height, width) = upright(header.orientation, header.height, header.width);
            Probe {
                format,
                height,
                width,
                channels: header.channels,
                bit_depth: header.bit_depth,
                orientation: header.orientation,
            }
        }
    })
}

fn upright(orientation: u8, height: u32, width: u32) -> (u32, u32) {
    if orientation::swaps_axes(orientation) { (width, height) } else { (height, width) }
}
