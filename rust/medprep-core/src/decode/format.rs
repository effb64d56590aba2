//! Which format the bytes are in: by their first bytes, never by the file's name.

use serde::{Deserialize, Serialize};

use super::{bmp, dicom};
use crate::error::{Error, Item, Result};

const SIGNATURES: [(&[u8], Format); 8] = [
    (b"\xFF\xD8\xFF", Format::Jpeg),
    (b"\x89PNG\r\n\x1A\n", Format::Png),
    (b"II*\0", Format::Tiff),
    (b"MM\0*", Format::Tiff),
    (b"II+\0", Format::Tiff),
    (b"MM\0+", Format::Tiff),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
];

/// A format this build decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG, JFIF or EXIF.
    Jpeg,
    /// PNG (the first frame of an APNG).
    Png,
    /// TIFF and BigTIFF (the first page).
    Tiff,
    /// WebP (the first frame of an animation).
    WebP,
    /// GIF (the first frame).
    Gif,
    /// Windows and OS/2 bitmaps.
    Bmp,
    /// DICOM, with or without its preamble.
    Dicom,
}

impl Format {
    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Dicom => "DICOM",
        }
    }

    /// Recognises the format as OpenCV does, by signature.
    ///
    /// # Errors
    /// `Decode` that says what the bytes look like instead.
    pub fn of(data: &[u8]) -> Result<Self> {
        SIGNATURES
            .iter()
            .find(|(signature, _)| data.starts_with(signature))
            .map(|(_, format)| match format {
                // A preamble may begin like a TIFF: many archives write one that does.
                Self::Tiff if has_dicom_prefix(data) => Self::Dicom,
                other => *other,
            })
            .or_else(|| is_webp(data).then_some(Self::WebP))
            .or_else(|| bmp::has_signature(data).then_some(Self::Bmp))
            .or_else(|| dicom::is_dicom(data).then_some(Self::Dicom))
            .ok_or_else(|| Error::Decode {
                item: Item::default(),
                format: "image",
                reason: format!(
                    "not a JPEG, PNG, TIFF, WebP, GIF, BMP or DICOM: {}",
                    describe(data)
                ),
            })
    }
}

/// What a person would call these bytes.
fn describe(data: &[u8]) -> String {
    const OTHERS: [(&[u8], &str); 8] = [
        (b"\xFF\x4F\xFF\x51", "a JPEG 2000 code stream"),
        (b"\0\0\0\x0CjP  ", "a JPEG 2000 image"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a zip archive (or npz, docx, ...)"),
        (b"\x1F\x8B", "a gzip archive"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x7FELF", "a program"),
        (b"\x89PNG", "a PNG whose signature is damaged (copied in text mode?)"),
    ];
    if data.is_empty() {
        return "the file is empty".to_owned();
    }
    if let Some((_, name)) = OTHERS.iter().find(|(bytes, _)| data.starts_with(bytes)) {
        return format!("found {name}");
    }
    let head = &data[..data.len().min(512)];
    if is_text(head) {
        let head = String::from_utf8_lossy(head);
        // What the text says may be about a patient: never quoted.
        let start = head.trim_start().to_ascii_lowercase();
        let kind = if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "an HTML page"
        } else if start.starts_with(['{', '[']) {
            "JSON"
        } else if start.starts_with("<?xml") {
            "XML"
        } else {
            "text"
        };
        return format!("found {kind}");
    }
    if matches!(data, [b'P', b'1'..=b'7', b'\n' | b' ', ..]) {
        return "found a PNM image".to_owned();
    }
    if data.iter().all(|&byte| byte == 0) {
        return format!("found {} zero bytes", data.len());
    }
    "found bytes of no known kind".to_owned()
}

fn has_dicom_prefix(data: &[u8]) -> bool {
    data.get(128..132) == Some(b"DICM")
}

fn is_webp(data: &[u8]) -> bool {
    data.starts_with(b"RIFF") && data.get(8..12) == Some(b"WEBP")
}

fn is_text(head: &[u8]) -> bool {
    let printable = |text: &str| {
        !text.trim().is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
    };
    match std::str::from_utf8(head) {
        Ok(text) => printable(text),
        // A character cut in two by the end of `head` is still text.
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).is_ok_and(printable)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(data: &[u8]) -> String {
        Format::of(data).unwrap_err().to_string()
    }

    #[test]
    fn a_text_file_named_jpg_is_called_text_and_not_quoted() {
        assert_eq!(
            reason(b"Patient 12, left eye\n"),
            "cannot decode image: not a JPEG, PNG, TIFF, WebP, GIF, BMP or DICOM: found text"
        );
        assert!(reason(b"  <html><body>404").ends_with("found an HTML page"));
        assert!(reason(b"{\"name\": \"Jane\"}").ends_with("found JSON"));
        assert!(reason("Überschrift".as_bytes()).ends_with("found text"));
    }

    #[test]
    fn other_things_are_named() {
        assert!(reason(b"BMI;age;diagnosis\n").ends_with("found text"));
        assert!(reason(b"").ends_with("the file is empty"));
        assert!(reason(&[0; 9]).ends_with("found 9 zero bytes"));
        assert!(reason(b"%PDF-1.7").ends_with("found a PDF document"));
        assert!(reason(&[1, 2, 0xFE, 255]).ends_with("found bytes of no known kind"));
    }

    #[test]
    fn a_preamble_that_begins_like_a_tiff_is_still_dicom() {
        let mut data = b"II*\0".to_vec();
        data.resize(128, 0);
        assert_eq!(Format::of(&data).unwrap(), Format::Tiff);
        data.extend(b"DICM");
        assert_eq!(Format::of(&data).unwrap(), Format::Dicom);
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM");
        for (data, format) in [
            (&b"GIF89a"[..], Format::Gif),
            (b"RIFF\0\0\0\0WEBPVP8 ", Format::WebP),
            (b"BM123456789012\x28\0\0\0", Format::Bmp),
            (b"MM\0*", Format::Tiff),
            (b"II+\0", Format::Tiff),
            (&dicom, Format::Dicom),
        ] {
            assert_eq!(Format::of(data).unwrap(), format);
        }
    }
}
