//! Median of the 3 x 3 neighbourhood, per channel, as `cv2.medianBlur(image, 3)`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use super::check::check_shape;
use crate::cpu::Cpu;
use crate::{ImageU8, ImageU16, Result};

/// Replaces every value by the median of its 3 x 3 neighbourhood; the border is replicated.
///
/// `dst` gets the shape of `src`.
///
/// # Errors
/// `Step` unless `src` has one or three channels and at least one pixel; `Spec` for a bad
/// `MEDPREP_CPU`.
pub fn median3_into(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    let cpu = Cpu::current()?;
    check_shape("median", src.shape(), &[1, 3])?;
    let (height, width, channels) = src.shape();
    dst.reshape(height, width, channels);
    for y in 0..height {
        let rows = [src.row(y.saturating_sub(1)), src.row(y), src.row((y + 1).min(height - 1))];
        median3_row(cpu, rows, channels, dst.row_mut(y));
    }
    Ok(())
}

/// [`median3_into`] of 16-bit values.
///
/// # Errors
/// `Step` unless `src` has one or three channels and at least one pixel.
pub fn median3_wide_into(src: &ImageU16, dst: &mut ImageU16) -> Result<()> {
    check_shape("median", src.shape(), &[1, 3])?;
    let (height, width, channels) = src.shape();
    dst.reshape(height, width, channels);
    for y in 0..height {
        let rows = [src.row(y.saturating_sub(1)), src.row(y), src.row((y + 1).min(height - 1))];
        scalar::row(rows, channels, dst.row_mut(y));
    }
    Ok(())
}

/// The medians of the middle one of three rows of `channels` interleaved values.
///
/// # Panics
/// If the rows differ in length, hold no whole pixels, or the CPU lacks the path.
pub(super) fn median3_row(cpu: Cpu, rows: [&[u8]; 3], channels: usize, out: &mut [u8]) {
    let len = out.len();
    assert!(rows.iter().all(|row| row.len() == len), "rows and target must match");
    assert!(channels > 0 && len >= channels, "at least one pixel");
    assert!(cpu.is_available(), "the CPU was chosen by Cpu::choose");
    match cpu {
        // SAFETY: the CPU has the path (above).
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => unsafe { avx2::row(rows, channels, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 | Cpu::Avx512Vbmi => unsafe { avx512::row(rows, channels, out) },
        _ => scalar::row(rows, channels, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Straight from the definition: gather nine clamped neighbours, sort, take the fifth.
    fn by_sorting(src: &ImageU8) -> ImageU8 {
        let (height, width, channels) = src.shape();
        let mut dst = ImageU8::zeros(height, width, channels);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let mut values = Vec::new();
                    for dy in 0..3 {
                        for dx in 0..3 {
                            let yy = (y + dy).saturating_sub(1).min(height - 1);
                            let xx = (x + dx).saturating_sub(1).min(width - 1);
                            values.push(src.row(yy)[xx * channels + c]);
                        }
                    }
                    values.sort_unstable();
                    dst.row_mut(y)[x * channels + c] = values[4];
                }
            }
        }
        dst
    }

    proptest! {
        #[test]
        fn the_network_is_the_fifth_of_nine(
            (height, width, channels) in (1_usize..9, 1_usize..12, prop_oneof![Just(1_usize), Just(3)]),
            seed in any::<u64>(),
        ) {
            let mut state = seed;
            let data = (0..height * width * channels).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            }).collect();
            let src = ImageU8::from_vec(height, width, channels, data);
            let mut dst = ImageU8::default();
            median3_into(&src, &mut dst).unwrap();
            prop_assert_eq!(dst, by_sorting(&src));
        }
    }

    #[test]
    fn a_one_pixel_wide_image_gets_a_three_tap_median() {
        let src = ImageU8::from_vec(4, 1, 1, vec![9, 1, 5, 7]);
        let mut dst = ImageU8::default();
        median3_into(&src, &mut dst).unwrap();
        assert_eq!(dst.data(), [9, 5, 5, 7]);
    }

    #[test]
    fn an_empty_image_is_refused() {
        let error = median3_into(&ImageU8::zeros(0, 0, 1), &mut ImageU8::default()).unwrap_err();
        assert_eq!(error.to_string(), "median: the image is empty (0 x 0)");
    }
}
