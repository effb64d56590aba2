//! Which format the bytes are in: by their first bytes, never by the file's name.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Item, Result};

/// A format this build decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG, JFIF or EXIF.
    Jpeg,
    /// PNG (the first frame of an APNG).
    Png,
}

impl Format {
    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        }
    }

    /// Recognises the format as OpenCV does, by signature.
    ///
    /// # Errors
    /// `Decode` that says what the bytes look like instead.
    pub fn of(data: &[u8]) -> Result<Self> {
        if data.starts_with(b"\xFF\xD8\xFF") {
            Ok(Self::Jpeg)
        } else if data.starts_with(b"\x89PNG\r\n\x1A\n") {
            Ok(Self::Png)
        } else {
            Err(Error::Decode {
                item: Item::default(),
                format: "image",
                reason: format!("not a JPEG or PNG: {}", describe(data)),
            })
        }
    }
}

/// What a person would call these bytes.
fn describe(data: &[u8]) -> String {
    const SIGNATURES: [(&[u8], &str); 12] = [
        (b"GIF8", "a GIF image"),
        (b"BM", "a BMP image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
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
    if data.get(128..132) == Some(b"DICM") {
        return "found a DICOM file".to_owned();
    }
    if data.starts_with(b"RIFF") && data.get(8..12) == Some(b"WEBP") {
        return "found a WebP image".to_owned();
    }
    if let Some((_, name)) = SIGNATURES.iter().find(|(bytes, _)| data.starts_with(bytes)) {
        return format!("found {name}");
    }
    let head = &data[..data.len().min(512)];
    if is_text(head) {
        let head = String::from_utf8_lossy(head);
        let start = head.trim_start().to_ascii_lowercase();
        let kind = if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "an HTML page"
        } else {
            "text"
        };
        let quote: String = head.trim_start().chars().take(24).collect();
        return format!("found {kind} beginning with {quote:?}");
    }
    if matches!(data, [b'P', b'1'..=b'7', b'\n' | b' ', ..]) {
        return "found a PNM image".to_owned();
    }
    if data.iter().all(|&byte| byte == 0) {
        return format!("found {} zero bytes", data.len());
    }
    let hex: Vec<String> = data.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("found bytes {}", hex.join(" "))
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
    fn a_text_file_named_jpg_is_called_text() {
        assert_eq!(
            reason(b"Patient 12, left eye\n"),
            "cannot decode image: not a JPEG or PNG: \
             found text beginning with \"Patient 12, left eye\\n\""
        );
        assert!(reason(b"  <html><body>404").contains("an HTML page"));
        assert!(reason("Überschrift".as_bytes()).contains("text beginning with"));
    }

    #[test]
    fn other_things_are_named() {
        assert!(reason(b"").ends_with("the file is empty"));
        assert!(reason(&[0; 9]).ends_with("found 9 zero bytes"));
        assert!(reason(b"GIF89a....").ends_with("found a GIF image"));
        assert!(reason(b"RIFF\0\0\0\0WEBPVP8 ").ends_with("found a WebP image"));
        assert!(reason(&[1, 2, 0xFE, 255]).ends_with("found bytes 01 02 fe ff"));
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM");
        assert!(reason(&dicom).ends_with("found a DICOM file"));
    }
}
