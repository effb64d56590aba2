//! ZIP structures: local headers that align their data, central directory, zip64 where needed.

/// Data of every member start at a multiple of this.
pub(crate) const ALIGNMENT: u64 = 64;
/// Values from here on go into zip64 fields.
const MAX_32: u64 = u32::MAX as u64;
/// 1980-01-01 00:00, the earliest the format can say: bytes must not depend on the day.
const DATE: u16 = 1 << 5 | 1;
/// Reads zip64 (4.5).
const VERSION_NEEDED: u16 = 45;
/// Made by Unix.
const VERSION_MADE_BY: u16 = 3 << 8 | VERSION_NEEDED;
/// Regular file, rw-r--r--.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// Extra field of Android's zipalign: id, size, alignment, zeros.
const ALIGNMENT_EXTRA: u16 = 0xD935;
const LOCAL_FIXED: usize = 30;
const ZIP64_LOCAL_EXTRA: usize = 20;

/// How a member's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored = 0,
    Deflate = 8,
}

/// One member as the directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) method: Method,
    /// Of the local header, from the start of the file.
    pub(crate) offset: u64,
    pub(crate) crc32: u32,
    pub(crate) compressed: u64,
    pub(crate) size: u64,
}

impl Entry {
    /// Where the data start; depends on name and offset only.
    pub(crate) fn data_offset(&self) -> u64 {
        let least = self.offset + (LOCAL_FIXED + self.name.len() + ZIP64_LOCAL_EXTRA + 6) as u64;
        least.next_multiple_of(ALIGNMENT)
    }

    /// The local header; sizes are always in the zip64 field, as NumPy writes them.
    pub(crate) fn local_header(&self) -> Vec<u8> {
        let length = (self.data_offset() - self.offset) as usize;
        let extra = length - LOCAL_FIXED - self.name.len();
        let mut out = Fields::with_capacity(length);
        out.u32(0x0403_4b50).u16(VERSION_NEEDED).u16(0).u16(self.method as u16).u16(0).u16(DATE);
        out.u32(self.crc32).u32(u32::MAX).u32(u32::MAX);
        out.u16(self.name.len() as u16).u16(extra as u16).bytes(self.name.as_bytes());
        out.u16(1).u16(16).u64(self.size).u64(self.compressed);
        let padding = extra - ZIP64_LOCAL_EXTRA - 4;
        out.u16(ALIGNMENT_EXTRA).u16(padding as u16).u16(ALIGNMENT as u16);
        out.0.resize(length, 0);
        out.0
    }

    fn directory_header(&self, out: &mut Fields, force_zip64: bool) {
        let mut extra = Fields::with_capacity(24);
        let mut narrow = |value: u64| {
            if force_zip64 || value >= MAX_32 {
                extra.u64(value);
                u32::MAX
            } else {
                value as u32
            }
        };
        let (size, compressed, offset) =
            (narrow(self.size), narrow(self.compressed), narrow(self.offset));
        out.u32(0x0201_4b50).u16(VERSION_MADE_BY).u16(VERSION_NEEDED).u16(0);
        out.u16(self.method as u16).u16(0).u16(DATE).u32(self.crc32).u32(compressed).u32(size);
        let extra_length = if extra.0.is_empty() { 0 } else { extra.0.len() + 4 };
        out.u16(self.name.len() as u16).u16(extra_length as u16).u16(0).u16(0).u16(0);
        out.u32(ATTRIBUTES).u32(offset).bytes(self.name.as_bytes());
        if extra_length > 0 {
            out.u16(1).u16(extra.0.len() as u16).bytes(&extra.0);
        }
    }
}

/// Everything behind the last member, which ends at `offset`.
///
/// force_zip64: use zip64 records where 32 bits would do (tests only; the sizes that need them are
/// too large to write in every test run).
pub(crate) fn directory(entries: &[Entry], offset: u64, force_zip64: bool) -> Vec<u8> {
    let mut out = Fields::with_capacity(64 * entries.len() + 98);
    for entry in entries {
        entry.directory_header(&mut out, force_zip64);
    }
    let size = out.0.len() as u64;
    let count = entries.len() as u64;
    let zip64 = force_zip64 || offset >= MAX_32 || size >= MAX_32 || count >= u64::from(u16::MAX);
    if zip64 {
        out.u32(0x0606_4b50).u64(44).u16(VERSION_MADE_BY).u16(VERSION_NEEDED).u32(0).u32(0);
        out.u64(count).u64(count).u64(size).u64(offset);
        out.u32(0x0706_4b50).u32(0).u64(offset + size).u32(1);
    }
    let count = if zip64 { u16::MAX } else { count as u16 };
    let (size, offset) = if zip64 { (u32::MAX, u32::MAX) } else { (size as u32, offset as u32) };
    out.u32(0x0605_4b50).u16(0).u16(0).u16(count).u16(count).u32(size).u32(offset).u16(0);
    out.0
}

/// Little-endian fields, one after the other.
struct Fields(Vec<u8>);

impl Fields {
    fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_aligned_behind_every_name_and_offset() {
        for length in 1..100 {
            for offset in [0, 1, 63, 64, 12_345, MAX_32 + 7] {
                let entry = Entry {
                    name: "n".repeat(length),
                    method: Method::Stored,
                    offset,
                    crc32: 0,
                    compressed: 0,
                    size: 0,
                };
                assert_eq!(entry.data_offset() % ALIGNMENT, 0);
                assert_eq!(entry.local_header().len() as u64, entry.data_offset() - offset);
            }
        }
    }
}
