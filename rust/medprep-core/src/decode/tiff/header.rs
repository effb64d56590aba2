//! What the first directory says of the image, checked before anything is allocated.

use super::FORMAT;
use super::directory::{Directory, File};
use crate::Result;
use crate::decode::error::{damaged, unsupported};
use crate::decode::{Limits, exif};

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const LENGTH: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const ICC: u16 = 34675;
}

/// How chunks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

/// What samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    /// Inside JPEG only.
    YCbCr,
}

/// What the first page is.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a field of the file, and all mix")]
pub(in super::super) struct Header {
    /// Rows as stored.
    pub height: u32,
    /// Columns as stored.
    pub width: u32,
    /// Bits per sample.
    pub bit_depth: u8,
    /// Samples per pixel in the file.
    pub samples: usize,
    /// EXIF orientation 1..=8.
    pub orientation: u8,
    pub has_icc: bool,
    pub pages: u32,
    pub(super) is_big_endian: bool,
    pub(super) compression: Compression,
    pub(super) photometric: Photometric,
    pub(super) is_planar: bool,
    pub(super) has_predictor: bool,
    /// The first extra sample is transparency that colours have not been multiplied with.
    pub(super) has_straight_alpha: bool,
    pub(super) reversed_bits: bool,
    /// Red, green, blue of every index, 8 bits each.
    pub(super) palette: Vec<[u8; 3]>,
    /// Columns and rows of a strip or tile.
    pub(super) chunk: [usize; 2],
    pub(super) is_tiled: bool,
    offsets: Vec<u64>,
    byte_counts: Vec<u64>,
    pub(super) jpeg_tables: Vec<u8>,
}

impl Header {
    /// Reads the first directory; `data` may be the beginning of the file as long as it holds it.
    pub(in super::super) fn read(data: &[u8]) -> Result<Self> {
        let file = File::open(data)?;
        let directory = file.first_directory()?;
        let side = |tag, name: &str| {
            directory
                .number(tag)
                .and_then(|side| u32::try_from(side).ok())
                .filter(|&side| side > 0 && i32::try_from(side).is_ok())
                .ok_or_else(|| damaged(FORMAT, format!("{name} is missing or out of range")))
        };
        let (height, width) = (side(tag::LENGTH, "ImageLength")?, side(tag::WIDTH, "ImageWidth")?);
        let samples = directory.number(tag::SAMPLES).unwrap_or(1);
        let samples = usize::try_from(samples).ok().filter(|s| (1..=64).contains(s));
        let samples = samples.ok_or_else(|| damaged(FORMAT, "SamplesPerPixel is not in 1..=64"))?;
        let bit_depth = bits(&directory)?;
        let compression = compression(&directory)?;
        let photometric = photometric(&directory, compression)?;
        let (chunk, is_tiled) = chunk_size(&directory, [width, height])?;
        let places = if is_tiled {
            (tag::TILE_OFFSETS, tag::TILE_BYTES)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        };
        let header = Self {
            height,
            width,
            bit_depth,
            samples,
            orientation: exif::upright_or(
                directory.number(tag::ORIENTATION).map(|v| u16::try_from(v).unwrap_or(0)),
            ),
            has_icc: directory.has(tag::ICC),
            pages: File::pages(directory),
            is_big_endian: file.is_big_endian,
            compression,
            photometric,
            is_planar: directory.number(tag::PLANAR) == Some(2) && samples > 1,
            has_predictor: has_predictor(&directory, compression)?,
            has_straight_alpha: directory.number(tag::EXTRA_SAMPLES) == Some(2),
            reversed_bits: directory.number(tag::FILL_ORDER) == Some(2),
            palette: palette(&directory, photometric, bit_depth)?,
            chunk,
            is_tiled,
            offsets: directory.numbers(places.0).unwrap_or_default(),
            byte_counts: directory.numbers(places.1).unwrap_or_default(),
            jpeg_tables: directory.bytes(tag::JPEG_TABLES).unwrap_or_default().to_vec(),
        };
        header.check()?;
        Ok(header)
    }

    /// Refuses combinations that this build does not decode, by name.
    fn check(&self) -> Result<()> {
        let needed = match self.photometric {
            Photometric::Rgb | Photometric::YCbCr => 3,
            Photometric::Cmyk => 4,
            _ => 1,
        };
        if self.samples < needed {
            let (found, what) = (self.samples, self.photometric);
            return Err(damaged(FORMAT, format!("{found} samples per pixel with {what:?}")));
        }
        let fits = match self.photometric {
            Photometric::WhiteIsZero | Photometric::BlackIsZero => true,
            Photometric::Rgb => self.bit_depth >= 8,
            Photometric::Palette => self.bit_depth <= 8 && self.samples == 1,
            Photometric::Cmyk => self.bit_depth == 8 && !self.is_planar,
            Photometric::YCbCr => self.bit_depth == 8,
        };
        let is_jpeg = self.compression == Compression::Jpeg;
        let jpeg_fits = self.bit_depth == 8
            && !self.is_planar
            && matches!(
                (self.photometric, self.samples),
                (Photometric::BlackIsZero | Photometric::WhiteIsZero, 1)
                    | (Photometric::Rgb | Photometric::YCbCr, 3)
            );
        if !fits || is_jpeg && !jpeg_fits || self.bit_depth < 8 && self.samples > 1 {
            let Self { photometric, bit_depth, samples, compression, .. } = self;
            return Err(unsupported(format!(
                "TIFF with {samples} samples of {bit_depth} bits, {photometric:?}, {compression:?}"
            )));
        }
        Ok(())
    }

    /// True when pixels have no colour.
    pub(in super::super) fn is_grey(&self) -> bool {
        matches!(self.photometric, Photometric::WhiteIsZero | Photometric::BlackIsZero)
    }

    /// Values per pixel: 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha or CMYK.
    pub(in super::super) fn channels(&self) -> u8 {
        match (self.is_grey(), self.photometric) {
            (true, _) => self.samples.min(2) as u8,
            (_, Photometric::Palette) => 3,
            _ => self.samples.min(4) as u8,
        }
    }

    /// Chunks along x and y.
    pub(super) fn grid(&self) -> [usize; 2] {
        let [width, height] = self.chunk;
        [(self.width as usize).div_ceil(width), (self.height as usize).div_ceil(height)]
    }

    /// Samples interleaved in one chunk.
    pub(super) fn chunk_samples(&self) -> usize {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Bytes of one row of a chunk.
    pub(super) fn row_bytes(&self) -> usize {
        let bits = self.chunk[0] * self.chunk_samples() * usize::from(self.bit_depth);
        bits.div_ceil(8)
    }

    /// Rows that chunk row `y` holds: of strips the last may be shorter, tiles are always whole.
    pub(super) fn chunk_rows(&self, y: usize) -> usize {
        let [_, rows] = self.chunk;
        if self.is_tiled { rows } else { rows.min(self.height as usize - y * rows) }
    }

    /// The packed bytes of a chunk.
    pub(super) fn packed<'a>(&self, data: &'a [u8], index: usize) -> Result<&'a [u8]> {
        let offset = self.offsets.get(index).and_then(|&at| usize::try_from(at).ok());
        // Old writers leave the counts out: then a chunk reaches to the end of the file.
        let count = match self.byte_counts.get(index) {
            Some(&count) => usize::try_from(count).ok(),
            None => offset.map(|at| data.len().saturating_sub(at)),
        };
        offset
            .zip(count)
            .and_then(|(at, count)| data.get(at..at.checked_add(count)?))
            .ok_or_else(|| damaged(FORMAT, "premature end of data"))
    }

    /// Checks the sizes of image and chunks; nothing was allocated for pixels so far.
    pub(super) fn check_limits(&self, limits: &Limits, bytes_per_pixel: usize) -> Result<()> {
        limits.check_image(self.height, self.width, bytes_per_pixel)?;
        let [width, height] = self.chunk.map(|side| side as u64);
        // A tile may be larger than the image.
        let samples = (self.samples * usize::from(self.bit_depth).div_ceil(8)) as u64;
        let pixels = width.saturating_mul(height);
        limits.check_counts(pixels, pixels.saturating_mul(samples))
    }
}

fn bits(directory: &Directory) -> Result<u8> {
    let bits = directory.numbers(tag::BITS).unwrap_or_else(|| vec![1]);
    let first = bits.first().copied().unwrap_or(1);
    if bits.iter().any(|&b| b != first) {
        return Err(unsupported("TIFF whose samples differ in their bits"));
    }
    let kinds = directory.numbers(tag::SAMPLE_FORMAT).unwrap_or_default();
    match kinds.first().copied().unwrap_or(1) {
        // 4: "undefined", read as whole numbers by libtiff.
        1 | 4 => {}
        2 => return Err(unsupported("TIFF of signed samples")),
        3 => return Err(unsupported(format!("TIFF of {first}-bit floating-point samples"))),
        _ => return Err(unsupported("TIFF of complex samples")),
    }
    match first {
        1 | 2 | 4 | 8 | 16 => Ok(first as u8),
        _ => Err(unsupported(format!("TIFF of {first} bits per sample (1, 2, 4, 8, 16 are)"))),
    }
}

fn compression(directory: &Directory) -> Result<Compression> {
    Ok(match directory.number(tag::COMPRESSION).unwrap_or(1) {
        1 => Compression::None,
        5 => Compression::Lzw,
        7 => Compression::Jpeg,
        8 | 32946 => Compression::Deflate,
        32773 => Compression::PackBits,
        other => {
            let name = match other {
                2 => "CCITT RLE",
                3 => "CCITT group 3 fax",
                4 => "CCITT group 4 fax",
                6 => "old-style JPEG",
                33003 | 33005 | 34712 => "JPEG 2000",
                34887 => "LERC",
                34925 => "LZMA",
                50000 => "Zstandard",
                50001 => "WebP",
                _ => "unknown",
            };
            return Err(unsupported(format!("TIFF compression {name} ({other})")));
        }
    })
}

fn photometric(directory: &Directory, compression: Compression) -> Result<Photometric> {
    Ok(match directory.number(tag::PHOTOMETRIC) {
        Some(0) => Photometric::WhiteIsZero,
        Some(1) => Photometric::BlackIsZero,
        Some(2) => Photometric::Rgb,
        Some(3) => Photometric::Palette,
        Some(5) => Photometric::Cmyk,
        Some(6) if compression == Compression::Jpeg => Photometric::YCbCr,
        Some(other) => {
            let name = match other {
                4 => "transparency mask",
                6 => "YCbCr without JPEG",
                8 | 9 => "CIE Lab",
                32803 => "colour filter array",
                32844 | 32845 => "LogL or LogLuv",
                _ => "unknown",
            };
            return Err(unsupported(format!("TIFF photometric interpretation {name} ({other})")));
        }
        None => return Err(damaged(FORMAT, "PhotometricInterpretation is missing")),
    })
}

fn has_predictor(directory: &Directory, compression: Compression) -> Result<bool> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate) {
        return Ok(false);
    }
    match directory.number(tag::PREDICTOR).unwrap_or(1) {
        1 => Ok(false),
        2 => Ok(true),
        other => Err(unsupported(format!("TIFF predictor {other}"))),
    }
}

fn palette(directory: &Directory, photometric: Photometric, bits: u8) -> Result<Vec<[u8; 3]>> {
    if photometric != Photometric::Palette || bits > 8 {
        return Ok(Vec::new());
    }
    let count = 1_usize << bits;
    let map = directory.numbers(tag::COLOR_MAP).filter(|map| map.len() == 3 * count);
    let map = map.ok_or_else(|| damaged(FORMAT, "the palette is missing or has another length"))?;
    // Some writers store 8-bit colours; libtiff tells by their size, and so do we.
    let shift = if map.iter().any(|&v| v >= 256) { 8 } else { 0 };
    Ok((0..count).map(|i| [0, 1, 2].map(|c| (map[c * count + i] >> shift) as u8)).collect())
}

/// (columns, rows) of a strip or tile and whether it is a tile.
fn chunk_size(directory: &Directory, [width, height]: [u32; 2]) -> Result<([usize; 2], bool)> {
    let side = |tag| {
        directory.number(tag).and_then(|v| u32::try_from(v).ok()).filter(|&v| v > 0 && v < 1 << 31)
    };
    if directory.has(tag::TILE_WIDTH) || directory.has(tag::TILE_OFFSETS) {
        let sides = side(tag::TILE_WIDTH).zip(side(tag::TILE_LENGTH));
        let (width, height) =
            sides.ok_or_else(|| damaged(FORMAT, "the tile size is missing or out of range"))?;
        return Ok(([width as usize, height as usize], true));
    }
    let rows = side(tag::ROWS_PER_STRIP).unwrap_or(height).min(height);
    Ok(([width as usize, rows as usize], false))
}
