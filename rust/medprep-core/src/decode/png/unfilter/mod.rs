//! Undoing the row filters (PNG specification, section 9) in the buffer the data was inflated into.
//!
//! A pixel's prediction needs the pixel to the left, so a row by itself is serial. The vector path
//! takes eight rows at once, each one pixel behind the row above it.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::Cpu;

/// Bytes behind the last row of [`Rows::data`]: vectors read up to 16 bytes at any pixel.
pub(super) const SLACK: usize = 16;

/// Rows as inflated: a filter byte, then the bytes of the pixels; [`SLACK`] bytes after the last.
pub(super) struct Rows<'a> {
    pub data: &'a mut [u8],
    /// Pixels of a row, at least 1.
    pub width: usize,
    /// Bytes of a pixel, 1..=4.
    pub pixel_len: usize,
    pub height: usize,
    /// A row of zeros and [`SLACK`], for the row above the first one.
    pub zeros: &'a mut [u8],
}

impl Rows<'_> {
    /// Bytes from row to row, the filter byte included.
    pub fn stride(&self) -> usize {
        1 + self.width * self.pixel_len
    }

    /// Whether every row begins with a filter type that exists.
    pub fn has_known_filters(&self) -> bool {
        self.data.chunks_exact(self.stride()).take(self.height).all(|row| row[0] <= 4)
    }

    /// Replaces the bytes of `rows` by the pixels'. Rows before them have been replaced already;
    /// filter bytes are as [`Rows::has_known_filters`] asks.
    ///
    /// # Panics
    /// When the slices are shorter than the sizes say.
    pub fn unfilter(&mut self, cpu: Cpu, rows: Range<usize>) {
        let stride = self.stride();
        assert!((1..=4).contains(&self.pixel_len) && self.width > 0, "8-bit pixels");
        assert!(rows.start <= rows.end && rows.end <= self.height, "rows of the image");
        assert!(self.data.len() >= self.height * stride + SLACK, "whole rows and the slack");
        assert!(self.zeros.len() >= stride + SLACK, "a whole row and the slack");
        match cpu {
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx2 | Cpu::Avx512 | Cpu::Avx512Vbmi if cpu.is_available() => {
                // SAFETY: AVX2 is there; the sizes were checked above.
                unsafe { avx2::unfilter(self, rows) }
            }
            _ => scalar::unfilter(self, rows),
        }
    }
}
