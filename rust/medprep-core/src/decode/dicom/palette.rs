//! Palette colour lookup tables, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.9).

use super::attributes::{self as tags, Attributes, Tag};
use super::error::decode_error;
use crate::Result;

/// The colours of stored indices, 16 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    /// The index of the first colour.
    first: i64,
    /// Red, green, blue; full scale is 65,535 whatever the file's entries have.
    colors: Vec<[u16; 3]>,
}

/// The descriptor, the plain and the segmented table of a channel.
const CHANNELS: [[Tag; 3]; 3] = [
    [tags::RED_PALETTE_DESCRIPTOR, tags::RED_PALETTE, tags::RED_SEGMENTED_PALETTE],
    [tags::GREEN_PALETTE_DESCRIPTOR, tags::GREEN_PALETTE, tags::GREEN_SEGMENTED_PALETTE],
    [tags::BLUE_PALETTE_DESCRIPTOR, tags::BLUE_PALETTE, tags::BLUE_SEGMENTED_PALETTE],
];

impl Palette {
    /// The colour of a stored value; values outside the table get its first or last.
    pub fn color(&self, stored: i64) -> [u16; 3] {
        let place = stored.saturating_sub(self.first).max(0) as usize;
        self.colors[place.min(self.colors.len() - 1)]
    }

    pub(super) fn of(a: &Attributes) -> Result<Self> {
        let mut first = 0;
        let mut channels = Vec::new();
        for [descriptor, plain, segmented] in CHANNELS {
            let Some([count, start, bits]) = a.triple(descriptor) else {
                return Err(decode_error(format!("no {}", descriptor.name)));
            };
            let count = if count == 0 { 1 << 16 } else { usize::from(count) };
            first = i64::from(start);
            let mut entries = match (a.bytes(plain), a.bytes(segmented)) {
                (Some(data), _) => plain_entries(a, plain, data, count, bits)?,
                (None, Some(data)) => segments(&units(a, segmented, data, bits)?, count)
                    .ok_or_else(|| decode_error(format!("{} is damaged", segmented.name)))?,
                (None, None) => return Err(decode_error(format!("no {}", plain.name))),
            };
            // 8-bit entries to full scale; 16-bit descriptors over 8-bit entries are seen, too.
            if bits <= 8 {
                for entry in &mut entries {
                    *entry = (*entry & 0xFF) * 0x0101;
                }
            }
            channels.push(entries);
        }
        let pixels = channels[0].iter().zip(&channels[1]).zip(&channels[2]);
        Ok(Self { first, colors: pixels.map(|((&r, &g), &b)| [r, g, b]).collect() })
    }
}

fn plain_entries(
    a: &Attributes,
    tag: Tag,
    data: &[u8],
    count: usize,
    bits: u16,
) -> Result<Vec<u16>> {
    if data.len() >= 2 * count {
        return a.words(tag, count);
    }
    if data.len() >= count {
        // Two 8-bit entries a word; a descriptor of 16 bits over such data means full scale.
        let scale = if bits <= 8 { 1 } else { 0x0101 };
        return Ok(data[..count].iter().map(|&byte| u16::from(byte) * scale).collect());
    }
    Err(decode_error(format!("{} is shorter than its {count} entries", tag.name)))
}

/// A segment has at most four units and makes at least one of at most 65,536 entries.
const MOST_UNITS: usize = 4 << 16;

/// The numbers that segments are made of: bytes or words.
fn units(a: &Attributes, tag: Tag, data: &[u8], bits: u16) -> Result<Vec<u16>> {
    if bits <= 8 && a.is_bytes(tag) {
        return Ok(data.iter().take(MOST_UNITS).map(|&byte| byte.into()).collect());
    }
    a.words(tag, MOST_UNITS)
}

/// Expands segments (C.7.9.2): discrete, linear, and indirect ones that repeat earlier segments.
fn segments(units: &[u16], count: usize) -> Option<Vec<u16>> {
    let mut out = Vec::with_capacity(count);
    let mut at = 0;
    while at < units.len() && out.len() < count {
        at = match units[at] {
            2 => {
                let &[_, repeats, low, high] = units.get(at..)?.first_chunk::<4>()?;
                let mut from = usize::from(low) | usize::from(high) << 16;
                for _ in 0..repeats {
                    from = segment(units, from, count, &mut out)?;
                }
                at + 4
            }
            _ => segment(units, at, count, &mut out)?,
        };
    }
    (out.len() == count).then_some(out)
}

/// Appends one discrete or linear segment; returns where the next begins.
fn segment(units: &[u16], at: usize, count: usize, out: &mut Vec<u16>) -> Option<usize> {
    let &[kind, length] = units.get(at..)?.first_chunk::<2>()?;
    let length = usize::from(length);
    // An empty segment would let an indirect one repeat it for ever.
    if length == 0 || length > count - out.len() {
        return None;
    }
    match kind {
        0 => {
            out.extend(units.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        1 => {
            let (from, to) = (i64::from(*out.last()?), i64::from(*units.get(at + 2)?));
            let steps = length as i64;
            out.extend((1..=steps).map(|step| (from + (to - from) * step / steps) as u16));
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_expanded() {
        // Two discrete entries, a ramp of four to 10, the ramp's segment again to 10.
        let units = [0, 2, 0, 2, 1, 4, 10, 2, 1, 4, 0];
        assert_eq!(segments(&units, 10).unwrap(), [0, 2, 4, 6, 8, 10, 10, 10, 10, 10]);
    }

    #[test]
    fn segments_that_do_not_fill_the_table_are_damaged() {
        assert_eq!(segments(&[0, 2, 0, 2], 3), None);
        assert_eq!(segments(&[0, 9, 0, 2], 3), None);
        assert_eq!(segments(&[1, 2, 5], 2), None);
        assert_eq!(segments(&[2, 3, 0, 0], 2), None);
        assert_eq!(segments(&[0, 0, 2, 65_535, 0, 0], 2), None);
    }
}
