//! The guard against `dicom-object` left to itself: it finds the same in real files, and `dicom-object`
//! without it is ended by a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use dicom_core::header::HasLength;
use dicom_core::{Tag as PeerTag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, OpenFileOptions};

use super::attributes::{Attributes, READ, Tag};
use super::file::DataSet;
use super::tests::file;
use super::{Limits, read_header};

/// Real files, which are no part of the repository (as the fixture `real_data` of the Python tests).
fn real_files() -> Vec<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("MEDPREP_REAL_DATA").map_or_else(|| beside.into(), PathBuf::from);
    let mut folders = vec![root.join("dicom-syntaxes"), root.join("cxr-dicom")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn read_by_peer(path: &Path) -> Option<InMemDicomObject> {
    let file = OpenFileOptions::new().read_until(tags::PIXEL_DATA).open_file(path).ok()?;
    Some(file.into_inner())
}

/// The element where it says anything.
fn element_of(object: &InMemDicomObject, tag: Tag) -> Option<&InMemElement> {
    let number = PeerTag((tag.number >> 16) as u16, tag.number as u16);
    object.get(number).filter(|element| !element.value().is_empty())
}

fn values(text: &str) -> Vec<String> {
    let plain = |value: &str| value.trim_matches(['\0', ' ', '\t', '\n']).to_owned();
    text.split('\\').map(plain).collect()
}

fn is_nothing(element: &InMemElement) -> bool {
    element.to_str().is_ok_and(|text| values(&text).iter().all(String::is_empty))
}

/// Asserts that both found the same; false when neither has the attribute.
fn agree(ours: &Attributes, theirs: &InMemDicomObject, tag: Tag) -> bool {
    let Some(element) = element_of(theirs, tag) else {
        assert_eq!(ours.bytes(tag), None, "{}", tag.name);
        return false;
    };
    match tag.vr {
        VR::SQ => {
            let items = element.items().map_or(0, <[_]>::len);
            assert_eq!(ours.places(tag).unwrap().len(), items, "{}", tag.name);
        }
        VR::OW if matches!(element.vr(), VR::OW | VR::US) => {
            let words = element.to_multi_int::<u16>().unwrap();
            assert_eq!(ours.words(tag, usize::MAX / 2).unwrap(), words, "{}", tag.name);
        }
        _ if matches!(element.vr(), VR::OB | VR::UN | VR::OV) => {
            assert_eq!(ours.bytes(tag).unwrap(), &*element.to_bytes().unwrap(), "{}", tag.name);
        }
        VR::US => {
            let first = element.to_multi_int::<i64>().unwrap()[0];
            assert_eq!(ours.integer(tag).unwrap(), Some(first), "{}", tag.name);
        }
        _ if ours.bytes(tag).is_some_and(<[u8]>::is_ascii) => {
            let text = ours.text(tag).unwrap_or_default();
            assert_eq!(values(&text), values(&element.to_str().unwrap()), "{}", tag.name);
            // Numbers in text, as a window and a rescale have them.
            if let Ok(numbers) = element.to_multi_float64()
                && tag.vr == VR::DS
                && !is_nothing(element)
            {
                assert_eq!(ours.numbers(tag), numbers, "{}", tag.name);
            }
        }
        _ => {}
    }
    true
}

#[test]
fn attributes_of_real_files_are_those_that_dicom_object_finds_by_itself() {
    let files = real_files();
    let (mut compared, mut found) = (0, 0);
    for path in &files {
        let Some(theirs) = read_by_peer(path) else { continue };
        let data = std::fs::read(path).unwrap();
        let data_set = DataSet::open(&data, Limits::default().max_bytes, false)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let ours =
            data_set.attributes().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        found += READ.iter().filter(|&&tag| agree(&ours, &theirs, tag)).count();
        compared += 1;
    }
    assert!(files.is_empty() || compared > 100, "{compared} of {} files compared", files.len());
    assert!(found >= 10 * compared, "{found} attributes in {compared} files");
}

/// A file with `depth` sequences within each other, all of them closed.
fn nested_file(depth: usize) -> Vec<u8> {
    let mut data = file(InMemDicomObject::new_empty(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    const UNDEFINED: [u8; 4] = [0xFF; 4];
    let open = [b"\x08\0\x40\x11SQ\0\0".as_slice(), &UNDEFINED, b"\xFE\xFF\0\xE0", &UNDEFINED];
    let close = [b"\xFE\xFF\x0D\xE0".as_slice(), &[0; 4], b"\xFE\xFF\xDD\xE0", &[0; 4]];
    data.extend(open.concat().repeat(depth));
    data.extend(close.concat().repeat(depth));
    data
}

const DEPTH: usize = 10_000;

/// Run by the test below, in a process that may die of it.
#[test]
#[ignore = "ends the process"]
fn a_deep_file_is_given_to_dicom_object() {
    let _ = dicom_object::from_reader(&nested_file(DEPTH)[128..]);
}

#[test]
fn a_deep_file_ends_dicom_object() {
    let shallow = nested_file(20);
    assert!(dicom_object::from_reader(&shallow[128..]).is_ok() && read_header(&shallow).is_ok());
    let reason = read_header(&nested_file(DEPTH)).unwrap_err().to_string();
    assert!(reason.contains("nested"), "{reason}");
    let child = "decode::dicom::tests_peer::a_deep_file_is_given_to_dicom_object";
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", child])
        .env_remove("RUST_MIN_STACK")
        .output()
        .unwrap();
    // Were this to fail after an update, one reason for the guard would have gone.
    assert_eq!(done.status.code(), None, "dicom-object read it, or refused it in good order");
    assert!(String::from_utf8_lossy(&done.stderr).contains("overflowed its stack"));
}
