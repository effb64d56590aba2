//! RGB <-> CIE L*a*b*, 8 bits a value, sRGB with white D65, as `cv2.COLOR_RGB2Lab` / `COLOR_Lab2RGB`.
//!
//! OpenCV computes both ways in integers with tables; the definitions are sections E.2 and E.3 of
//! the reference notes. L is scaled to 0..255, a and b are offset by 128.

use std::sync::LazyLock;

use super::check::check_shape;
use crate::{ImageU8, Result};

/// Converts RGB to Lab; `dst` gets the shape of `src`. Equal to OpenCV for all 2^24 colours.
///
/// # Errors
/// `Step` unless `src` has three channels and at least one pixel.
pub fn rgb_to_lab(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    convert("rgb_to_lab", src, dst, |pixels| {
        let tables = &*FORWARD;
        for pixel in pixels {
            *pixel = tables.lab(*pixel);
        }
    })
}

/// Converts Lab to RGB; `dst` gets the shape of `src`. Equal to OpenCV for all 2^24 inputs.
///
/// # Errors
/// `Step` unless `src` has three channels and at least one pixel.
pub fn lab_to_rgb(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    convert("lab_to_rgb", src, dst, |pixels| {
        let tables = &*INVERSE;
        for pixel in pixels {
            *pixel = tables.rgb(*pixel);
        }
    })
}

fn convert(
    step: &'static str,
    src: &ImageU8,
    dst: &mut ImageU8,
    in_place: impl Fn(&mut [[u8; 3]]),
) -> Result<()> {
    check_shape(step, src, &[3])?;
    dst.reshape(src.height(), src.width(), 3);
    dst.data_mut().copy_from_slice(src.data());
    in_place(dst.data_mut().as_chunks_mut().0);
    Ok(())
}

/// Linear light is kept in steps of 1/8 grey level: 0..=2040.
const LINEAR_MAX: usize = 255 * 8;

struct Forward {
    /// sRGB value -> linear light, 0..=2040.
    linear: [u16; 256],
    /// X, Y or Z, 0..=2040 -> f(t) of CIE Lab, times 2^15.
    cube_root: [u16; LINEAR_MAX + 1],
}

static FORWARD: LazyLock<Forward> = LazyLock::new(|| Forward {
    linear: std::array::from_fn(|i| {
        let value = f64::from(i as f32 / 255.0);
        let light =
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        (LINEAR_MAX as f32 * light as f32).round_ties_even() as u16
    }),
    cube_root: std::array::from_fn(|i| {
        // OpenCV's soft-float cube root truncates its last bit; it shows in this entry only.
        if i == 324 {
            return 17745;
        }
        let t = f64::from(i as f32 / LINEAR_MAX as f32);
        let f = if t < f64::from(216.0_f32 / 24389.0_f32) {
            // OpenCV fuses this multiply-add; in f64 it is exact before the one rounding.
            t * f64::from(841.0_f32 / 108.0_f32) + f64::from(16.0_f32 / 116.0_f32)
        } else {
            t.cbrt()
        };
        (32768.0 * f as f32).round_ties_even() as u16
    }),
});

impl Forward {
    fn lab(&self, [r, g, b]: [u8; 3]) -> [u8; 3] {
        let linear = |value: u8| i32::from(self.linear[value as usize]);
        let (r, g, b) = (linear(r), linear(g), linear(b));
        // sRGB -> XYZ over the D65 white, times 4096; every row sums to 4096.
        let f = |row: [i32; 3]| {
            let index = (row[0] * r + row[1] * g + row[2] * b + 2048) >> 12;
            i32::from(self.cube_root[index as usize])
        };
        let fx = f([1777, 1541, 778]);
        let fy = f([871, 2929, 296]);
        let fz = f([73, 448, 3575]);
        let saturate = |value: i32| (value >> 15).clamp(0, 255) as u8;
        [
            saturate(296 * fy - 1_336_934 + 16384),
            saturate(500 * (fx - fy) + (128 << 15) + 16384),
            saturate(200 * (fy - fz) + (128 << 15) + 16384),
        ]
    }
}

/// Fixed point of the way back: 1.0 is 2^14.
const BASE: i32 = 1 << 14;

struct Inverse {
    /// L -> (Y, f(Y)), times 2^14.
    luminance: [(i32, i32); 256],
    /// Linear light 0..4096 -> sRGB value.
    srgb: [u8; 4096],
}

static INVERSE: LazyLock<Inverse> = LazyLock::new(|| Inverse {
    luminance: std::array::from_fn(|i| {
        let i = i as i32;
        let base = BASE as f32;
        // The linear part ends at L = 8, that is 8 * 255 / 100 = 20.4.
        if i <= 20 {
            let y = (i * BASE * 180) as f32 / (17 * 29 * 29 * 29) as f32;
            let fy = base * (16.0 / 116.0 + (5 * i) as f32 / (3 * 17 * 29) as f32);
            (y.round_ties_even() as i32, fy.round_ties_even() as i32)
        } else {
            let fy = (i * 100 * BASE) as f32 / (255 * 116) as f32 + (16 * BASE) as f32 / 116.0;
            let y = fy * fy * fy / (base * base);
            (y.round_ties_even() as i32, fy.round_ties_even() as i32)
        }
    }),
    srgb: std::array::from_fn(|i| {
        let light = f64::from(i as f32 / 4096.0);
        let value = if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * value as f32).round_ties_even() as u8
    }),
});

impl Inverse {
    fn rgb(&self, [l, a, b]: [u8; 3]) -> [u8; 3] {
        let (y, fy) = self.luminance[l as usize];
        // a / 500 and b / 200 at 2^14; the offsets are 128 * 2^14 / 500 and / 200, truncated.
        let a = ((5 * i32::from(a) * 53687 + 128) >> 13) - 4194;
        let b = ((i32::from(b) * 41943 + 16) >> 9) - 10485 + 1;
        let x = xz_of(fy + a);
        let z = xz_of(fy - b);
        let channel = |row: [i32; 3]| {
            let light = (row[0] * x + row[1] * y + row[2] * z + (1 << 13)) >> 14;
            self.srgb[light.clamp(0, 4095) as usize]
        };
        [channel([12615, -6296, -2223]), channel([-3773, 7684, 185]), channel([217, -836, 4715])]
    }
}

/// X or Z from f(X) or f(Z), both times 2^14; divisions truncate as in C.
fn xz_of(f: i32) -> i32 {
    if f <= 3390 { f * 108 / 841 - 290 } else { f * f / BASE * f / BASE }
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
