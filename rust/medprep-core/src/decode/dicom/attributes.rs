//! The attributes that are looked at, by a list: the guard finds them, `dicom-object` reads them, and
//! no other value of a header is ever read.

use std::ops::Range;

use dicom_core::{PrimitiveValue, VR};
use dicom_object::InMemDicomObject;

use super::elements::{Element, Encoding, Fault, Walk, is_pixel_data, items};
use super::error::decode_error;
use super::object::{self, Small};
use crate::Result;

/// Names an attribute in messages and says what its value is when the file does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub number: u32,
    pub name: &'static str,
    /// Values of OW are 16-bit words or packed bytes, as a descriptor elsewhere says.
    pub vr: VR,
}

macro_rules! tags {
    ($($constant:ident $number:literal $name:literal $vr:ident;)*) => {
        $(pub(super) const $constant: Tag = Tag { number: $number, name: $name, vr: VR::$vr };)*
        /// In ascending order, as a file has them.
        pub(super) const READ: &[Tag] = &[$($constant),*];
    };
}

tags! {
    TRANSFER_SYNTAX_UID 0x0002_0010 "TransferSyntaxUID" UI;
    PATIENT_ID 0x0010_0020 "PatientID" LO;
    PATIENT_SEX 0x0010_0040 "PatientSex" CS;
    PATIENT_AGE 0x0010_1010 "PatientAge" AS;
    IMAGER_PIXEL_SPACING 0x0018_1164 "ImagerPixelSpacing" DS;
    VIEW_POSITION 0x0018_5101 "ViewPosition" CS;
    STUDY_INSTANCE_UID 0x0020_000D "StudyInstanceUID" UI;
    LATERALITY 0x0020_0060 "Laterality" CS;
    IMAGE_LATERALITY 0x0020_0062 "ImageLaterality" CS;
    SAMPLES_PER_PIXEL 0x0028_0002 "SamplesPerPixel" US;
    PHOTOMETRIC_INTERPRETATION 0x0028_0004 "PhotometricInterpretation" CS;
    PLANAR_CONFIGURATION 0x0028_0006 "PlanarConfiguration" US;
    NUMBER_OF_FRAMES 0x0028_0008 "NumberOfFrames" IS;
    ROWS 0x0028_0010 "Rows" US;
    COLUMNS 0x0028_0011 "Columns" US;
    PIXEL_SPACING 0x0028_0030 "PixelSpacing" DS;
    BITS_ALLOCATED 0x0028_0100 "BitsAllocated" US;
    BITS_STORED 0x0028_0101 "BitsStored" US;
    HIGH_BIT 0x0028_0102 "HighBit" US;
    PIXEL_REPRESENTATION 0x0028_0103 "PixelRepresentation" US;
    PIXEL_PADDING_VALUE 0x0028_0120 "PixelPaddingValue" US;
    PIXEL_PADDING_RANGE_LIMIT 0x0028_0121 "PixelPaddingRangeLimit" US;
    WINDOW_CENTER 0x0028_1050 "WindowCenter" DS;
    WINDOW_WIDTH 0x0028_1051 "WindowWidth" DS;
    RESCALE_INTERCEPT 0x0028_1052 "RescaleIntercept" DS;
    RESCALE_SLOPE 0x0028_1053 "RescaleSlope" DS;
    VOI_LUT_FUNCTION 0x0028_1056 "VOILUTFunction" CS;
    RED_PALETTE_DESCRIPTOR 0x0028_1101 "RedPaletteColorLookupTableDescriptor" US;
    GREEN_PALETTE_DESCRIPTOR 0x0028_1102 "GreenPaletteColorLookupTableDescriptor" US;
    BLUE_PALETTE_DESCRIPTOR 0x0028_1103 "BluePaletteColorLookupTableDescriptor" US;
    RED_PALETTE 0x0028_1201 "RedPaletteColorLookupTableData" OW;
    GREEN_PALETTE 0x0028_1202 "GreenPaletteColorLookupTableData" OW;
    BLUE_PALETTE 0x0028_1203 "BluePaletteColorLookupTableData" OW;
    RED_SEGMENTED_PALETTE 0x0028_1221 "SegmentedRedPaletteColorLookupTableData" OW;
    GREEN_SEGMENTED_PALETTE 0x0028_1222 "SegmentedGreenPaletteColorLookupTableData" OW;
    BLUE_SEGMENTED_PALETTE 0x0028_1223 "SegmentedBluePaletteColorLookupTableData" OW;
    MODALITY_LUT_SEQUENCE 0x0028_3000 "ModalityLUTSequence" SQ;
    LUT_DESCRIPTOR 0x0028_3002 "LUTDescriptor" US;
    LUT_DATA 0x0028_3006 "LUTData" OW;
    VOI_LUT_SEQUENCE 0x0028_3010 "VOILUTSequence" SQ;
    PIXEL_MEASURES_SEQUENCE 0x0028_9110 "PixelMeasuresSequence" SQ;
    FRAME_VOI_LUT_SEQUENCE 0x0028_9132 "FrameVOILUTSequence" SQ;
    PIXEL_VALUE_TRANSFORMATION_SEQUENCE 0x0028_9145 "PixelValueTransformationSequence" SQ;
    SHARED_FUNCTIONAL_GROUPS 0x5200_9229 "SharedFunctionalGroupsSequence" SQ;
    PER_FRAME_FUNCTIONAL_GROUPS 0x5200_9230 "PerFrameFunctionalGroupsSequence" SQ;
    EXTENDED_OFFSET_TABLE 0x7FE0_0001 "ExtendedOffsetTable" OV;
}

/// The elements of one data set or item that are on the list, and its Pixel Data.
pub(super) struct Attributes<'a> {
    data: &'a [u8],
    encoding: Encoding,
    /// Where they are; of one that the file has twice, the last.
    found: Vec<Element>,
    /// Those of them that are text or few numbers, as `dicom-object` read them.
    values: InMemDicomObject,
    pixels: Option<Element>,
}

impl<'a> Attributes<'a> {
    /// Walks `data[place]` up to and including Pixel Data, and has what was found read.
    ///
    /// # Errors
    /// `Decode` when its elements are damaged.
    pub fn read(data: &'a [u8], place: Range<usize>, encoding: Encoding) -> Result<Self> {
        let (found, pixels) = find(data, place, encoding)?;
        let values = read_values(data, &found, encoding)?;
        Ok(Self { data, encoding, found, values, pixels })
    }

    /// Pixel Data (or its floating-point kin), when the walk came to it.
    pub fn pixel_data(&self) -> Option<&Element> {
        self.pixels.as_ref()
    }

    /// `None` when absent or empty.
    fn element(&self, tag: Tag) -> Option<&Element> {
        let element = self.found.iter().find(|element| element.tag == tag.number)?;
        (!element.value.is_empty()).then_some(element)
    }

    /// The bytes of the value as they are in the file.
    pub fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        Some(&self.data[self.element(tag)?.value.clone()])
    }

    /// The first words of the value, at most `most`.
    ///
    /// # Errors
    /// As [`object::read_value`].
    pub fn words(&self, tag: Tag, most: usize) -> Result<Vec<u16>> {
        let bytes = self.bytes(tag).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(2 * most)];
        Ok(match object::read_value(self.encoding, tag.number, VR::OW, bytes)? {
            PrimitiveValue::U16(words) => words.into_vec(),
            _ => Vec::new(),
        })
    }

    /// True when the file says that the value is of 8-bit units.
    pub fn is_bytes(&self, tag: Tag) -> bool {
        self.element(tag).is_some_and(|element| &element.vr == b"OB")
    }

    /// `None` when absent or empty; `Empty` when there is less than one number of it.
    fn value(&self, tag: Tag) -> Option<&PrimitiveValue> {
        self.element(tag)?;
        self.values.get(object::key(tag.number))?.value().primitive()
    }

    /// Text without the padding around it; `None` when nothing is left of it.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = self.value(tag)?.to_raw_str();
        let text = text.trim_matches(PADDING);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The first of the values as an integer; absent and empty are `None`.
    ///
    /// # Errors
    /// `Decode` that names the attribute, never its value.
    pub fn integer(&self, tag: Tag) -> Result<Option<i64>> {
        let Some(value) = self.value(tag) else { return Ok(None) };
        let mut texts = value.strings().unwrap_or_default().iter();
        if texts.next().is_some_and(|text| text.trim_matches(PADDING).is_empty()) {
            return Ok(None);
        }
        let integer = value.to_int().map(Some);
        integer.map_err(|_| decode_error(format!("{} is not an integer", tag.name)))
    }

    /// The integer of an attribute that must be there.
    pub fn required(&self, tag: Tag) -> Result<i64> {
        self.integer(tag)?.ok_or_else(|| decode_error(format!("no {}", tag.name)))
    }

    /// Three 16-bit numbers: a lookup table descriptor.
    pub fn triple(&self, tag: Tag) -> Option<[u16; 3]> {
        let numbers: Vec<i64> = self.value(tag)?.to_multi_int().ok()?;
        // Signed ones too are patterns of 16 bits: the sign of the second is not theirs to say.
        numbers.first_chunk().map(|numbers| numbers.map(|number| number as u16))
    }

    /// The values of a decimal string (or of FD, FL) up to the first that is no number; none when
    /// one of them is not finite.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let Some(value) = self.value(tag) else { return Vec::new() };
        let numbers = value.to_multi_float64().unwrap_or_else(|_| leading_numbers(value));
        if numbers.iter().all(|number| number.is_finite()) { numbers } else { Vec::new() }
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
        let (found, pixels) =
            find(self.data, place, encoding).map_err(|fault| fault_in(tag, fault))?;
        let values = read_values(self.data, &found, encoding)?;
        Ok(Self { data: self.data, encoding, found, values, pixels })
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

/// What is around text in files of real devices, in front too.
pub(super) const PADDING: [char; 4] = ['\0', ' ', '\t', '\n'];

/// Numbers in text of which a later one is none, as behind a trailing backslash.
fn leading_numbers(value: &PrimitiveValue) -> Vec<f64> {
    let texts = value.strings().unwrap_or_default().iter();
    texts.map_while(|text| PrimitiveValue::from(text.as_str()).to_float64().ok()).collect()
}

/// The elements on the list, and Pixel Data.
fn find(
    data: &[u8],
    place: Range<usize>,
    encoding: Encoding,
) -> std::result::Result<(Vec<Element>, Option<Element>), Fault> {
    let mut walk = Walk::new(data, place, encoding);
    let mut found: Vec<Element> = Vec::new();
    while let Some(element) = walk.next()? {
        if is_pixel_data(element.tag) {
            return Ok((found, Some(element)));
        }
        if tag_of(element.tag).is_some() {
            found.retain(|earlier| earlier.tag != element.tag);
            found.push(element);
        }
    }
    Ok((found, None))
}

fn tag_of(number: u32) -> Option<Tag> {
    READ.binary_search_by_key(&number, |tag| tag.number).ok().map(|place| READ[place])
}

/// Hands what was found to `dicom-object`; sequences and tables wait until they are asked for.
fn read_values(data: &[u8], found: &[Element], encoding: Encoding) -> Result<InMemDicomObject> {
    let mut small = Small::new(encoding);
    // dicom-parser 0.10.1 reads numbers behind a signed Pixel Representation as signed, whatever
    // VR they are written with: it goes last.
    let (last, first): (Vec<_>, Vec<_>) =
        found.iter().partition(|element| element.tag == PIXEL_REPRESENTATION.number);
    for element in first.into_iter().chain(last) {
        let Some(tag) = tag_of(element.tag) else { continue };
        if !matches!(tag.vr, VR::SQ | VR::OW | VR::OV) {
            let value = &data[element.value.clone()];
            small.push(tag.number, vr_of(tag.vr, element.vr, value.len()), value);
        }
    }
    small.parse()
}

/// What a value is read as: what the file states where that can be, else what the standard says.
fn vr_of(standard: VR, stated: [u8; 2], length: usize) -> VR {
    match (standard, VR::from_binary(stated)) {
        // UL where the standard has US is as plain as it is wrong; over two bytes it is US.
        (VR::US | VR::IS, Some(VR::UL)) if length >= 4 => VR::UL,
        (VR::US | VR::IS, Some(VR::UL | VR::OW)) => VR::US,
        (VR::US | VR::IS, Some(VR::SL)) if length < 4 => VR::SS,
        (VR::US | VR::IS, Some(stated @ (VR::US | VR::SS | VR::SL | VR::IS | VR::DS)))
        | (VR::DS, Some(stated @ (VR::FD | VR::FL))) => stated,
        (standard, _) => standard,
    }
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

    fn explicit(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
        let tag = [(tag.number >> 16) as u16, tag.number as u16].map(u16::to_le_bytes);
        let length = (value.len() as u16).to_le_bytes();
        [tag.as_flattened(), vr.as_bytes(), &length, value].concat()
    }

    fn read(data: &[u8]) -> Attributes<'_> {
        Attributes::read(data, 0..data.len(), Encoding::EXPLICIT_LE).unwrap()
    }

    #[test]
    fn numbers_of_another_vr_than_the_standards_are_read() {
        for (vr, value) in [
            ("US", &b"\x07\0"[..]),
            ("SS", b"\x07\0"),
            ("UL", b"\x07\0\0\0"),
            ("UL", b"\x07\0"),
            ("SL", b"\x07\0"),
            ("IS", b" 7 "),
            ("DS", b"+7\\8"),
            ("ZZ", b"\x07\0"),
        ] {
            // What no VR is called has 32-bit lengths: as implicit elements have them.
            let data = if vr == "ZZ" {
                b"\x28\0\x10\0ZZ\0\0\x02\0\0\0\x07\0".to_vec()
            } else {
                explicit(ROWS, vr, value)
            };
            assert_eq!(read(&data).integer(ROWS).unwrap(), Some(7), "{vr}");
        }
        let half = explicit(WINDOW_CENTER, "FD", &0.5f64.to_le_bytes());
        assert_eq!(read(&half).number(WINDOW_CENTER), Some(0.5));
    }

    #[test]
    fn half_a_number_is_no_integer_and_blank_text_is_nothing() {
        assert!(read(&explicit(ROWS, "US", b"\x07")).integer(ROWS).is_err());
        assert_eq!(read(&explicit(ROWS, "US", b"")).integer(ROWS).unwrap(), None);
        let blank = explicit(NUMBER_OF_FRAMES, "IS", b" \0");
        assert_eq!(read(&blank).integer(NUMBER_OF_FRAMES).unwrap(), None);
    }

    #[test]
    fn a_list_of_numbers_ends_at_the_first_that_is_none() {
        let data = explicit(PIXEL_SPACING, "DS", b"0.5\\0.25\\ ");
        assert_eq!(read(&data).numbers(PIXEL_SPACING), [0.5, 0.25]);
        let data = explicit(PIXEL_SPACING, "DS", b"0.5\\inf");
        assert_eq!(read(&data).numbers(PIXEL_SPACING), [0.0; 0]);
    }

    #[test]
    fn of_an_element_that_is_there_twice_the_last_counts() {
        let mut data = explicit(ROWS, "US", &[7, 0]);
        data.extend(explicit(ROWS, "US", &[8, 0]));
        assert_eq!(read(&data).integer(ROWS).unwrap(), Some(8));
        data.extend(explicit(ROWS, "US", &[]));
        assert_eq!(read(&data).integer(ROWS).unwrap(), None);
    }

    #[test]
    fn signed_pixels_do_not_change_the_vr_of_what_follows() {
        let mut data = explicit(PIXEL_REPRESENTATION, "US", &[1, 0]);
        data.extend(explicit(PIXEL_PADDING_VALUE, "IS", b"-2000"));
        data.extend(explicit(WINDOW_CENTER, "DS", b"40"));
        let attributes = read(&data);
        assert_eq!(attributes.integer(PIXEL_PADDING_VALUE).unwrap(), Some(-2000));
        assert_eq!(attributes.number(WINDOW_CENTER), Some(40.0));
    }
}
