//! From the guard to `dicom-object`: elements that were found, and nothing else of the file, as a
//! small data set of their own in explicit VR and the file's byte order, parsed by its `dicom-parser`.
//!
//! What `dicom-object` is not safe against cannot be in it: there are no sequences (an item that is
//! looked at is handed over as a data set of its own), lengths are those of what follows, and no
//! value is longer than [`MOST`] unless its caller says how long.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_encoding::decode::basic::{BigEndianBasicDecoder, LittleEndianBasicDecoder};
use dicom_encoding::decode::explicit_be::ExplicitVRBigEndianDecoder;
use dicom_encoding::decode::explicit_le::ExplicitVRLittleEndianDecoder;
use dicom_encoding::text::SpecificCharacterSet;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use dicom_parser::stateful::decode::{Error, StatefulDecode, StatefulDecoder};

use super::elements::{Encoding, is_short};
use super::error::decode_error;
use crate::Result;

/// The longest value that a VR of 16-bit lengths has. Longer ones, in implicit files, are cut: each
/// backslash of a text becomes a string of 24 bytes and more.
pub(super) const MOST: usize = 65_534;

/// The key of an element in an object.
pub(super) fn key(tag: u32) -> Tag {
    Tag((tag >> 16) as u16, tag as u16)
}

/// A data set while it is put together.
pub(super) struct Small {
    encoding: Encoding,
    bytes: Vec<u8>,
    count: usize,
    is_utf8: bool,
}

impl Small {
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, bytes: Vec::new(), count: 0, is_utf8: true }
    }

    /// Appends an element; VRs of 16-bit lengths take at most [`MOST`] bytes.
    pub fn push(&mut self, tag: u32, vr: VR, value: &[u8]) {
        let unit = unit(vr);
        // Of half a unit, dicom-parser 0.10.1 reads nothing and counts it as read.
        let mut value = &value[..value.len() / unit * unit];
        let head = [(tag >> 16) as u16, tag as u16].map(|half| self.encoding.of_u16(half));
        self.bytes.extend(head.as_flattened());
        self.bytes.extend(vr.to_bytes());
        if is_short(vr.to_bytes()) {
            value = &value[..value.len().min(MOST / unit * unit)];
            self.bytes.extend(self.encoding.of_u16(value.len() as u16));
        } else {
            self.bytes.extend([0, 0]);
            self.bytes.extend(self.encoding.of_u32(value.len() as u32));
        }
        self.bytes.extend(value);
        self.count += 1;
        self.is_utf8 &= unit > 1 || std::str::from_utf8(value).is_ok();
    }

    /// Parses it.
    ///
    /// # Errors
    /// `Decode`, without any text of the file, should the parser refuse it.
    pub fn parse(&self) -> Result<InMemDicomObject> {
        // Specific Character Set is often wrong or missing. Patient IDs are only ever compared, and
        // byte by byte, as in Latin 1, different ones stay different in any character set.
        let characters = if self.is_utf8 {
            SpecificCharacterSet::ISO_IR_192
        } else {
            SpecificCharacterSet::ISO_IR_100
        };
        let bytes = self.bytes.as_slice();
        if self.encoding.big_endian {
            let decoder = ExplicitVRBigEndianDecoder::default();
            self.read(StatefulDecoder::new(bytes, decoder, BigEndianBasicDecoder, characters))
        } else {
            let decoder = ExplicitVRLittleEndianDecoder::default();
            self.read(StatefulDecoder::new(bytes, decoder, LittleEndianBasicDecoder, characters))
        }
    }

    /// By count: the end of the data is an error to `dicom-parser`, and with `RUST_BACKTRACE` set it
    /// takes longer to note where that was met than to read all the rest.
    fn read(&self, mut decoder: impl StatefulDecode) -> Result<InMemDicomObject> {
        let elements = (0..self.count).map(|_| {
            let header = decoder.decode_header()?;
            let value = decoder.read_value_preserved(&header)?;
            Ok(DataElement::new_with_len(header.tag, header.vr, header.len, value))
        });
        let elements: std::result::Result<Vec<InMemElement>, Error> = elements.collect();
        let unread = |_| decode_error("the elements of the header cannot be read");
        Ok(InMemDicomObject::from_element_iter(elements.map_err(unread)?))
    }
}

/// Has `dicom-object` read one value; `Empty` when there is not one whole unit of it.
///
/// # Errors
/// As [`Small::parse`].
pub(super) fn read_value(
    encoding: Encoding,
    tag: u32,
    vr: VR,
    value: &[u8],
) -> Result<PrimitiveValue> {
    let mut small = Small::new(encoding);
    small.push(tag, vr, value);
    let element = small.parse()?.take(key(tag));
    let value = element.and_then(|element| element.into_value().into_primitive());
    Ok(value.unwrap_or(PrimitiveValue::Empty))
}

/// Bytes of one value.
fn unit(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL => 4,
        VR::FD => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODINGS: [Encoding; 2] =
        [Encoding::EXPLICIT_LE, Encoding { explicit: true, big_endian: true }];
    const VRS: [VR; 16] = [
        VR::LO,
        VR::CS,
        VR::AS,
        VR::UI,
        VR::IS,
        VR::DS,
        VR::US,
        VR::SS,
        VR::UL,
        VR::SL,
        VR::FD,
        VR::FL,
        VR::OW,
        VR::OB,
        VR::UN,
        VR::SH,
    ];

    /// `dicom-parser` believes lengths: half a number would shift all that follows.
    #[test]
    fn values_of_any_length_are_read_to_their_end_and_no_further() {
        for encoding in ENCODINGS {
            for (length, fill) in (0..20).zip([0xFF, 0, b'\\', b'1', b' '].into_iter().cycle()) {
                let mut small = Small::new(encoding);
                for (number, vr) in (0x0010_0001..).zip(VRS) {
                    small.push(number, vr, &vec![fill; length]);
                }
                let object = small.parse().unwrap();
                let read: Vec<VR> = object.iter().map(InMemElement::vr).collect();
                assert_eq!(read, VRS, "values of {length} bytes");
                let sizes = object.iter().map(|element| element.header().len.0 as usize);
                assert!(sizes.zip(VRS).all(|(size, vr)| size == length / unit(vr) * unit(vr)));
            }
        }
    }

    #[test]
    fn a_value_too_long_for_its_vr_is_cut() {
        let mut small = Small::new(Encoding::EXPLICIT_LE);
        small.push(0x0010_0020, VR::LO, &vec![b'1'; 100_000]);
        small.push(0x0028_0010, VR::US, &[1, 2]);
        let object = small.parse().unwrap();
        assert_eq!(object.get(key(0x0010_0020)).unwrap().to_str().unwrap().len(), MOST);
        assert_eq!(object.get(key(0x0028_0010)).unwrap().to_int::<u16>().unwrap(), 0x0201);
    }

    #[test]
    fn text_that_is_no_utf_8_is_read_byte_by_byte() {
        for (bytes, text) in [(&b"M\xC3\xBCller"[..], "Müller"), (b"M\xFCller", "Müller")] {
            let read = read_value(Encoding::EXPLICIT_LE, 0x0010_0020, VR::LO, bytes).unwrap();
            assert_eq!(read.to_str(), text);
        }
    }
}
