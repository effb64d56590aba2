//! The file around the data set: preamble, meta group, transfer syntax, deflation (PS3.10 section 7).
//!
//! Read leniently, because files of real devices are wrong here most of all: the preamble may be
//! missing, the meta group's length may lie or be missing, and so may the whole meta group.

use std::borrow::Cow;
use std::ops::Range;

use dicom_core::VR;
use flate2::{Decompress, FlushDecompress, Status};

use super::attributes::{Attributes, PADDING, TRANSFER_SYNTAX_UID};
use super::elements::{Encoding, is_short, is_vr};
use super::error::decode_error;
use super::object::read_value;
use super::syntax;
use crate::error::Item;
use crate::{Error, Result};

/// True when `data` is a DICOM file: by the `DICM` mark after its preamble or, without one, by
/// first elements that only DICOM has.
pub fn is_dicom(data: &[u8]) -> bool {
    data.get(128..132) == Some(b"DICM") || bare_start(data).is_some()
}

/// Where the elements begin in a file without preamble.
fn bare_start(data: &[u8]) -> Option<usize> {
    let start = if data.starts_with(b"DICM") { 4 } else { 0 };
    // Two elements in a row that fit: few other files have even one.
    let encoding = guess(data.get(start..)?)?;
    let first = plausible(data, start, encoding)?;
    (matches!(first.tag >> 16, 2 | 8)
        && (first.after == data.len()
            || plausible(data, first.after, encoding).is_some_and(|next| {
                next.tag > first.tag && next.tag >> 16 <= 0x0028 && next.after <= data.len()
            })))
    .then_some(start)
}

struct Seen {
    tag: u32,
    after: usize,
}

/// An element without nested ones that could be at `at`.
fn plausible(data: &[u8], at: usize, encoding: Encoding) -> Option<Seen> {
    let &[g0, g1, e0, e1, v0, v1, l0, l1] = data.get(at..)?.first_chunk::<8>()?;
    let tag = u32::from(encoding.u16([g0, g1])) << 16 | u32::from(encoding.u16([e0, e1]));
    let (length, value) = if !encoding.explicit {
        (encoding.u32([v0, v1, l0, l1]), at + 8)
    } else if is_short([v0, v1]) {
        (u32::from(encoding.u16([l0, l1])), at + 8)
    } else if [b"OB", b"SQ", b"UN", b"UT"].contains(&&[v0, v1]) {
        (encoding.u32(*data.get(at + 8..)?.first_chunk::<4>()?), at + 12)
    } else {
        return None;
    };
    let after = value.checked_add(length as usize)?;
    (length < 1 << 16 && after <= data.len()).then_some(Seen { tag, after })
}

/// How the elements at the start of `data` are written, by the first one.
fn guess(data: &[u8]) -> Option<Encoding> {
    let &[g0, g1, _, _, v0, v1, ..] = data.first_chunk::<8>()?;
    // No data set begins with a group over 255.
    let big_endian = match (g0, g1) {
        (1.., 0) => false,
        (0, 1..) => true,
        _ => return None,
    };
    Some(Encoding { explicit: is_vr([v0, v1]), big_endian })
}

/// The meta group, as far as anything depends on it.
struct Meta {
    transfer_syntax: Option<String>,
    /// Where the data set begins.
    end: usize,
}

fn read_meta(data: &[u8]) -> Result<Meta> {
    let start = if data.get(128..132) == Some(b"DICM") {
        132
    } else {
        bare_start(data).ok_or_else(|| decode_error("not a DICOM file: no DICM mark"))?
    };
    let mut meta = Meta { transfer_syntax: None, end: start };
    let mut uid = None;
    // The group's length element is not looked at: the group ends where another begins.
    while data.get(meta.end..meta.end + 2) == Some(&[2, 0]) {
        let (number, value, after) = meta_element(data, meta.end)
            .ok_or_else(|| decode_error("the file ends inside its meta group"))?;
        if number == TRANSFER_SYNTAX_UID.number as u16 {
            uid = Some(value);
        }
        meta.end = after;
    }
    if let Some(place) = uid {
        let text =
            read_value(Encoding::EXPLICIT_LE, TRANSFER_SYNTAX_UID.number, VR::UI, &data[place])?;
        meta.transfer_syntax = Some(text.to_raw_str().trim_matches(PADDING).to_owned());
    }
    Ok(meta)
}

/// Number, place of the value and end of the meta element at `at`.
fn meta_element(data: &[u8], at: usize) -> Option<(u16, Range<usize>, usize)> {
    let encoding = guess(data.get(at..)?)?;
    let &[_, _, e0, e1, v0, v1, l0, l1] = data.get(at..)?.first_chunk::<8>()?;
    let (length, value) = if !encoding.explicit {
        (u32::from_le_bytes([v0, v1, l0, l1]), at + 8)
    } else if is_short([v0, v1]) {
        (u32::from(u16::from_le_bytes([l0, l1])), at + 8)
    } else {
        (u32::from_le_bytes(*data.get(at + 8..)?.first_chunk::<4>()?), at + 12)
    };
    let after = value.checked_add(length as usize).filter(|&after| after <= data.len())?;
    Some((u16::from_le_bytes([e0, e1]), value..after, after))
}

/// A data set that is ready to be walked: plain bytes and how they are written.
pub(super) struct DataSet<'a> {
    pub data: Cow<'a, [u8]>,
    pub start: usize,
    pub encoding: Encoding,
    pub transfer_syntax: String,
}

impl<'a> DataSet<'a> {
    /// Finds the data set; a deflated one is inflated to at most `max_inflated` bytes.
    ///
    /// # Errors
    /// `Decode` when this is no DICOM file or the meta group is cut; `Limit`, or with `partial`
    /// only the first bytes, when it inflates to more.
    pub fn open(data: &'a [u8], max_inflated: u64, partial: bool) -> Result<Self> {
        let meta = read_meta(data)?;
        let body = &data[meta.end..];
        if meta.transfer_syntax.as_deref() == Some(syntax::DEFLATED) {
            let inflated = inflate(body, max_inflated, partial)?;
            return Ok(Self {
                data: Cow::Owned(inflated),
                start: 0,
                encoding: Encoding::EXPLICIT_LE,
                transfer_syntax: syntax::DEFLATED.to_owned(),
            });
        }
        let seen = guess(body);
        let (encoding, transfer_syntax) = if let Some(uid) = meta.transfer_syntax {
            let stated = Encoding {
                explicit: uid != syntax::IMPLICIT_LE,
                big_endian: uid == syntax::EXPLICIT_BE,
            };
            // Writers that state the wrong one of the uncompressed syntaxes are common.
            let explicit = seen.map_or(stated.explicit, |seen| seen.explicit);
            (Encoding { explicit, ..stated }, uid)
        } else {
            let encoding = seen.unwrap_or(Encoding::IMPLICIT_LE);
            (encoding, syntax::of_encoding(encoding).to_owned())
        };
        Ok(Self { data: Cow::Borrowed(data), start: meta.end, encoding, transfer_syntax })
    }

    /// Reads the attributes up to Pixel Data.
    ///
    /// # Errors
    /// `Decode` when the elements are damaged.
    pub fn attributes(&self) -> Result<Attributes<'_>> {
        Attributes::read(&self.data, self.start..self.data.len(), self.encoding)
    }
}

/// Raw deflate (PS3.5 A.5), never more than `most` bytes of it.
///
/// # Errors
/// `Decode` for damaged or cut data, `Limit` when there is more and `partial` is not set.
pub(super) fn inflate(packed: &[u8], most: u64, partial: bool) -> Result<Vec<u8>> {
    const STEP: usize = 1 << 20;
    let mut inflater = Decompress::new(false);
    let mut out = Vec::new();
    loop {
        let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(out.len());
        if room == 0 {
            if partial {
                return Ok(out);
            }
            let what = "inflated size in bytes";
            let found = most.saturating_add(1);
            return Err(Error::Limit { item: Item::default(), what, found, limit: most });
        }
        // By halves of what is there: doubling would reserve twice the cap.
        let step = (out.len() / 2).clamp(STEP, 64 * STEP).min(room);
        out.reserve_exact(step);
        let (read, had) = (inflater.total_in(), out.len());
        let rest = &packed[read as usize..];
        let status = inflater
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .map_err(|_| decode_error("the deflated data set is damaged"))?;
        out.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let stuck = inflater.total_in() == read && out.len() == had;
        match status {
            Status::StreamEnd => return Ok(out),
            _ if !stuck => {}
            _ if partial => return Ok(out),
            _ => return Err(decode_error("the deflated data set is cut")),
        }
    }
}
