//! The guard: a data set as a walk over its elements (PS3.5 section 7): borrowed, bounded, without
//! recursion.
//!
//! Values are noted by their place and never copied. Sequences of defined length are stepped over;
//! those of undefined length are followed to their end, at most [`MAX_NESTING`] deep.

use std::ops::Range;

/// Sequences within sequences that are followed (DESIGN section 6).
pub(super) const MAX_NESTING: usize = 32;

const UNDEFINED: u32 = u32::MAX;
const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const EXPLICIT_LE: Self = Self { explicit: true, big_endian: false };
    pub const IMPLICIT_LE: Self = Self { explicit: false, big_endian: false };

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub fn of_u16(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn of_u32(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// What stops a walk. Holds no text of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An element reaches past the end of the data.
    Cut,
    /// More than [`MAX_NESTING`] sequences within each other.
    TooDeep,
    /// Bytes where an item or a delimiter must be.
    NoItem,
}

/// One element: its tag as 0xGGGGEEEE, its VR (zeros when implicit) and where its value lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub tag: u32,
    pub vr: [u8; 2],
    /// For an undefined length up to the delimiter; for encapsulated Pixel Data up to the end.
    pub value: Range<usize>,
    pub undefined: bool,
    /// How the items of this value are written.
    pub encoding: Encoding,
}

struct Head {
    tag: u32,
    vr: [u8; 2],
    length: u32,
}

/// Walks the elements of `data[at..end]`.
pub(super) struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    end: usize,
    encoding: Encoding,
}

/// Pixel Data, Float Pixel Data and Double Float Pixel Data: nothing after them is looked at.
pub(super) fn is_pixel_data(tag: u32) -> bool {
    matches!(tag, 0x7FE0_0008..=0x7FE0_0010)
}

impl<'a> Walk<'a> {
    pub fn new(data: &'a [u8], place: Range<usize>, encoding: Encoding) -> Self {
        Self { data, at: place.start, end: place.end.min(data.len()), encoding }
    }

    /// The next element; `None` at the end, or when less than an element's header is left.
    pub fn next(&mut self) -> Result<Option<Element>, Fault> {
        loop {
            if self.end.saturating_sub(self.at) < 8 {
                return Ok(None);
            }
            let head = self.head()?;
            if matches!(head.tag, ITEM_END | SEQUENCE_END) {
                continue; // a delimiter too many, seen in files of real devices
            }
            return self.element(&head).map(Some);
        }
    }

    fn element(&mut self, head: &Head) -> Result<Element, Fault> {
        let start = self.at;
        let Head { tag, vr, length } = *head;
        let left = self.end - start;
        let mut encoding = self.encoding;
        let undefined = length == UNDEFINED;
        let stop = if is_pixel_data(tag) {
            // Too short is said with numbers by who knows what is needed.
            self.at = self.end;
            start + if undefined { left } else { left.min(length as usize) }
        } else if undefined {
            if &vr == b"UN" {
                encoding = Encoding { explicit: false, ..encoding }; // PS3.5 6.2.2, note 2
            }
            let (stop, after) = self.end_of_sequence(start, encoding)?;
            self.at = after;
            stop
        } else {
            if length as usize > left {
                return Err(Fault::Cut);
            }
            self.at = start + length as usize;
            self.at
        };
        Ok(Element { tag, vr, value: start..stop, undefined, encoding })
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let (head, after) = head_at(self.data, self.at, self.end, self.encoding)?;
        self.at = after;
        Ok(head)
    }

    /// Where the sequence that begins at `at` ends, without and with its delimiter.
    fn end_of_sequence(&self, at: usize, encoding: Encoding) -> Result<(usize, usize), Fault> {
        let mut at = at;
        // Open sequences and items, all of undefined length: `true` for an item.
        let mut open = vec![(false, encoding)];
        while let Some(&(in_item, encoding)) = open.last() {
            let before = at;
            let (head, after) = head_at(self.data, at, self.end, encoding)?;
            at = after;
            let length = head.length as usize;
            match (in_item, head.tag) {
                (false, SEQUENCE_END) | (true, ITEM_END) => {
                    open.pop();
                    if open.is_empty() {
                        return Ok((before, after));
                    }
                }
                (false, ITEM) if head.length == UNDEFINED => open.push((true, encoding)),
                (false, ITEM) => at = self.step(at, length)?,
                // The item was not closed, its sequence is.
                (true, SEQUENCE_END) => {
                    open.truncate(open.len() - 2);
                    if open.is_empty() {
                        return Ok((before, after));
                    }
                }
                (false, _) => return Err(Fault::NoItem),
                (true, _) if head.length == UNDEFINED => {
                    if open.len() >= 2 * MAX_NESTING {
                        return Err(Fault::TooDeep);
                    }
                    let inner = if &head.vr == b"UN" {
                        Encoding { explicit: false, ..encoding }
                    } else {
                        encoding
                    };
                    open.push((false, inner));
                }
                (true, _) => at = self.step(at, length)?,
            }
        }
        Err(Fault::NoItem)
    }

    fn step(&self, at: usize, length: usize) -> Result<usize, Fault> {
        at.checked_add(length).filter(|&after| after <= self.end).ok_or(Fault::Cut)
    }
}

/// The places of the items of a sequence's value.
pub(super) fn items(data: &[u8], sequence: &Element) -> Result<Vec<Range<usize>>, Fault> {
    let walk = Walk::new(data, sequence.value.clone(), sequence.encoding);
    let (mut at, end) = (walk.at, walk.end);
    let mut found = Vec::new();
    while end - at >= 8 {
        let (head, after) = head_at(data, at, end, sequence.encoding)?;
        match head.tag {
            ITEM if head.length == UNDEFINED => {
                let mut inside = Walk::new(data, after..end, sequence.encoding);
                let stop = inside.end_of_item()?;
                found.push(after..stop);
                at = inside.at;
            }
            ITEM => {
                at = walk.step(after, head.length as usize)?;
                found.push(after..at);
            }
            SEQUENCE_END => break,
            _ => return Err(Fault::NoItem),
        }
    }
    Ok(found)
}

impl Walk<'_> {
    /// Steps behind the delimiter of the item of undefined length this walk is in.
    fn end_of_item(&mut self) -> Result<usize, Fault> {
        loop {
            let before = self.at;
            if self.end - self.at < 8 {
                return Ok(self.end);
            }
            let head = self.head()?;
            match head.tag {
                ITEM_END => return Ok(before),
                SEQUENCE_END => {
                    self.at = before;
                    return Ok(before);
                }
                _ => {
                    self.element(&head)?;
                }
            }
        }
    }
}

/// The header of the element at `at`, and where its value begins.
fn head_at(data: &[u8], at: usize, end: usize, encoding: Encoding) -> Result<(Head, usize), Fault> {
    let bytes: [u8; 8] =
        data[..end].get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Fault::Cut)?;
    let [g0, g1, e0, e1, v0, v1, l0, l1] = bytes;
    let tag = u32::from(encoding.u16([g0, g1])) << 16 | u32::from(encoding.u16([e0, e1]));
    let long = encoding.u32([v0, v1, l0, l1]);
    let vr = [v0, v1];
    if tag >> 16 == 0xFFFE || !encoding.explicit || !is_vr(vr) {
        return Ok((Head { tag, vr: [0, 0], length: long }, at + 8));
    }
    if is_short(vr) {
        return Ok((Head { tag, vr, length: u32::from(encoding.u16([l0, l1])) }, at + 8));
    }
    let length: [u8; 4] =
        data[..end].get(at + 8..).and_then(|rest| rest.first_chunk()).copied().ok_or(Fault::Cut)?;
    Ok((Head { tag, vr, length: encoding.u32(length) }, at + 12))
}

/// Two capital letters; anything else there is the length of an element without VR.
pub(super) fn is_vr(vr: [u8; 2]) -> bool {
    vr.iter().all(u8::is_ascii_uppercase)
}

/// VRs whose length has 16 bits; all others, also future ones, have 32 (PS3.5 7.1.2).
pub(super) fn is_short(vr: [u8; 2]) -> bool {
    const SHORT: [&[u8; 2]; 21] = [
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
        b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    ];
    SHORT.contains(&&vr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn implicit(tag: u32, length: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(((tag >> 16) as u16).to_le_bytes());
        bytes.extend((tag as u16).to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes
    }

    /// `depth` sequences of undefined length within each other, closed or not.
    fn nested(depth: usize, closed: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            bytes.extend(implicit(0x0008_1140, UNDEFINED));
            bytes.extend(implicit(ITEM, UNDEFINED));
        }
        if closed {
            for _ in 0..depth {
                bytes.extend(implicit(ITEM_END, 0));
                bytes.extend(implicit(SEQUENCE_END, 0));
            }
        }
        bytes
    }

    fn walk(bytes: &[u8]) -> Result<usize, Fault> {
        let mut walk = Walk::new(bytes, 0..bytes.len(), Encoding::IMPLICIT_LE);
        let mut count = 0;
        while walk.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn nesting_is_followed_to_the_cap_and_no_further() {
        assert_eq!(walk(&nested(MAX_NESTING, true)), Ok(1));
        assert_eq!(walk(&nested(MAX_NESTING + 1, true)), Err(Fault::TooDeep));
        assert_eq!(walk(&nested(100_000, false)), Err(Fault::TooDeep));
    }

    #[test]
    fn an_element_that_reaches_past_the_end_is_cut() {
        let mut bytes = implicit(0x0010_0010, 100);
        bytes.extend([b' '; 99]);
        assert_eq!(walk(&bytes), Err(Fault::Cut));
        bytes.push(b' ');
        assert_eq!(walk(&bytes), Ok(1));
        assert_eq!(walk(&nested(2, false)), Err(Fault::Cut));
    }

    #[test]
    fn items_of_defined_and_undefined_length_are_found() {
        let mut bytes = implicit(0x5200_9230, UNDEFINED);
        bytes.extend(implicit(ITEM, 8));
        bytes.extend(implicit(0x0028_1050, 0));
        bytes.extend(implicit(ITEM, UNDEFINED));
        bytes.extend(nested(1, true));
        bytes.extend(implicit(ITEM_END, 0));
        bytes.extend(implicit(SEQUENCE_END, 0));
        let mut walk = Walk::new(&bytes, 0..bytes.len(), Encoding::IMPLICIT_LE);
        let sequence = walk.next().unwrap().unwrap();
        let found = items(&bytes, &sequence).unwrap();
        let sizes: Vec<usize> = found.iter().map(ExactSizeIterator::len).collect();
        assert_eq!(sizes, [8, 32]);
        assert_eq!(walk.next(), Ok(None));
    }
}
