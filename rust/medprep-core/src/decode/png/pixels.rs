//! Rows as the file stores them to 8-bit grey or RGB, as libpng does for OpenCV.
//!
//! Alpha and transparent colours are dropped, palettes looked up, 1/2/4-bit grey scaled to 0..255,
//! of 16-bit values the high byte is kept.

use ::png::{BitDepth, ColorType, Info};

use super::super::Channels;
use super::super::error::damaged;
use super::FORMAT;
use super::grey::ToGrey;
use crate::Result;

/// How a pixel is stored.
pub(super) struct Layout {
    pub(super) color: ColorType,
    pub(super) depth: BitDepth,
    palette: Vec<[u8; 3]>,
}

impl Layout {
    pub(super) fn of_info(info: &Info) -> Result<Self> {
        let palette = match (info.color_type, &info.palette) {
            (ColorType::Indexed, Some(palette)) => &palette[..],
            (ColorType::Indexed, None) => return Err(damaged(FORMAT, "the palette is missing")),
            _ => &[],
        };
        Ok(Self::new(info.color_type, info.bit_depth, palette))
    }

    /// `palette`: red, green and blue of every index.
    pub(super) fn new(color: ColorType, depth: BitDepth, palette: &[u8]) -> Self {
        Self { color, depth, palette: palette.as_chunks::<3>().0.to_vec() }
    }

    /// Converts one row. to_grey: given when a colour file is read as grey.
    pub(super) fn convert_row(
        &self,
        raw: &[u8],
        to_grey: Option<&ToGrey>,
        channels: Channels,
        out: &mut [u8],
    ) {
        match to_grey {
            Some(to_grey) if self.depth == BitDepth::Sixteen => {
                for (out, rgb) in out.iter_mut().zip(self.rgb16(raw)) {
                    *out = to_grey.of_rgb16(rgb);
                }
            }
            Some(to_grey) => self.each_rgb8(raw, out.len(), |x, rgb| out[x] = to_grey.of_rgb8(rgb)),
            None if channels == Channels::Grey => {
                self.each_rgb8(raw, out.len(), |x, [grey, _, _]| out[x] = grey);
            }
            None => {
                let out = out.as_chunks_mut::<3>().0;
                self.each_rgb8(raw, out.len(), |x, rgb| out[x] = rgb);
            }
        }
    }

    fn rgb16<'a>(&self, raw: &'a [u8]) -> impl Iterator<Item = [u16; 3]> + 'a {
        let pixel_len = if self.color == ColorType::Rgba { 8 } else { 6 };
        raw.chunks_exact(pixel_len)
            .map(|pixel| [0, 2, 4].map(|i| u16::from_be_bytes([pixel[i], pixel[i + 1]])))
    }

    /// Calls `put` with the place and 8-bit RGB (grey: three times the same) of every pixel.
    fn each_rgb8(&self, raw: &[u8], width: usize, mut put: impl FnMut(usize, [u8; 3])) {
        // Bytes per value: of two-byte values the first is the high one.
        let bytes = if self.depth == BitDepth::Sixteen { 2 } else { 1 };
        match self.color {
            ColorType::Rgb | ColorType::Rgba => {
                let pixel_len = bytes * self.color.samples();
                for (x, pixel) in raw.chunks_exact(pixel_len).take(width).enumerate() {
                    put(x, [pixel[0], pixel[bytes], pixel[2 * bytes]]);
                }
            }
            ColorType::GrayscaleAlpha => {
                for (x, pixel) in raw.chunks_exact(2 * bytes).take(width).enumerate() {
                    put(x, [pixel[0]; 3]);
                }
            }
            ColorType::Grayscale if self.depth as u8 >= 8 => {
                for (x, pixel) in raw.chunks_exact(bytes).take(width).enumerate() {
                    put(x, [pixel[0]; 3]);
                }
            }
            ColorType::Grayscale => {
                let scale = 255 / ((1_u16 << self.depth as u8) - 1) as u8;
                self.each_packed(raw, width, |x, value| put(x, [value * scale; 3]));
            }
            // libpng turns indexes behind the palette's end into black.
            ColorType::Indexed => self.each_packed(raw, width, |x, index| {
                put(x, self.palette.get(index as usize).copied().unwrap_or_default());
            }),
        }
    }

    /// Values of 1, 2, 4 or 8 bits, packed from the high bits down.
    fn each_packed(&self, raw: &[u8], width: usize, mut put: impl FnMut(usize, u8)) {
        let bits = self.depth as usize;
        let per_byte = 8 / bits;
        let mask = ((1_u16 << bits) - 1) as u8;
        for x in 0..width {
            let shift = 8 - bits - x % per_byte * bits;
            put(x, (raw[x / per_byte] >> shift) & mask);
        }
    }
}
