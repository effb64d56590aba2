//! RGB <-> CIE L*a*b*, 8 bits a value, sRGB with white D65, as `cv2.COLOR_RGB2Lab` / `COLOR_Lab2RGB`.
//!
//! OpenCV computes both ways in integers with tables; the definitions are sections E.2 and E.3 of
//! the reference notes. L is scaled to 0..255, a and b are offset by 128. The vector kernels work
//! on planes of L, a and b; equal to the definition for all 2^24 inputs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod fitted;
mod scalar;
mod tables;

use std::sync::LazyLock;

pub(super) use tables::InverseTables;
use tables::{FORWARD, Forward};

use super::check::check_shape;
use crate::cpu::Cpu;
use crate::{ImageU8, Result};

/// Pixels converted through planes at a time; they stay in the nearest cache.
const PART: usize = 2048;

/// Converts RGB to Lab; `dst` gets the shape of `src`. Equal to OpenCV for all 2^24 colours.
///
/// # Errors
/// `Step` unless `src` has three channels and at least one pixel; `Spec` for a bad `MEDPREP_CPU`.
pub fn rgb_to_lab(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    let cpu = Cpu::current()?;
    check_shape("rgb_to_lab", src.shape(), &[3])?;
    dst.reshape(src.height(), src.width(), 3);
    let parts = src.data().chunks(3 * PART).zip(dst.data_mut().chunks_mut(3 * PART));
    for (src, dst) in parts {
        let pixels = dst.as_chunks_mut::<3>().0;
        if cpu == Cpu::Scalar {
            for (pixel, &rgb) in pixels.iter_mut().zip(src.as_chunks::<3>().0) {
                *pixel = scalar::lab(&FORWARD, rgb);
            }
            continue;
        }
        let mut planes = [[0; PART]; 3];
        let [l, a, b] = planes.each_mut().map(|plane| &mut plane[..pixels.len()]);
        forward(cpu, src, l, a, b);
        for (i, pixel) in pixels.iter_mut().enumerate() {
            *pixel = [l[i], a[i], b[i]];
        }
    }
    Ok(())
}

/// Converts Lab to RGB; `dst` gets the shape of `src`. Equal to OpenCV for all 2^24 inputs.
///
/// # Errors
/// As [`rgb_to_lab`].
pub fn lab_to_rgb(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    static TABLES: LazyLock<InverseTables> = LazyLock::new(|| InverseTables::new(None));
    let cpu = Cpu::current()?;
    check_shape("lab_to_rgb", src.shape(), &[3])?;
    dst.reshape(src.height(), src.width(), 3);
    let parts = src.data().chunks(3 * PART).zip(dst.data_mut().chunks_mut(3 * PART));
    for (src, dst) in parts {
        let pixels = src.as_chunks::<3>().0;
        if cpu == Cpu::Scalar {
            for (pixel, &lab) in dst.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                *pixel = scalar::rgb(&TABLES, lab);
            }
            continue;
        }
        let mut planes = [[0; PART]; 3];
        let [l, a, b] = &mut planes;
        for (i, pixel) in pixels.iter().enumerate() {
            [l[i], a[i], b[i]] = *pixel;
        }
        inverse(cpu, &TABLES, planes.each_ref().map(|plane| &plane[..pixels.len()]), dst);
    }
    Ok(())
}

/// Pixels per call of a block kernel; rests go through padded copies.
pub(super) const BLOCK: usize = 64;

/// # Safety
/// The CPU must have the instructions of the path the function belongs to.
type ForwardBlocks = unsafe fn(
    &Forward,
    &[[u8; 3 * BLOCK]],
    &mut [[u8; BLOCK]],
    &mut [[u8; BLOCK]],
    &mut [[u8; BLOCK]],
);

/// # Safety
/// The CPU must have the instructions of the path the function belongs to.
type InverseBlocks = unsafe fn(
    &InverseTables,
    &[[u8; BLOCK]],
    &[[u8; BLOCK]],
    &[[u8; BLOCK]],
    &mut [[u8; 3 * BLOCK]],
);

fn kernels(cpu: Cpu) -> (ForwardBlocks, InverseBlocks) {
    cpu.assert_vector();
    match cpu {
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => (avx2::forward, avx2::inverse),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 => (avx512::bw::forward, avx512::bw::inverse),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Vbmi => (avx512::vbmi::forward, avx512::vbmi::inverse),
        _ => unreachable!("refused above"),
    }
}

/// Interleaved RGB to planes of L, a and b.
///
/// # Panics
/// If the planes are not as long as `rgb` has pixels, or the path is not a vector path of this CPU.
pub(super) fn forward(cpu: Cpu, rgb: &[u8], l: &mut [u8], a: &mut [u8], b: &mut [u8]) {
    let pixels = l.len();
    assert!(rgb.len() == 3 * pixels && a.len() == pixels && b.len() == pixels, "planes must match");
    let (kernel, _) = kernels(cpu);
    let (blocks, rest) = rgb.as_chunks::<{ 3 * BLOCK }>();
    let (l, l_rest) = l.as_chunks_mut::<BLOCK>();
    let (a, a_rest) = a.as_chunks_mut::<BLOCK>();
    let (b, b_rest) = b.as_chunks_mut::<BLOCK>();
    // SAFETY: `kernels` found the path available.
    unsafe { kernel(&FORWARD, blocks, l, a, b) };
    if !rest.is_empty() {
        let mut padded = [[0; 3 * BLOCK]];
        padded[0][..rest.len()].copy_from_slice(rest);
        let mut planes = [[[0; BLOCK]]; 3];
        let [l, a, b] = &mut planes;
        // SAFETY: as above.
        unsafe { kernel(&FORWARD, &padded, l, a, b) };
        for (rest, plane) in [l_rest, a_rest, b_rest].into_iter().zip(&planes) {
            rest.copy_from_slice(&plane[0][..rest.len()]);
        }
    }
}

/// Planes of L, a and b to interleaved RGB, with the gamma table of `tables` applied.
///
/// # Panics
/// As [`forward`].
pub(super) fn inverse(cpu: Cpu, tables: &InverseTables, [l, a, b]: [&[u8]; 3], rgb: &mut [u8]) {
    let pixels = l.len();
    assert!(rgb.len() == 3 * pixels && a.len() == pixels && b.len() == pixels, "planes must match");
    let (_, kernel) = kernels(cpu);
    let (blocks, rest) = rgb.as_chunks_mut::<{ 3 * BLOCK }>();
    let ([l, a, b], rests) = {
        let parts = [l, a, b].map(<[u8]>::as_chunks::<BLOCK>);
        (parts.map(|part| part.0), parts.map(|part| part.1))
    };
    // SAFETY: `kernels` found the path available.
    unsafe { kernel(tables, l, a, b, blocks) };
    if !rest.is_empty() {
        let [l, a, b] = rests.map(|rest| {
            let mut padded = [[0; BLOCK]];
            padded[0][..rest.len()].copy_from_slice(rest);
            padded
        });
        let mut padded = [[0; 3 * BLOCK]];
        // SAFETY: as above.
        unsafe { kernel(tables, &l, &a, &b, &mut padded) };
        rest.copy_from_slice(&padded[0][..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_black_and_grey_have_no_colour() {
        let src = ImageU8::from_vec(1, 3, 3, vec![0, 0, 0, 255, 255, 255, 128, 128, 128]);
        let mut lab = ImageU8::default();
        rgb_to_lab(&src, &mut lab).unwrap();
        // cv2.cvtColor(..., COLOR_RGB2Lab)
        assert_eq!(lab.data(), [0, 128, 128, 255, 128, 128, 137, 128, 128]);
        let mut rgb = ImageU8::default();
        lab_to_rgb(&lab, &mut rgb).unwrap();
        assert_eq!(rgb, src);
    }

    #[test]
    fn only_colour_images_are_taken() {
        let error = rgb_to_lab(&ImageU8::zeros(2, 2, 1), &mut ImageU8::default()).unwrap_err();
        assert_eq!(error.to_string(), "rgb_to_lab: expected 3 channels, found 1");
        let error = lab_to_rgb(&ImageU8::zeros(0, 2, 3), &mut ImageU8::default()).unwrap_err();
        assert_eq!(error.to_string(), "lab_to_rgb: the image is empty (0 x 2)");
    }
}
