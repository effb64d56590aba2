//! Exact sums of stored values per channel, for the mean and deviation of a data set.

#[cfg(target_arch = "x86_64")]
mod sse2;

use super::plan::PixelType;

/// Values added up in lanes; a multiple of 1 and 3, so a lane always meets the same channel.
const LANES: usize = 48;
/// Squares of 255 that fit u32.
const FLUSH_EVERY: usize = 66_000;

/// Exact sums per channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChannelSums {
    pub(crate) sum: [u64; 3],
    /// 128 bits: squares of 16-bit values pass 64 bits at 4 G pixels a shard.
    pub(crate) squares: [u128; 3],
}

impl ChannelSums {
    /// float32 counts in its whole numbers, multiples of 1/65535.
    pub(crate) fn of(pixels: &[u8], channels: usize, dtype: PixelType) -> Self {
        let mut sums = Self::default();
        match dtype {
            PixelType::Uint8 => {}
            PixelType::Uint16 => {
                let values = pixels.as_chunks().0.iter().map(|&v| u16::from_le_bytes(v));
                sums.add_wide(values, channels);
                return sums;
            }
            PixelType::Float32 => {
                let values = pixels.as_chunks().0.iter().map(|&v| f32::from_le_bytes(v));
                sums.add_wide(values.map(|v| (f64::from(v) * 65535.0).round() as u16), channels);
                return sums;
            }
        }
        for part in pixels.chunks(LANES * FLUSH_EVERY) {
            sums.add_part(part, channels);
        }
        sums
    }

    fn add_wide(&mut self, values: impl Iterator<Item = u16>, channels: usize) {
        let (mut sum, mut squares) = ([0_u64; 3], [0_u64; 3]);
        for (place, value) in values.map(u64::from).enumerate() {
            sum[place % channels] += value;
            squares[place % channels] += value * value;
        }
        for channel in 0..3 {
            self.sum[channel] += sum[channel];
            self.squares[channel] += u128::from(squares[channel]);
        }
    }

    fn add_part(&mut self, part: &[u8], channels: usize) {
        let (pairs, rest) = part.as_chunks();
        let (mut sum, mut squares) = add_up(pairs);
        for (at, &value) in rest.iter().enumerate() {
            sum[at % LANES] += u32::from(value);
            squares[at % LANES] += u32::from(value) * u32::from(value);
        }
        for lane in 0..LANES {
            self.sum[lane % channels] += u64::from(sum[lane]);
            self.squares[lane % channels] += u128::from(squares[lane]);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for channel in 0..3 {
            self.sum[channel] += other.sum[channel];
            self.squares[channel] += other.squares[channel];
        }
    }
}

/// Sums and sums of squares of each lane.
#[cfg(target_arch = "x86_64")]
fn add_up(pairs: &[[u8; 2 * LANES]]) -> ([u32; LANES], [u32; LANES]) {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { sse2::add_up(pairs) }
}

#[cfg(not(target_arch = "x86_64"))]
use by_definition as add_up;

/// What [`add_up`] gives, one value after the other.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn by_definition(pairs: &[[u8; 2 * LANES]]) -> ([u32; LANES], [u32; LANES]) {
    let (mut sum, mut squares) = ([0; LANES], [0; LANES]);
    for (at, &value) in pairs.as_flattened().iter().enumerate() {
        sum[at % LANES] += u32::from(value);
        squares[at % LANES] += u32::from(value) * u32::from(value);
    }
    (sum, squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_add_up_as_the_definition_does() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for count in [0, 1, 2, 127, 128, 129, 1000] {
            let random: Vec<_> = (0..count).map(|_| std::array::from_fn(|_| next())).collect();
            assert_eq!(add_up(&random), by_definition(&random), "{count}");
        }
        let most = vec![[255; 2 * LANES]; FLUSH_EVERY / 2];
        assert_eq!(add_up(&most), by_definition(&most));
    }

    #[test]
    fn sums_are_exact_for_any_length_and_channel_count() {
        for (channels, values) in
            [(1, 1), (1, 47), (3, 3), (3, 48 * 3 + 9), (1, 48 * 70_000), (3, 9_600_003)]
        {
            let pixels: Vec<u8> = (0..values).map(|v| 255 - (v % 7) as u8).collect();
            let mut expected = ChannelSums::default();
            for (place, &value) in pixels.iter().enumerate() {
                expected.sum[place % channels] += u64::from(value);
                expected.squares[place % channels] += u128::from(value).pow(2);
            }
            assert_eq!(ChannelSums::of(&pixels, channels, PixelType::Uint8), expected);
        }
    }

    #[test]
    fn sums_of_16_bit_values_and_of_their_quotients_are_the_same_whole_numbers() {
        let values: Vec<u16> = (0..=65535).collect();
        let bytes = |v: &[u16]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let floats = |v: &[u16]| -> Vec<u8> {
            v.iter().flat_map(|&v| (f32::from(v) / 65535.0).to_le_bytes()).collect()
        };
        let wide = ChannelSums::of(&bytes(&values), 1, PixelType::Uint16);
        assert_eq!(wide.sum[0], 65535 * 65536 / 2);
        assert_eq!(wide.squares[0], 65535 * 65536 * 131_071 / 6);
        assert_eq!(ChannelSums::of(&floats(&values), 1, PixelType::Float32), wide);
        // Of 8-bit pipelines: v / 255 is 257 v / 65535.
        let narrow: Vec<u8> =
            (0..=255).flat_map(|v| (f32::from(v as u8) / 255.0).to_le_bytes()).collect();
        let sums = ChannelSums::of(&narrow, 1, PixelType::Float32);
        assert_eq!(sums.sum[0], 257 * 255 * 256 / 2);
    }
}
