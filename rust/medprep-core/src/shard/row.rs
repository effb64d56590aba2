//! One row on its way into the file: what is known of it before it has a place.

use super::annotation::StoredBox;
use super::digest::{LeafHasher, SampleFields};
use super::member::{Compression, deflate_piece};
use super::plan::PixelType;
use super::sums::ChannelSums;

/// Sums and packs rows; the part of writing that runs in parallel.
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
    /// Lacks the pixels if they are to stand in the file as they are: see
    /// [`hash_file`](super::read_back::hash_file).
    pub(crate) leaf: LeafHasher,
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
        if !self.compression.is_verbatim() {
            leaf.update(&pixels);
        }
        EncodedRow {
            raw_bytes: pixels.len(),
            crc32: crc32fast::hash(&pixels),
            crc32c: crc32c::crc32c(&pixels),
            leaf,
            sums: ChannelSums::of(&pixels, channels, self.dtype),
            boxes,
            payload: match self.compression {
                Compression::None => pixels,
                Compression::Deflate => deflate_piece(&pixels),
            },
        }
    }
}
