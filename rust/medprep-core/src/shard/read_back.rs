//! The hashes of a file that was written, and of the rows in it.

use std::os::unix::fs::FileExt;

use super::commit::{TempFile, storage};
use super::digest::{LeafHasher, hex};
use super::sha256::PairedSha256;
use crate::error::Result;

/// Read at once: little enough that it stays in the innermost caches.
const PIECE_BYTES: usize = 128 << 10;

/// A row on its way to its leaf hash.
#[derive(Debug)]
pub(super) struct BegunLeaf {
    /// Where the row stands in the file.
    pub(super) place: u64,
    /// How many bytes from there on the hash still lacks.
    pub(super) bytes: u64,
    pub(super) hasher: LeafHasher,
}

/// The SHA-256 of the file, hexadecimal. On the way the leaves, which stand in the order of their
/// places, take in what they lack: two hashes at once cost less than one after the other.
///
/// # Errors
/// `Storage`.
pub(super) fn hash_file(file: &TempFile, bytes: u64, leaves: &mut [BegunLeaf]) -> Result<String> {
    let piece = vec![0; PIECE_BYTES.min(bytes as usize)];
    let mut reader = Reader { file, offset: 0, piece, hasher: PairedSha256::new() };
    for leaf in leaves {
        reader.read_to(leaf.place, None)?;
        reader.read_to(leaf.place + leaf.bytes, Some(&mut leaf.hasher))?;
    }
    reader.read_to(bytes, None)?;
    Ok(hex(&reader.hasher.finish()))
}

struct Reader<'a> {
    file: &'a TempFile,
    /// Bytes read and hashed.
    offset: u64,
    piece: Vec<u8>,
    hasher: PairedSha256,
}

impl Reader<'_> {
    fn read_to(&mut self, end: u64, mut leaf: Option<&mut LeafHasher>) -> Result<()> {
        while self.offset < end {
            let length = (end - self.offset).min(self.piece.len() as u64) as usize;
            let piece = &mut self.piece[..length];
            let read = self.file.file().read_exact_at(piece, self.offset);
            read.map_err(storage(self.file.path(), "read back"))?;
            match &mut leaf {
                Some(leaf) => leaf.update_with(&mut self.hasher, piece),
                None => self.hasher.update(piece),
            }
            self.offset += length as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::super::digest::SampleFields;
    use super::super::plan::PixelType;
    use super::*;

    fn leaf(label: i64) -> LeafHasher {
        let (split, boxes, caption) = ("train", [].as_slice(), "");
        let (shape, dtype) = ((1, 1, 3), PixelType::Uint8);
        LeafHasher::new(&SampleFields { split, label, boxes, caption, shape, dtype })
    }

    #[test]
    fn file_and_leaves_hash_as_by_themselves_whatever_the_pieces_are() {
        let bytes: Vec<u8> = (0..700_001_u64).map(|v| ((v * v) >> 5) as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = TempFile::create(&folder.path().join("shard")).unwrap();
        file.write_at(&bytes, 0).unwrap();
        // Nothing left (deflated rows), rows behind each other, longer than a piece, up to the end.
        let rows = [(0, 0), (64, 3), (67, 5), (80, PIECE_BYTES), (132_000, 568_001)];
        let begin = |(label, (place, bytes))| BegunLeaf {
            place: place as u64,
            bytes: bytes as u64,
            hasher: leaf(label),
        };
        let mut leaves: Vec<BegunLeaf> = (0..).zip(rows).map(begin).collect();
        let found = hash_file(&file, bytes.len() as u64, &mut leaves).unwrap();
        assert_eq!(found, hex(&sha2::Sha256::digest(&bytes)));
        for ((label, (place, length)), found) in (0..).zip(rows).zip(leaves) {
            let mut expected = leaf(label);
            expected.update(&bytes[place..place + length]);
            assert_eq!(found.hasher.finish(), expected.finish(), "row at {place}");
        }
    }
}
