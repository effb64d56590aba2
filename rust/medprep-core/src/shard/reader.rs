//! Reading a shard strictly: only files that the writer could have written are accepted.
//!
//! Every structure is parsed, rebuilt from what was parsed, and compared byte for byte, so that no
//! bit outside the arrays is unchecked and hostile bytes meet very little code.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::member::Compression;
use super::npy::{self, HEADER_BYTES};
use super::zip::{Entry, Method, directory};

/// Members are few; a longer directory is not ours.
const MAX_DIRECTORY_BYTES: u64 = 64 << 10;
const END_BYTES: u64 = 22;
const END64_BYTES: u64 = 56 + 20;
const CENTRAL_FIXED: usize = 46;

/// The structure of a shard file.
#[derive(Debug, Clone)]
pub struct Npz {
    /// The members in file order.
    pub members: Vec<NpzMember>,
}

/// One array of the file.
#[derive(Debug, Clone)]
pub struct NpzMember {
    /// `images.npy`, ...
    pub name: String,
    /// `|u1`, `<f4`, `<i8`, `<U..`.
    pub descr: String,
    /// Shape, C order.
    pub shape: Vec<u64>,
    /// Stored or deflated.
    pub compression: Compression,
    /// Where the bytes behind the NPY header start in the file.
    pub body_offset: u64,
    /// How many there are in the file.
    pub body_bytes: u64,
    /// CRC-32 over NPY header and data; `None` where only the place is known.
    pub(crate) crc32: Option<u32>,
}

impl NpzMember {
    /// Bytes of one element.
    pub(crate) fn item_bytes(&self) -> u64 {
        item_bytes(&self.descr).unwrap_or_default()
    }

    /// Bytes of one row (all sides but the first).
    pub(crate) fn row_bytes(&self) -> u64 {
        self.shape[1..].iter().product::<u64>() * self.item_bytes()
    }
}

impl Npz {
    /// Reads the structure of a file of `length` bytes.
    ///
    /// # Errors
    /// What does not fit, expected and found.
    pub fn read(file: &File, length: u64) -> Result<Self, String> {
        let (entries, directory_offset) = read_directory(file, length)?;
        let mut members = Vec::with_capacity(entries.len());
        let mut end = 0;
        for entry in &entries {
            if entry.offset != end {
                return Err(format!("{} starts at {}, expected {end}", entry.name, entry.offset));
            }
            members.push(read_member(file, entry)?);
            end = entry.data_offset() + entry.compressed;
        }
        if end != directory_offset {
            return Err(format!(
                "the members end at {end}, the directory starts at {directory_offset}"
            ));
        }
        Ok(Self { members })
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&NpzMember> {
        self.members.iter().find(|member| member.name == name)
    }
}

fn read_at(file: &File, offset: u64, length: u64, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|e| format!("cannot read {what} at byte {offset}: {e}"))?;
    Ok(bytes)
}

/// The entries and where the directory starts; everything from there on is checked.
fn read_directory(file: &File, length: u64) -> Result<(Vec<Entry>, u64), String> {
    let least = "the file is too short for a directory";
    let end_offset = length.checked_sub(END_BYTES).ok_or(least)?;
    let end = read_at(file, end_offset, END_BYTES, "the end of the directory")?;
    let mut offset = u64::from(u32_at(&end, 16).unwrap_or(0));
    let zip64 = u32_at(&end, 16) == Some(u32::MAX);
    if zip64 {
        let end64_offset = end_offset.checked_sub(END64_BYTES).ok_or(least)?;
        let end64 = read_at(file, end64_offset, END64_BYTES, "the zip64 end of the directory")?;
        offset = u64_at(&end64, 48).unwrap_or(0);
    }
    let size = length.checked_sub(offset).filter(|size| *size <= MAX_DIRECTORY_BYTES);
    let size =
        size.ok_or_else(|| format!("the directory cannot start at byte {offset} of {length}"))?;
    let bytes = read_at(file, offset, size, "the directory")?;
    let mut entries = Vec::new();
    let mut rest = &bytes[..];
    while rest.starts_with(b"PK\x01\x02") {
        let (entry, used) = parse_entry(rest).ok_or("an entry of the directory is damaged")?;
        entries.push(entry);
        rest = &rest[used..];
    }
    if directory(&entries, offset, false) != bytes && directory(&entries, offset, true) != bytes {
        return Err("the directory is damaged".into());
    }
    Ok((entries, offset))
}

fn parse_entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    let name_length = usize::from(u16_at(bytes, 28)?);
    let extra_length = usize::from(u16_at(bytes, 30)?);
    let name = bytes.get(CENTRAL_FIXED..CENTRAL_FIXED + name_length)?;
    let extra_offset = CENTRAL_FIXED + name_length;
    let extra = bytes.get(extra_offset..extra_offset + extra_length)?;
    let mut wide_at = 4;
    let mut wide = |narrow: u32| {
        if narrow < u32::MAX {
            return Some(u64::from(narrow));
        }
        wide_at += 8;
        u64_at(extra, wide_at - 8)
    };
    let size = wide(u32_at(bytes, 24)?)?;
    let compressed = wide(u32_at(bytes, 20)?)?;
    let offset = wide(u32_at(bytes, 42)?)?;
    let entry = Entry {
        name: String::from_utf8(name.to_vec()).ok()?,
        method: match u16_at(bytes, 10)? {
            0 => Method::Stored,
            8 => Method::Deflate,
            _ => return None,
        },
        offset,
        crc32: u32_at(bytes, 16)?,
        compressed,
        size,
    };
    // Far above any file; below, sums of places cannot overflow.
    let sane = [size, compressed, offset].iter().all(|value| *value < 1 << 56);
    sane.then_some((entry, extra_offset + extra_length))
}

fn read_member(file: &File, entry: &Entry) -> Result<NpzMember, String> {
    let name = &entry.name;
    let local = entry.local_header();
    if read_at(file, entry.offset, local.len() as u64, name)? != local {
        return Err(format!("the local header of {name} is damaged or differs from the directory"));
    }
    let compression = match entry.method {
        Method::Stored => Compression::None,
        Method::Deflate => Compression::Deflate,
    };
    let around = compression.header_bytes() as u64 + compression.tail().len() as u64;
    let body_bytes = entry.compressed.checked_sub(around).ok_or(format!("{name} is too short"))?;
    let stored = read_at(file, entry.data_offset(), compression.header_bytes() as u64, name)?;
    let header = stored.last_chunk::<HEADER_BYTES>().ok_or("no header")?;
    let (descr, shape) = npy::parse(header)
        .filter(|_| compression.wrap_header(header) == stored)
        .ok_or_else(|| format!("the NPY header of {name} is damaged"))?;
    let expected =
        data_bytes(&descr, &shape).and_then(|bytes| bytes.checked_add(HEADER_BYTES as u64));
    if expected != Some(entry.size) {
        return Err(format!("{name} has {} bytes, {descr} {shape:?} does not", entry.size));
    }
    let body_offset = entry.data_offset() + compression.header_bytes() as u64;
    let tail = read_at(file, body_offset + body_bytes, compression.tail().len() as u64, name)?;
    if tail != compression.tail()
        || compression == Compression::None && entry.compressed != entry.size
    {
        return Err(format!("the end of {name} is damaged"));
    }
    let crc32 = Some(entry.crc32);
    Ok(NpzMember { name: name.clone(), descr, shape, compression, body_offset, body_bytes, crc32 })
}

fn item_bytes(descr: &str) -> Option<u64> {
    match descr {
        "|u1" => Some(1),
        "<u2" => Some(2),
        "<f4" => Some(4),
        "<i8" => Some(8),
        _ => descr.strip_prefix("<U")?.parse::<u32>().ok().map(|chars| 4 * u64::from(chars)),
    }
}

fn data_bytes(descr: &str, shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(item_bytes(descr)?, |bytes, side| bytes.checked_mul(*side))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}
