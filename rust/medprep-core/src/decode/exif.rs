//! The EXIF orientation tag, found exactly where OpenCV finds it.
//!
//! OpenCV walks the first directory entry by entry and gives up at the first entry of a kind it
//! knows whose value lies outside the data; an orientation after such an entry is not seen. The
//! same here, or rotated images would differ from OpenCV's.

/// Bytes of one directory entry.
const ENTRY_LEN: usize = 12;
const ORIENTATION: u16 = 0x0112;

/// The raw orientation value in TIFF-structured EXIF data (without the `Exif\0\0` prefix).
pub(super) fn orientation(data: &[u8]) -> Option<u16> {
    let tiff = Tiff::new(data)?;
    let directory = tiff.u32(4)? as usize;
    let entries = usize::from(tiff.u16(directory)?);
    for entry in (0..entries).map(|i| directory + 2 + i * ENTRY_LEN) {
        let tag = tiff.u16(entry)?;
        if tag == ORIENTATION {
            return tiff.u16(entry + 8);
        }
        if !tiff.has_value(tag, entry) {
            return None;
        }
    }
    None
}

/// 1..=8; anything else means "as stored".
pub(super) fn upright_or(orientation: Option<u16>) -> u8 {
    match orientation {
        Some(value @ 1..=8) => value as u8,
        _ => 1,
    }
}

struct Tiff<'a> {
    data: &'a [u8],
    little_endian: bool,
}

impl<'a> Tiff<'a> {
    fn new(data: &'a [u8]) -> Option<Self> {
        let little_endian = match data.get(..2)? {
            b"II" => true,
            // OpenCV reads every other byte order mark as big-endian.
            _ => false,
        };
        let tiff = Self { data, little_endian };
        (tiff.u16(2)? == 42).then_some(tiff)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.data.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes(at)?;
        Some(if self.little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes(at)?;
        Some(if self.little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Whether OpenCV can read the value of this entry; it does not look at values it does not know.
    fn has_value(&self, tag: u16, entry: usize) -> bool {
        let rationals = |count: usize| {
            self.u32(entry + 8).is_some_and(|at| self.bytes_within(at as usize, 8 * count))
        };
        match tag {
            // description, make, model, software, date, copyright
            0x010E | 0x010F | 0x0110 | 0x0131 | 0x0132 | 0x8298 => self.has_text(entry),
            // x and y resolution
            0x011A | 0x011B => rationals(1),
            // resolution unit, YCbCr positioning
            0x0128 | 0x0213 => self.u16(entry + 8).is_some(),
            // white point, primary chromaticities, YCbCr coefficients, reference black and white
            0x013E => rationals(2),
            0x013F | 0x0214 => rationals(6),
            0x0211 => rationals(3),
            _ => true,
        }
    }

    fn has_text(&self, entry: usize) -> bool {
        let Some(len) = self.u32(entry + 4) else { return false };
        // Up to four bytes are stored in the entry; OpenCV reads those from the file's start.
        let at = if len > 4 { self.u32(entry + 8) } else { Some(8) };
        at.is_some_and(|at| self.bytes_within(at as usize, len as usize))
    }

    fn bytes_within(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.data.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// EXIF data whose only entry is the orientation.
    pub(in super::super) fn exif_with(value: u16, little_endian: bool) -> Vec<u8> {
        let two = |v: u16| if little_endian { v.to_le_bytes() } else { v.to_be_bytes() };
        let four = |v: u32| if little_endian { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut data = if little_endian { b"II".to_vec() } else { b"MM".to_vec() };
        data.extend(two(42));
        data.extend(four(8));
        data.extend(two(1));
        data.extend(two(ORIENTATION));
        data.extend(two(3));
        data.extend(four(1));
        data.extend(two(value));
        data.extend(two(0));
        data.extend(four(0));
        data
    }

    #[test]
    fn both_byte_orders_are_read() {
        for value in 0..12 {
            assert_eq!(orientation(&exif_with(value, true)), Some(value));
            assert_eq!(orientation(&exif_with(value, false)), Some(value));
        }
    }

    #[test]
    fn what_is_missing_or_out_of_range_means_as_stored() {
        assert_eq!(upright_or(None), 1);
        assert_eq!(upright_or(Some(0)), 1);
        assert_eq!(upright_or(Some(9)), 1);
        assert_eq!(upright_or(Some(8)), 8);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            orientation(&data);
            let mut tiff = b"MM\0*\0\0\0\x08".to_vec();
            tiff.extend(&data);
            orientation(&tiff);
        }

        #[test]
        fn cut_data_never_panics(cut in 0_usize..26) {
            orientation(&exif_with(6, true)[..cut]);
        }
    }
}
