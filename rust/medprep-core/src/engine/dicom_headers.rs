//! The headers of many DICOM files, in parallel, each read only as far as its pixels.

use super::control::Control;
use super::parallel::map_parallel;
use super::source::SourceRoot;
use crate::Result;
use crate::decode::dicom::{Summary, read_header};

/// Bytes of a file that are read at first: most headers take a few thousand.
const FIRST: u64 = 16 << 10;

/// A header is not looked for behind so many bytes.
const MOST: u64 = 256 << 20;

/// Reads the headers of `paths`, in their order; one that fails costs only its own result.
///
/// # Errors
/// `Cancelled` when the control was cancelled, `Spec` when the threads cannot be started.
pub fn read_dicom_headers(
    source: &SourceRoot,
    paths: &[String],
    threads: usize,
    control: &Control,
) -> Result<Vec<Result<Summary>>> {
    map_parallel(paths, threads, control, |path| {
        read_one(source, path).map_err(|e| e.at(path.as_str()))
    })
}

fn read_one(source: &SourceRoot, path: &str) -> Result<Summary> {
    let (mut data, mut most) = (Vec::new(), FIRST);
    loop {
        let bytes = source.read_start(path, most, &mut data)?;
        match read_header(&data) {
            Ok(summary) if summary.has_pixels => return Ok(summary),
            result if bytes <= most || most >= MOST => return result,
            _ => most *= 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: [u16; 2], vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = tag.iter().flat_map(|part| part.to_le_bytes()).collect();
        bytes.extend(vr);
        if [*b"OB", *b"OW"].contains(&vr) {
            bytes.extend([0, 0]);
            bytes.extend((value.len() as u32).to_le_bytes());
        } else {
            bytes.extend((value.len() as u16).to_le_bytes());
        }
        bytes.extend(value);
        bytes
    }

    #[test]
    fn a_header_longer_than_the_first_read_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = [vec![0; 128], b"DICM".to_vec()].concat();
        file.extend(element([0x0002, 0x0010], *b"UI", b"1.2.840.10008.1.2.1\0"));
        file.extend(element([0x0009, 0x0010], *b"OB", &vec![1; 3 * FIRST as usize]));
        file.extend(element([0x0010, 0x0020], *b"LO", b"one "));
        file.extend(element([0x7FE0, 0x0010], *b"OW", &vec![0; 1 << 20]));
        std::fs::write(folder.path().join("long.dcm"), &file).unwrap();
        std::fs::write(folder.path().join("note.txt"), b"no image").unwrap();
        let source = SourceRoot::open(folder.path()).unwrap();
        let paths = ["long.dcm", "note.txt", "../out"].map(str::to_owned);
        let found = read_dicom_headers(&source, &paths, 2, &Control::default()).unwrap();
        assert_eq!(found[0].as_ref().unwrap().patient_id, "one");
        assert_eq!(found[1].as_ref().unwrap_err().stage(), "decode");
        assert_eq!(found[2].as_ref().unwrap_err().stage(), "read");
    }
}
