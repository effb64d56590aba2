//! CLAHE of whole images: grey, 16-bit grey, L of RGB.

use super::super::chain::{ChainSteps, Fused};
use super::super::check::check_shape;
use super::super::lab::{lab_to_rgb, rgb_to_lab};
use super::scalar::{self, equalise};
use super::wide::ClaheWide;
use crate::cpu::Cpu;
use crate::error::{Error, Item};
use crate::{ImageU8, ImageU16, Result};

const STEP: &str = "clahe";

/// A finer grid serves nobody, and 16-bit tables cost 128 KiB a tile (512 MiB at 64 x 64).
const MAX_TILES: usize = 64;

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub struct ClaheScratch {
    scalar: scalar::Scratch,
    tables_u8: Vec<u8>,
    tables_u16: Vec<u16>,
    lab: ImageU8,
    luminance: ImageU8,
    equalised: ImageU8,
    fused: Fused,
    wide: ClaheWide,
}

/// Equalises an 8-bit grey image; `dst` gets the shape of `src`.
///
/// clip_limit: times the mean bin; 0 or less means no clipping. tiles: per axis, 1..=64.
///
/// # Errors
/// `Step` unless `src` has one channel and at least one pixel and `tiles` is in range; `Spec` for
/// a bad `MEDPREP_CPU`.
pub fn clahe_grey_into(
    src: &ImageU8,
    clip_limit: f64,
    tiles: usize,
    scratch: &mut ClaheScratch,
    dst: &mut ImageU8,
) -> Result<()> {
    let cpu = Cpu::current()?;
    check_shape(STEP, src.shape(), &[1])?;
    check_tiles(tiles)?;
    if cpu == Cpu::Scalar {
        equalise(src, clip_limit, tiles, &mut scratch.tables_u8, &mut scratch.scalar, dst);
    } else {
        scratch.fused.run(cpu, &ChainSteps::clahe(clip_limit, tiles), src.into(), dst, &mut |_| ());
    }
    Ok(())
}

/// Equalises a 16-bit grey image over all 65,536 levels; `dst` gets the shape of `src`.
///
/// # Errors
/// As [`clahe_grey_into`].
pub fn clahe_u16_into(
    src: &ImageU16,
    clip_limit: f64,
    tiles: usize,
    scratch: &mut ClaheScratch,
    dst: &mut ImageU16,
) -> Result<()> {
    let cpu = Cpu::current()?;
    check_shape(STEP, src.shape(), &[1])?;
    check_tiles(tiles)?;
    if cpu == Cpu::Scalar {
        equalise(src, clip_limit, tiles, &mut scratch.tables_u16, &mut scratch.scalar, dst);
    } else {
        let (height, width, _) = src.shape();
        dst.reshape(height, width, 1);
        scratch.wide.apply(cpu, src.data(), [height, width], clip_limit, tiles, dst.data_mut());
    }
    Ok(())
}

/// Equalises L of an RGB image in 8-bit Lab and keeps a and b; `dst` gets the shape of `src`.
///
/// # Errors
/// `Step` unless `src` has three channels and at least one pixel and `tiles` is in range; `Spec`
/// for a bad `MEDPREP_CPU`.
pub fn clahe_rgb_into(
    src: &ImageU8,
    clip_limit: f64,
    tiles: usize,
    scratch: &mut ClaheScratch,
    dst: &mut ImageU8,
) -> Result<()> {
    let cpu = Cpu::current()?;
    check_shape(STEP, src.shape(), &[3])?;
    check_tiles(tiles)?;
    if cpu != Cpu::Scalar {
        scratch.fused.run(cpu, &ChainSteps::clahe(clip_limit, tiles), src.into(), dst, &mut |_| ());
        return Ok(());
    }
    let ClaheScratch { lab, luminance, equalised, tables_u8, scalar, .. } = scratch;
    rgb_to_lab(src, lab)?;
    luminance.reshape(src.height(), src.width(), 1);
    for (value, pixel) in luminance.data_mut().iter_mut().zip(lab.data().as_chunks::<3>().0) {
        *value = pixel[0];
    }
    equalise(luminance, clip_limit, tiles, tables_u8, scalar, equalised);
    for (pixel, &value) in lab.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(equalised.data()) {
        pixel[0] = value;
    }
    lab_to_rgb(lab, dst)
}

/// Refuses a grid that is empty or too fine.
pub(in super::super) fn check_tiles(tiles: usize) -> Result<()> {
    if (1..=MAX_TILES).contains(&tiles) {
        return Ok(());
    }
    let reason = format!("tiles must be in 1..={MAX_TILES}, got {tiles}");
    Err(Error::Step { item: Item::default(), step: STEP, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grey(image: &ImageU8, clip_limit: f64, tiles: usize) -> ImageU8 {
        let mut dst = ImageU8::default();
        clahe_grey_into(image, clip_limit, tiles, &mut ClaheScratch::default(), &mut dst).unwrap();
        dst
    }

    #[test]
    fn tiles_out_of_range_are_refused() {
        for tiles in [0, 65] {
            let error = clahe_grey_into(
                &ImageU8::zeros(4, 4, 1),
                2.0,
                tiles,
                &mut ClaheScratch::default(),
                &mut ImageU8::default(),
            )
            .unwrap_err();
            assert_eq!(error.to_string(), format!("clahe: tiles must be in 1..=64, got {tiles}"));
        }
    }

    #[test]
    fn a_used_scratch_changes_nothing() {
        let image = ImageU8::from_vec(5, 7, 1, (0..35).map(|i| (i * 7) as u8).collect());
        let mut scratch = ClaheScratch::default();
        let mut dst = ImageU8::default();
        clahe_grey_into(&ImageU8::zeros(40, 31, 1), 4.0, 8, &mut scratch, &mut dst).unwrap();
        clahe_grey_into(&image, 2.0, 3, &mut scratch, &mut dst).unwrap();
        assert_eq!(dst, grey(&image, 2.0, 3));
    }

    proptest! {
        #[test]
        fn any_size_and_grid_keeps_the_shape(
            height in 1_usize..20, width in 1_usize..20, tiles in 1_usize..12, clip in -1.0..50.0,
        ) {
            let image = ImageU8::from_vec(
                height, width, 1, (0..height * width).map(|i| (i * 37 % 256) as u8).collect());
            prop_assert_eq!(grey(&image, clip, tiles).shape(), image.shape());
        }

        #[test]
        fn one_tile_without_clipping_keeps_the_order_of_levels(
            data in proptest::collection::vec(any::<u8>(), 36),
        ) {
            let image = ImageU8::from_vec(6, 6, 1, data);
            let out = grey(&image, 0.0, 1);
            for (&a, &fa) in image.data().iter().zip(out.data()) {
                for (&b, &fb) in image.data().iter().zip(out.data()) {
                    prop_assert!(a > b || fa <= fb);
                }
            }
        }
    }
}
