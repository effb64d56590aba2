//! One row on its way into the file: everything about it that needs no place yet.

use super::annotation::StoredBox;
use super::digest::{LeafHasher, SampleFields, hex};
use super::member::{Compression, deflate_piece};
use super::plan::PixelType;

/// Values added up in lanes; a multiple of 1 and 3, so a lane always meets the same channel.
const LANES: usize = 48;
/// Squares of 255 that fit u32.
const FLUSH_EVERY: usize = 66_000;

/// Hashes, sums and packs rows; the part of writing that runs in parallel.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    split: String,
    shape: (usize, usize, usize),
    dtype: PixelType,
    compression: Compression,
}

/// A row ready to be given its place.
#[derive(Debug, Clone)]
pub struct EncodedRow {
    /// The bytes to store.
    pub payload: Vec<u8>,
    /// Length of the pixels.
    pub raw_bytes: usize,
    pub(crate) crc32: u32,
    pub(crate) crc32c: u32,
    pub(crate) leaf: String,
    pub(crate) sums: ChannelSums,
    pub(crate) boxes: Option<Vec<StoredBox>>,
}

/// What of a row beside its pixels enters the digest.
#[derive(Debug, Clone, Default)]
pub struct RowFields<'a> {
    /// Class number, -1 = none.
    pub label: i64,
    /// Boxes in the stored image, if they are known.
    pub boxes: Option<Vec<StoredBox>>,
    /// Empty = none.
    pub caption: &'a str,
}

/// Exact sums per channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChannelSums {
    pub(crate) sum: [u64; 3],
    /// 128 bits: squares of 16-bit values pass 64 bits at 4 G pixels a shard.
    pub(crate) squares: [u128; 3],
}

impl RowEncoder {
    /// An encoder for rows of one shard.
    pub fn new(
        split: &str,
        shape: (usize, usize, usize),
        dtype: PixelType,
        compression: Compression,
    ) -> Self {
        Self { split: split.to_owned(), shape, dtype, compression }
    }

    /// Encodes the pixels of one sample, little-endian.
    ///
    /// # Panics
    /// If the number of bytes is not that of shape and type.
    pub fn encode(&self, row: RowFields, pixels: Vec<u8>) -> EncodedRow {
        let RowFields { label, boxes, caption } = row;
        let (height, width, channels) = self.shape;
        let bytes = height * width * channels * self.dtype.bytes();
        assert_eq!(pixels.len(), bytes, "every row has the shard's shape");
        let fields = SampleFields {
            split: &self.split,
            label,
            boxes: boxes.as_deref().unwrap_or_default().as_flattened(),
            caption,
            shape: self.shape,
            dtype: self.dtype,
        };
        let mut leaf = LeafHasher::new(&fields);
        leaf.update(&pixels);
        EncodedRow {
            raw_bytes: pixels.len(),
            crc32: crc32fast::hash(&pixels),
            crc32c: crc32c::crc32c(&pixels),
            leaf: hex(&leaf.finish()),
            sums: ChannelSums::of(&pixels, channels, self.dtype),
            boxes,
            payload: match self.compression {
                Compression::None => pixels,
                Compression::Deflate => deflate_piece(&pixels),
            },
        }
    }
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
        let (mut sum, mut squares) = ([0u32; LANES], [0u32; LANES]);
        for chunk in part.chunks(LANES) {
            for (lane, &value) in chunk.iter().enumerate() {
                sum[lane] += u32::from(value);
                squares[lane] += u32::from(value) * u32::from(value);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

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
