//! One row on its way into the file: everything about it that needs no place yet.

use super::annotation::StoredBox;
use super::digest::{LeafHasher, SampleFields, hex};
use super::member::{Compression, deflate_piece};

/// Values added up in lanes; a multiple of 1 and 3, so a lane always meets the same channel.
const LANES: usize = 48;
/// Squares of 255 that fit u32.
const FLUSH_EVERY: usize = 66_000;

/// Hashes, sums and packs rows; the part of writing that runs in parallel.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    split: String,
    shape: (usize, usize, usize),
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
    pub(crate) squares: [u64; 3],
}

impl RowEncoder {
    /// An encoder for rows of one shard.
    pub fn new(split: &str, shape: (usize, usize, usize), compression: Compression) -> Self {
        Self { split: split.to_owned(), shape, compression }
    }

    /// Encodes the pixels of one sample.
    ///
    /// # Panics
    /// If the number of pixels is not that of the shape.
    pub fn encode(&self, row: RowFields, pixels: Vec<u8>) -> EncodedRow {
        let RowFields { label, boxes, caption } = row;
        let (height, width, channels) = self.shape;
        assert_eq!(pixels.len(), height * width * channels, "every row has the shard's shape");
        let flat = boxes.as_deref().unwrap_or_default().as_flattened();
        let fields =
            SampleFields { split: &self.split, label, boxes: flat, caption, shape: self.shape };
        let mut leaf = LeafHasher::new(&fields);
        leaf.update(&pixels);
        EncodedRow {
            raw_bytes: pixels.len(),
            crc32: crc32fast::hash(&pixels),
            crc32c: crc32c::crc32c(&pixels),
            leaf: hex(&leaf.finish()),
            sums: ChannelSums::of(&pixels, channels),
            boxes,
            payload: match self.compression {
                Compression::None => pixels,
                Compression::Deflate => deflate_piece(&pixels),
            },
        }
    }
}

impl ChannelSums {
    pub(crate) fn of(pixels: &[u8], channels: usize) -> Self {
        let mut sums = Self::default();
        for part in pixels.chunks(LANES * FLUSH_EVERY) {
            sums.add_part(part, channels);
        }
        sums
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
            self.squares[lane % channels] += u64::from(squares[lane]);
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
                expected.squares[place % channels] += u64::from(value).pow(2);
            }
            assert_eq!(ChannelSums::of(&pixels, channels), expected);
        }
    }
}
