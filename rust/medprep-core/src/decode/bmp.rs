//! BMP: 1, 4, 8, 16, 24 and 32 bits, RLE and bit fields, Windows and OS/2 headers, as OpenCV.

use super::error::{damaged, unsupported};
use super::{Channels, DecodeOptions, mix};
use crate::{ImageU8, Result};

const FORMAT: &str = "BMP";
/// Bytes of the file header.
const FILE_HEADER: usize = 14;
/// Bytes of the information header of OS/2.
const OS2_HEADER: u32 = 12;

/// How pixels are packed.
#[derive(Debug, Clone, PartialEq)]
enum Packing {
    Plain,
    RunLength,
    /// Where red, green and blue are and what brings them to 0..=255.
    Fields([Field; 3]),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    mask: u32,
    shift: u32,
    scale: f32,
}

/// What the header says.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) height: u32,
    pub(super) width: u32,
    /// Bits per pixel.
    bits: u16,
    is_top_down: bool,
    packing: Packing,
    /// Red, green, blue of each index.
    palette: Vec<[u8; 3]>,
    pixels_at: usize,
}

/// `BM` and a plausible header behind it: text may begin with these two letters as well.
pub(super) fn has_signature(data: &[u8]) -> bool {
    data.starts_with(b"BM") && u32_at(data, FILE_HEADER).is_ok_and(is_header_size)
}

fn is_header_size(size: u32) -> bool {
    size == OS2_HEADER || (40..=4096).contains(&size)
}

fn u16_at(data: &[u8], at: usize) -> Result<u16> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map(|b| u16::from_le_bytes(*b)).ok_or_else(premature_end)
}

fn u32_at(data: &[u8], at: usize) -> Result<u32> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map(|b| u32::from_le_bytes(*b)).ok_or_else(premature_end)
}

fn premature_end() -> crate::Error {
    damaged(FORMAT, "premature end of data")
}

impl Header {
    /// Reads headers and palette; `data` may be the beginning of the file.
    pub(super) fn read(data: &[u8]) -> Result<Self> {
        let size = u32_at(data, FILE_HEADER)?;
        let is_os2 = size == OS2_HEADER;
        if !is_header_size(size) {
            return Err(damaged(FORMAT, format!("an information header of {size} bytes")));
        }
        let (width, height, bits) = if is_os2 {
            (i32::from(u16_at(data, 18)?), i32::from(u16_at(data, 20)?), u16_at(data, 24)?)
        } else {
            (u32_at(data, 18)? as i32, u32_at(data, 22)? as i32, u16_at(data, 28)?)
        };
        if width <= 0 || height == 0 || height == i32::MIN {
            return Err(damaged(FORMAT, format!("the image is empty ({height} x {width})")));
        }
        let compression = if is_os2 { 0 } else { u32_at(data, 30)? };
        let packing = match (compression, bits) {
            (0, 16) => Packing::Fields([0x7C00, 0x3E0, 0x1F].map(Field::new)),
            (0, 1 | 4 | 8 | 24 | 32) => Packing::Plain,
            (1, 8) | (2, 4) => Packing::RunLength,
            (3, 16 | 32) => {
                let masks = [u32_at(data, 54)?, u32_at(data, 58)?, u32_at(data, 62)?];
                Packing::Fields(masks.map(Field::new))
            }
            (4, _) => return Err(unsupported("BMP that wraps a JPEG")),
            (5, _) => return Err(unsupported("BMP that wraps a PNG")),
            _ => {
                return Err(unsupported(format!("BMP of {bits} bits, compression {compression}")));
            }
        };
        let colors = if is_os2 { 0 } else { u32_at(data, 46)? as usize };
        Ok(Self {
            height: height.unsigned_abs(),
            width: width as u32,
            bits,
            is_top_down: height < 0,
            packing,
            palette: palette(data, FILE_HEADER + size as usize, bits, colors, is_os2)?,
            pixels_at: u32_at(data, 10)? as usize,
        })
    }

    /// Values per pixel: 1 when every colour is a grey, else 3.
    pub(super) fn channels(&self) -> u8 {
        let is_grey = self.bits <= 8 && self.palette.iter().all(|[r, g, b]| r == g && g == b);
        if is_grey { 1 } else { 3 }
    }

    fn row_bytes(&self) -> usize {
        (self.width as usize * usize::from(self.bits)).div_ceil(32) * 4
    }
}

impl Field {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        let most = mask >> shift;
        // OpenCV leaves the low bits of 5- and 6-bit values 0.
        let scale = match most {
            0 => 0.0,
            31 => 8.0,
            63 => 4.0,
            most => 255.0 / most as f32,
        };
        Self { mask, shift, scale }
    }

    fn value(self, pixel: u32) -> u8 {
        (((pixel & self.mask) >> self.shift) as f32 * self.scale) as u8
    }
}

fn palette(data: &[u8], at: usize, bits: u16, colors: usize, is_os2: bool) -> Result<Vec<[u8; 3]>> {
    if bits > 8 {
        return Ok(Vec::new());
    }
    let all = 1_usize << bits;
    let count = if colors == 0 { all } else { colors };
    if count > 256 {
        return Err(damaged(FORMAT, format!("a palette of {count} colours")));
    }
    let bytes = if is_os2 { 3 } else { 4 };
    let entries = data.get(at..at + count * bytes).ok_or_else(premature_end)?;
    let mut palette: Vec<[u8; 3]> =
        entries.chunks_exact(bytes).map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect();
    // Indexes behind the palette's end are black.
    palette.resize(256, [0; 3]);
    Ok(palette)
}

/// Decodes into `out`.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    out: &mut ImageU8,
) -> Result<()> {
    options.limits.check_image(header.height, header.width, channels.count())?;
    let (height, width) = (header.height as usize, header.width as usize);
    let packed = data.get(header.pixels_at..).ok_or_else(premature_end)?;
    let plain_bytes = header.row_bytes() * height;
    if header.packing != Packing::RunLength && packed.len() < plain_bytes {
        return Err(premature_end());
    }
    out.reshape(height, width, channels.count());
    let mut indexes = Vec::new();
    if header.packing == Packing::RunLength {
        options.limits.check_image(header.height, header.width, channels.count() + 1)?;
        indexes = unpack_runs(packed, header)?;
    }
    for y in 0..height {
        let from = if header.is_top_down { y } else { height - 1 - y };
        let row = if indexes.is_empty() {
            &packed[from * header.row_bytes()..][..header.row_bytes()]
        } else {
            &indexes[from * width..][..width]
        };
        for (x, out) in out.row_mut(y).chunks_exact_mut(channels.count()).enumerate() {
            let rgb = pixel(header, row, x, !indexes.is_empty());
            match channels {
                Channels::Rgb => out.copy_from_slice(&rgb),
                Channels::Grey => out[0] = mix::grey8(rgb),
            }
        }
    }
    Ok(())
}

fn pixel(header: &Header, row: &[u8], x: usize, is_unpacked: bool) -> [u8; 3] {
    let bits = usize::from(header.bits);
    if bits <= 8 {
        let index = if is_unpacked || bits == 8 {
            row[x]
        } else {
            row[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1)
        };
        return header.palette[usize::from(index)];
    }
    let bytes = &row[x * bits / 8..][..bits / 8];
    match &header.packing {
        Packing::Fields(fields) => {
            let pixel = bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
            fields.map(|field| field.value(pixel))
        }
        _ => [bytes[2], bytes[1], bytes[0]],
    }
}

/// Run lengths to one index a pixel, rows as stored (the lowest first); what is skipped is index 0.
fn unpack_runs(packed: &[u8], header: &Header) -> Result<Vec<u8>> {
    let (height, width) = (header.height as usize, header.width as usize);
    let half_bytes = header.bits == 4;
    let mut indexes = vec![0; height * width];
    let (mut x, mut y, mut at) = (0, 0, 0);
    let mut next = || {
        at += 1;
        packed.get(at - 1).copied().ok_or_else(premature_end)
    };
    let outside = || damaged(FORMAT, "a run leaves the image");
    while y < height {
        let (count, value) = (usize::from(next()?), next()?);
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                x += usize::from(next()?);
                y += usize::from(next()?);
                if x > width || y > height {
                    return Err(outside());
                }
            }
            (0, count) => {
                let count = usize::from(count);
                let bytes = if half_bytes { count.div_ceil(2) } else { count };
                let row = indexes[y * width..][..width].get_mut(x..x + count);
                let row = row.ok_or_else(outside)?;
                for i in 0..bytes {
                    let byte = next()?;
                    if half_bytes {
                        row[2 * i] = byte >> 4;
                        if let Some(second) = row.get_mut(2 * i + 1) {
                            *second = byte & 15;
                        }
                    } else {
                        row[i] = byte;
                    }
                }
                if bytes % 2 == 1 {
                    next()?;
                }
                x += count;
            }
            (count, value) => {
                let row = indexes[y * width..][..width].get_mut(x..x + count);
                for (i, index) in row.ok_or_else(outside)?.iter_mut().enumerate() {
                    *index = match (half_bytes, i % 2) {
                        (false, _) => value,
                        (true, 0) => value >> 4,
                        (true, _) => value & 15,
                    };
                }
                x += count;
            }
        }
    }
    Ok(indexes)
}
