//! RGB to grey as libpng's `png_set_rgb_to_gray(0.299, 0.587)`, which OpenCV uses for PNG.
//!
//! With a gAMA or sRGB chunk libpng mixes in linear light through tables; the sRGB chunk wins.
//! 8-bit sums truncate without a gamma and round with one; 16-bit sums round, then the high byte
//! is kept. Pixels that are grey already bypass the sum.

use ::png::Info;

/// 0.299 and 0.587 times 2^15, truncated; blue gets the rest.
pub(super) const RED: u32 = 9797;
pub(super) const GREEN: u32 = 19234;
pub(super) const BLUE: u32 = 32768 - RED - GREEN;

/// libpng's fixed point: 1.0 is 100,000.
const GAMMA_ONE: u32 = 100_000;
const GAMMA_SRGB: u32 = 45_455;

/// libpng keeps at most 11 bits of 16-bit values when it reduces them to 8.
const MIN_SHIFT: u32 = 16 - 11;

/// The conversion for one file.
pub(super) enum ToGrey {
    Plain,
    Gamma8(Box<Gamma8>),
    Gamma16(Box<Gamma16>),
}

/// Tables over 8-bit values.
pub(super) struct Gamma8 {
    to_linear: [u8; 256],
    from_linear: [u8; 256],
    /// What pixels go through that are grey already; nothing but for absurd gammas.
    rounded: [u8; 256],
}

/// Tables over the high 8..=11 bits of 16-bit values.
pub(super) struct Gamma16 {
    shift: u32,
    to_linear: Vec<u16>,
    from_linear: Vec<u16>,
    /// What pixels go through that are grey already.
    rounded: Vec<u16>,
}

impl ToGrey {
    pub(super) fn of_info(info: &Info) -> Self {
        let gamma = info.gama_chunk.map(::png::ScaledFloat::into_scaled);
        if info.bit_depth != ::png::BitDepth::Sixteen {
            return Self::of_8_bits(info.srgb.is_some(), gamma);
        }
        let Some(exponents) = exponents(info.srgb.is_some(), gamma) else {
            return Self::Plain;
        };
        let bits = info.sbit.as_deref().and_then(|bits| bits.iter().take(3).max()).copied();
        Self::Gamma16(Box::new(Gamma16::new(exponents, bits.unwrap_or(0))))
    }

    /// For files with 8 bits a value or less; `gamma` is that of gAMA, in 1/100,000.
    pub(super) fn of_8_bits(is_srgb: bool, gamma: Option<u32>) -> Self {
        exponents(is_srgb, gamma)
            .map_or(Self::Plain, |exponents| Self::Gamma8(Box::new(Gamma8::new(exponents))))
    }

    pub(super) fn of_rgb8(&self, [r, g, b]: [u8; 3]) -> u8 {
        let is_grey = r == g && g == b;
        match self {
            Self::Gamma8(tables) if is_grey => tables.rounded[r as usize],
            _ if is_grey => r,
            Self::Gamma8(tables) => {
                let [r, g, b] = [r, g, b].map(|v| u32::from(tables.to_linear[v as usize]));
                tables.from_linear[((RED * r + GREEN * g + BLUE * b + 16384) >> 15) as usize]
            }
            _ => {
                let [r, g, b] = [r, g, b].map(u32::from);
                ((RED * r + GREEN * g + BLUE * b) >> 15) as u8
            }
        }
    }

    pub(super) fn of_rgb16(&self, [r, g, b]: [u16; 3]) -> u8 {
        let mix = |rgb: [u16; 3]| {
            let [r, g, b] = rgb.map(u32::from);
            ((RED * r + GREEN * g + BLUE * b + 16384) >> 15) as u16
        };
        let is_grey = r == g && g == b;
        let value = match self {
            Self::Gamma16(tables) => {
                let at = |table: &[u16], value: u16| table[usize::from(value >> tables.shift)];
                if is_grey {
                    at(&tables.rounded, r)
                } else {
                    at(&tables.from_linear, mix([r, g, b].map(|v| at(&tables.to_linear, v))))
                }
            }
            _ if is_grey => r,
            _ => mix([r, g, b]),
        };
        (value >> 8) as u8
    }
}

/// What the colour chunks ask for; nothing when values are mixed as they are.
fn exponents(is_srgb: bool, gamma: Option<u32>) -> Option<Exponents> {
    let gamma = match gamma {
        _ if is_srgb => GAMMA_SRGB,
        Some(gamma) if (1..=i32::MAX as u32).contains(&gamma) => gamma,
        _ => GAMMA_ONE,
    };
    is_significant(gamma).then(|| Exponents::new(gamma))
}

/// The exponents of a file gamma; the screen gamma is its reciprocal, rounded.
#[derive(Clone, Copy)]
struct Exponents {
    to_linear: u32,
    from_linear: u32,
    /// Of both gammas one after the other, 1 but for rounding: over 8-bit and 16-bit values.
    both8: u32,
    both16: u32,
}

impl Exponents {
    fn new(file: u32) -> Self {
        let screen = reciprocal(file);
        if screen == 0 {
            let (from_linear, both8, both16) = (file, GAMMA_ONE, GAMMA_ONE);
            return Self { to_linear: screen, from_linear, both8, both16 };
        }
        Self {
            to_linear: screen,
            from_linear: reciprocal(screen),
            both8: rounded_to_i32(1e15 / f64::from(file) / f64::from(screen)),
            both16: rounded_to_i32(f64::from(file) * 1e-5 * f64::from(screen)),
        }
    }
}

impl Gamma8 {
    fn new(exponents: Exponents) -> Self {
        Self {
            to_linear: table8(exponents.to_linear),
            from_linear: table8(exponents.from_linear),
            rounded: table8(exponents.both8),
        }
    }
}

impl Gamma16 {
    fn new(exponents: Exponents, significant_bits: u8) -> Self {
        let shift = match significant_bits {
            bits @ 1..16 => 16 - u32::from(bits),
            _ => 0,
        };
        let shift = shift.clamp(MIN_SHIFT, 8);
        Self {
            shift,
            to_linear: table16(exponents.to_linear, shift),
            from_linear: table16(exponents.from_linear, shift),
            rounded: table16_rounded(exponents.both16, shift),
        }
    }
}

/// Within 5 % of 1 libpng does not bother.
fn is_significant(gamma: u32) -> bool {
    !(95_000..=105_000).contains(&gamma)
}

/// 1 / gamma, rounded.
fn reciprocal(gamma: u32) -> u32 {
    if gamma == 0 { 0 } else { rounded_to_i32(1e10 / f64::from(gamma)) }
}

/// Rounded; 0 when it does not fit, as in libpng.
fn rounded_to_i32(value: f64) -> u32 {
    let value = (value + 0.5).floor();
    if value <= f64::from(i32::MAX) { value as u32 } else { 0 }
}

fn exponent(gamma: u32) -> f64 {
    f64::from(gamma) * 0.00001
}

fn table8(gamma: u32) -> [u8; 256] {
    std::array::from_fn(|i| {
        if !is_significant(gamma) || i == 0 || i == 255 {
            return i as u8;
        }
        (255.0 * (i as f64 / 255.0).powf(exponent(gamma)) + 0.5).floor() as u8
    })
}

fn table16(gamma: u32, shift: u32) -> Vec<u16> {
    let max = (1_u32 << (16 - shift)) - 1;
    (0..=max)
        .map(|i| {
            if is_significant(gamma) {
                let value = f64::from(i) * (1.0 / f64::from(max));
                (65535.0 * value.powf(exponent(gamma)) + 0.5).floor() as u16
            } else {
                ((i * 65535 + (1 << (15 - shift))) / max) as u16
            }
        })
        .collect()
}

/// Values rounded to multiples of 257, whose high byte is the 8-bit value.
fn table16_rounded(gamma: u32, shift: u32) -> Vec<u16> {
    let len = 1_usize << (16 - shift);
    let max = len as u32 - 1;
    let mut table = Vec::with_capacity(len);
    for value in 0..255_u32 {
        let middle = f64::from(value * 257 + 128) / 65535.0;
        let bound = (65535.0 * middle.powf(exponent(gamma)) + 0.5).floor() as u32;
        let bound = (bound * max + 32768) / 65535;
        while table.len() <= bound as usize {
            table.push((value * 257) as u16);
        }
    }
    table.resize(len, u16::MAX);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sums_truncate_and_grey_passes_through() {
        assert_eq!(ToGrey::Plain.of_rgb8([255, 0, 0]), 76);
        assert_eq!(ToGrey::Plain.of_rgb8([255, 255, 254]), 254);
        assert_eq!(ToGrey::Plain.of_rgb8([200, 200, 200]), 200);
        assert_eq!(ToGrey::Plain.of_rgb16([0x12FF, 0x12FF, 0x12FF]), 0x12);
    }

    #[test]
    fn tables_end_at_black_and_white() {
        for shift in 5..=8 {
            for table in
                [table16(220_000, shift), table16(100_000, shift), table16_rounded(100_000, shift)]
            {
                assert_eq!(table.len(), 1 << (16 - shift));
                assert_eq!((table[0], table[table.len() - 1]), (0, 65535));
                assert!(table.is_sorted());
            }
        }
    }

    #[test]
    fn a_gamma_too_small_to_invert_gives_zero() {
        assert_eq!(reciprocal(45_455), 219_998);
        assert_eq!(reciprocal(4), 0);
        assert_eq!(reciprocal(0), 0);
    }
}
