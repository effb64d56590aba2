//! Upsampling and colour conversion one sample at a time: the definition.

use super::{B_CB, G_CB, G_CR, PAD, R_CR};

/// See [`super::Upsample2x2`].
pub(in super::super) fn upsample_2x2(near: &[u8], far: &[u8], n: usize, out: &mut [u8]) {
    let sum = |i: usize| 3 * u16::from(near[i]) + u16::from(far[i]);
    for i in 0..n {
        let at = PAD + i;
        let (left, centre, right) = (sum(at - 1), sum(at), sum(at + 1));
        out[PAD + 2 * i] = ((3 * centre + left + 8) >> 4) as u8;
        out[PAD + 2 * i + 1] = ((3 * centre + right + 7) >> 4) as u8;
    }
}

/// See [`super::Upsample2x1`].
pub(in super::super) fn upsample_2x1(row: &[u8], n: usize, out: &mut [u8]) {
    for i in 0..n {
        let sample = |at: usize| u16::from(row[PAD + i + at - 1]);
        let (left, centre, right) = (sample(0), sample(1), sample(2));
        out[PAD + 2 * i] = ((3 * centre + left + 1) >> 2) as u8;
        out[PAD + 2 * i + 1] = ((3 * centre + right + 2) >> 2) as u8;
    }
}

/// See [`super::Upsample1x2`].
pub(in super::super) fn upsample_1x2(near: &[u8], far: &[u8], bias: u8, n: usize, out: &mut [u8]) {
    for at in PAD..PAD + n {
        let sum = 3 * u16::from(near[at]) + u16::from(far[at]);
        out[at] = ((sum + u16::from(bias)) >> 2) as u8;
    }
}

/// Doubles `n` samples across by repeating them: libjpeg filters no row of one or two samples.
pub(in super::super) fn repeat_2x1(row: &[u8], n: usize, out: &mut [u8]) {
    for i in 0..n {
        out[PAD + 2 * i..][..2].fill(row[PAD + i]);
    }
}

/// See [`super::ToRgb`].
pub(in super::super) fn to_rgb(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    pixels_to_rgb(&y[PAD..], &cb[PAD..], &cr[PAD..], out);
}

/// As [`to_rgb`], from the first sample of each slice on.
pub(super) fn pixels_to_rgb(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    for (((rgb, &y), &cb), &cr) in out.chunks_exact_mut(3).zip(y).zip(cb).zip(cr) {
        rgb.copy_from_slice(&pixel(y, cb, cr));
    }
}

fn pixel(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let scaled = |value: i32, factor: i16| (value * i32::from(factor) + (1 << 14)) >> 15;
    let green = (i32::from(G_CB) * cb + i32::from(G_CR) * cr + (1 << 15)) >> 16;
    [y + cr + scaled(cr, R_CR), y - cr + green, y + cb + scaled(cb, B_CB)]
        .map(|value| value.clamp(0, 255) as u8)
}

/// See [`super::GreyToRgb`].
pub(in super::super) fn grey_to_rgb(y: &[u8], out: &mut [u8]) {
    for (rgb, &level) in out.chunks_exact_mut(3).zip(&y[PAD..]) {
        rgb.fill(level);
    }
}

#[cfg(test)]
mod tests {
    use super::pixel;

    #[test]
    fn colours_equal_those_of_libjpegs_tables() {
        // jdcolor.c's definition: 16 fractional bits, rounded once per table entry.
        let fix = |value: f64| (value * 65536.0 + 0.5) as i32;
        let clamp = |value: i32| value.clamp(0, 255) as u8;
        for cb in 0..=255u8 {
            for cr in 0..=255u8 {
                let (b, r) = (i32::from(cb) - 128, i32::from(cr) - 128);
                let red = (fix(1.40200) * r + 32768) >> 16;
                let blue = (fix(1.77200) * b + 32768) >> 16;
                let green = (-fix(0.34414) * b + 32768 - fix(0.71414) * r) >> 16;
                for y in [0, 1, 100, 128, 200, 255] {
                    let level = i32::from(y);
                    let wanted = [clamp(level + red), clamp(level + green), clamp(level + blue)];
                    assert_eq!(pixel(y, cb, cr), wanted, "y {y} cb {cb} cr {cr}");
                }
            }
        }
    }
}
