//! An NPZ file being written: members one after the other into a temporary file.

use std::sync::Arc;

use super::commit::TempFile;
use super::member::{Compression, Member, deflate_piece};
use super::npy;
use super::read_back::{BegunLeaf, hash_file};
use super::zip::{Entry, directory};
use crate::error::Result;
use std::path::Path;

/// Pieces in which small arrays are written.
const PIECE_BYTES: usize = 1 << 20;

/// Writes members in sequence; one member may grow by pieces that other threads write.
#[derive(Debug)]
pub struct NpzWriter {
    file: Arc<TempFile>,
    compression: Compression,
    force_zip64: bool,
    entries: Vec<Entry>,
    open: Option<Member>,
    /// End of the last finished member.
    end: u64,
}

/// What the finished file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl NpzWriter {
    /// Starts the temporary sibling of `path`.
    ///
    /// # Errors
    /// `Storage`.
    pub fn create(path: &Path, compression: Compression, force_zip64: bool) -> Result<Self> {
        let file = Arc::new(TempFile::create(path)?);
        Ok(Self { file, compression, force_zip64, entries: Vec::new(), open: None, end: 0 })
    }

    /// The file, for threads that write pieces at the places given by [`NpzWriter::push`].
    pub fn file(&self) -> Arc<TempFile> {
        Arc::clone(&self.file)
    }

    /// Begins a member; the one before must be finished.
    pub fn begin(&mut self, name: &str) {
        debug_assert!(self.open.is_none(), "members are written one after the other");
        self.open = Some(Member::begin(name, self.end, self.compression));
    }

    /// Gives the next piece of the open member its place in the file.
    ///
    /// # Panics
    /// If no member was begun.
    pub fn push(&mut self, stored: usize, raw_bytes: usize, crc32: u32) -> u64 {
        self.open.as_mut().expect("a member is open").push(stored, raw_bytes, crc32)
    }

    /// Finishes the open member as an array of this type and shape.
    ///
    /// # Errors
    /// `Storage`.
    ///
    /// # Panics
    /// If no member was begun.
    pub fn end_member(&mut self, descr: &str, shape: &[u64]) -> Result<()> {
        let member = self.open.take().expect("a member is open");
        let (pieces, entry) = member.finish(&npy::header(descr, shape));
        for (offset, bytes) in pieces {
            self.file.write_at(&bytes, offset)?;
        }
        self.end = entry.data_offset() + entry.compressed;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes a whole array from its rows' bytes.
    ///
    /// # Errors
    /// `Storage`.
    pub fn array<R: AsRef<[u8]>>(
        &mut self,
        name: &str,
        descr: &str,
        shape: &[u64],
        rows: impl Iterator<Item = R>,
    ) -> Result<()> {
        self.begin(name);
        let mut piece = Vec::new();
        for row in rows {
            piece.extend_from_slice(row.as_ref());
            if piece.len() >= PIECE_BYTES {
                self.write_piece(&piece)?;
                piece.clear();
            }
        }
        self.write_piece(&piece)?;
        self.end_member(descr, shape)
    }

    fn write_piece(&mut self, raw: &[u8]) -> Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let crc32 = crc32fast::hash(raw);
        let packed;
        let stored = match self.compression {
            Compression::None => raw,
            Compression::Deflate => {
                packed = deflate_piece(raw);
                &packed
            }
        };
        let place = self.push(stored.len(), raw.len(), crc32);
        self.file.write_at(stored, place)
    }

    /// Writes the directory and hashes the file, which is not committed yet, and with it the rows.
    ///
    /// The hash is taken by reading back: the first bytes (CRC, sizes, number of rows) are known
    /// last, so a running hash would be wrong whenever a row failed. The pages are still cached and
    /// the other threads go on meanwhile (`close_256_mib` in benches/benches/shard.rs times it).
    pub(super) fn finish(self, leaves: &mut [BegunLeaf]) -> Result<(Arc<TempFile>, FileIdentity)> {
        let tail = directory(&self.entries, self.end, self.force_zip64);
        self.file.write_at(&tail, self.end)?;
        let bytes = self.end + tail.len() as u64;
        let sha256 = hash_file(&self.file, bytes, leaves)?;
        Ok((self.file, FileIdentity { bytes, sha256 }))
    }
}
