//! Dequantisation and inverse DCT of four blocks at a time.
//!
//! The definition is libjpeg-turbo's accurate integer method as its x86 code carries it out: 16-bit
//! products and sums that wrap, 32-bit multiply-add pairs, packs that saturate. On files made by an
//! encoder nothing wraps and the result is that of the portable C code as well; on hostile ones it
//! is what libjpeg-turbo shows on x86-64.
//!
//! The algorithm is Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
//! multiplications" (ICASSP 1989), with 13-bit constants and 2 extra bits between the passes.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub(super) mod reduced;
pub(super) mod scalar;

/// Four blocks interleaved by rows: row `r` of block `lane` at `32 * r + 8 * lane`. Values in
/// natural order; cleared by the transform.
pub(super) type Group = [i16; 256];

/// Quantisation steps in natural order.
pub(super) type Quant = [i16; 64];

/// Columns of a group's output.
pub(super) const GROUP_WIDTH: usize = 32;

/// Transforms a group whose blocks have no coefficient after zigzag position `last`; writes 8 rows
/// of [`GROUP_WIDTH`] samples, `stride` apart, to the start of `out`.
///
/// |DC * step| must be at most [`MAX_DC`].
pub(super) type Transform =
    fn(group: &mut Group, quant: &Quant, last: u8, out: &mut [u8], stride: usize);

/// Bound on dequantised DC values. An encoder cannot exceed 1024 and half a step; up to this bound
/// no intermediate value of a block of DC alone wraps.
pub(super) const MAX_DC: i32 = 8191;

/// Up to here only the first four rows and columns have coefficients.
#[cfg(target_arch = "x86_64")]
const LAST_IN_QUARTER: u8 = 9;

// The constants, 13 fractional bits.
const F_0_298: i16 = 2446;
const F_0_390: i16 = 3196;
const F_0_541: i16 = 4433;
const F_0_765: i16 = 6270;
const F_0_899: i16 = 7373;
const F_1_175: i16 = 9633;
const F_1_501: i16 = 12299;
const F_1_847: i16 = 15137;
const F_1_961: i16 = 16069;
const F_2_053: i16 = 16819;
const F_2_562: i16 = 20995;
const F_3_072: i16 = 25172;

/// Bits dropped after the first and after the second pass.
const SHIFT: [i32; 2] = [11, 18];

/// Blocks of DC alone are flat. Equal to the whole transform within [`MAX_DC`].
#[inline(always)]
#[allow(clippy::inline_always, reason = "to get its caller's target features")]
fn flat(group: &mut Group, step: i16, out: &mut [u8], stride: usize) {
    let mut row = [0; GROUP_WIDTH];
    for lane in 0..4 {
        let dc = &mut group[8 * lane];
        let level = (i32::from(dc.wrapping_mul(step)) * 4 + 16) >> 5;
        *dc = 0;
        row[8 * lane..][..8].fill((level.clamp(-128, 127) + 128) as u8);
    }
    for y in 0..8 {
        out[y * stride..][..GROUP_WIDTH].copy_from_slice(&row);
    }
}
