//! TIFF and BigTIFF directories: tags to numbers, every place checked against the file's length.

use super::FORMAT;
use crate::Result;
use crate::decode::error::damaged;

/// Directories counted before we stop: a loop of links must end.
const MAX_PAGES: u32 = 65_536;

/// The bytes of a file with its byte order and the width of its offsets.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    data: &'a [u8],
    pub(super) is_big_endian: bool,
    is_big_tiff: bool,
}

/// One directory: where its entries begin and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    file: File<'a>,
    first: usize,
    count: usize,
}

/// An entry's values, not yet read.
struct Entry {
    kind: u16,
    count: usize,
    at: usize,
}

impl<'a> File<'a> {
    pub(super) fn open(data: &'a [u8]) -> Result<Self> {
        let (is_big_endian, is_big_tiff) = match data.get(..4) {
            Some(b"II*\0") => (false, false),
            Some(b"MM\0*") => (true, false),
            Some(b"II+\0") => (false, true),
            Some(b"MM\0+") => (true, true),
            _ => return Err(damaged(FORMAT, "the signature is missing")),
        };
        Ok(Self { data, is_big_endian, is_big_tiff })
    }

    pub(super) fn bytes(&self, at: usize, count: usize) -> Option<&'a [u8]> {
        self.data.get(at..at.checked_add(count)?)
    }

    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let bytes = self.bytes(at, width)?;
        Some(if self.is_big_endian {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    }

    /// Bytes of an offset.
    fn offset_width(&self) -> usize {
        if self.is_big_tiff { 8 } else { 4 }
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, self.offset_width())?).ok()
    }

    pub(super) fn first_directory(&self) -> Result<Directory<'a>> {
        self.offset(if self.is_big_tiff { 8 } else { 4 })
            .and_then(|at| self.directory(at))
            .ok_or_else(|| damaged(FORMAT, "premature end of data (the directory is missing)"))
    }

    fn directory(&self, at: usize) -> Option<Directory<'a>> {
        let width = if self.is_big_tiff { 8 } else { 2 };
        let count = usize::try_from(self.number(at, width)?).ok()?;
        let first = at.checked_add(width)?;
        self.bytes(first, count.checked_mul(self.entry_bytes())?)?;
        Some(Directory { file: *self, first, count })
    }

    fn entry_bytes(&self) -> usize {
        if self.is_big_tiff { 20 } else { 12 }
    }

    /// How many directories follow one another from the first; broken links end the count.
    pub(super) fn pages(first: Directory<'a>) -> u32 {
        let (mut pages, mut seen) = (1, vec![first.first]);
        let mut here = first;
        while let Some(next) = here.next() {
            if pages >= MAX_PAGES || seen.contains(&next.first) {
                break;
            }
            pages += 1;
            // Loops are found within a few links or stopped by the count.
            if seen.len() < 64 {
                seen.push(next.first);
            }
            here = next;
        }
        pages
    }
}

impl<'a> Directory<'a> {
    fn next(&self) -> Option<Self> {
        let end = self.first + self.count * self.file.entry_bytes();
        let at = self.file.offset(end).filter(|&at| at > 0)?;
        self.file.directory(at)
    }

    fn entry(&self, tag: u16) -> Option<Entry> {
        let File { is_big_tiff, .. } = self.file;
        let bytes = self.file.entry_bytes();
        let at = (0..self.count)
            .map(|i| self.first + i * bytes)
            .find(|&at| self.file.number(at, 2) == Some(u64::from(tag)))?;
        let kind = self.file.number(at + 2, 2)? as u16;
        let width = self.file.offset_width();
        let count = usize::try_from(self.file.number(at + 4, width)?).ok()?;
        let inline = at + 4 + width;
        let size = count.checked_mul(bytes_of(kind)?)?;
        let at = if size <= width { inline } else { self.file.offset(inline)? };
        debug_assert!(is_big_tiff || width == 4);
        self.file.bytes(at, size)?;
        Some(Entry { kind, count, at })
    }

    /// All whole numbers of a tag; nothing when it is missing, damaged or no whole number.
    pub(super) fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        let Entry { kind, count, at } = self.entry(tag)?;
        if !matches!(kind, 1 | 3 | 4 | 16) {
            return None;
        }
        let width = bytes_of(kind)?;
        (0..count).map(|i| self.file.number(at + i * width, width)).collect()
    }

    /// The first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag)?.first().copied()
    }

    /// The bytes of a tag.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let Entry { kind, count, at } = self.entry(tag)?;
        self.file.bytes(at, count * bytes_of(kind)?)
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }
}

fn bytes_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}
