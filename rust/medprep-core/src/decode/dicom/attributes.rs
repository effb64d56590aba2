//! The attributes that are looked at, by a list: no other value of a header is ever read.

use std::ops::Range;

use super::elements::{Element, Encoding, Fault, Walk, is_pixel_data, items};
use super::error::decode_error;
use crate::Result;

/// Names an attribute in messages and says what its value is when the file does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub number: u32,
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 16 bits without sign, or with it where pixels are signed.
    Short,
    Sequence,
    Bytes,
}

macro_rules! tags {
    ($($constant:ident $number:literal $name:literal $kind:ident;)*) => {
        $(pub(super) const $constant: Tag = Tag { number: $number, name: $name, kind: Kind::$kind };)*
        /// In ascending order, as a file has them.
        pub(super) const READ: &[Tag] = &[$($constant),*];
    };
}

tags! {
    PATIENT_ID 0x0010_0020 "PatientID" Text;
    PATIENT_SEX 0x0010_0040 "PatientSex" Text;
    PATIENT_AGE 0x0010_1010 "PatientAge" Text;
    IMAGER_PIXEL_SPACING 0x0018_1164 "ImagerPixelSpacing" Text;
    VIEW_POSITION 0x0018_5101 "ViewPosition" Text;
    STUDY_INSTANCE_UID 0x0020_000D "StudyInstanceUID" Text;
    LATERALITY 0x0020_0060 "Laterality" Text;
    IMAGE_LATERALITY 0x0020_0062 "ImageLaterality" Text;
    SAMPLES_PER_PIXEL 0x0028_0002 "SamplesPerPixel" Short;
    PHOTOMETRIC_INTERPRETATION 0x0028_0004 "PhotometricInterpretation" Text;
    PLANAR_CONFIGURATION 0x0028_0006 "PlanarConfiguration" Short;
    NUMBER_OF_FRAMES 0x0028_0008 "NumberOfFrames" Text;
    ROWS 0x0028_0010 "Rows" Short;
    COLUMNS 0x0028_0011 "Columns" Short;
    PIXEL_SPACING 0x0028_0030 "PixelSpacing" Text;
    BITS_ALLOCATED 0x0028_0100 "BitsAllocated" Short;
    BITS_STORED 0x0028_0101 "BitsStored" Short;
    HIGH_BIT 0x0028_0102 "HighBit" Short;
    PIXEL_REPRESENTATION 0x0028_0103 "PixelRepresentation" Short;
    PIXEL_PADDING_VALUE 0x0028_0120 "PixelPaddingValue" Short;
    PIXEL_PADDING_RANGE_LIMIT 0x0028_0121 "PixelPaddingRangeLimit" Short;
    WINDOW_CENTER 0x0028_1050 "WindowCenter" Text;
    WINDOW_WIDTH 0x0028_1051 "WindowWidth" Text;
    RESCALE_INTERCEPT 0x0028_1052 "RescaleIntercept" Text;
    RESCALE_SLOPE 0x0028_1053 "RescaleSlope" Text;
    VOI_LUT_FUNCTION 0x0028_1056 "VOILUTFunction" Text;
    RED_PALETTE_DESCRIPTOR 0x0028_1101 "RedPaletteColorLookupTableDescriptor" Short;
    GREEN_PALETTE_DESCRIPTOR 0x0028_1102 "GreenPaletteColorLookupTableDescriptor" Short;
    BLUE_PALETTE_DESCRIPTOR 0x0028_1103 "BluePaletteColorLookupTableDescriptor" Short;
    RED_PALETTE 0x0028_1201 "RedPaletteColorLookupTableData" Bytes;
    GREEN_PALETTE 0x0028_1202 "GreenPaletteColorLookupTableData" Bytes;
    BLUE_PALETTE 0x0028_1203 "BluePaletteColorLookupTableData" Bytes;
    RED_SEGMENTED_PALETTE 0x0028_1221 "SegmentedRedPaletteColorLookupTableData" Bytes;
    GREEN_SEGMENTED_PALETTE 0x0028_1222 "SegmentedGreenPaletteColorLookupTableData" Bytes;
    BLUE_SEGMENTED_PALETTE 0x0028_1223 "SegmentedBluePaletteColorLookupTableData" Bytes;
    MODALITY_LUT_SEQUENCE 0x0028_3000 "ModalityLUTSequence" Sequence;
    LUT_DESCRIPTOR 0x0028_3002 "LUTDescriptor" Short;
    LUT_DATA 0x0028_3006 "LUTData" Bytes;
    VOI_LUT_SEQUENCE 0x0028_3010 "VOILUTSequence" Sequence;
    PIXEL_MEASURES_SEQUENCE 0x0028_9110 "PixelMeasuresSequence" Sequence;
    FRAME_VOI_LUT_SEQUENCE 0x0028_9132 "FrameVOILUTSequence" Sequence;
    PIXEL_VALUE_TRANSFORMATION_SEQUENCE 0x0028_9145 "PixelValueTransformationSequence" Sequence;
    SHARED_FUNCTIONAL_GROUPS 0x5200_9229 "SharedFunctionalGroupsSequence" Sequence;
    PER_FRAME_FUNCTIONAL_GROUPS 0x5200_9230 "PerFrameFunctionalGroupsSequence" Sequence;
    EXTENDED_OFFSET_TABLE 0x7FE0_0001 "ExtendedOffsetTable" Bytes;
}

/// The elements of one data set or item that are on the list, and its Pixel Data.
pub(super) struct Attributes<'a> {
    data: &'a [u8],
    encoding: Encoding,
    found: Vec<Element>,
    pixels: Option<Element>,
}

impl<'a> Attributes<'a> {
    /// Walks `data[place]` up to and including Pixel Data.
    pub fn read(
        data: &'a [u8],
        place: Range<usize>,
        encoding: Encoding,
    ) -> std::result::Result<Self, Fault> {
        let mut walk = Walk::new(data, place, encoding);
        let (mut found, mut pixels) = (Vec::new(), None);
        while let Some(element) = walk.next()? {
            if is_pixel_data(element.tag) {
                pixels = Some(element);
                break;
            }
            if READ.binary_search_by_key(&element.tag, |tag| tag.number).is_ok() {
                found.push(element);
            }
        }
        Ok(Self { data, encoding, found, pixels })
    }

    /// Pixel Data (or its floating-point kin), when the walk came to it.
    pub fn pixel_data(&self) -> Option<&Element> {
        self.pixels.as_ref()
    }

    /// The element, the last one when the file has it twice; `None` when absent or empty.
    fn element(&self, tag: Tag) -> Option<&Element> {
        let element = self.found.iter().rev().find(|element| element.tag == tag.number)?;
        (!element.value.is_empty()).then_some(element)
    }

    /// The bytes of the value.
    pub fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        Some(&self.data[self.element(tag)?.value.clone()])
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// True when the file says that the value is of 8-bit units.
    pub fn is_bytes(&self, tag: Tag) -> bool {
        self.element(tag).is_some_and(|element| &element.vr == b"OB")
    }

    /// Text without the padding around it; `None` when nothing is left of it.
    pub fn text(&self, tag: Tag) -> Option<&'a [u8]> {
        Some(trim(self.bytes(tag)?)).filter(|text| !text.is_empty())
    }

    /// The first of the values as an integer; absent and empty are `None`.
    ///
    /// # Errors
    /// `Decode` that names the attribute, never its value.
    pub fn integer(&self, tag: Tag) -> Result<Option<i64>> {
        let Some(element) = self.element(tag) else { return Ok(None) };
        let bytes = &self.data[element.value.clone()];
        let wrong = || decode_error(format!("{} is not an integer", tag.name));
        let binary = match &element.vr {
            b"US" | b"UL" | b"OW" => Some(false),
            b"SS" | b"SL" => Some(true),
            b"IS" | b"DS" => None,
            _ if tag.kind == Kind::Text => None,
            _ => Some(false),
        };
        let Some(signed) = binary else {
            let Some(text) = first_value(bytes) else { return Ok(None) };
            let text = text.strip_prefix("+").unwrap_or(text);
            return text.parse().map(Some).map_err(|_| wrong());
        };
        let encoding = self.encoding;
        // UL where the standard has US is as plain as it is wrong.
        match (bytes, signed, &element.vr) {
            (&[a, b, c, d], true, b"SL") => Ok(Some((encoding.u32([a, b, c, d]) as i32).into())),
            (&[a, b, c, d], false, b"UL") => Ok(Some(encoding.u32([a, b, c, d]).into())),
            (&[a, b, ..], true, _) => Ok(Some((encoding.u16([a, b]) as i16).into())),
            (&[a, b, ..], false, _) => Ok(Some(encoding.u16([a, b]).into())),
            _ => Err(wrong()),
        }
    }

    /// The integer of an attribute that must be there.
    pub fn required(&self, tag: Tag) -> Result<i64> {
        self.integer(tag)?.ok_or_else(|| decode_error(format!("no {}", tag.name)))
    }

    /// Three 16-bit numbers: a lookup table descriptor.
    pub fn triple(&self, tag: Tag) -> Option<[u16; 3]> {
        let bytes = self.bytes(tag)?.first_chunk::<6>()?;
        let word = |i: usize| self.encoding.u16([bytes[2 * i], bytes[2 * i + 1]]);
        Some([word(0), word(1), word(2)])
    }

    /// The values of a decimal string (or of FD, FL), those that are finite numbers.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let Some(element) = self.element(tag) else { return Vec::new() };
        let bytes = &self.data[element.value.clone()];
        let text = || {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            text.split('\\').map_while(|part| part.trim_matches(PADDING).parse().ok()).collect()
        };
        let values: Vec<f64> = match &element.vr {
            b"FD" => bytes.as_chunks::<8>().0.iter().map(|&b| self.f64(b)).collect(),
            b"FL" => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&b| f32::from_bits(self.encoding.u32(b)).into())
                .collect(),
            _ => text(),
        };
        if values.iter().all(|value| value.is_finite()) { values } else { Vec::new() }
    }

    fn f64(&self, bytes: [u8; 8]) -> f64 {
        if self.encoding.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) }
    }

    /// The first of the values as a number.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied()
    }

    /// The items of a sequence, unread.
    ///
    /// # Errors
    /// `Decode` when the items do not fill it.
    pub fn places(&self, tag: Tag) -> Result<Vec<Range<usize>>> {
        let Some(element) = self.element(tag) else { return Ok(Vec::new()) };
        items(self.data, element).map_err(|fault| fault_in(tag, fault))
    }

    /// One item of a sequence.
    ///
    /// # Errors
    /// `Decode` when its elements do not fill it.
    pub fn item(&self, tag: Tag, place: Range<usize>) -> Result<Self> {
        let encoding = self.element(tag).map_or(self.encoding, |element| element.encoding);
        Self::read(self.data, place, encoding).map_err(|fault| fault_in(tag, fault))
    }

    /// The first item of a sequence.
    ///
    /// # Errors
    /// As [`Attributes::places`] and [`Attributes::item`].
    pub fn first_item(&self, tag: Tag) -> Result<Option<Self>> {
        let place = self.places(tag)?.into_iter().next();
        place.map(|place| self.item(tag, place)).transpose()
    }
}

const PADDING: [char; 4] = ['\0', ' ', '\t', '\n'];

fn trim(bytes: &[u8]) -> &[u8] {
    let padding = |byte: &u8| PADDING.contains(&char::from(*byte));
    let Some(first) = bytes.iter().position(|byte| !padding(byte)) else { return &[] };
    let last = bytes.iter().rposition(|byte| !padding(byte)).unwrap_or(first);
    &bytes[first..=last]
}

/// The first value of a multi-valued text; `None` when it is empty.
fn first_value(bytes: &[u8]) -> Option<&str> {
    let first = bytes.split(|&byte| byte == b'\\').next().map(trim)?;
    // What is no ASCII is no number: an empty text fails to parse, too.
    (!first.is_empty()).then(|| std::str::from_utf8(first).unwrap_or("?"))
}

fn fault_in(tag: Tag, fault: Fault) -> crate::Error {
    decode_error(format!("{}: {}", tag.name, fault.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_ascending_order() {
        assert!(READ.is_sorted_by_key(|tag| tag.number));
    }
}
