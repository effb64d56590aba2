//! Files that `dicom-object` writes, and files that lie.

use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::*;

fn image(pixels: &[u16], rows: u16, columns: u16) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag, vr, value: PrimitiveValue| {
        object.put(DataElement::new(tag, vr, value));
    };
    put(tags::PATIENT_ID, VR::LO, "P 17".into());
    put(tags::PATIENT_AGE, VR::AS, "045Y".into());
    put(tags::VIEW_POSITION, VR::CS, "PA".into());
    put(tags::SAMPLES_PER_PIXEL, VR::US, 1u16.into());
    put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".into());
    put(tags::ROWS, VR::US, rows.into());
    put(tags::COLUMNS, VR::US, columns.into());
    put(tags::PIXEL_SPACING, VR::DS, dicom_value!(Strs, ["0.5", "0.25"]));
    put(tags::BITS_ALLOCATED, VR::US, 16u16.into());
    put(tags::BITS_STORED, VR::US, 12u16.into());
    put(tags::HIGH_BIT, VR::US, 11u16.into());
    put(tags::PIXEL_REPRESENTATION, VR::US, 0u16.into());
    put(tags::WINDOW_CENTER, VR::DS, dicom_value!(Strs, ["40", "400"]));
    put(tags::WINDOW_WIDTH, VR::DS, dicom_value!(Strs, ["350", "1500"]));
    put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into()));
    object
}

pub(super) fn file(object: InMemDicomObject, transfer_syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("1.2.3")
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    object.with_exact_meta(meta).write_all(&mut bytes).unwrap();
    bytes
}

fn decode(data: &[u8]) -> Result<DicomPixels> {
    decode_dicom(data, Frames::Middle, &Limits::default())
}

#[test]
fn files_that_dicom_object_writes_are_read_in_every_encoding() {
    let pixels: Vec<u16> = (0..12).map(|v| v * 300).collect();
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        syntax::EXPLICIT_BE,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ] {
        let data = file(image(&pixels, 3, 4), syntax);
        let DicomPixels { decoded, stored } = decode(&data).unwrap();
        assert_eq!(stored, Values::U16(pixels.clone()), "{syntax}");
        let window = decoded.look(0).window.unwrap();
        assert_eq!((window.center, window.width), (40.0, 350.0), "the first window counts");
        let summary = read_header(&data).unwrap();
        assert_eq!(summary.patient_id, "P 17");
        assert_eq!((summary.age_years, summary.spacing), (Some(45.0), Some([0.5, 0.25])));
        assert_eq!((summary.rows, summary.columns, summary.has_pixels), (3, 4, true));
        assert_eq!(summary.transfer_syntax, syntax);
    }
}

#[test]
fn a_frame_is_taken_by_its_number_and_only_if_there_is_one() {
    let pixels: Vec<u16> = (0..12).collect();
    let mut object = image(&pixels, 2, 2);
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("3")));
    let data = file(object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let decode = |frames| decode_dicom(&data, frames, &Limits::default());
    for (number, frame) in pixels.chunks(4).enumerate() {
        let found = decode(Frames::One(number as u32)).unwrap();
        assert_eq!((found.stored, found.decoded.frames), (Values::U16(frame.to_vec()), 1));
    }
    let error = decode(Frames::One(3)).unwrap_err().to_string();
    assert!(error.ends_with("there is no frame 3: the header says 3, counted from 0"), "{error}");
    assert!(decode(Frames::One(u32::MAX)).is_err());
    let error = decode(Frames::Only).unwrap_err().to_string();
    assert!(error.ends_with("3 frames, and nothing says which is wanted"), "{error}");
    let one = file(image(&pixels[..4], 2, 2), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert!(decode_dicom(&one, Frames::Only, &Limits::default()).is_ok());
}

#[test]
fn a_file_without_preamble_or_meta_group_is_recognised_and_read() {
    let pixels = [7u16; 4];
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN] {
        let whole = file(image(&pixels, 2, 2), syntax);
        assert!(is_dicom(&whole) && is_dicom(&whole[132..]));
        assert_eq!(decode(&whole[132..]).unwrap().stored, Values::U16(pixels.into()));
    }
    let mut object = image(&pixels, 2, 2);
    object.put(DataElement::new(tags::IMAGE_TYPE, VR::CS, PrimitiveValue::from("ORIGINAL")));
    let whole = file(object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let bare = &whole[file::DataSet::open(&whole, 0, false).unwrap().start..];
    assert!(is_dicom(bare));
    assert_eq!(decode(bare).unwrap().stored, Values::U16(pixels.into()));
}

#[test]
fn other_files_are_not_taken_for_dicom() {
    let mut text = b"patient,label\n".to_vec();
    text.resize(400, b'x');
    for data in [&b""[..], b"DICM", b"\x89PNG\r\n\x1A\n", &text, &[0; 200], &[8, 0, 0, 0, 1]] {
        assert!(!is_dicom(data), "{:?}", &data[..data.len().min(8)]);
        assert!(decode(data).is_err());
    }
}

#[test]
fn a_meta_group_that_lies_about_its_length_is_read() {
    let mut data = file(image(&[1, 2, 3, 4], 2, 2), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    // The group length is the first element: its value is behind 8 bytes.
    data[140..144].copy_from_slice(&9999u32.to_le_bytes());
    assert!(dicom_object::from_reader(&data[128..]).is_err());
    assert_eq!(decode(&data).unwrap().stored, Values::U16(vec![1, 2, 3, 4]));
}

#[test]
fn messages_hold_no_value_of_the_header() {
    let mut object = image(&[0; 4], 2, 2);
    object.put(DataElement::new(
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        PrimitiveValue::from("CANARY"),
    ));
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("CANARY")));
    let message = decode(&file(object, uids::EXPLICIT_VR_LITTLE_ENDIAN)).unwrap_err().to_string();
    assert!(!message.contains("CANARY"), "{message}");
    let mut data = file(image(&[0; 4], 2, 2), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let uid = uids::EXPLICIT_VR_LITTLE_ENDIAN.as_bytes();
    let at = data.windows(uid.len()).position(|bytes| bytes == uid).unwrap();
    data[at..at + uid.len()].copy_from_slice(b"1.2.826.0.1.CANARY1");
    assert!(!decode(&data).unwrap_err().to_string().contains("CANARY"));
}

#[test]
fn a_deflate_bomb_is_stopped_at_the_cap() {
    use std::io::Write;
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    // A private element that says it is 64 MiB long.
    bomb.write_all(&[9, 0, 0x10, 0, b'O', b'B', 0, 0, 0, 0, 0, 4]).unwrap();
    (0..64).for_each(|_| bomb.write_all(&vec![0; 1 << 20]).unwrap());
    let mut data = [&[0; 128][..], b"DICM", &[2, 0, 0x10, 0], b"UI", &[22, 0]].concat();
    data.extend(b"1.2.840.10008.1.2.1.99");
    data.extend(bomb.finish().unwrap());
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    assert!(decode_dicom(&data, Frames::First, &limits).is_err());
    assert!(!read_header(&data).is_ok_and(|summary| summary.has_pixels));
}
