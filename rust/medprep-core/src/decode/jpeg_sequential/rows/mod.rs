//! From planes to rows of pixels: chroma upsampling and colour conversion.
//!
//! Upsampling is libjpeg's "fancy" (triangle) filter, the default. Its rounding alternates so that no
//! brightness is gained: +8 and +7 of 16 along a row of 4:2:0, +1 and +2 of 4 elsewhere.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub(super) mod scalar;

/// Samples before the first and after the last sample of a plane's row. Vectors may read and write
/// the padding; the samples next to the ends are copies of the first and the last.
pub(super) const PAD: usize = 64;

/// Length of a padded row for `samples` samples.
pub(super) const fn padded(samples: usize) -> usize {
    samples.next_multiple_of(64) + 2 * PAD
}

/// Doubles `n` samples across and down: `out` is the row next to `near`, away from `far`'s other
/// side. All rows are padded; `n` counts chroma samples.
pub(super) type Upsample2x2 = fn(near: &[u8], far: &[u8], n: usize, out: &mut [u8]);

/// Doubles `n` samples across.
pub(super) type Upsample2x1 = fn(row: &[u8], n: usize, out: &mut [u8]);

/// Filters `n` samples between two rows; `bias` is 1 for the upper output row and 2 for the lower.
pub(super) type Upsample1x2 = fn(near: &[u8], far: &[u8], bias: u8, n: usize, out: &mut [u8]);

/// Converts padded rows of Y, Cb and Cr to `out.len() / 3` pixels.
pub(super) type ToRgb = fn(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]);

/// [`Upsample2x2`] of Cb and Cr, each a near and a far row of more than two samples, and [`ToRgb`] in
/// one go.
pub(super) type Rgb2x2 = fn(y: &[u8], cb: [&[u8]; 2], cr: [&[u8]; 2], out: &mut [u8]);

/// Copies a padded row of Y to all three channels of `out.len() / 3` pixels.
pub(super) type GreyToRgb = fn(y: &[u8], out: &mut [u8]);

// JFIF's conversion with the integer parts taken out, so that 16-bit lanes suffice (R and B), in 15
// and 16 fractional bits. Equal to libjpeg's tables for all inputs; a test compares them.
const R_CR: i16 = 13173; // 0.402
const B_CB: i16 = 25297; // 0.772
const G_CB: i16 = -22554; // -0.344136
const G_CR: i16 = 18734; // 1 - 0.714136
