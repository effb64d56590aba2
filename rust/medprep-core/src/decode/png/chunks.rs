//! The chunks that matter before decoding: IHDR and eXIf; and all of them for [`Plain`] files.

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
    /// The colour type, which tells a palette from RGB.
    pub color: u8,
    /// Compression and filter method are the only ones there are.
    pub has_known_methods: bool,
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
        let &[h3, h2, h1, h0, w3, w2, w1, w0, bit_depth, color, compression, filter, interlace] =
            body
        else {
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
            color,
            has_known_methods: [compression, filter] == [0, 0] && interlace <= 1,
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

/// A file in which nothing is out of the ordinary: one image, and every chunk that bears on its
/// pixels is intact, of the right length, in its place and there once.
///
/// What is not plain may still be an image: the crate `png` knows which, and what it tolerates.
pub(super) struct Plain<'a> {
    pub palette: Option<&'a [u8]>,
    /// 100,000 times the gamma of the file.
    pub gamma: Option<u32>,
    pub is_srgb: bool,
    /// The zlib stream if it is in one IDAT chunk; else it is joined in the caller's buffer.
    pub chunk: Option<&'a [u8]>,
}

impl<'a> Plain<'a> {
    /// Reads all chunks up to IEND; nothing if the file is not plain. `joined` is overwritten.
    pub fn read(data: &'a [u8], joined: &mut Vec<u8>) -> Option<Self> {
        let mut found = Self { palette: None, gamma: None, is_srgb: false, chunk: None };
        let (mut idats, mut after_idat) = (0, false);
        let mut rest = data.get(SIGNATURE_LEN + IHDR_LEN..)?;
        loop {
            let (chunk, after) = split_checked(rest)?;
            rest = after;
            after_idat |= idats > 0 && &chunk.name != b"IDAT";
            match &chunk.name {
                b"IDAT" if chunk.is_intact && !after_idat => {
                    if idats == 0 {
                        found.chunk = Some(chunk.body);
                    } else {
                        if let Some(first) = found.chunk.take() {
                            joined.clear();
                            joined.extend_from_slice(first);
                        }
                        joined.extend_from_slice(chunk.body);
                    }
                    idats += 1;
                }
                b"PLTE" if chunk.is_intact && idats == 0 && found.palette.is_none() => {
                    if !matches!(chunk.body.len(), 3..=768) || !chunk.body.len().is_multiple_of(3) {
                        return None;
                    }
                    found.palette = Some(chunk.body);
                }
                b"gAMA" if chunk.is_intact && idats == 0 && found.gamma.is_none() => {
                    let gamma = u32::from_be_bytes(chunk.body.try_into().ok()?);
                    found.gamma = Some(gamma).filter(|&gamma| gamma > 0);
                    found.gamma?;
                }
                b"sRGB" if chunk.is_intact && idats == 0 && !found.is_srgb => {
                    found.is_srgb = matches!(chunk.body, [0..=3]);
                    found.is_srgb.then_some(())?;
                }
                b"IEND" => {
                    let is_end = chunk.is_intact && chunk.body.is_empty() && idats > 0;
                    return is_end.then_some(found);
                }
                // Those above once more or damaged, animations, and critical ones nobody knows.
                b"gAMA" | b"sRGB" | b"acTL" | b"fcTL" | b"fdAT" => return None,
                [first, ..] if first & ANCILLARY == 0 => return None,
                _ => {}
            }
        }
    }
}

/// Length, name, 13 bytes of body and CRC.
const IHDR_LEN: usize = 25;

/// The bit in a chunk's name that says that a decoder may pass over the chunk.
const ANCILLARY: u8 = 0x20;

/// The chunk at the beginning of `data`, its CRC checked, and what comes after it.
fn split_checked(data: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (len, rest) = data.split_first_chunk::<4>()?;
    let len = u32::from_be_bytes(*len) as usize;
    let (name, after_name) = rest.split_first_chunk::<4>()?;
    let (body, after_body) = after_name.split_at_checked(len)?;
    let (crc, after) = after_body.split_first_chunk::<4>()?;
    let is_intact = crc32fast::hash(&rest[..4 + len]) == u32::from_be_bytes(*crc);
    Some((Chunk { name: *name, body, is_intact }, after))
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
