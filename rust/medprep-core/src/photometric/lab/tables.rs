//! OpenCV's tables (sections E.2 and E.3 of the reference notes), made once per process.

use std::sync::LazyLock;

/// Linear light is kept in steps of 1/8 grey level: 0..=2040.
const LINEAR_MAX: usize = 255 * 8;

pub(super) struct Forward {
    /// sRGB value -> linear light, 0..=2040.
    pub linear: [u16; 256],
    /// X, Y or Z, 0..=2040 -> f(t) of CIE Lab, times 2^15.
    pub cube_root: [u16; LINEAR_MAX + 1],
    /// [`shifted`] entries of `cube_root`, of all indexes of 11 bits.
    pub shifted_root: [u8; 4 * 2048 + 4],
}

pub(super) static FORWARD: LazyLock<Forward> = LazyLock::new(|| {
    let linear = std::array::from_fn(|i| {
        let value = f64::from(i as f32 / 255.0);
        let light =
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        (LINEAR_MAX as f32 * light as f32).round_ties_even() as u16
    });
    let cube_root: [u16; LINEAR_MAX + 1] = std::array::from_fn(|i| {
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
    });
    Forward { linear, cube_root, shifted_root: shifted(&cube_root) }
});

/// Entries of four bytes, the value in the upper two: a little-endian word of 32 bits read at byte
/// 4 i + 2 - k holds value i shifted left by 8 k bits, and nothing else: k = 0 and 2, for
/// values of one byte 1 too. Four bytes follow the last entry.
fn shifted<const LEN: usize>(values: &[u16]) -> [u8; LEN] {
    assert!(LEN >= 4 * values.len() + 4);
    let mut bytes = [0; LEN];
    for (four, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        four[2..].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Fixed point of the way back: 1.0 is 2^14.
const BASE: i32 = 1 << 14;

struct Inverse {
    y: [u16; 256],
    fy: [u16; 256],
    srgb: [u8; 4096],
}

static INVERSE: LazyLock<Inverse> = LazyLock::new(|| {
    let luminance: [(f32, f32); 256] = std::array::from_fn(|i| {
        let i = i as i32;
        let base = BASE as f32;
        // The linear part ends at L = 8, that is 8 * 255 / 100 = 20.4.
        if i <= 20 {
            let y = (i * BASE * 180) as f32 / (17 * 29 * 29 * 29) as f32;
            (y, base * (16.0 / 116.0 + (5 * i) as f32 / (3 * 17 * 29) as f32))
        } else {
            let fy = (i * 100 * BASE) as f32 / (255 * 116) as f32 + (16 * BASE) as f32 / 116.0;
            (fy * fy * fy / (base * base), fy)
        }
    });
    Inverse {
        y: luminance.map(|(y, _)| y.round_ties_even() as u16),
        fy: luminance.map(|(_, fy)| fy.round_ties_even() as u16),
        srgb: std::array::from_fn(|i| {
            let light = f64::from(i as f32 / 4096.0);
            let value = if light <= 0.003_130_8 {
                light * 12.92
            } else {
                1.055 * light.powf(1.0 / 2.4) - 0.055
            };
            (255.0 * value as f32).round_ties_even() as u8
        }),
    }
});

/// The way back, with a table of grey values applied at its end. About 22 KiB; made once per
/// pipeline, not per image.
#[derive(Debug, Clone)]
pub(in super::super) struct InverseTables {
    /// L -> Y, times 2^14.
    pub(super) y: [u16; 256],
    /// L -> f(Y), times 2^14.
    pub(super) fy: [u16; 256],
    /// Linear light 0..4096 -> sRGB value -> `table`.
    pub(super) composed: [u8; 4096],
    /// [`shifted`] entries of `composed`: ready for the first, second or third byte of a pixel.
    pub(super) shifted: [u8; 4 * 4096 + 4],
    /// The last step alone, when there is one.
    pub(super) table: Option<[u8; 256]>,
}

impl InverseTables {
    /// Lab to RGB, then `table` (a gamma curve) on every value if given.
    pub(in super::super) fn new(table: Option<&[u8; 256]>) -> Self {
        let inverse = &*INVERSE;
        let composed = inverse.srgb.map(|value| table.map_or(value, |table| table[value as usize]));
        Self {
            y: inverse.y,
            fy: inverse.fy,
            composed,
            shifted: shifted(&composed.map(u16::from)),
            table: table.copied(),
        }
    }
}
