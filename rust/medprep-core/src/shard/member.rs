//! One array inside the file while it grows: its place, its size, its CRC.

use flate2::{Compress, Compression as Level, FlushCompress};
use serde::{Deserialize, Serialize};

use super::npy::HEADER_BYTES;
use super::zip::{Entry, Method};

/// Whether members are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Stored: the images can be mapped.
    #[default]
    None,
    /// Raw deflate; smaller, not mappable.
    Deflate,
}

/// Level 6, zlib's default.
const LEVEL: Level = Level::new(6);
/// A deflate block that is the last and empty: fixed codes, end of block.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// Bytes in front of an uncompressed deflate block.
const BLOCK_HEADER: usize = 5;

impl Compression {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::None => Method::Stored,
            Self::Deflate => Method::Deflate,
        }
    }

    /// Whether values stand in the file as they are.
    pub(crate) fn is_verbatim(self) -> bool {
        self == Self::None
    }

    /// Bytes the NPY header takes in the file.
    ///
    /// In a deflated member it is a block of its own without compression, so that it keeps its
    /// length whatever number of rows is filled in at the end.
    pub(crate) fn header_bytes(self) -> usize {
        match self {
            Self::None => HEADER_BYTES,
            Self::Deflate => HEADER_BYTES + BLOCK_HEADER,
        }
    }

    /// The NPY header as it stands in the file.
    pub(crate) fn wrap_header(self, header: &[u8; HEADER_BYTES]) -> Vec<u8> {
        let length = HEADER_BYTES as u16;
        let mut bytes = Vec::with_capacity(self.header_bytes());
        if self == Self::Deflate {
            bytes.push(0);
            bytes.extend(length.to_le_bytes());
            bytes.extend((!length).to_le_bytes());
        }
        bytes.extend(header);
        bytes
    }

    /// What closes the member's data.
    pub(crate) fn tail(self) -> &'static [u8] {
        match self {
            Self::None => &[],
            Self::Deflate => &LAST_BLOCK,
        }
    }
}

/// Compresses `raw` to whole deflate blocks that end on a byte and refer to nothing before them:
/// pieces can be made on any thread and joined in any file.
pub(crate) fn deflate_piece(raw: &[u8]) -> Vec<u8> {
    let mut encoder = Compress::new(LEVEL, false);
    // Room for the worst case (uncompressed blocks and the flush): one call must do, because a
    // flush that has to be continued into more room is not the same flush.
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 8 + 1024);
    encoder
        .compress_vec(raw, &mut out, FlushCompress::Sync)
        .expect("compression into memory cannot fail");
    assert!(
        encoder.total_in() as usize == raw.len() && out.len() < out.capacity(),
        "the worst case of deflate was underestimated"
    );
    out
}

/// A growing member.
#[derive(Debug)]
pub(crate) struct Member {
    entry: Entry,
    compression: Compression,
    /// CRC of the data behind the NPY header.
    body_crc: crc32fast::Hasher,
}

impl Member {
    /// A member whose local header stands at `offset`.
    pub(crate) fn begin(name: &str, offset: u64, compression: Compression) -> Self {
        let entry = Entry {
            name: name.to_owned(),
            method: compression.method(),
            offset,
            crc32: 0,
            compressed: compression.header_bytes() as u64,
            size: HEADER_BYTES as u64,
        };
        Self { entry, compression, body_crc: crc32fast::Hasher::new() }
    }

    /// Where the next piece goes.
    pub(crate) fn end(&self) -> u64 {
        self.entry.data_offset() + self.entry.compressed
    }

    /// Takes in the next piece: `stored` bytes in the file for `raw_bytes` with this CRC.
    pub(crate) fn push(&mut self, stored: usize, raw_bytes: usize, crc32: u32) -> u64 {
        let place = self.end();
        self.entry.compressed += stored as u64;
        self.entry.size += raw_bytes as u64;
        self.body_crc.combine(&crc32fast::Hasher::new_with_initial_len(crc32, raw_bytes as u64));
        place
    }

    /// What is still to be written once the header is known: (offset, bytes) pairs and the entry.
    pub(crate) fn finish(mut self, header: &[u8; HEADER_BYTES]) -> (Vec<(u64, Vec<u8>)>, Entry) {
        let mut crc = crc32fast::Hasher::new();
        crc.update(header);
        crc.combine(&self.body_crc);
        self.entry.crc32 = crc.finalize();
        let tail = (self.end(), self.compression.tail().to_vec());
        self.entry.compressed += tail.1.len() as u64;
        let wrapped = (self.entry.data_offset(), self.compression.wrap_header(header));
        let local = (self.entry.offset, self.entry.local_header());
        (vec![local, wrapped, tail], self.entry)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress, Status};
    use proptest::prelude::*;

    use super::*;

    fn inflate(pieces: &[Vec<u8>], length: usize) -> Vec<u8> {
        let mut packed = pieces.concat();
        packed.extend(LAST_BLOCK);
        let mut raw = Vec::with_capacity(length + 1);
        let status = Decompress::new(false)
            .decompress_vec(&packed, &mut raw, FlushDecompress::Finish)
            .expect("valid deflate data");
        assert_eq!(status, Status::StreamEnd);
        raw
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn pieces_of_any_length_and_noise_join_to_one_stream(
            lengths in prop::collection::vec(0..40_000usize, 1..4),
            noise in 0..9u32,
            seed: u64,
        ) {
            // From flat to incompressible: `noise` random low bits a byte.
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                ((state >> 40) as u8) & ((1u16 << noise) - 1) as u8
            };
            let raw: Vec<Vec<u8>> =
                lengths.iter().map(|&n| (0..n).map(|_| next()).collect()).collect();
            let pieces: Vec<Vec<u8>> = raw.iter().map(|piece| deflate_piece(piece)).collect();
            let whole = raw.concat();
            prop_assert_eq!(inflate(&pieces, whole.len()), whole);
        }
    }
}
