//! The chunks that matter before decoding: IHDR and eXIf.

use super::super::error::damaged;
use super::super::exif;
use super::FORMAT;
use crate::Result;

const SIGNATURE_LEN: usize = 8;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Header {
    /// Rows as stored, before orientation.
    pub height: u32,
    /// Columns as stored.
    pub width: u32,
    pub bit_depth: u8,
    /// Values per pixel; 3 for a palette.
    pub channels: u8,
    pub interlaced: bool,
    /// EXIF orientation 1..=8.
    pub orientation: u8,
    pub has_icc: bool,
}

impl Header {
    /// Reads IHDR and looks for an eXIf chunk; `data` may be only the beginning of the file, then
    /// an eXIf chunk behind the pixels is not seen.
    pub(in super::super) fn read(data: &[u8]) -> Result<Self> {
        let mut chunks = Chunks { rest: &data[SIGNATURE_LEN..] };
        let Some(Chunk { name: [b'I', b'H', b'D', b'R'], body, is_intact }) = chunks.next() else {
            return Err(damaged(FORMAT, "the file does not begin with an IHDR chunk"));
        };
        if !is_intact {
            return Err(damaged(FORMAT, "the IHDR chunk is damaged (wrong CRC)"));
        }
        let &[h3, h2, h1, h0, w3, w2, w1, w0, bit_depth, color, _, _, interlace] = body else {
            return Err(damaged(FORMAT, format!("an IHDR chunk of {} bytes", body.len())));
        };
        let width = u32::from_be_bytes([h3, h2, h1, h0]);
        let height = u32::from_be_bytes([w3, w2, w1, w0]);
        if height == 0 || width == 0 {
            return Err(damaged(FORMAT, format!("the image is empty ({height} x {width})")));
        }
        let channels = match color {
            0 => 1,
            4 => 2,
            2 | 3 => 3,
            6 => 4,
            _ => return Err(damaged(FORMAT, format!("unknown colour type {color}"))),
        };
        let (mut orientation, mut has_icc) = (None, false);
        let mut found_exif = false;
        for chunk in chunks {
            has_icc |= &chunk.name == b"iCCP";
            if !found_exif && &chunk.name == b"eXIf" && chunk.is_intact && is_tiff(chunk.body) {
                found_exif = true;
                orientation = exif::orientation(chunk.body);
            }
        }
        Ok(Self {
            height,
            width,
            bit_depth,
            channels,
            interlaced: interlace == 1,
            orientation: exif::upright_or(orientation),
            has_icc,
        })
    }
}

/// What libpng asks of an eXIf chunk; others are passed over.
fn is_tiff(body: &[u8]) -> bool {
    body.starts_with(b"II*\0") || body.starts_with(b"MM\0*")
}

struct Chunk<'a> {
    name: [u8; 4],
    body: &'a [u8],
    /// The CRC is right; computed for the chunks we read only.
    is_intact: bool,
}

struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    /// Ends at IEND, at the end of the data and at a chunk that is cut off.
    fn next(&mut self) -> Option<Self::Item> {
        let (len, rest) = self.rest.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes(*len) as usize;
        let (name, after_name) = rest.split_first_chunk::<4>()?;
        let (body, after_body) = after_name.split_at_checked(len)?;
        let (crc, after) = after_body.split_first_chunk::<4>()?;
        let is_read = name == b"IHDR" || name == b"eXIf";
        let is_intact = is_read && crc32fast::hash(&rest[..4 + len]) == u32::from_be_bytes(*crc);
        self.rest = if name == b"IEND" { &[] } else { after };
        Some(Chunk { name: *name, body, is_intact })
    }
}
