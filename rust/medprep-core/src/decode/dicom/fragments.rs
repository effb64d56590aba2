//! Encapsulated Pixel Data: which fragments make which frame (PS3.5 A.4).

use std::borrow::Cow;
use std::ops::Range;

use super::attributes::{self as tags, Attributes};
use super::elements::{Element, items};
use super::error::decode_error;
use crate::Result;

/// The fragments of a file and the places where frames begin, as its tables state them.
pub(super) struct Fragments<'a> {
    data: &'a [u8],
    places: Vec<Range<usize>>,
    /// Counted from the first fragment's item header; not checked.
    offsets: Vec<u64>,
    frames: usize,
}

impl<'a> Fragments<'a> {
    /// Finds the items of the element: the first holds the basic offset table.
    pub fn find(
        data: &'a [u8],
        attributes: &Attributes,
        pixels: &Element,
        frames: usize,
    ) -> Result<Self> {
        let mut places = items(data, pixels)
            .map_err(|fault| decode_error(format!("Pixel Data: {}", fault.reason())))?;
        if places.is_empty() {
            return Err(decode_error("Pixel Data has no fragments"));
        }
        let basic = &data[places.remove(0)];
        let offsets = match attributes.bytes(tags::EXTENDED_OFFSET_TABLE) {
            Some(table) => table.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect(),
            None => basic.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b).into()).collect(),
        };
        if places.is_empty() {
            return Err(decode_error("Pixel Data has no fragments"));
        }
        Ok(Self { data, places, offsets, frames })
    }

    /// The packed bytes of frame `index`.
    pub fn frame(&self, index: usize) -> Result<Cow<'a, [u8]>> {
        let range = if self.frames == 1 {
            0..self.places.len()
        } else if self.places.len() == self.frames {
            index..index + 1
        } else {
            self.by_table(index).or_else(|| self.by_start_of_image(index)).ok_or_else(|| {
                decode_error(format!(
                    "{} fragments for {} frames, and no table or marker says which is whose",
                    self.places.len(),
                    self.frames
                ))
            })?
        };
        Ok(match &self.places[range] {
            [one] => Cow::Borrowed(&self.data[one.clone()]),
            many => Cow::Owned(many.iter().flat_map(|p| &self.data[p.clone()]).copied().collect()),
        })
    }

    /// By the offset table, if its entries are places where fragments begin.
    fn by_table(&self, index: usize) -> Option<Range<usize>> {
        if self.offsets.len() != self.frames {
            return None;
        }
        let origin = self.places[0].start as u64;
        let begins = |offset: u64| {
            // Item headers have the same size before every fragment: they cancel out.
            let start = origin.checked_add(offset)?;
            self.places.binary_search_by_key(&start, |place| place.start as u64).ok()
        };
        let first = begins(self.offsets[index])?;
        let next = match self.offsets.get(index + 1) {
            Some(&offset) => begins(offset)?,
            None => self.places.len(),
        };
        (first < next).then_some(first..next)
    }

    /// By the fragments that begin with a JPEG's start-of-image marker.
    fn by_start_of_image(&self, index: usize) -> Option<Range<usize>> {
        let starts = |i: &usize| self.data[self.places[*i].clone()].starts_with(&[0xFF, 0xD8]);
        let starts: Vec<usize> = (0..self.places.len()).filter(starts).collect();
        if starts.len() != self.frames {
            return None;
        }
        let next = starts.get(index + 1).copied().unwrap_or(self.places.len());
        Some(starts[index]..next)
    }
}
