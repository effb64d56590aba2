//! WebP through the crate `image-webp`, whose pixels are libwebp's. OpenCV passes an EXIF orientation
//! over in this format, and so do we.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::error::damaged;
use super::guard::catch_panic;
use super::{Channels, DecodeOptions, mix};
use crate::{ImageU8, Result};

const FORMAT: &str = "WebP";

/// What the chunks in front of the pixels say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) has_alpha: bool,
    pub(super) has_icc: bool,
    pub(super) is_animated: bool,
}

impl Header {
    /// Reads the chunk headers; `data` may be the beginning of the file.
    pub(super) fn read(data: &[u8]) -> Result<Self> {
        let cut = || damaged(FORMAT, "premature end of data");
        let name = data.get(12..16).ok_or_else(cut)?;
        let body = data.get(20..30).ok_or_else(cut)?;
        let u24 = |at: usize| u32::from_le_bytes([body[at], body[at + 1], body[at + 2], 0]);
        let mut header =
            Self { height: 0, width: 0, has_alpha: false, has_icc: false, is_animated: false };
        match name {
            b"VP8X" => {
                header.has_alpha = body[0] & 0x10 != 0;
                header.has_icc = body[0] & 0x20 != 0;
                header.is_animated = body[0] & 0x02 != 0;
                (header.width, header.height) = (u24(4) + 1, u24(7) + 1);
            }
            b"VP8L" => {
                let bits = u32::from_le_bytes([body[1], body[2], body[3], body[4]]);
                (header.width, header.height) = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1);
                header.has_alpha = bits >> 28 & 1 == 1;
            }
            b"VP8 " => {
                let side = |at: usize| u32::from(u16::from_le_bytes([body[at], body[at + 1]]));
                (header.width, header.height) = (side(6) & 0x3FFF, side(8) & 0x3FFF);
            }
            _ => return Err(damaged(FORMAT, "the first chunk is none of VP8, VP8L, VP8X")),
        }
        if header.height == 0 || header.width == 0 {
            let Self { height, width, .. } = header;
            return Err(damaged(FORMAT, format!("the image is empty ({height} x {width})")));
        }
        Ok(header)
    }
}

/// Decodes the (first) image into `out`; alpha is dropped.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    pixels: &mut Vec<u8>,
    out: &mut ImageU8,
) -> Result<()> {
    // The crate's own planes are another four bytes a pixel.
    options.limits.check_image(header.height, header.width, channels.count() + 4)?;
    catch_panic(FORMAT, || {
        let mut decoder = WebPDecoder::new(Cursor::new(data)).map_err(|e| to_error(&e))?;
        decoder.set_memory_limit(usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX));
        if decoder.dimensions() != (header.width, header.height) {
            return Err(damaged(FORMAT, "two sizes in one file"));
        }
        let bytes = decoder.output_buffer_size();
        let bytes = bytes.ok_or_else(|| damaged(FORMAT, "larger than the address space"))?;
        pixels.resize(bytes, 0);
        let is_animated = decoder.is_animated();
        let read = if is_animated {
            decoder.read_frame(pixels).map(drop)
        } else {
            decoder.read_image(pixels)
        };
        read.map_err(|e| to_error(&e))?;
        let step = if decoder.has_alpha() { 4 } else { 3 };
        let (height, width) = (header.height as usize, header.width as usize);
        out.reshape(height, width, channels.count());
        let pixels = pixels.chunks_exact(step);
        for (out, p) in out.data_mut().chunks_exact_mut(channels.count()).zip(pixels) {
            match channels {
                Channels::Rgb => out.copy_from_slice(&p[..3]),
                Channels::Grey => out[0] = mix::cvt_color([p[0], p[1], p[2]]),
            }
        }
        Ok(())
    })
}

fn to_error(error: &DecodingError) -> crate::Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged(FORMAT, "premature end of data")
        }
        other => damaged(FORMAT, other.to_string()),
    }
}
